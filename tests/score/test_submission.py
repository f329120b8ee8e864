"""NTIRE's submission: what the zip holds, to the byte, and scores it would not hold."""

import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from msavqa.ground.errors import ProblemsError
from msavqa.score.submission import Readme, withheld_scores, write

README = Readme(
    seconds_per_video=0.25,
    cpu_only=True,
    extra_data=False,
    large_language_model=False,
    description="three branches\nand an ensemble",
)
MANIFEST = pd.DataFrame(
    {
        "video_id": ["t.mp4", "b.mp4", "a.mp4"],
        "mos": [50.0, np.nan, np.nan],
        "error": ["", "", ""],
        "given_split": ["train", "test", "test"],
    }
)
PREDICTIONS = pd.DataFrame(
    {
        "repeat": [0, 0, 0, 1, 1, 1],
        "video_id": ["a.mp4", "b.mp4", "t.mp4"] * 2,
        "role": ["test", "test", "oof"] * 2,
        "score": [1.0, 2.0, 9.0, 2.0, 4.0, 9.0],
    }
)


def test_the_zip_holds_the_two_files_the_challenge_asks_for(tmp_path: Path) -> None:
    write(
        tmp_path / "out" / "s.zip", scores=withheld_scores(MANIFEST, PREDICTIONS, split=None), readme=README
    )
    with zipfile.ZipFile(tmp_path / "out" / "s.zip") as archive:
        assert archive.namelist() == ["output.txt", "readme.txt"]
        assert archive.read("output.txt") == b"b.mp4,3.0\na.mp4,1.5\n"
        assert archive.read("readme.txt").decode() == (
            "Runtime per video [s] : 0.250\n"
            "CPU[1] / GPU[0] : 1\n"
            "Extra Data [1] / No Extra Data [0] : 0\n"
            "LLM [1] / No LLM [0] : 0\n"
            "Other description : three branches and an ensemble\n"
        )


def test_a_phase_is_scored_alone_where_both_are_withheld() -> None:
    both = MANIFEST.assign(given_split=["train", "val", "test"])
    assert withheld_scores(both, PREDICTIONS, split="val") == {"b.mp4": 3.0}
    assert withheld_scores(both, PREDICTIONS, split="test") == {"a.mp4": 1.5}
    for split, said in (
        (None, "name one with --split:\n  - MOS are withheld in 'test' and 'val'"),
        ("tset", "check `labels`:\n  - no MOS is withheld in 'tset', but in 'test', 'val'"),
    ):
        with pytest.raises(ProblemsError) as refused:
            withheld_scores(both, PREDICTIONS, split=split)
        assert str(refused.value) == f"1 problem in the manifest; {said}"


def test_the_same_scores_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a.zip", "b.zip"):
        write(tmp_path / name, scores={"a.mp4": 0.1}, readme=README)
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


def test_videos_without_a_score_are_all_named_with_their_reason() -> None:
    broken = MANIFEST.assign(error=["", "", "no frame"])
    with pytest.raises(ProblemsError) as refused:
        withheld_scores(broken, PREDICTIONS.iloc[:0], split=None)
    assert str(refused.value) == (
        "2 problems in the predictions; "
        "the challenge wants all of them: mend the videos and run `dvc repro`:\n"
        "  - no score for 'b.mp4'\n"
        "  - no score for 'a.mp4' (no frame)"
    )


def test_a_dataset_with_nothing_withheld_has_nothing_to_submit() -> None:
    with pytest.raises(ProblemsError) as refused:
        withheld_scores(MANIFEST.assign(mos=1.0), PREDICTIONS, split=None)
    assert str(refused.value) == (
        "1 problem in the manifest; check `labels`:\n  - every video has a MOS, none is withheld"
    )


def test_scores_and_names_that_the_format_cannot_hold_are_refused_and_nothing_is_written(
    tmp_path: Path,
) -> None:
    path = tmp_path / "s.zip"
    with pytest.raises(ProblemsError) as refused:
        write(path, scores={"a.mp4": float("nan"), "b,c.mp4": 1.0}, readme=README)
    assert str(refused.value) == (
        f"2 problems in {path}; mend them, nothing was written:\n"
        "  - 'a.mp4' has the score nan\n"
        "  - 'b,c.mp4' holds a comma or a line end"
    )
    with pytest.raises(ProblemsError, match="no scores"):
        write(path, scores={}, readme=README)
    assert list(tmp_path.iterdir()) == []
