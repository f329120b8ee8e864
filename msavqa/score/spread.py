"""Many videos scored by this process, or by the workers of the launcher that the environment asks for."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from msavqa.ground.errors import MsavqaError
from msavqa.machine import launch, launchers
from msavqa.machine.device import Device
from msavqa.machine.launch import Kept
from msavqa.score import scorer as score
from msavqa.score.result import Score
from msavqa.score.scorer import Asked, Scorer

PART = 16
"""Videos that a worker is given at once; what a dead one costs."""


@dataclass(frozen=True)
class Part:
    """Consecutive videos, the first of them the video of that number."""

    first: int
    asked: tuple[Asked, ...]

    def __str__(self) -> str:
        first, last = str(self.asked[0].video), str(self.asked[-1].video)
        return f"the {len(self.asked)} videos from {first!r} to {last!r}"


@dataclass(frozen=True, kw_only=True)
class Scoring:
    """Scores parts with a model that is loaded at the first, in the process that it is called in."""

    model: Path
    workers: int
    """Decoding processes, where no launcher says how many CPUs there are."""
    decode_seconds: float
    device: Device
    _kept: Kept[Scorer] = field(default_factory=Kept, repr=False, compare=False)

    def __call__(self, part: Part) -> tuple[int, list[Score | MsavqaError]]:
        return part.first, list(self._kept.get(self._load).scores(part.asked))

    def _load(self) -> Scorer:
        workers, seconds = launch.cpus(self.workers), self.decode_seconds
        return score.load(self.model, workers=workers, decode_seconds=seconds, device=self.device)


def verdicts(
    scorer: Scorer, asked: Sequence[Asked], *, elsewhere: Scoring, tell: Callable[[int], None]
) -> Iterator[tuple[int, Score | MsavqaError]]:
    """Place and verdict of every video, as they come: by `scorer`, or `elsewhere` if the environment says so.

    `tell` hears how many workers there are.
    """
    if not launchers.elsewhere():
        yield from enumerate(scorer.scores(asked))
        return
    parts = [Part(first, tuple(asked[first : first + PART])) for first in range(0, len(asked), PART)]
    for first, found in launchers.chosen(device=elsewhere.device, tell=tell)(elsewhere, parts):
        yield from enumerate(found, first)
