"""What a score tells: one line for people, everything for programs."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from msavqa.bundle.bundle import Bundle
from msavqa.frames.decode import Decoded


@dataclass(frozen=True)
class Measure:
    """A value and where it lies among the training videos."""

    value: float
    share_below: float | None
    """Share of training videos with a lower value, 0..1; None where it is not known."""


@dataclass(frozen=True)
class Moment:
    """One sampled frame."""

    seconds: float
    """Since the first presented frame."""
    change: float
    """Cosine distance of its CLIP embedding to the frame before, 0..2; 0 for the first."""
    attention: float | None
    """Share of the semantic-mutation query's attention, mean over branches; None without the module."""
    alignment: float | None
    """Cosine of its CLIP embedding and the prompt's, -1..1; None without a prompt."""
    score: float | None
    """The frame branch's score of this frame, MOS scale; None where no branch scores single frames."""


@dataclass(frozen=True)
class Score:
    """How good a video is, as the people behind the training data would rate it."""

    video: str
    prompt: str
    score: float
    """Predicted MOS, within `mos_range`."""
    low: float
    high: float
    """The interval that holds a new video's MOS with probability `coverage`."""
    coverage: float
    mos_range: tuple[float, float]
    branches: Mapping[str, Measure]
    """Each branch's own score, on or near the MOS scale, and its place among training videos."""
    weights: Mapping[str, float]
    """Each branch's weight in the ensemble."""
    raw: float
    """The ensemble's score before calibration, 0..1 (Eq. 9)."""
    alignment: Measure | None
    """Mean cosine of prompt and frames by CLIP; None without a prompt."""
    consistency: Measure | None
    """Mean cosine of neighbouring frames by CLIP: 1 where the meaning never changes."""
    timeline: tuple[Moment, ...]
    mutation_seconds: float | None
    """When the meaning changes most; None where it hardly changes at all."""
    warnings: tuple[str, ...]
    decoder: str
    dataset: str
    """What the model was trained on."""
    model: str
    """The bundle's digest."""

    def to_dict(self) -> dict[str, object]:
        """Plain data, as `--json` prints it."""
        return asdict(self)

    def to_json(self) -> str:
        """One line of JSON in ASCII, for any terminal and pipe; floats to the last digit."""
        return json.dumps(self.to_dict(), allow_nan=False)

    def line(self) -> str:
        """One line for a terminal."""
        low, high = self.mos_range
        digits = 1 if high - low >= 20 else 2
        branches = ", ".join(f"{name} {one.value:.{digits}f}" for name, one in self.branches.items())
        parts = [
            f"{_in_one_line(self.video)}: {self.score:.{digits}f} of {low:g}-{high:g}",
            f"{self.coverage:.0%} interval {self.low:.{digits}f}-{self.high:.{digits}f}",
            branches,
        ]
        if self.alignment is not None:
            parts.append(f"alignment {_place(self.alignment)}")
        if self.consistency is not None:
            parts.append(f"consistency {_place(self.consistency)}")
        if self.mutation_seconds is not None:
            parts.append(f"largest change at {self.mutation_seconds:.2f} s")
        return "  ".join(parts)


def _in_one_line(text: str) -> str:
    """A file's name with line ends and other controls as they are written in Python."""
    return "".join(one if one.isprintable() else repr(one)[1:-1] for one in text)


def _place(measure: Measure) -> str:
    if measure.share_below is None:
        return f"{measure.value:.3f}"
    return f"{measure.value:.3f} (above {measure.share_below:.0%} of training)"


OUTSIDE = "out of the training range"
SMALL_PIXELS = 32
BLOCK_PIXELS = 8
FROZEN_LEVELS = 4.0
"""Grey levels by which the mean of some block changes where anything moves; encoded stills stay below."""
SLACK = 0.05
"""Share of a training range's end by which a duration or size may pass it without a word."""


def of(
    decoded: Decoded, found: Bundle, *, prompt: str, cut: bool, own: Mapping[str, float], raw: float
) -> Iterator[str]:
    """Warnings of one scored video, one sentence each; `own` are its branch scores, `raw` the ensemble's."""
    count, known = decoded.frame_count, found.reference
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
    if cut:
        yield "prompt cut: longer than the text encoder reads, its end was left out"
    seconds = count / decoded.fps if decoded.fps > 0 else float("nan")
    for name, label, unit, value in (
        ("duration_seconds", "duration", "s", seconds),
        ("short_side", "short side", "px", float(short_side)),
    ):
        ends = known.range(name)
        if ends is not None and np.isfinite(value) and known.outside(name, value, slack=SLACK):
            yield f"{OUTSIDE}: {label} {value:g} {unit}, trained on {ends[0]:g} to {ends[1]:g} {unit}"
    for name, value in own.items():
        if known.outside(name, value):
            low, high = known.range(name) or (0.0, 0.0)
            yield f"{OUTSIDE}: {name} score {value:.4g}, training videos had {low:.4g} to {high:.4g}"
    if found.calibration.outside(raw):
        yield f"{OUTSIDE}: no training video had such a score"
    if not found.calibration.informative:
        yield "the model did not tell its training videos apart: every score is their mean"


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
