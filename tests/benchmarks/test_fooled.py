"""What a trivial video would score, as real files: shares by their definition, copies without loss."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks import fooled
from data.sample import mp4
from msavqa.datasets.copies import FOREIGN, PRAISE
from msavqa.frames import decode
from msavqa.frames.spoil import EMPTY, SPOILT
from tests.conftest import ROOT, skip_or_fail

FILES = {"same", "still_first", *SPOILT, *EMPTY, *fooled.STILLS}


def test_a_copy_is_written_without_loss_and_read_as_it_was_made(tmp_path: Path) -> None:
    frames = np.random.default_rng(0).integers(0, 256, size=(5, 34, 48, 3)).astype(np.uint8)
    fooled.lossless(tmp_path / "copy.mkv", frames)
    assert np.array_equal(mp4.decode(tmp_path / "copy.mkv"), frames)
    found = decode.decode(tmp_path / "copy.mkv", frames=5, box=96, backend="pyav")
    assert np.array_equal(found.frames, frames)


def test_odd_sizes_lose_their_last_row_and_column() -> None:
    assert fooled.even(np.zeros((2, 33, 47, 3), dtype=np.uint8)).shape == (2, 32, 46, 3)


def test_shares_are_those_of_their_definitions() -> None:
    rows = [("still", 60.0, 0.9, 50.0, 0.8), ("still", 30.0, 0.1, 50.0, 0.8), ("black", 10.0, 0.0, 50.0, 0.8)]
    rows += [(PRAISE, 50.0 + change, 0.8, 50.0, 0.8) for change in (-9.0, 0.0, 9.9, 10.0)]
    found = pd.DataFrame(rows, columns=["kind", "score", "raw", "own", "own_raw"]).assign(half=30.0)
    told = fooled.shares(found, np.array([0.1, 0.2, 0.5, 0.95]))
    assert told["still"] == {
        "above": 0.5, "change": -5.0, "moved": 15.0, "percentile": 37.5, "highest_percentile": 75.0,
        "videos": 2,
    }  # fmt: skip
    assert (told["black"]["above"], told["black"]["percentile"]) == (0, 0)
    assert told[PRAISE]["within_a_third"] == 0.75


@pytest.mark.sample
def test_trivial_videos_score_below_their_originals(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Figures over all test videos: LOG.md."""
    if not (ROOT / "runs/sample/bundle").is_dir():
        skip_or_fail("no runs/sample/bundle: run `make repro` first", needs="sample")
    monkeypatch.chdir(ROOT)
    fooled.main(["--dataset", "sample", "--videos", "12"])
    found = json.loads(capsys.readouterr().out)
    assert set(found) == {"half_width", "videos", FOREIGN, PRAISE, *FILES}
    assert found["same"]["above"] == found["same"]["moved"] == 0  # without loss it is the same video
    for kind in ("still_first", "still_crf1", "still"):
        assert found[kind]["above"] <= 0.1, (kind, found[kind])
    for kind in ("black", "white", "flat", "noise"):
        assert found[kind]["percentile"] < 1, (kind, found[kind])
    assert found[PRAISE]["moved"] < found["half_width"] / 3
    assert found[PRAISE]["within_a_third"] >= 0.7
