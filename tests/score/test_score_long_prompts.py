"""A prompt longer than the text encoder reads: all of it counts, and the score says how it was read."""

import csv
import dataclasses
import io
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from benchmarks.long_prompts import FORMS, without_pieces
from msavqa.bundle import bundle
from msavqa.score import table
from msavqa.score.scorer import Scorer
from tests import media

PROMPT = "a red ball rolls left"
LONG = FORMS["behind"](PROMPT)
"""For the sample world's CLIP, which reads 32 tokens, and a bundle of at most three pieces."""
IN_PIECES = "long prompt: read in 3 pieces, joined by how well the frames fit each"
CUT = "prompt cut: longer than the text encoder reads, its end was left out"


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return media.write(tmp_path_factory.mktemp("video") / "video.mp4", media.numbered(8))


@pytest.fixture(scope="module")
def scorer(random_bundle: Path) -> Iterator[Scorer]:
    with Scorer(bundle.load(random_bundle)) as opened:
        yield opened


@pytest.fixture(scope="module")
def cutting(random_bundle: Path) -> Iterator[Scorer]:
    """The same bundle as before there were pieces."""
    with Scorer(without_pieces(bundle.load(random_bundle))) as opened:
        yield opened


def two_windows(end: str) -> str:
    return "a calm sea with a white boat on it, " * 5 + end


def test_a_prompt_that_fits_keeps_its_score_to_the_bit(scorer: Scorer, cutting: Scorer, video: Path) -> None:
    first, second = (one.score(video, PROMPT) for one in (scorer, cutting))
    assert first == second
    assert (first.prompt_pieces, first.warnings) == (1, second.warnings)
    assert "pieces" not in first.line()


def test_what_stands_behind_the_window_counts(scorer: Scorer, cutting: Scorer, video: Path) -> None:
    ends = two_windows("a red ball"), two_windows("a green cross")
    before = [cutting.score(video, prompt) for prompt in ends]
    now = [scorer.score(video, prompt) for prompt in ends]
    assert before[0].raw == before[1].raw
    assert all(CUT in one.warnings and one.prompt_pieces == 1 for one in before)
    assert now[0].raw != now[1].raw
    assert now[0].alignment != now[1].alignment
    assert not any(CUT in one.warnings for one in now)


def test_the_score_says_in_how_many_pieces(scorer: Scorer, video: Path, tmp_path: Path) -> None:
    found = scorer.score(video, LONG)
    assert found.prompt_pieces == 3
    assert IN_PIECES in found.warnings
    assert CUT in found.warnings, "this bundle reads three pieces at most"
    assert "  prompt read in 3 pieces" in found.line()
    assert json.loads(found.to_json())["prompt_pieces"] == 3
    (tmp_path / "videos.csv").write_text(f'video,prompt\n{video},"{LONG}"\n{video},{PROMPT}\n')
    table.run(
        tmp_path / "videos.csv", out=tmp_path / "scores.csv", root=None, video_column="video",
        prompt_column="prompt", model=scorer.bundle.path, workers=1, decode_seconds=60.0,
    )  # fmt: skip
    rows = list(csv.DictReader(io.StringIO((tmp_path / "scores.csv").read_text())))
    assert [row["prompt_pieces"] for row in rows] == ["3", "1"]
    assert float(rows[0]["score"]) == found.score


def test_alignment_is_of_the_joined_pieces(scorer: Scorer, video: Path) -> None:
    found = scorer.score(video, two_windows("a red ball"))
    decoded = scorer.decoded(video)
    features, reading, _ = scorer.forward(decoded.frames, prompt=two_windows("a red ball"))
    assert (reading.pieces, reading.whole) == (2, True)
    pieces, frames = features["clip_text"]["cls"], features["clip_image"]["cls"][0]
    assert pieces.shape[0] == 2
    cosines = (frames @ pieces.T).mean(axis=0)
    weights = np.exp(2.0 * cosines / 0.1)  # the random bundle's sharpness and spread
    assert found.alignment is not None
    assert found.alignment.value == pytest.approx(float(weights @ cosines / weights.sum()), abs=1e-5)


@pytest.mark.parametrize(
    ("prompt", "script"),
    [("一个红色的球", "CJK"), ("كرة حمراء", "arabic"), ("🎈🎈", "emoji"), (PROMPT, None)],
)
def test_a_script_that_the_encoder_hardly_knows_is_warned_of(
    scorer: Scorer, video: Path, prompt: str, script: str | None
) -> None:
    said = [one for one in scorer.score(video, prompt).warnings if one.startswith("unknown script")]
    sentence = (
        f"unknown script: the text encoder hardly knows {script}, so the score says little of how well the "
        "video fits its prompt"
    )
    assert said == ([] if script is None else [sentence])


def test_a_bundle_of_before_cuts_and_says_so(random_bundle: Path, video: Path) -> None:
    """Its texts have no `pieces`, and its branches no constant for them."""
    found = bundle.load(random_bundle)
    assert found.cosine_spread == 0.1
    with Scorer(dataclasses.replace(without_pieces(found), cosine_spread=None)) as opened:
        scored = opened.score(video, LONG)
    assert scored.prompt_pieces == 1
    assert CUT in scored.warnings


def test_a_table_of_before_is_made_anew_with_what_it_lacked(
    scorer: Scorer, video: Path, tmp_path: Path
) -> None:
    (tmp_path / "videos.csv").write_text(f"video,prompt\n{video},{PROMPT}\n")
    out = tmp_path / "scores.csv"

    def run() -> str:
        table.run(
            tmp_path / "videos.csv", out=out, root=None, video_column="video", prompt_column="prompt",
            model=scorer.bundle.path, workers=1, decode_seconds=60.0,
        )  # fmt: skip
        return out.read_text()

    today = run()
    rows = list(csv.reader(io.StringIO(today)))
    place = rows[0].index("prompt_pieces")
    with out.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([row[:place] + row[place + 1 :] for row in rows])
    assert run() == today
