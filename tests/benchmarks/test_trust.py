"""Benchmarks of familiarity, intervals and the moment of change, on what `make repro` made (run it first)."""

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks import change, familiarity, intervals
from tests.conftest import ROOT, skip_or_fail


@pytest.fixture
def sample(monkeypatch: pytest.MonkeyPatch) -> Path:
    if not (ROOT / "runs/sample/bundle").is_dir():
        skip_or_fail("no runs/sample/bundle: run `make repro` first", needs="sample")
    monkeypatch.chdir(ROOT)
    return ROOT


@pytest.mark.sample
def test_a_named_change_is_one_in_nine_of_ten_and_three_of_four_are_named(
    sample: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change.main([])
    found = json.loads(capsys.readouterr().out)["now"]
    assert found["precision"] >= 0.9
    assert found["recall"] >= 0.75


@pytest.mark.sample
def test_intervals_hold_what_they_say_in_each_fifth_of_the_score_and_are_no_wider(
    sample: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    intervals.main(["--splits", "20"])
    found = json.loads(capsys.readouterr().out)
    assert found["normalised"]["coverage"] == pytest.approx(0.9, abs=0.03)
    assert found["normalised"]["fifths"] == pytest.approx([0.9] * 5, abs=0.045)
    assert found["normalised"]["width"] <= found["constant"]["width"]


@pytest.mark.sample
def test_trivial_videos_are_unlike_the_training_videos(
    sample: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    videos = ROOT / "data/sample/videos/t2v"
    familiarity.main(["--test", "runs/sample/ensemble", "--copies", str(videos), "--each", "3"])
    found = json.loads(capsys.readouterr().out)
    for kind in ("still", "still_crf1", "black", "flat", "noise"):
        assert found[kind] == {"videos": 3, "at_1_percent": 1.0, "at_5_percent": 1.0}
    # Of 300 videos, six to a prompt: false alarms come in prompts, so one split is far from its mean.
    assert found["false_alarms"]["at_1_percent"] <= 0.04
    assert found["false_alarms"]["at_5_percent"] <= 0.1


def test_shares_count_videos_at_or_below_the_bounds() -> None:
    found = familiarity.shares(np.array([0.01, 0.011, 0.05, 0.5]))
    assert found == {"videos": 4, "at_1_percent": 0.25, "at_5_percent": 0.75}


def test_figures_of_a_named_change_are_those_of_a_hand_count() -> None:
    found = change.figures([3, -1, 5, 2, -1], np.array([3, 4, 6, -1, -1]))
    assert found == {
        "videos": 5, "named": 3, "precision": 0.667, "recall": 0.667, "false_alarms": 0.5, "start_exact": 0.5,
    }  # fmt: skip


@pytest.mark.slow
def test_ten_thousand_training_videos_take_megabytes_and_a_millisecond() -> None:
    found = familiarity.scale(familiarity.WIDTHS["sample"])
    assert found["megabytes"] < 2
    assert found["milliseconds"] < 20
