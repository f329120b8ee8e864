"""A real Ray cluster of several nodes on loopback: the bytes of one process, whatever dies meanwhile."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psutil
import pytest

from benchmarks import scale_out
from msavqa.datasets import manifest
from msavqa.datasets.manifest import IndexSettings
from msavqa.datasets.rows import Row
from msavqa.frames import read as frames
from msavqa.frames.write import decode_all
from msavqa.ground import stage
from msavqa.ground.errors import MsavqaError
from msavqa.learning import folds, side_by_side
from msavqa.machine import launchers, ray_actors
from msavqa.machine.launch import Launcher
from msavqa.trunks.run import videos
from msavqa.trunks.run.feature_rows import ExtractSettings
from tests import feature_world, media, tiny_networks
from tests import videos as test_videos
from tests.conftest import ROOT, skip_or_fail
from tests.machine import ray_work
from tests.machine.test_launch import Loads
from tests.stores import World, same_as_fresh, tree
from tests.training import ALONE, same, work

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # Ray's own warnings
MEMORY = 80 << 20
SEEN_DEAD = {"health_check_period_ms": 500, "health_check_failure_threshold": 5}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A head that computes nothing and two nodes with a CPU each, every one at its own address."""
    if find_spec("ray") is None:
        skip_or_fail("Ray is not installed", needs="ray")
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "disabled"}  # no token in the user's home
    import ray
    from ray.cluster_utils import Cluster

    head = {"num_cpus": 0, "node_ip_address": "127.0.0.2", "include_dashboard": False}
    made = Cluster(True, head_node_args={**head, "object_store_memory": MEMORY, "_system_config": SEEN_DEAD})
    for number in (3, 4):
        add(made, number)
    yield made
    ray.shutdown()
    made.shutdown()


def add(cluster: Any, number: int, **environment: str) -> Any:
    """One node more, at 127.0.0.`number`."""
    return cluster.add_node(
        num_cpus=1, node_ip_address=f"127.0.0.{number}", object_store_memory=MEMORY, env_vars=environment
    )


@pytest.fixture
def launcher(cluster: Any, monkeypatch: pytest.MonkeyPatch) -> Launcher:
    """The cluster's, as any stage gets it."""
    monkeypatch.setenv("MSAVQA_LAUNCHER", "ray:cpus=1")
    monkeypatch.setenv("RAY_ADDRESS", cluster.address)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    return launchers.chosen()


