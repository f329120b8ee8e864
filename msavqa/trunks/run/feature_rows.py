"""Rows of a feature store: a frozen network over some videos or prompts, the next ones prepared meanwhile."""

import importlib
import math
import pkgutil
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar, cast, runtime_checkable

import numpy as np
import numpy.typing as npt
from pydantic import Field

import msavqa.trunks.kinds
from msavqa.frames.read import DecodeSettings, Pixels, ReadFrames, source
from msavqa.ground.errors import MsavqaError, ProblemsError
from msavqa.ground.progress import Progress
from msavqa.machine import device as devices
from msavqa.machine import params
from msavqa.machine.device import Device
from msavqa.machine.params import Settings
from msavqa.machine.processes import LostError, Pool
from msavqa.store.format import ArraySpec
from msavqa.store.read import Rows, Store
from msavqa.store.shards import RowResult, ShardResult
from msavqa.trunks.run.network import Network, Video

T = TypeVar("T")
APART_SECONDS = 600
"""Wall clock that one video's preparation in a process of its own may take."""


class ExtractSettings(Settings):
    """The block `extract`: how fast and where; nothing here changes what is stored."""

    batch_frames: int = Field(ge=1)
    """Frames (or prompts) that pass the network at once."""
    ahead_videos: int = Field(ge=1)
    """Videos that are read and prepared ahead of the network."""
    threads: int = Field(ge=1)
    """Threads that prepare videos."""
    device: Device


@runtime_checkable
class Trunk(Protocol):
    """What every module of msavqa/trunks offers."""

    AXIS: str
    TrunkSettings: type[Settings]

    def attributes(self, settings: Any) -> dict[str, Any]:
        """What a consumer of the store needs to know."""

    def fingerprint(self, settings: Any) -> dict[str, Any]:
        """Everything the features depend on besides their input."""

    def load(self, settings: Any, *, device: str, batch: int) -> Network[Any]:
        """The network, ready to run."""


def trunk(kind: str) -> Trunk:
    """The module `msavqa.trunks.kinds.<kind>`."""
    return cast(Trunk, importlib.import_module(f"msavqa.trunks.kinds.{kind}"))


def settings_of(data: Mapping[str, Any], name: str) -> Any:
    """The settings of the trunk `trunks.<name>` of a params file, of the class that its `kind` means.

    Raises `ProblemsError` for an unknown trunk or kind and for every mistake in the block.
    """
    block = f"trunks.{name}"
    trunks = data.get("trunks")
    if not isinstance(trunks, Mapping) or not isinstance(trunks.get(name), Mapping):
        names = list(map(str, trunks)) if isinstance(trunks, Mapping) else []
        problem = f"{block}: missing{params.nearest(name, names)}"
        raise ProblemsError(where=params.PARAMS_FILE, problems=[problem], next_step="mend it and run again")
    known = sorted(one.name for one in pkgutil.iter_modules(msavqa.trunks.kinds.__path__) if not one.ispkg)
    kind = trunks[name].get("kind")
    if kind not in known:
        hint = params.nearest(str(kind), known)
        problem = f"{block}.kind: got {kind!r}, expected one of {', '.join(known)}{hint}"
        raise ProblemsError(where=params.PARAMS_FILE, problems=[problem], next_step="mend it and run again")
    return params.block(data, block, trunk(kind).TrunkSettings)


@dataclass(frozen=True, kw_only=True)
class _Rows:
    """What both kinds of rows need. Pickles, without network and progress: any launcher can run it."""

    settings: Any
    specs: Sequence[ArraySpec]
    extract: ExtractSettings
    progress: Progress | None = None
    _loaded: list[Network[Any]] = field(default_factory=list, repr=False)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "progress": None, "_loaded": []}

    @property
    def network(self) -> Network[Any]:
        """Loaded when it is first needed: a stage that finds all shards staged needs none."""
        if not self._loaded:
            networks = self.settings.kind != "statistics"
            name = self.extract.device if networks else "cpu"
            device = devices.chosen(name, setting="`extract.device`").type
            load = trunk(self.settings.kind).load
            self._loaded.append(load(self.settings, device=device, batch=self.extract.batch_frames))
        return self._loaded[0]

    def empty(self, rows: Sequence[int]) -> dict[str, npt.NDArray[Any]]:
        """Arrays of zeros for these rows."""
        return {spec.name: np.zeros((len(rows), *spec.shape), dtype=spec.dtype) for spec in self.specs}

    def tell(self, count: int) -> None:
        """So many rows more."""
        if self.progress is not None:
            self.progress.advance(count)


