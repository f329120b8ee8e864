"""The frames of a dataset's videos: what frames.zarr holds, and how consumers read frames back.

    with frames.source(store.open("features/mine/frames.zarr"), settings=..., paths=paths) as read_frames:
        for pixels in read_frames(rows):        # (frame, height, width, 3) uint8, in the order of the rows

`decode.store: none` keeps rows and times but no pixels: `source` then decodes again, ahead of its reader. A
video whose decoder hangs or dies then comes as its `LostError`: it costs itself, not the run.
"""

import contextlib
import functools
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from msavqa.frames.decode import Backend, Decoded, decode, decoder_facts
from msavqa.ground.params import Settings
from msavqa.machine import launch
from msavqa.machine.processes import LostError, Outcome, Pool
from msavqa.store import read as store
from msavqa.store.read import ArraySpec, Rows, Store

Pixels = npt.NDArray[np.uint8]
ReadFrames = Callable[[Rows], Iterator[Pixels | LostError]]
"""Rows of a store -> their frames in the same order, (frame, height, width, 3) uint8 without padding."""
_ROWS_AHEAD = 4


class DecodeSettings(Settings):
    """The block `decode` of params.yaml."""

    backend: Backend  # who reads the files; the frames are the same
    frames: int = Field(ge=1)  # sampled per video, at the middles of equal parts
    box: int = Field(ge=1, le=16_384)  # pixels; a larger frame is shrunk to fit box x box
    store: Literal["frames", "none"]  # none: decode again wherever frames are read
    workers: int = Field(ge=1)  # decoding processes
    timeout_seconds: float = Field(gt=0, le=86_400)  # wall clock per video
    max_quarantined_fraction: float = Field(ge=0, le=1)  # more stops the stage


def fingerprint(settings: DecodeSettings) -> dict[str, object]:
    """The settings that decide the pixels; whether they are stored is not one of them."""
    return {
        "frames": settings.frames,
        "box": settings.box,
        "sampling": "floor((i + 0.5) * n / N)",
        "shrink": "antialiased bilinear",
        "backend": settings.backend,
        "decoder": decoder_facts(settings.backend),
    }


def specs(settings: DecodeSettings) -> tuple[ArraySpec, ...]:
    """The arrays of frames.zarr: frames, zero-padded at the bottom and the right, and their times."""
    times = ArraySpec("times_seconds", ("video", "frame"), (settings.frames,), "float64")
    if settings.store == "none":
        return (times,)
    shape = (settings.frames, settings.box, settings.box, 3)
    axes = ("video", "frame", "height", "width", "channel")
    return ArraySpec("frames", axes, shape, "uint8", compressed=True), times


def decoding(settings: DecodeSettings) -> Callable[[Path], Decoded]:
    """The function that workers call: from a file to its frames, by these settings."""
    return functools.partial(decode, frames=settings.frames, box=settings.box, backend=settings.backend)


def open_frames(path: Path, *, settings: DecodeSettings) -> Store:
    """Opens frames.zarr; raises `StoreError` where other frames lie there than the settings ask for.

    Stored frames may be those of another decoder version, a colleague's; where none are stored, this machine
    decodes again, and what the store says of the decoder must hold for it.
    """
    expect = fingerprint(settings)
    if "frames" in store.open(path).specs:
        del expect["decoder"]
    return store.open(path, expect=expect)


@contextlib.contextmanager
def source(
    frames: Store, *, settings: DecodeSettings, paths: Mapping[str, Path], again: bool = False
) -> Iterator[ReadFrames]:
    """A function that reads frames by row, some rows ahead of its caller; only valid rows may be asked for.

    `paths` (id -> video file) is looked into where the store holds no frames, or where they are wanted
    `again`: then videos are decoded in workers. A video that no longer decodes raises its `DecodeError`. One
    whose worker hung or died comes as its `LostError`; where more than `settings.max_quarantined_fraction` of
    all do, that is raised. The function may be called often, by one thread. Memory: a few videos, whatever
    the number of rows.
    """
    if "frames" in frames.specs and not again:
        with ThreadPoolExecutor(1, thread_name_prefix="frames") as thread:
            yield lambda rows: _ahead(thread, functools.partial(_stored, frames), rows)
        return
    function = decoding(settings)
    allowed = int(settings.max_quarantined_fraction * len(frames))
    lost: list[LostError] = []

    def value(outcome: Outcome[Decoded]) -> Pixels | LostError:
        if isinstance(outcome.error, LostError) and len(lost) < allowed:
            lost.append(outcome.error)
            return outcome.error
        return _value(outcome)

    workers, limit = launch.cpus(settings.workers), settings.timeout_seconds
    with Pool(function, workers=workers, timeout_seconds=limit, what="Video") as pool:
        yield lambda rows: map(value, pool.map(paths[frames.ids[row]] for row in rows))


def _stored(frames: Store, row: int) -> Pixels:
    height, width = (int(frames.rows[name].to_numpy()[row]) for name in ("height", "width"))
    return np.asarray(frames.read("frames", [row])[0, :, :height, :width])


def _value(outcome: Outcome[Decoded]) -> Pixels:
    if outcome.error is not None or outcome.value is None:
        raise outcome.error or ValueError("an outcome without value and error")
    return outcome.value.frames


def _ahead(
    thread: ThreadPoolExecutor, read: Callable[[int], Pixels], rows: Rows
) -> Iterator[Pixels | LostError]:
    waiting = deque[Future[Pixels]]()
    for row in rows:
        waiting.append(thread.submit(read, int(row)))
        if len(waiting) > _ROWS_AHEAD:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()
