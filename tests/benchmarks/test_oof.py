"""`python -m benchmarks.oof`: a variant's table made again, by models that never saw the rows it counts."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from benchmarks import oof
from msavqa.datasets import tables
from msavqa.learning import side_by_side
from msavqa.learning.folds import FINAL, Job, Opened
from tests import branch_settings, copy_world, feature_world
from tests.pipeline.test_learning_stages import _whole

RUN = side_by_side.run


@pytest.fixture
def params(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The params file of a project as stages find it behind `extract`."""
    monkeypatch.setattr(oof, "RESAMPLES", 100)
    world = feature_world.make(tmp_path / "made", videos=60)
    (tmp_path / "features").mkdir()
    world.features.rename(tmp_path / "features" / "world")
    manifest = _whole(world.manifest)
    manifest["sha256"] = [f"{number:064x}" for number in range(len(manifest))]  # no two are one file
    tables.write_manifest(manifest, tmp_path / "data" / "world" / "manifest.parquet")
    tables.write_splits(world.splits, tmp_path / "data" / "world" / "splits.parquet")
    branches = {name: branch_settings.branch(name).model_dump(mode="json") for name in ("frame", "video")}
    data = {
        "train_on": ["world"],
        "split": {
            "protocol": "prompt_disjoint", "seeds": [0], "test_fraction": 0.2, "validation_fraction": 0.0,
            "folds": 2,
        },
        **feature_world.networks(world),
        "branches": branches,
        "copies": copy_world.SETTINGS,
        "train": branch_settings.train(epochs=1).model_dump(mode="json"),
        "ensemble": {"branches": "all", "shrinkage": 0.5, "seed": 0},
    }  # fmt: skip
    file = tmp_path / "variant.yaml"
    file.write_text(yaml.safe_dump(data), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return file


def asked(params: Path, words: str, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """What it prints, of that file and these words."""
    assert oof.main(["--preset", str(params), *words.split()]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_branches_and_their_ensemble_are_scored_by_models_of_the_folds_alone(
    params: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    trained: list[Job] = []

    def seen(opened: Opened, todo: Sequence[Job], **how: Any) -> Any:
        trained.extend(todo)
        return RUN(opened, todo, **how)

    monkeypatch.setattr(side_by_side, "run", seen)
    found = asked(params, "--seeds 0 3", capsys)
    assert set(found["branches"]) == {"frame", "video"}
    assert found["rows"] == 48
    for one in (*found["branches"].values(), found["ensemble"]):
        assert len(one["each"]) == 2
        assert one["srcc"] == pytest.approx(sum(one["each"]) / 2, abs=1e-4)
        assert -1 <= one["low"] < one["srcc"] < one["high"] <= 1
    assert {job.fold for job in trained} == {0, 1}
    assert FINAL not in {job.fold for job in trained}
    assert len(trained) == 2 * 2 * 2
    assert sorted(path.name for path in params.parent.iterdir()) == [
        "data",
        "features",
        "made",
        "variant.yaml",
    ]


def test_a_change_reaches_every_branch_that_it_names(
    params: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = asked(params, "--branch frame", capsys)
    after = asked(params, "--branch frame --set branches.*.sma.enabled=false --set train.epochs=2", capsys)
    assert "ensemble" not in before
    assert before["scored"] == "oof"
    assert before["branches"]["frame"]["each"] != after["branches"]["frame"]["each"]
    assert after["set"] == ["branches.*.sma.enabled=false", "train.epochs=2"]


def test_final_models_are_asked_of_test_rows_where_that_is_wanted(
    params: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[set[str]] = []
    figures = oof.figures

    def looking(scores: pd.DataFrame, known: pd.DataFrame) -> dict[str, Any]:
        seen.append(set(scores["role"]))
        return figures(scores, known)

    monkeypatch.setattr(oof, "figures", looking)
    found = asked(params, "--branch video --test", capsys)
    assert (found["scored"], seen) == ("test", [{"test"}])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--set branches.*.sma.enabld=1", r"--set: the preset has no branches\.frame\.sma\.enabld"),
        ("--set trains.epochs=1", r"--set: the preset has no trains\.epochs"),
        ("--branch frames", r"--branch: got frames, expected some of frame, video"),
    ],
)
def test_what_the_preset_lacks_ends_it(params: Path, words: str, said: str) -> None:
    with pytest.raises(SystemExit, match=said):
        oof.main(["--preset", str(params), *words.split()])