@dataclass(frozen=True, kw_only=True)
class VideoRows(_Rows):
    """Computes rows of a store of videos: for the extraction, and for who checks some rows again.

    A video whose decoder was lost is quarantined.
    """

    frames: Store
    read_frames: ReadFrames

    def __call__(self, rows: Sequence[int]) -> ShardResult:
        frames, arrays, net = self.frames, self.empty(rows), self.network
        count = frames.specs["times_seconds"].shape[0] * max(1, getattr(self.settings, "views", 1))
        good = [(place, row) for place, row in enumerate(rows) if frames.valid[row]]
        read = zip(good, self.read_frames([row for _, row in good]), strict=True)
        lost: dict[int, str] = {}

        def inputs() -> Iterator[tuple[int, Video]]:
            for (place, row), pixels in read:
                if isinstance(pixels, LostError):
                    lost[place] = str(pixels)
                else:
                    yield place, Video(frames.ids[row], pixels)

        prepared = (_apart if net.prepares_apart else _ahead)(net.prepare, inputs(), self.extract)
        for batch in _batches(prepared, max(1, self.extract.batch_frames // count)):
            places = [place for place, _ in batch]
            found = net.forward([prepared for _, prepared in batch])
            _put(arrays, found, places=places, names=[frames.ids[rows[place]] for place in places])
            self.tell(len(places))
        self.tell(len(rows) - len(good) + len(lost))
        return ShardResult(
            arrays, [_row(frames, row, lost=lost.get(place, "")) for place, row in enumerate(rows)]
        )


@dataclass(frozen=True, kw_only=True)
class PromptRows(_Rows):
    """Computes rows of a store of prompts."""

    prompts: Sequence[str]

    def __call__(self, rows: Sequence[int]) -> ShardResult:
        arrays, texts = self.empty(rows), [self.prompts[row] for row in rows]
        tokens = [self.network.prepare(text) for text in texts]
        found = self.network.forward(tokens)
        _put(arrays, found, places=list(range(len(rows))), names=[repr(text) for text in texts])
        self.tell(len(rows))
        return ShardResult(arrays, [_prompt_row(text, one) for text, one in zip(texts, tokens, strict=True)])


@dataclass(frozen=True)
class FrameReader:
    """`frames.source` for launchers that use processes: opened at the first call, in the one that calls, and
    left open until that ends."""

    frames: Store
    settings: DecodeSettings
    paths: Mapping[str, Path]
    _opened: list[tuple[object, ReadFrames]] = field(default_factory=list, repr=False)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_opened": []}

    def __call__(self, rows: Rows) -> Iterator[Pixels | LostError]:
        if not self._opened:
            opened = source(self.frames, settings=self.settings, paths=self.paths)
            self._opened.append((opened, opened.__enter__()))
        return self._opened[0][1](rows)


def _ahead(
    function: Callable[[Video], Any], items: Iterable[tuple[int, Video]], extract: ExtractSettings
) -> Iterator[tuple[int, Any]]:
    """Each place with the function's result for its video, in order, some videos ahead of the reader."""
    with ThreadPoolExecutor(extract.threads, thread_name_prefix="prepare") as pool:
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


def _apart(
    function: Callable[[Video], Any], items: Iterable[tuple[int, Video]], extract: ExtractSettings
) -> Iterator[tuple[int, Any]]:
    """The same in processes of their own."""
    places = deque[int]()

    def videos() -> Iterator[Video]:
        for place, video in items:
            places.append(place)
            yield video

    with Pool(function, workers=extract.threads, timeout_seconds=APART_SECONDS, what="Video") as pool:
        for outcome in pool.map(videos()):
            yield places.popleft(), outcome.result()


def _batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    batch: list[T] = []
    for item in items:
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def _put(
    arrays: dict[str, npt.NDArray[Any]],
    found: dict[str, npt.NDArray[Any]],
    *,
    places: Sequence[int],
    names: Sequence[str],
) -> None:
    """Puts a batch's values in their rows, in the store's dtype; refuses what does not survive that."""
    for array, values in found.items():
        room = arrays[array]
        for place, name, row in zip(places, names, values, strict=True):
            target = (
                room[place][tuple(slice(0, size) for size in row.shape)]
                if row.ndim
                else room[place : place + 1]
            )
            with np.errstate(over="ignore", invalid="ignore"):
                target[...] = row
            if room.dtype.kind == "f" and not np.isfinite(target).all():
                raise _unstorable(name, array, row, room.dtype)


def _unstorable(name: str, array: str, row: npt.NDArray[Any], dtype: np.dtype[Any]) -> MsavqaError:
    largest = float(np.abs(row).max()) if np.isfinite(row).all() else math.nan
    got = f"values up to {largest:.3g}" if math.isfinite(largest) else "values that are not finite"
    return MsavqaError(
        what="Feature",
        where=f"{name} ({array})",
        got=got,
        expected=f"finite values of at most {float(np.finfo(dtype).max):.5g} ({dtype})",
        next_step="set the trunk's `dtype: float32` if they are large, or check its weights and precision",
    )


def _row(frames: Store, row: int, *, lost: str) -> RowResult:
    """What is known of a video stays known: how it was decoded, or why it was not, now or then."""
    facts = frames.rows.iloc[row]
    error = lost if facts["status"] == "ok" else str(facts["error"])
    return RowResult(frames=int(facts["frames"]), decoder=str(facts["decoder"]), error=error)


def _prompt_row(prompt: str, tokens: Any) -> RowResult:
    truncated = tokens.count > len(tokens.ids)
    return RowResult(extra={"prompt": prompt, "token_count": tokens.count, "truncated": truncated})
