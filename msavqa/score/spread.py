"""Many videos scored by this process, or by the workers of the launcher that the environment asks for."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from msavqa.ground.errors import MsavqaError
from msavqa.machine import launch, launchers
from msavqa.machine.device import Device
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
    _loaded: list[Scorer] = field(default_factory=list, repr=False)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_loaded": []}

    def __call__(self, part: Part) -> tuple[int, list[Score | MsavqaError]]:
        if not self._loaded:
            workers = launch.cpus(self.workers)
            seconds = self.decode_seconds
            loaded = score.load(self.model, workers=workers, decode_seconds=seconds, device=self.device)
            self._loaded.append(loaded)
        return part.first, list(self._loaded[0].scores(part.asked))


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
