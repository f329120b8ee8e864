"""Progress of long work: a bar on a terminal, one plain line every ten seconds elsewhere."""

import sys
import time
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

T = TypeVar("T")

PLAIN_LINE_EVERY_SECONDS = 10.0


class Progress:
    """Counts units of one piece of work and shows rate, time left and any extra fields.

    Fields given to `advance` replace earlier ones of the same name (`advance(1, quarantined=3)`).
    """

    def __init__(self, description: str, *, total: int, unit: str = "videos") -> None:
        self.description, self.total, self.unit = description, total, unit
        self.done = self.kept = 0
        self.fields: dict[str, object] = {}
        self._bar: Bar | None = None

    def __enter__(self) -> "Progress":
        self._started = self._printed = time.monotonic()
        if sys.stderr.isatty():
            self._bar = Bar(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[note]}"),
                TimeRemainingColumn(),
                console=Console(stderr=True),
            )
            self._task = self._bar.add_task(self.description, total=self.total, note="")
            self._bar.start()
        return self

    def advance(self, count: int = 1, **fields: object) -> None:
        """Adds to the units done and shows where the work stands."""
        self.done += count
        self.fields.update(fields)
        if self._bar is not None:
            self._bar.update(self._task, completed=self.done, note=self._note())
        elif time.monotonic() - self._printed >= PLAIN_LINE_EVERY_SECONDS:
            self._printed = time.monotonic()
            worked = self.done > self.kept
            left = f"{(self.total - self.done) / self._rate():.0f}" if worked else "?"
            self._say(f"{self._note()}, {left} s left")

    def workers(self, count: int) -> None:
        """Shows how many workers of a launcher are at work."""
        self.advance(0, workers=count)

    def keep(self, count: int, **fields: object) -> None:
        """Adds what an earlier run did: it counts as done, and says nothing of rate and time left."""
        self.kept += count
        self.done += count
        self.fields.update(fields)
        if self._bar is not None and count:  # a reset forgets the bar's speed
            self._bar.reset(self._task, completed=self.done, note=self._note())

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
        elif kind is None:
            self._say(f"{self._note()}, done in {time.monotonic() - self._started:.1f} s")

    def _rate(self) -> float:
        return (self.done - self.kept) / max(time.monotonic() - self._started, 1e-9)

    def _note(self) -> str:
        extra = "".join(f", {name} {value}" for name, value in self.fields.items())
        return f"{self._rate():.1f} {self.unit}/s{extra}"

    def _say(self, text: str) -> None:
        print(
            f"{self.description}: {self.done}/{self.total} {self.unit}, {text}", file=sys.stderr, flush=True
        )


def track(items: Iterable[T], *, description: str, total: int, unit: str = "videos") -> Iterator[T]:
    """Yields the items of an iterable of known length and shows how far it has come."""
    with Progress(description, total=total, unit=unit) as progress:
        for item in items:
            yield item
            progress.advance()
