"""Every video of a manifest -> frames.zarr: in worker processes, resumable, the bad ones quarantined.

decode_all(Path("features/mine/frames.zarr"), manifest=table, root=Path("videos"), settings=..., shard_mb=128)
"""

import contextlib
import functools
import math
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from msavqa.frames import read as frames
from msavqa.frames.decode import Decoded
from msavqa.frames.video_file import AbsentError
from msavqa.ground.errors import MsavqaError
from msavqa.ground.progress import Progress
from msavqa.machine import launch, launchers
from msavqa.machine.launch import Kept
from msavqa.machine.processes import LostError, Outcome, Pool
from msavqa.store import format, shards, staging
from msavqa.store.read import ArraySpec
from msavqa.store.shards import RowResult, ShardDone, ShardResult, WriteReport


def decode_all(
    path: Path,
    *,
    manifest: pd.DataFrame,
    root: Path,
    settings: frames.DecodeSettings,
    shard_mb: int | float,
    staging_root: Path | None = None,
    description: str = "decode",
) -> WriteReport:
    """Decodes every video of a manifest into the store at `path`, in worker processes.

    A video that does not decode is quarantined with its reason. Memory: two shards and some videos per
    worker, whatever the number of videos. Killed at any moment, the next call continues; it tries
    videos again that were absent or whose worker hung or died. Raises `MsavqaError` where more than
    `settings.max_quarantined_fraction` of the videos do not decode.
    """
    specs, made_of = frames.specs(settings), frames.fingerprint(settings)
    staged_root = staging_root or staging.default_root()
    errors = _staged_errors(staged_root, manifest=manifest, specs=specs, made_of=made_of)
    limit = settings.max_quarantined_fraction
    with (
        DecodeProgress(description, total=len(manifest), limit=limit, errors=errors) as progress,
        contextlib.closing(
            DecodeRows.of(manifest, root=root, settings=settings, tell=progress.decoded)
        ) as compute,
    ):
        here = functools.partial(_two_at_once, stop=compute.close)
        return shards.write(
            path,
            ids=list(manifest["video_id"]),
            sha256s=list(manifest["sha256"]),
            specs=specs,
            fingerprint=made_of,
            attributes={"sampled_frames": settings.frames, "box": settings.box},
            compute=compute,
            shard_mb=shard_mb,
            staging_root=staged_root,
            launcher=launchers.chosen(here=here, tell=progress.workers),
            on_progress=progress.staged,
        )


@dataclass(frozen=True, kw_only=True)
class DecodeRows:
    """Computes rows of frames.zarr in worker processes, which start where and when it is first called.

    Safe to share between threads. Pickles, without workers and progress: any launcher can run it. Who calls
    it in a process that lives on closes it; in others the workers end with the process.
    """

    root: Path
    paths: Sequence[str]
    """Below root, row by row."""
    settings: frames.DecodeSettings
    tell: Callable[[str], None] | None = None
    """Hears every video's error, or '', in the process that made this."""
    _pool: Kept[Pool[Path, Decoded]] = field(default_factory=Kept, repr=False, compare=False)

    @classmethod
    def of(
        cls,
        manifest: pd.DataFrame,
        *,
        root: Path,
        settings: frames.DecodeSettings,
        tell: Callable[[str], None] | None = None,
    ) -> "DecodeRows":
        """Of the manifest's videos below root."""
        return cls(root=root, paths=list(manifest["path"]), settings=settings, tell=tell)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "tell": None}

    def close(self) -> None:
        """Ends the workers at once; whoever waits for a video of theirs gets a `CancelledError`."""
        for pool in self._pool.made:
            pool.close()

    def __call__(self, rows: Sequence[int]) -> ShardResult:
        specs = frames.specs(self.settings)
        arrays = {spec.name: np.zeros((len(rows), *spec.shape), spec.dtype) for spec in specs}
        results = []
        pool = self._pool.get(self._started)
        for place, outcome in enumerate(pool.map(self.root / self.paths[row] for row in rows)):
            results.append(_row(outcome, arrays, place))
            if self.tell is not None:
                self.tell(results[-1].error)
        return ShardResult(arrays, results)

    def _started(self) -> Pool[Path, Decoded]:
        return Pool(
            frames.decoding(self.settings),
            workers=launch.cpus(self.settings.workers),
            timeout_seconds=self.settings.timeout_seconds,
            what="Video",
        )


