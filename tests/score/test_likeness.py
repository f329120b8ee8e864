"""What a score says first: that the model does not know such videos, or that it cannot tell."""

import csv
from pathlib import Path

import pytest

from msavqa.bundle import bundle
from msavqa.evaluation import familiarity
from msavqa.score import table
from msavqa.score.result import Score
from msavqa.score.scorer import Scorer
from tests import media
from tests import random_bundle as random_model

PROMPT = "a red ball rolls left"
UNKNOWN = (
    "unlike anything it has learned from: at most 1% of the training videos are as far from the others; the "
    "score is a guess, so its interval is the whole scale"
)


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return media.write(tmp_path_factory.mktemp("video") / "some.mp4", media.numbered(12))


def scored(random_bundle: Path, video: Path, *, prompt: str = PROMPT, **like: object) -> Score:
    """By the random bundle, what it says of its training videos changed."""
    found = bundle.load(random_bundle)
    known = random_model.familiar(**like) if like else None  # type: ignore[arg-type]
    bound = known.bound(0.01) if known is not None and known.known else None
    object.__setattr__(found, "familiarity", known)
    object.__setattr__(found, "familiarity_bound", bound)
    with Scorer(found) as scorer:
        return scorer.score(video, prompt)


def test_of_a_video_unlike_all_that_was_learned_from_that_is_said_first(
    random_bundle: Path, video: Path
) -> None:
    known = scored(random_bundle, video, rows=250)
    found = scored(random_bundle, video, prompt="", rows=250, sharp=1.0)
    assert found.familiarity == pytest.approx(1 / 251)
    assert found.unlike
    assert found.warnings[0] == UNKNOWN
    assert found.warnings[1].startswith("no prompt")
    assert (found.low, found.high) == found.mos_range
    assert found.line().startswith(
        f"{video}: unlike anything it has learned from, {found.score:.1f} of 0-100"
    )
    assert (known.unlike, known.familiarity, known.warnings) == (False, 1.0, ())
    assert known.high - known.low < 30


def test_familiarity_moves_no_score(random_bundle: Path, video: Path) -> None:
    known, unknown = (scored(random_bundle, video, rows=250, sharp=sharp) for sharp in (0.0, 1.0))
    assert (known.score, known.raw, known.timeline) == (unknown.score, unknown.raw, unknown.timeline)


def test_a_bundle_of_before_scores_and_says_that_it_cannot_tell(random_bundle: Path, video: Path) -> None:
    found = scored(random_bundle, video)
    assert (found.familiarity, found.familiarity_bound, found.unlike) == (None, None, False)
    assert found.warnings == (
        "this bundle cannot tell whether a video is like its training videos: it was exported before that "
        "was measured",
    )
    assert "familiarity" not in found.line()
    assert found.high - found.low < 30


def test_a_bundle_of_too_few_training_videos_says_so(random_bundle: Path, video: Path) -> None:
    found = scored(random_bundle, video, rows=39)
    assert (found.familiarity, found.unlike) == (None, False)
    assert found.warnings == (
        "this bundle cannot tell whether a video is like its training videos: it has fewer than 40 of them",
    )


def test_the_table_has_what_the_score_says(random_bundle: Path, video: Path) -> None:
    found = scored(random_bundle, video, rows=250)
    row = table._row(("some.mp4", PROMPT), found, model="m", sha256="s")
    assert (row["familiarity"], row["change_threshold"]) == ("1.0", repr(random_model.CHANGE))


def test_scores_of_before_in_a_table_are_made_again(random_bundle: Path, video: Path, tmp_path: Path) -> None:
    asked, out = tmp_path / "asked.csv", tmp_path / "out.csv"
    asked.write_text(f"video,prompt\nsome.mp4,{PROMPT}\n", encoding="utf-8")
    (tmp_path / "some.mp4").write_bytes(video.read_bytes())
    how = {
        "out": out, "root": None, "video_column": "video", "prompt_column": "prompt", "model": random_bundle,
        "workers": 1, "decode_seconds": 60.0,
    }  # fmt: skip
    assert table.run(asked, **how) == (1, 0)  # type: ignore[arg-type]
    with out.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    kept = [name for name in rows[0] if name not in ("familiarity", "change_threshold")]
    with out.open("w", encoding="utf-8", newline="") as file:
        before = csv.DictWriter(file, kept, extrasaction="ignore", lineterminator="\n")
        before.writeheader()
        before.writerows(rows)
    assert table.run(asked, **how) == (1, 0)  # type: ignore[arg-type]
    with out.open(encoding="utf-8", newline="") as file:
        assert list(csv.DictReader(file)) == rows


def test_a_bundle_keeps_what_its_training_videos_were_like(random_bundle: Path) -> None:
    found = bundle.load(random_bundle)
    assert found.familiarity is not None
    assert found.familiarity.rows == 250
    assert (found.familiarity_bound, found.change_threshold) == (0.01, random_model.CHANGE)
    assert familiarity.load(random_bundle / bundle.FAMILIARITY).distances.tolist() == (
        found.familiarity.distances.tolist()
    )
