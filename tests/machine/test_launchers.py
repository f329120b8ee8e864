"""The variable that names a launcher: what it may say, and every mistake in one sentence."""

import subprocess
import sys
from pathlib import Path

import pytest

from msavqa.ground.errors import MsavqaError
from msavqa.machine import launch, launchers, ray_actors, ray_cluster
from msavqa.machine.launch import in_turn
from msavqa.machine.launchers import Asked
from msavqa.machine.ray_cluster import GIB, Request, Size
from msavqa.machine.ray_worker import Arrived
from pipeline import check
from tests.conftest import ROOT


def of(text: str) -> Asked:
    return launchers.asked({"MSAVQA_LAUNCHER": text})


def test_what_the_variable_may_say() -> None:
    assert launchers.asked({}) == of("") == of(" ") == Asked("here")
    assert of("processes:4") == Asked("processes", count=4)
    assert of("ray") == Asked("ray")
    assert of("ray:cpus=4,gpus=1,memory_gb=32") == Asked("ray", cpus=4, gpus=1.0, memory_gb=32.0)
    assert of("ray:gpus=0.25, cpus=2") == Asked("ray", cpus=2, gpus=0.25)
    assert of("ray:gpus=0") == Asked("ray", gpus=0.0)


FORMS = "`processes:4`, `ray` or `ray:cpus=4,gpus=1,memory_gb=32`"
COUNT = "a number of processes from 1 on, as in `processes:4`"
NAMES = "`cpus=`, `gpus=`, `memory_gb=` behind `ray:`"
CPUS = "a number of CPUs from 1 on, as in `cpus=4`"
GPUS = "whole GPUs or a part of one, as in `gpus=1` or `gpus=0.5`"
MEMORY = "GiB of memory, as in `memory_gb=32`"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("slurm", FORMS), ("Ray", FORMS), ("rays:cpus=1", FORMS), ("processes", COUNT), ("processes:", COUNT),
        ("processes:0", COUNT), ("processes:-1", COUNT), ("processes:two", COUNT), ("processes:1.5", COUNT),
        ("processes:²", COUNT), ("ray:", NAMES), ("ray:4", NAMES), ("ray:cpu=4", NAMES),
        ("ray:cpus=4,", NAMES), ("ray:cpus=4,cpus=4", "`cpus=` once"), ("ray:cpus=", CPUS),
        ("ray:cpus=0", CPUS), ("ray:cpus=1.5", CPUS), ("ray:cpus=many", CPUS),
        ("ray:gpus=-1", GPUS), ("ray:gpus=1.5", GPUS), ("ray:gpus=nan", GPUS),
        ("ray:memory_gb=0", MEMORY), ("ray:memory_gb=inf", MEMORY), ("ray:memory_gb=1e3", MEMORY),
    ],
)  # fmt: skip
def test_a_mistake_in_it_is_one_sentence(text: str, expected: str) -> None:
    with pytest.raises(MsavqaError) as refusal:
        of(text)
    assert str(refusal.value) == (
        f"MSAVQA_LAUNCHER in the environment: got {text!r}, expected {expected}; set it right, or unset it "
        "to compute in this process."
    )


def test_a_mistake_in_it_is_found_before_anything_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MSAVQA_LAUNCHER", "processes:")
    with pytest.raises(
        MsavqaError, match=r"^MSAVQA_LAUNCHER in the environment: got 'processes:', expected a"
    ):
        check.main(["--only"])


def test_nothing_asked_for_is_what_the_stage_does_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MSAVQA_LAUNCHER", raising=False)
    assert launchers.chosen() is in_turn
    assert launchers.chosen(here=map) is map
    assert not launchers.elsewhere()


def cpus_here(task: int) -> int:
    return launch.cpus(99)


def test_processes_share_the_cpus_and_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MSAVQA_LAUNCHER", "processes:2")
    monkeypatch.setattr("os.sched_getaffinity", lambda process: set(range(7)))
    told: list[int] = []
    assert list(launchers.chosen(tell=told.append)(cpus_here, [1, 2])) == [3, 3]
    assert told == [2]
    assert launch.cpus(99) == 99  # not here


def test_without_ray_a_sentence_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MSAVQA_LAUNCHER", "ray")
    monkeypatch.setattr(launchers, "find_spec", lambda name: None)
    with pytest.raises(MsavqaError) as refusal:
        launchers.chosen()
    assert str(refusal.value) == (
        "MSAVQA_LAUNCHER in the environment: got ray, which is not installed, expected the package `ray`; "
        "run `pip install 'msavqa[ray]'`, or unset the variable to compute here."
    )


