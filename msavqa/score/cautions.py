"""What a reader of a score should be warned of, one sentence each."""

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from msavqa.bundle.bundle import Bundle
from msavqa.bundle.reference import of_branch
from msavqa.evaluation.familiarity import LEAST
from msavqa.frames.decode import Decoded
from msavqa.score.perception import Reading
from msavqa.score.result import UNLIKE

OUTSIDE = "out of the training range"
SMALL_PIXELS = 32
BLOCK_PIXELS = 8
FROZEN_LEVELS = 4.0
"""Grey levels by which the mean of some block changes where anything moves; encoded stills stay below."""
SLACK = 0.05
"""Share of a training range's end by which a duration or size may pass it without a word."""


def of(
    decoded: Decoded, found: Bundle, *, prompt: str, reading: Reading, own: Mapping[str, float], raw: float
) -> Iterator[str]:
    """Warnings of one scored video, one sentence each; `own` are its branch scores, `raw` the ensemble's."""
    count, known = decoded.frame_count, found.reference
    if found.verdict is not None and found.verdict.level != "ok":
        yield found.verdict.sentence.removesuffix(".")
    if count == 1:
        yield "one frame: nothing moves, so motion and consistency say nothing"
    elif count < found.frames:
        yield f"very short: {count} frames for {found.frames} samples, so some are used more than once"
    if count > 1 and largest_change(decoded.frames) < FROZEN_LEVELS:
        yield "frozen video: nothing moves in the sampled frames"
    short_side = min(decoded.height, decoded.width)
    if short_side < SMALL_PIXELS:
        yield f"very small: {decoded.width}x{decoded.height} pixels"
    if not prompt.strip():
        yield "no prompt: the branches were given an empty one, and alignment is not measured"
    if reading.pieces > 1:
        yield f"long prompt: read in {reading.pieces} pieces, joined by how well the frames fit each"
    if not reading.whole:
        yield "prompt cut: longer than the text encoder reads, its end was left out"
    yield from decoded.peculiar
    if reading.unknown_script is not None:
        yield (
            f"unknown script: the text encoder hardly knows {reading.unknown_script}, so the score says "
            "little of how well the video fits its prompt"
        )
    for name, label, unit, value in (
        ("duration_seconds", "duration", "s", decoded.duration_seconds),
        ("short_side", "short side", "px", float(short_side)),
    ):
        ends = known.range(name)
        if ends is not None and np.isfinite(value) and known.outside(name, value, slack=SLACK):
            yield f"{OUTSIDE}: {label} {value:g} {unit}, trained on {ends[0]:g} to {ends[1]:g} {unit}"
    for name, value in own.items():
        if known.outside(of_branch(name), value):
            low, high = known.range(of_branch(name)) or (0.0, 0.0)
            yield f"{OUTSIDE}: {name} score {value:.4g}, training videos had {low:.4g} to {high:.4g}"
    if found.calibration.outside(raw):
        yield f"{OUTSIDE}: no training video had such a score"
    if any(branch.get("test_views") == "all" for branch in found.branches.values()):
        yield (
            "one view: training averaged a video's scores over all cached views, a bundle looks at the fixed "
            "one, so this score is a little less sure than its interval says"
        )
    if not found.calibration.informative:
        yield "the model did not tell its training videos apart: every score is their mean"


def of_likeness(found: Bundle, *, share: float | None) -> Iterator[str]:
    """What comes first: that the model does not know such videos, or that it cannot tell whether it does."""
    like, bound = found.familiarity, found.familiarity_bound
    if like is None:
        yield (
            "this bundle cannot tell whether a video is like its training videos: it was exported before "
            "that was measured"
        )
    elif not like.known:
        yield (
            "this bundle cannot tell whether a video is like its training videos: it has fewer than "
            f"{LEAST} of them"
        )
    elif share is not None and bound is not None and share <= bound:
        yield (
            f"{UNLIKE}: at most {100 * bound:.2g}% of the training videos are as far from the others; the "
            "score is a guess, so its interval is the whole scale"
        )


def largest_change(frames: NDArray[np.uint8]) -> float:
    """Largest spread over time, in grey levels, of a block's mean in frames (frame, height, width, 3)."""
    count, height, width = frames.shape[:3]
    high, wide = min(BLOCK_PIXELS, height), min(BLOCK_PIXELS, width)
    rows, columns = height // high, width // wide
    grey = frames[:, : rows * high, : columns * wide].mean(axis=3)
    blocks = grey.reshape(count, rows, high, columns, wide).mean(axis=(2, 4))
    return float(np.ptp(blocks, axis=0).max())


def of_versions(versions: Mapping[str, tuple[str, str]]) -> Iterator[str]:
    """A warning for each package whose version, (then, now), is not that of training."""
    for name, (then, now) in versions.items():
        yield f"trained with {name} {then}, runs with {now}: the last digits may differ"
