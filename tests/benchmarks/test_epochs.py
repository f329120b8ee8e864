"""`python -m benchmarks.epochs`: epochs of the real training over made-up stores, and their scale."""

import json
from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest

from benchmarks import epochs
from msavqa.datasets import tables
from tests.check.test_presets import preset
from tests.conftest import ROOT


@pytest.fixture(autouse=True)
def at_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)  # the sample's CLIP is a file of the tree


@pytest.mark.slow
def test_it_measures_both_cuts_of_a_branch(capsys: pytest.CaptureFixture[str]) -> None:
    words = "--branch pretrain --videos 4 --rounds 1 --preset sample"
    assert epochs.main(words.split()) == 0
    found = json.loads(capsys.readouterr().out)
    assert [(run["branch"], run["cut"]) for run in found["runs"]] == [
        ("pretrain", "pooled"), ("pretrain", "last_stage"),
    ]  # fmt: skip
    assert found["last_stage_over_pooled"].keys() == {"pretrain"}
    pooled, stage = found["runs"]
    assert pooled["read_mb_per_video"] < stage["read_mb_per_video"]
    for run in found["runs"]:
        assert run["epoch_s"] == pytest.approx(25_250 * run["seconds_per_video"], rel=0.01)
        assert min(run["cpu_seconds_per_video"], run["peak_gb"]) > 0


@pytest.mark.parametrize("branch", ["frame", "segment", "video"])
def test_every_branch_trains_its_last_stage_from_made_up_stores(branch: str) -> None:
    given = Namespace(preset="sample", device="cpu", precision=None, accumulate=3, videos=3, rounds=2)
    found = epochs.measure(branch, "last_stage", given)
    assert found["branch"] == branch
    assert (found["measured_videos"], found["measured_batch"], found["preset_batch"]) == (3, 3, 64)
    assert (found["accumulate"], found["training_videos"]) == (3, 8100)
    assert found["seconds_per_video"] > 0


def test_the_paper_trains_so_many_epochs() -> None:
    paper = preset("paper")
    assert epochs.epochs_of_stage(paper, "frame") == 10 * 30 * 5, "four fifths five times, and the whole"
    assert epochs.epochs_of_stage(paper, "pretrain") == 10


def test_a_measured_epoch_learns_and_validates_in_the_share_of_the_papers_split(tmp_path: Path) -> None:
    paper: dict[str, Any] = epochs.at_cut(preset("paper"), "pooled", folder=tmp_path)
    work = epochs.work_of(paper, "frame", videos=36, features=tmp_path, epochs=2)
    assert work.train.epochs == 2
    known = tables.learning_labels(work.manifest, work.splits, repeat=0)
    assert known["role"].value_counts().to_dict() == {"train": 36}, "the paper sets nothing aside"
    paper["split"]["validation_fraction"] = 0.1
    work = epochs.work_of(paper, "frame", videos=36, features=tmp_path, epochs=2)
    known = tables.learning_labels(work.manifest, work.splits, repeat=0)
    assert known["role"].value_counts().to_dict() == {"train": 36, "val": 4}
    assert work.manifest["prompt"].nunique() == 4
    alone = epochs.work_of(paper, "pretrain", videos=36, features=tmp_path, epochs=2)
    assert (alone.branch, alone.settings.pss.enabled, alone.settings.sma.enabled) == ("segment", False, False)
    assert set(alone.manifest["prompt"]) == {""}


def test_features_lie_where_those_of_the_whole_set_would(tmp_path: Path) -> None:
    paper: dict[str, Any] = epochs.at_cut(preset("paper"), "pooled", folder=tmp_path)
    paper["train"] |= {"device": "cpu"}
    work = epochs.work_of(paper, "frame", videos=9, features=tmp_path, epochs=1)
    assert epochs.in_place(work, 1000).train.resident == "ram"
    assert epochs.in_place(work, 10**15).train.resident == "stream"