def test_no_stage_imports_ray_unless_asked() -> None:
    stages = sorted(file.stem for file in (ROOT / "pipeline").glob("*.py"))
    code = (
        f"import importlib, sys\nfor name in {stages!r}: importlib.import_module(f'pipeline.{{name}}')\n"
        "from msavqa.machine import launchers\nlaunchers.chosen()\nassert 'ray' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def node(cpus: float, gpus: float = 0.0, gib: float = 8.0) -> dict[str, float]:
    return {"CPU": float(cpus), "GPU": float(gpus), "memory": float(gib * GIB)}


def test_a_worker_gets_a_gpu_where_there_are_any_and_its_share_of_the_cpus() -> None:
    mixed = [node(64, 8), node(16, 4), node(32)]
    assert ray_cluster.request(Size(), device="auto", nodes=mixed) == Request(4, 1.0, 0)
    assert ray_cluster.request(Size(), device="cpu", nodes=mixed) == Request(1, 0.0, 0)
    assert ray_cluster.request(Size(gpus=0.5), device="auto", nodes=mixed) == Request(2, 0.5, 0)
    assert ray_cluster.request(Size(gpus=0.0), device="auto", nodes=mixed) == Request(1, 0.0, 0)
    assert ray_cluster.request(Size(cpus=4, gpus=1.0), device="cpu", nodes=mixed) == Request(4, 0.0, 0)
    assert ray_cluster.request(Size(memory_gb=2.0), device="auto", nodes=[node(2)]) == Request(
        1, 0.0, 2 * GIB
    )


def test_as_many_workers_as_have_room() -> None:
    assert Request(4, 1.0, 0).fit(node(64, 8)) == 8
    assert Request(4, 0.5, 0).fit(node(8, 8)) == 2
    assert Request(1, 0.0, 3 * GIB).fit(node(64)) == 2
    assert Request(1, 0.1, 0).fit(node(64, 1)) == 10
    assert Request(1, 1.0, 0).fit({"CPU": 4.0}) == 0


def test_a_cluster_without_room_for_one_worker_is_one_sentence() -> None:
    for size, device, asked in (
        (Size(gpus=1.0), "auto", "1 CPU and 1 GPU"),
        (Size(), "cuda", "1 CPU and 1 GPU"),
        (Size(cpus=9), "cpu", "9 CPUs"),
        (Size(memory_gb=32.0), "cpu", "1 CPU and 32 GiB of memory"),
    ):
        with pytest.raises(MsavqaError) as refusal:
            ray_cluster.request(size, device=device, nodes=[node(4), node(8)])  # type: ignore[arg-type]
        assert str(refusal.value) == (
            f"MSAVQA_LAUNCHER in the environment: got 2 nodes, none of which has {asked}, expected at most "
            "8 CPUs, 0 GPUs and 8 GiB for one worker; ask for less, as in `ray:cpus=1,gpus=0`, or start Ray "
            "on a machine that has it."
        )


def test_workers_of_another_kind_are_said_once() -> None:
    kinds = ray_actors.Kinds()
    said = [
        kinds.heard(Arrived(address, kind=kind))
        for address, kind in (
            ("10.0.0.1", "Zen 4"), ("10.0.0.2", "Zen 4"), ("10.0.0.3", "Xeon"), ("10.0.0.4", "Xeon"),
        )
    ]  # fmt: skip
    note = (
        "note: 10.0.0.3 computes on Xeon, 10.0.0.1 on Zen 4: the last digits of what they compute may differ"
    )
    assert said == ["", "", note, ""]


@pytest.mark.parametrize("address", ["cluster", "ray://host:10001", ":6379", "host:", "host:port"])
def test_an_address_that_is_none_is_one_sentence(address: str) -> None:
    with pytest.raises(MsavqaError) as refusal:
        ray_cluster.reach(address)
    assert str(refusal.value) == (
        f"RAY_ADDRESS in the environment: got {address!r}, expected host:port of a cluster that this machine "
        "is a node of, as in 10.0.0.1:6379; take the one that `ray start --head` prints, or unset the "
        "variable."
    )


def test_an_address_where_nothing_listens_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(MsavqaError) as refusal:
        ray_cluster.reach("127.0.0.1:1")
    assert str(refusal.value) == (
        "RAY_ADDRESS in the environment: got 127.0.0.1:1, where nothing listens ([Errno 111] Connection "
        "refused), expected a running cluster; start it with `ray start --head`, name another, or unset the "
        "variable to use this machine alone."
    )
