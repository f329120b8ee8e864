"""The frames of a plan's copies: read from their originals and spoilt anew wherever they are looked at.

No copy is stored as pixels. `index` says which copies there are, as a store of frames without pixels does, so
that frozen networks run over copies as they run over videos; `reader` makes their frames.
"""

import functools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from msavqa.frames.read import Pixels, ReadFrames
from msavqa.frames.spoil import EMPTY, SPOILT, VERSION
from msavqa.machine.processes import LostError
from msavqa.store import read as store
from msavqa.store import shards
from msavqa.store.read import ArraySpec, Rows, Store
from msavqa.store.shards import RowResult, ShardResult


def index(
    path: Path, *, plan: pd.DataFrame, originals: Store, shard_mb: int | float, staging_root: Path | None
) -> Store:
    """Writes and opens the store of the plan's rows: how many frames each has, or why it has none.

    `plan` is `datasets.copies.PLAN`, `originals` the data set's frames.zarr: a copy of what does not decode
    is quarantined for the same reason. What made the originals stands in the fingerprint too.
    """
    count = originals.specs["times_seconds"].shape[0]

    def compute(rows: Sequence[int]) -> ShardResult:
        found = [_row(plan.iloc[row], originals, count) for row in rows]
        # Moments of no clock: the frames' numbers.
        times = np.broadcast_to(np.arange(count, dtype=np.float64), (len(rows), count)).copy()
        return ShardResult({"times_seconds": times}, found)

    shards.write(
        path,
        ids=list(plan["copy_id"]),
        sha256s=list(plan["sha256"]),
        specs=[ArraySpec("times_seconds", ("video", "frame"), (count,), "float64")],
        fingerprint={**originals.fingerprint, "copies_version": VERSION},
        attributes={},
        compute=compute,
        shard_mb=shard_mb,
        staging_root=staging_root,
    )
    return store.open(path)


def reader(*, plan: pd.DataFrame, originals: Store, read_frames: ReadFrames) -> ReadFrames:
    """Reads copies by their row in the plan, (frame, height, width, 3) uint8; `read_frames` reads originals.

    A copy of a video whose decoder hung or died comes as that video's `LostError`. Pickles if `read_frames`
    does.
    """
    count = originals.specs["times_seconds"].shape[0]
    needed = [
        originals.index([str(video) for video in (row.video_id, row.other_id) if video]).tolist()
        for row in plan.itertuples()
    ]

    return functools.partial(_read, plan, needed, count, read_frames)


def _read(
    plan: pd.DataFrame, needed: Sequence[Sequence[int]], count: int, read_frames: ReadFrames, rows: Rows
) -> Iterator[Pixels | LostError]:
    """Rows of the plan; `needed` are the rows of `originals` that each is made of, `count` its frames."""
    stream = read_frames([place for row in rows for place in needed[int(row)]])
    for row in rows:
        found = [next(stream) for _ in needed[int(row)]]
        lost = next((one for one in found if isinstance(one, LostError)), None)
        frames = [one for one in found if not isinstance(one, LostError)]
        yield made(plan.iloc[int(row)], frames, count=count) if lost is None else lost


def made(row: "pd.Series[Any]", frames: Sequence[Pixels], *, count: int) -> Pixels:
    """The frames of one row of a plan; `frames` are its original's and the other's, where it has them."""
    kind, random = str(row["kind"]), np.random.default_rng(int(row["sha256"], 16))
    if kind in EMPTY:
        size = {name: int(row[name]) for name in ("height", "width")}
        return EMPTY[kind](frames=count, random=random, **size)
    return SPOILT[kind](frames=frames[0], other=frames[1] if len(frames) > 1 else None, random=random)


def _row(row: "pd.Series[Any]", originals: Store, count: int) -> RowResult:
    for place in originals.index([str(row[key]) for key in ("video_id", "other_id") if row[key]]):
        if not originals.valid[place]:
            return RowResult(error=str(originals.rows["error"].iloc[place]))
    return RowResult(frames=count, decoder="spoilt")
