"""Runs one frozen network over a data set's videos, once: frames in, a store of features out.

A thread reads and prepares the next videos while the network works on these. Memory: one shard and
`ahead_videos` prepared videos, whatever the number of videos. Killed at any moment, the next call continues.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from msavqa.frames.read import DecodeSettings, Pixels, ReadFrames, source
from msavqa.ground.progress import Progress
from msavqa.machine import launch, launchers
from msavqa.machine.launch import Kept, Launcher
from msavqa.machine.processes import LostError
from msavqa.store import format, shards, staging
from msavqa.store.read import Rows as RowNumbers
from msavqa.store.read import Store
from msavqa.store.shards import RowResult, ShardResult, WriteReport
from msavqa.trunks.run.feature_rows import ExtractSettings, Rows, put, staged
from msavqa.trunks.run.network import Trunk, Video

T = TypeVar("T")


def run(
    path: Path,
    *,
    trunk: Trunk,
    frames: Store,
    read_frames: ReadFrames,
    extract: ExtractSettings,
    shard_mb: int | float,
    description: str = "extract",
    staging_root: Path | None = None,
    launcher: Launcher | None = None,
) -> WriteReport:
    """Runs a trunk over every video of frames.zarr and writes the store at `path`.

    The launcher is the environment's where none is given; one of other processes needs a `read_frames` that
    pickles, such as `FrameReader`. Videos that decoding quarantined stay quarantined, with their reason. One
    whose decoder hangs or dies here (frames that are not stored are decoded again) is quarantined too; the
    next call tries it again. Raises `MsavqaError` where a feature cannot be stored, naming the video.
    """
    made_of = {**trunk.fingerprint, "decoded": frames.fingerprint}
    root = staging_root or staging.default_root()
    _retire_lost(root / format.staging_name(fingerprint=made_of, specs=trunk.specs), frames)
    with Progress(description, total=len(frames), unit="videos") as progress:
        return shards.write(
            path,
            ids=frames.ids,
            sha256s=list(frames.rows["sha256"]),
            specs=trunk.specs,
            fingerprint=made_of,
            attributes=trunk.attributes,
            compute=VideoRows(
                trunk=trunk, frames=frames, read_frames=read_frames, extract=extract, progress=progress
            ),
            shard_mb=shard_mb,
            staging_root=root,
            launcher=launcher or launchers.chosen(device=extract.device, tell=progress.workers),
            on_progress=staged(progress),
        )


@dataclass(frozen=True, kw_only=True)
class VideoRows(Rows):
    """Computes rows of a store of videos: for the extraction, and for who checks some rows again.

    A video whose decoder was lost is quarantined.
    """

    frames: Store
    read_frames: ReadFrames

    def __call__(self, rows: Sequence[int]) -> ShardResult:
        frames, arrays, net = self.frames, self.empty(rows), self.network
        count = frames.specs["times_seconds"].shape[0] * self.trunk.views
        good = [(place, row) for place, row in enumerate(rows) if frames.valid[row]]
        read = zip(good, self.read_frames([row for _, row in good]), strict=True)
        lost: dict[int, str] = {}

        def inputs() -> Iterator[tuple[int, Video]]:
            for (place, row), pixels in read:
                if isinstance(pixels, LostError):
                    lost[place] = str(pixels)
                else:
                    yield place, Video(frames.ids[row], pixels)

        prepared = _ahead(net.prepare, inputs(), self.extract)
        for batch in _batches(prepared, max(1, self.extract.batch_frames // count)):
            places = [place for place, _ in batch]
            found = net.forward([prepared for _, prepared in batch])
            put(arrays, found, places=places, names=[frames.ids[rows[place]] for place in places])
            self.tell(len(places))
        self.tell(len(rows) - len(good) + len(lost))
        return ShardResult(
            arrays, [_row(frames, row, lost=lost.get(place, "")) for place, row in enumerate(rows)]
        )


@dataclass(frozen=True)
class FrameReader:
    """`frames.source` for any launcher: opened at the first call, in the process that calls.

    It stays open until that process ends, or until the block that it is used in.
    """

    frames: Store
    settings: DecodeSettings
    paths: Mapping[str, Path]
    _opened: Kept[tuple[ExitStack, ReadFrames]] = field(default_factory=Kept, repr=False, compare=False)

    def __getstate__(self) -> dict[str, Any]:
        stored = "frames" in self.frames.specs  # then nobody looks for the videos
        return {**self.__dict__, **({"paths": {}} if stored else {})}

    def __enter__(self) -> "FrameReader":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for opened, _ in self._opened.made:
            opened.__exit__(kind, error, trace)

    def __call__(self, rows: RowNumbers) -> Iterator[Pixels | LostError]:
        _, read = self._opened.get(self._open)
        return read(rows)

    def _open(self) -> tuple[ExitStack, ReadFrames]:
        stack = ExitStack()
        return stack, stack.enter_context(source(self.frames, settings=self.settings, paths=self.paths))


def _ahead(
    function: Callable[[Video], Any], items: Iterable[tuple[int, Video]], extract: ExtractSettings
) -> Iterator[tuple[int, Any]]:
    """Each place with the function's result for its video, in order, some videos ahead of the reader."""
    with ThreadPoolExecutor(launch.cpus(extract.threads), thread_name_prefix="prepare") as pool:
        waiting = deque[tuple[int, Future[Any]]]()
        try:
            for place, video in items:
                waiting.append((place, pool.submit(function, video)))
                if len(waiting) > extract.ahead_videos:
                    first, future = waiting.popleft()
                    yield first, future.result()
            for first, future in waiting:
                yield first, future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    batch: list[T] = []
    for item in items:
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def _row(frames: Store, row: int, *, lost: str) -> RowResult:
    """What is known of a video stays known: how it was decoded, or why it was not, now or then."""
    facts = frames.rows.iloc[row]
    error = lost if facts["status"] == "ok" else str(facts["error"])
    return RowResult(frames=int(facts["frames"]), decoder=str(facts["decoder"]), error=error)


def _retire_lost(folder: Path, frames: Store) -> None:
    """Takes staged shards out of use in which a video is quarantined that has been decoded once: its decoder
    hung or died when frames were read again, which this run may not meet."""
    decoded = set(zip(frames.rows["id"][frames.valid], frames.rows["sha256"][frames.valid], strict=True))
    for key in staging.keys(folder):
        staged = staging.get(folder, key)
        if staged and any(row["error"] and (row["id"], row["sha256"]) in decoded for row in staged.rows):
            staging.retire(folder, key)
