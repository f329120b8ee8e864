"""The table of experiments: swept parameters, figures with intervals, seconds, in 120 columns."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from msavqa.ground.errors import MsavqaError
from msavqa.report import ablation
from pipeline import experiments
from pipeline.experiments import COLUMNS
from tests.check.test_presets import preset
from tests.conftest import ROOT

BASE = {
    "dataset": "sample",
    "train": {"epochs": 16, "seed": 0},
    "branches": {"frame": {"head": {"width": 256}}},
}
FOUND = {
    "srcc": 0.77512, "srcc_ci95_low": 0.709, "srcc_ci95_high": 0.823,
    "plcc": 0.806, "plcc_ci95_low": 0.75, "plcc_ci95_high": 0.84, "seconds": 75.4, "krcc": 0.6,
}  # fmt: skip


def data(params: dict[str, Any], metrics: dict[str, float] | None = None) -> dict[str, Any]:
    return {
        "rev": "a" * 40,
        "data": {
            "params": {"params.yaml": {"data": params}, "other.yaml": {"data": {"noise": len(params)}}},
            "metrics": {"reports/metrics.json": {"data": metrics or FOUND}},
        },
    }


def shown(*queued: dict[str, Any]) -> list[dict[str, Any]]:
    changed = {**BASE, "train": {"epochs": 4, "seed": 0}, "branches": {"frame": {"head": {"width": 16}}}}
    ended = {
        "name": "moody-cat",
        "revs": [data(changed, {**FOUND, "srcc": 0.5})],
        "executor": {"state": "success"},
    }
    return [
        {**data(BASE), "rev": "workspace", "name": None, "experiments": None},
        {**data(BASE), "name": "main", "experiments": [ended, *queued]},
    ]


def test_parameters_are_shown_where_rows_differ() -> None:
    assert experiments.swept(experiments.rows(shown())) == ["train.epochs", "branches.frame.head.width"]


def test_a_row_holds_its_parameters_its_figures_and_its_interval(capsys: pytest.CaptureFixture[str]) -> None:
    experiments.show(experiments.rows(shown()))
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[-4] == ["experiment", "epochs", "width", "SRCC", "95%", "PLCC", "95%", "seconds"]
    interval = ["0.709", "to", "0.823", "0.806", "0.750", "to", "0.840", "75"]
    assert lines[-3:] == [
        ["workspace", "16", "256", "0.775", *interval],
        ["main", "16", "256", "0.775", *interval],
        ["moody-cat", "4", "16", "0.500", *interval],
    ]


def test_what_has_no_result_says_where_it_stands(capsys: pytest.CaptureFixture[str]) -> None:
    waiting = {"name": "wrong-doge", "executor": {"state": "queued"}}
    waiting["revs"] = [{**data(BASE), "data": {"params": data(BASE)["data"]["params"]}}]  # type: ignore[assignment]
    broken = {
        "name": "odd-bird",
        "executor": None,
        "revs": [{"rev": "b" * 40, "data": None, "error": {"msg": "x"}}],
    }
    experiments.show(experiments.rows(shown(waiting, broken)))
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[-2:] == [["wrong-doge", "(queued)", "16", "256"], ["odd-bird", "(failed)"]]


def test_many_swept_parameters_fit_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    names = ("weight_decay", "backbone_rate", "adapter_ratio", "checkpoint_seconds")
    runs = [data({"branches": {"segment": dict.fromkeys(names, value)}}) for value in (0.125, 0.000015)]
    base = {**runs[0], "name": "main", "experiments": [{"name": "a-rather-long-name", "revs": [runs[1]]}]}
    experiments.show(experiments.rows([base]))
    out = capsys.readouterr().out
    assert max(len(line) for line in out.splitlines()) <= COLUMNS
    assert out.count("1.5e-05") == len(names)
    assert "…" not in out


def of_the_sweep() -> list[dict[str, Any]]:
    """What `make ablation` leaves: one experiment a run of the shipped sweep."""
    sweep = ablation.read(ROOT / "presets/sweeps/ablation.yaml")
    ended = []
    for run in sweep.runs:
        params = preset("sample")
        for one in ablation.overrides(sweep, run):
            key, value = one.split("=", 1)
            *above, last = key.split(".")
            block = params
            for name in above:
                block = block[name]
            block[last] = yaml.safe_load(value)
        ended.append({"name": f"ablation-{run}", "revs": [data(params)], "executor": {"state": "success"}})
    base = data(preset("sample"))
    workspace = {**base, "rev": "workspace", "name": None, "experiments": None}
    return [workspace, {**base, "name": "main", "experiments": ended}]


def test_what_a_whole_sweep_changed_stands_in_one_column(capsys: pytest.CaptureFixture[str]) -> None:
    experiments.show(experiments.rows(of_the_sweep()))
    out = capsys.readouterr().out
    assert max(len(line) for line in out.splitlines()) <= COLUMNS
    assert out.splitlines()[0].split() == ["experiment", "changed", "SRCC", "95%", "PLCC", "95%", "seconds"]
    for said in ("branches.*.pss.enabled=false", "branches.*.statistics=[]", "train.prompts=shuffled",
                 "branches.segment.motion=trunk", "branches.*.sma.tokens=[\"cls\"]"):  # fmt: skip
        assert out.count(f"{said} ") >= 1, said
    assert "branches.frame" not in out
    assert len(out.splitlines()) < 40


def test_a_value_that_all_branches_share_is_one_column() -> None:
    runs = [data({"branches": {key: {"width": width} for key in ("frame", "video")}}) for width in (1, 2)]
    base = {**runs[0], "name": "main", "experiments": [{"name": "wide", "revs": [runs[1]]}]}
    found = experiments.rows([base])
    assert experiments.swept(found) == ["branches.*.width"]
    assert experiments.changed(found[1]) == ["branches.*.width=2"]
    assert experiments.changed(found[0]) == []


def test_outside_a_project_one_sentence_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(MsavqaError) as refusal:
        experiments.main([])
    said = str(refusal.value)
    assert said.startswith("Experiments in dvc exp show --json: got exit code 253: ERROR: ")
    assert said.endswith(", expected 0; run it in a git repository with a DVC project and a commit.")
