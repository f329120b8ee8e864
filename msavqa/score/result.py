"""What a score tells: one line for people, everything for programs."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

UNLIKE = "unlike anything it has learned from"
"""What is said, before anything else, of a video that a model does not know."""


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
    """What the first branch that scores every sampled frame says of this one, on or near the MOS scale; None
    where none does."""


@dataclass(frozen=True)
class Dimension:
    """One dimension of quality, as people would rate it."""

    score: float
    low: float
    high: float


@dataclass(frozen=True)
class Score:
    """How good a video is, as the people behind the training data would rate it."""

    video: str
    prompt: str
    prompt_pieces: int
    """In how many pieces it was read; 1 where it fits the text encoder."""
    score: float
    """Predicted MOS, within `mos_range`."""
    low: float
    high: float
    """The interval that holds a new video's MOS with probability `coverage`; the whole `mos_range` where the
    video is unlike all that the model has learned from."""
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
    """When the meaning changes: the first step between frames above `change_threshold`; None: none is."""
    change_threshold: float | None
    """Cosine distance between neighbouring frames above which a change is named; None of a bundle of before,
    by which the largest step is named unless it is tiny."""
    familiarity: float | None
    """Share of training videos at least as unlike the others, this one counted among them: a p-value in 0..1;
    None where a bundle cannot tell, one of before or of too few training videos."""
    familiarity_bound: float | None
    """The share at or below which the video counts as unlike all that the model has learned from."""
    verdict: str | None
    """What the model may be used for, one sentence of its bundle; None in a bundle of before."""
    warnings: tuple[str, ...]
    decoder: str
    dataset: str
    """What the model was trained on."""
    model: str
    """The bundle's digest."""
    dimensions: Mapping[str, Dimension] = field(default_factory=dict)
    """Every dimension of quality by its name, first the one that `score` is of; none where there is one.
    Scores and intervals are as `score`, `low` and `high`."""

    @property
    def unlike(self) -> bool:
        """Whether the video is unlike all that the model has learned from, so that it does not know."""
        return (
            self.familiarity is not None
            and self.familiarity_bound is not None
            and self.familiarity <= self.familiarity_bound
        )

    def to_dict(self) -> dict[str, object]:
        """Plain data, as `--json` prints it."""
        found = asdict(self)
        if not self.dimensions:
            del found["dimensions"]
        return found

    def to_json(self) -> str:
        """One line of JSON in ASCII, for any terminal and pipe; floats to the last digit."""
        return json.dumps(self.to_dict(), allow_nan=False)

    def line(self) -> str:
        """One line for a terminal."""
        low, high = self.mos_range
        digits = 1 if high - low >= 20 else 2
        branches = ", ".join(f"{name} {one.value:.{digits}f}" for name, one in self.branches.items())
        doubt = f"{UNLIKE}, " if self.unlike else ""
        of_quality = ", ".join(
            f"{name} {one.score:.{digits}f} ({one.low:.{digits}f}-{one.high:.{digits}f})"
            for name, one in list(self.dimensions.items())[1:]
        )
        parts = [
            f"{_in_one_line(self.video)}: {doubt}{self.score:.{digits}f} of {low:g}-{high:g}",
            f"{self.coverage:.0%} interval {self.low:.{digits}f}-{self.high:.{digits}f}",
            *([f"dimensions {of_quality}"] if of_quality else []),
            branches,
        ]
        if self.alignment is not None:
            parts.append(f"alignment {_place(self.alignment)}")
        if self.consistency is not None:
            parts.append(f"consistency {_place(self.consistency)}")
        if self.familiarity is not None:
            parts.append(f"familiarity {self.familiarity:.3f}")
        if self.mutation_seconds is not None:
            name = "largest change" if self.change_threshold is None else "meaning changes"
            parts.append(f"{name} at {self.mutation_seconds:.2f} s")
        if self.prompt_pieces > 1:
            parts.append(f"prompt read in {self.prompt_pieces} pieces")
        return "  ".join(parts)


def _in_one_line(text: str) -> str:
    """A file's name with line ends and other controls as they are written in Python."""
    return "".join(one if one.isprintable() else repr(one)[1:-1] for one in text)


def _place(measure: Measure) -> str:
    if measure.share_below is None:
        return f"{measure.value:.3f}"
    return f"{measure.value:.3f} (above {measure.share_below:.0%} of training)"
