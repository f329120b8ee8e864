"""How far decoding has come, and when it has to stop: too many videos that do not decode."""

import threading
from collections.abc import Callable, Sequence
from types import TracebackType

from msavqa.errors import MsavqaError
from msavqa.progress import Progress
from msavqa.storage.shards import ShardDone

_SHOWN = 3


class QuarantineError(MsavqaError):
    """More videos are quarantined than `decode.max_quarantined_fraction` allows."""


class DecodeProgress:
    """A progress bar with the quarantined count, fed by several threads; stops the work above a limit.

    `limit` is the fraction of `total` videos that may be quarantined, `errors` are those of earlier runs.
    """

    def __init__(self, description: str, *, total: int, limit: float, errors: Sequence[str]) -> None:
        self._bar = Progress(description, total=total, unit="videos")
        self._description, self._total, self._limit = description, total, limit
        self._quarantined, self._errors = 0, list(errors[:_SHOWN])
        self._lock = threading.Lock()

    def __enter__(self) -> "DecodeProgress":
        self._bar.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.__exit__(kind, error, trace)

    def decoded(self, error: str) -> None:
        """One video more, quarantined where it has an error; raises `QuarantineError` above the limit."""
        self._add(self._bar.advance, 1, quarantined=1 if error else 0, error=error)

    def staged(self, done: ShardDone) -> None:
        """One shard more; its videos count here where they were not decoded just now."""
        quarantined = 0 if done.computed else done.quarantined
        self._add(self._bar.keep, done.rows - done.computed, quarantined=quarantined, error="")

    def _add(self, tell: Callable[..., None], count: int, *, quarantined: int, error: str) -> None:
        with self._lock:
            self._quarantined += quarantined
            if error and len(self._errors) < _SHOWN:
                self._errors.append(error)
            tell(count, quarantined=self._quarantined)
            if quarantined and self._quarantined > self._limit * self._total:
                raise self._refusal()

    def _refusal(self) -> QuarantineError:
        shown = " and ".join(f'"{error}"' for error in self._errors)
        return QuarantineError(
            what="Quarantined videos",
            where=self._description,
            got=f"{self._quarantined} of {self._total} that do not decode",
            expected=f"at most {self._limit:.1%} (decode.max_quarantined_fraction)",
            next_step=f"mend or remove them, or raise the fraction (what is decoded is kept); first: {shown}",
        )
