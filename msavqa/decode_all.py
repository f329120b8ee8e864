"""Every video of a manifest -> frames.zarr: in worker processes, resumable, the bad ones quarantined.

decode_all(Path("features/mine/frames.zarr"), manifest=table, root=Path("videos"), settings=..., shard_mb=128)
"""

import contextlib
import functools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from msavqa import frames, shards, staging, store_format
from msavqa.decode import Decoded, decode
from msavqa.decode_progress import DecodeProgress
from msavqa.shards import Compute, RowResult, ShardResult, WriteReport
from msavqa.store import ArraySpec
from msavqa.workers import LostError, Outcome, Pool


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

    A video that does not decode is quarantined with its reason. Memory: two shards and some videos a worker,
    whatever the number of videos. Killed at any moment, the next call continues; videos whose worker hung or
    died are tried again by it. Raises `QuarantineError` above `settings.max_quarantined_fraction`.
    """
    specs, made_of = frames.specs(settings), frames.fingerprint(settings)
    staged_root = staging_root or staging.default_root()
    errors = _staged_errors(staged_root, manifest=manifest, specs=specs, made_of=made_of)
    limit = settings.max_quarantined_fraction
    with (
        DecodeProgress(description, total=len(manifest), limit=limit, errors=errors) as progress,
        computing(manifest=manifest, root=root, settings=settings, tell=progress.decoded) as compute,
    ):
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
            launcher=_two_at_once,
            on_progress=progress.staged,
        )


@contextlib.contextmanager
def computing(
    *,
    manifest: pd.DataFrame,
    root: Path,
    settings: frames.DecodeSettings,
    tell: Callable[[str], None] = lambda error: None,
) -> Iterator[Compute]:
    """The function that computes rows of frames.zarr, its worker processes running while the block runs.

    `tell` hears of every video: its error, or an empty string. The function is safe to share between threads.
    """
    paths = [root / relative for relative in manifest["path"]]
    specs = frames.specs(settings)
    function = functools.partial(decode, frames=settings.frames, box=settings.box)
    with Pool(
        function, workers=settings.workers, timeout_seconds=settings.timeout_seconds, what="Video"
    ) as pool:

        def compute(rows: Sequence[int]) -> ShardResult:
            arrays = {spec.name: np.zeros((len(rows), *spec.shape), spec.dtype) for spec in specs}
            results = []
            for place, outcome in enumerate(pool.map(paths[row] for row in rows)):
                results.append(_row(outcome, arrays, place))
                tell(results[-1].error)
            return ShardResult(arrays, results)

        yield compute


def _row(outcome: Outcome[Decoded], arrays: Mapping[str, npt.NDArray[Any]], place: int) -> RowResult:
    """Puts one video into its place; returns what is known of it."""
    decoded = outcome.value
    if decoded is None:
        nothing = {"height": 0, "width": 0, "fps": math.nan, "frame_count": 0}
        lost = isinstance(outcome.error, LostError)
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

    Retires staged shards with videos whose worker hung or died: the next attempt may not meet that.
    """
    folder = root / store_format.staging_name(fingerprint=made_of, specs=specs)
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


def _two_at_once(function: Callable[[Any], Any], tasks: Sequence[Any]) -> Iterator[Any]:
    """A launcher of two threads: while one shard is compressed and written, the workers decode the next."""
    threads = ThreadPoolExecutor(2, thread_name_prefix="shard")
    try:
        yield from threads.map(function, tasks)
    finally:
        threads.shutdown(wait=True, cancel_futures=True)