def _row(outcome: Outcome[Decoded], arrays: Mapping[str, npt.NDArray[Any]], place: int) -> RowResult:
    """Puts one video into its place; returns what is known of it."""
    decoded = outcome.value
    if decoded is None:
        nothing = {"height": 0, "width": 0, "fps": math.nan, "frame_count": 0}
        lost = isinstance(outcome.error, LostError | AbsentError)
        return RowResult(error=str(outcome.error), extra={**nothing, "lost": lost})
    count, height, width = decoded.frames.shape[:3]
    if "frames" in arrays:
        arrays["frames"][place, :, :height, :width] = decoded.frames
    arrays["times_seconds"][place] = decoded.times_seconds
    facts = {"height": height, "width": width, "fps": decoded.fps, "frame_count": decoded.frame_count}
    return RowResult(frames=count, decoder=decoded.backend, extra={**facts, "lost": False})


def _staged_errors(
    root: Path, *, manifest: pd.DataFrame, specs: Sequence[ArraySpec], made_of: Mapping[str, object]
) -> list[str]:
    """Why videos of the manifest are quarantined already.

    Retires staged shards with videos that were lost or absent: the next attempt may not meet that.
    """
    folder = root / format.staging_name(fingerprint=made_of, specs=specs)
    wanted = set(zip(manifest["video_id"], manifest["sha256"]))
    errors = []
    for key in staging.keys(folder):
        staged = staging.get(folder, key)
        if staged is None:
            continue
        if any(row["lost"] for row in staged.rows):
            staging.retire(folder, key)
            continue
        errors += [
            row["error"] for row in staged.rows if row["error"] and (row["id"], row["sha256"]) in wanted
        ]
    return errors


def _two_at_once(
    function: Callable[[Any], Any], tasks: Sequence[Any], *, stop: Callable[[], None]
) -> Iterator[Any]:
    """A launcher of two threads: while one shard is compressed and written, the workers decode the next.

    `stop` ends what both wait for, so that an error or Ctrl-C need not wait for a whole shard.
    """
    threads = ThreadPoolExecutor(2, thread_name_prefix="shard")
    futures = [threads.submit(function, task) for task in tasks]
    try:
        for future in as_completed(futures):
            yield future.result()
    except BaseException:
        stop()
        raise
    finally:
        threads.shutdown(wait=True, cancel_futures=True)


_SHOWN = 3


class DecodeProgress:
    """A progress bar with the quarantined count, fed by several threads; stops the work above a limit.

    `limit` is the fraction of `total` videos that may be quarantined, `errors` are those of earlier runs.
    """

    def __init__(self, description: str, *, total: int, limit: float, errors: Sequence[str]) -> None:
        self._bar = Progress(description, total=total, unit="videos")
        self._description, self._total, self._limit = description, total, limit
        self._finished = self._quarantined = 0
        self._errors = list(errors[:_SHOWN])
        self._lock = threading.Lock()

    def __enter__(self) -> "DecodeProgress":
        self._bar.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.__exit__(kind, error, trace)

    def workers(self, count: int) -> None:
        """So many workers of a launcher are at work."""
        with self._lock:
            self._bar.workers(count)

    def decoded(self, error: str) -> None:
        """One video more, quarantined where it has an error; raises `MsavqaError` above the limit."""
        self._add(self._bar.advance, 1, quarantined=1 if error else 0, errors=[error] if error else [])

    def staged(self, done: ShardDone) -> None:
        """One shard more; its videos count here where they were not decoded just now in this process."""
        quarantined = 0 if done.computed else done.quarantined
        self._add(self._bar.keep, done.rows - done.computed, quarantined=quarantined, errors=[])
        with self._lock:
            self._finished += done.rows
            elsewhere = max(0, self._finished - self._bar.done)
        if elsewhere:  # those decoded here were counted as they came
            quarantined = done.quarantined - quarantined
            self._add(self._bar.advance, elsewhere, quarantined=quarantined, errors=done.errors)

    def _add(self, tell: Callable[..., None], count: int, *, quarantined: int, errors: Sequence[str]) -> None:
        with self._lock:
            self._quarantined += quarantined
            self._errors += errors[: _SHOWN - len(self._errors)]
            tell(count, quarantined=self._quarantined)
            if quarantined and self._quarantined > self._limit * self._total:
                raise self._refusal()

    def _refusal(self) -> MsavqaError:
        shown = " and ".join(f'"{error}"' for error in self._errors)
        return MsavqaError(
            what="Quarantined videos",
            where=self._description,
            got=f"{self._quarantined} of {self._total} that do not decode",
            expected=f"at most {self._limit:.1%} (decode.max_quarantined_fraction)",
            next_step=f"mend or remove them, or raise the fraction (what is decoded is kept); first: {shown}",
        )