def wait_for(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 180
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_index_decode_extract_and_train_give_the_bytes_of_one_process(
    launcher: Launcher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "videos"
    folder.mkdir()
    for number in range(8):
        media.write(folder / f"v{number}.mp4", media.numbered(number + 4))
    (folder / "v3.mp4").write_bytes(b"")
    settings = test_videos.settings(workers=1, max_quarantined_fraction=0.2)
    rows = [Row(where=f"line {number}", video_id=f"v{number}.mp4") for number in range(8)]
    trunk = tiny_networks.trunk(tmp_path, tiny_networks.image_settings(tmp_path, tiny_networks.CONVNEXT))
    world = feature_world.make(tmp_path / "world")
    todo = work(world, train={"epochs": 1})
    monkeypatch.setattr(manifest, "PART", 2)
    monkeypatch.setattr(ray_actors._Run, "_hand_out", ray_work.together(2))
    found: dict[str, Any] = {}
    for how in ("ray", "here"):
        if how == "here":
            monkeypatch.delenv("MSAVQA_LAUNCHER")
        own = tmp_path / how
        table = manifest.build(
            rows, root=folder, settings=IndexSettings(workers=1, timeout_seconds=60.0), description="index"
        )
        decode_all(
            own / "frames.zarr", manifest=table, root=folder, settings=settings, shard_mb=0.03,
            staging_root=own / "staging",
        )  # fmt: skip
        opened = frames.open_frames(own / "frames.zarr", settings=settings)
        videos.run(
            own / "frame.zarr",
            trunk=trunk,
            frames=opened,
            read_frames=videos.FrameReader(opened, settings, {}),
            extract=ExtractSettings(batch_frames=8, ahead_videos=2, threads=1, device="auto"),
            shard_mb=0.00025,
            staging_root=own / "staging",
        )
        ready = folds.open_work(todo)
        epochs = list[int]()
        jobs = folds.jobs(world.splits)[:3]
        trained = {
            outcome.job: outcome
            for outcome in side_by_side.run(ready, jobs, ranks=ALONE, epoch=lambda to=epochs: to.append(0))
        }
        found[how] = table, tree(own / "frames.zarr"), tree(own / "frame.zarr"), trained, epochs
        said = capsys.readouterr().err
        assert "decode: 8/8 videos, " in said
        assert ("workers 2" in said) == (how == "ray")
        assert "quarantined 1" in said
        if how == "ray":
            assert said.count(" tasks by 2 nodes: 127.0.0.3 ") >= 2
    table, *stores, trained, epochs = found["ray"]
    assert table.equals(found["here"][0])
    assert stores == list(found["here"][1:3])
    assert set(trained) == set(found["here"][3])
    assert all(same(trained[job], found["here"][3][job]) for job in trained)
    assert epochs == found["here"][4]


def test_a_worker_has_its_cpus_the_drivers_threads_and_folder(
    launcher: Launcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert set(launcher(ray_work.sizes, [1, 2, 3])) == {(1, "3", os.getcwd())}


def test_the_benchmark_measures_a_cluster(launcher: Launcher) -> None:
    found = scale_out.slept(2, most=2, shards=4, seconds=0.05)
    assert found["ideal"] == 0.1
    assert found["ratio"] >= 1
    assert scale_out.task_bytes() < scale_out.task_bytes(known=True) <= 100_000


def test_a_function_loads_once_a_worker(launcher: Launcher) -> None:
    found = list(launcher(Loads(), range(12)))
    assert len(found) == 12
    assert len(set(found)) == len({process for process, _ in set(found)}) <= 2


def test_a_refusal_of_a_worker_is_the_stages(launcher: Launcher, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        stage.run(lambda: [*launcher(ray_work.refuse, [1])].clear())
    assert ended.value.code == 2
    assert capsys.readouterr().err.splitlines()[-1] == f"error: {ray_work.REFUSAL}"


def test_a_worker_that_is_killed_costs_nothing(launcher: Launcher, tmp_path: Path) -> None:
    assert ray_work.write(tmp_path, killing=True).computed == 10
    assert (tmp_path / "killed").exists()
    assert as_if_nothing_had_happened(tmp_path)
    assert list(tmp_path.rglob("*.partial")) == []
    workers = [int(file.name) for file in (tmp_path / "workers").iterdir()]
    wait_for(lambda: not any(map(psutil.pid_exists, workers)))


def test_a_task_that_kills_every_worker_is_named(launcher: Launcher) -> None:
    with pytest.raises(MsavqaError) as refusal:
        list(launcher(ray_work.deadly, [2]))
    said = str(refusal.value)
    (address,) = [one for one in ("127.0.0.3", "127.0.0.4") if one in said]
    assert said == (
        f"Task in 2: got 3 workers that ended without a result, the last on {address} (ActorDiedError), "
        "expected a result; give workers more memory (`ray:memory_gb=`) or look at Ray's logs there "
        "(/tmp/ray/session_latest/logs), then run again: what is finished is kept."
    )


def test_a_node_that_joins_is_used_and_one_that_is_killed_is_missed(
    cluster: Any, launcher: Launcher, tmp_path: Path
) -> None:
    found: list[str] = []
    late = None
    for address in launcher(ray_work.Waits(tmp_path, "127.0.0.5"), range(60)):
        found.append(address)
        if late is None:
            (tmp_path / "called").touch()
            late = add(cluster, 5)
        elif address == "127.0.0.5" and late in cluster.worker_nodes:
            cluster.remove_node(late, allow_graceful=False)
    assert len(found) == 60
    assert {"127.0.0.5"} < set(found) <= {"127.0.0.3", "127.0.0.4", "127.0.0.5"}


def test_an_unlike_node_is_refused_by_name(cluster: Any, launcher: Launcher, tmp_path: Path) -> None:
    other = tmp_path / "torch-0.0.1.dist-info"
    other.mkdir()
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: torch\nVersion: 0.0.1\n")
    search = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", ""), str(ROOT)])
    node = add(cluster, 6, PYTHONPATH=search)
    try:
        with pytest.raises(MsavqaError) as refusal:
            list(launcher(ray_work.where, [0.2] * 1500))
    finally:
        cluster.remove_node(node, allow_graceful=False)
    assert str(refusal.value) == (
        f"Node in 127.0.0.6: got torch 0.0.1, expected torch {version('torch')}, as where the work is given "
        "out from; install the same there, or take the node out of the cluster."
    )


def test_a_folder_that_a_node_does_not_see_is_named(
    launcher: Launcher, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(ray_actors.os, "getcwd", lambda: str(tmp_path / "gone"))
    with pytest.raises(MsavqaError) as refusal:
        list(launcher(ray_work.square, [1]))
    address = refusal.value.where
    assert address in ("127.0.0.3", "127.0.0.4")
    assert str(refusal.value) == (
        f"Node in {address}: got no folder {tmp_path}/gone (no such file or directory), expected the folder "
        "that the work is given out from, at the same place; mount it there, or take the node out of the "
        "cluster."
    )


def test_a_driver_that_is_killed_goes_on_where_it_was(launcher: Launcher, tmp_path: Path) -> None:
    with driver(tmp_path, seconds=1.0) as running:
        wait_for(lambda: len(list(tmp_path.glob(".msavqa/*/*/manifest.json"))) >= 1)
        running.kill()
    workers = [int(file.name) for file in (tmp_path / "workers").iterdir()]
    wait_for(lambda: not any(map(psutil.pid_exists, workers)))
    staged = sum(
        len(json.loads(file.read_text())["rows"]) for file in tmp_path.glob(".msavqa/*/*/manifest.json")
    )
    assert staged
    assert ray_work.write(tmp_path).computed == 10 - staged
    assert as_if_nothing_had_happened(tmp_path)


def test_this_machine_alone_serves_and_ctrl_c_leaves_nothing(
    launcher: Launcher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAY_ADDRESS")
    with driver(tmp_path, seconds=100.0) as running:
        wait_for(lambda: (tmp_path / "workers").is_dir() and any((tmp_path / "workers").iterdir()))
        started = psutil.Process(running.pid).children(recursive=True)
        running.send_signal(signal.SIGINT)
        assert running.wait(60) != 0
    wait_for(lambda: not any(one.is_running() for one in started))


def as_if_nothing_had_happened(folder: Path) -> bool:
    """Whether the tiny store there is that of one process to the byte."""
    (folder / "fresh").mkdir()
    return same_as_fresh(World(folder), World(folder / "fresh"))


def driver(folder: Path, *, seconds: float) -> subprocess.Popen[bytes]:
    """A driver in a process of its own."""
    command = [sys.executable, "-m", "tests.machine.ray_work", str(folder), str(seconds)]
    return subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
