"""A reader's rows and what the files themselves say -> the manifest, one row a video in label order.

Each file is hashed and probed in a process of its own; a video that cannot be probed stays in the manifest
with status "unreadable" and its reason (`decode` counts those and stops where they are too many).
"""

import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import pandas as pd
from pydantic import Field

from msavqa import launch
from msavqa.errors import MsavqaError
from msavqa.labels import LabelsError, Row
from msavqa.params import Settings
from msavqa.probe import probe
from msavqa.progress import Progress
from msavqa.video_file import DecodeError

T = TypeVar("T")
R = TypeVar("R")


class IndexSettings(Settings):
    """The block `index`."""

    workers: int = Field(ge=1)  # processes that hash and probe files


class ProbeError(MsavqaError):
    """Processes that end whatever the video is."""


def build(rows: Sequence[Row], *, root: Path, settings: IndexSettings, description: str) -> pd.DataFrame:
    """The manifest (`tables.MANIFEST`) of rows whose files are known to lie below root.

    The same rows and files give the same table, whatever the number of workers. Reads each file once for its
    sha256 and its packets once for the probe; memory grows by some kB a video. Raises `LabelsError` naming
    every file that could no longer be read, `ProbeError` where no process at all survived.
    """
    found: dict[int, dict[str, object]] = {}
    vanished: dict[int, str] = {}
    unreadable = crashed = 0
    tasks = [(index, root / row.path) for index, row in enumerate(rows)]
    with Progress(description, total=len(tasks)) as progress:
        for index, facts in surviving(_describe, tasks, workers=settings.workers):
            if facts is None:
                crashed += 1
                facts = {**_identity(tasks[index][1]), **_UNKNOWN, "error": _CRASH}
            if isinstance(facts, str):
                vanished[index] = facts
            else:
                found[index] = facts
                unreadable += facts["status"] == "unreadable"
            progress.advance(1, unreadable=unreadable)
    if vanished:
        problems = [f"{rows[index].where}: {vanished[index]}" for index in sorted(vanished)]
        raise LabelsError(where=root, problems=problems, next_step="mend them and run again")
    if crashed == len(rows) > 1:  # not the videos' fault
        raise ProbeError(
            what="Probing",
            where=root,
            got=f"{crashed} processes that ended without a result",
            expected="facts of at least one video",
            next_step="free some memory or lower index.workers",
        )
    return pd.DataFrame([{**_labels(row), **found[index]} for index, row in enumerate(rows)])


def surviving(
    function: Callable[[tuple[int, T]], tuple[int, R]], tasks: Sequence[tuple[int, T]], *, workers: int
) -> Iterator[tuple[int, R | None]]:
    """Results (index, result) in any order; None for a task whose process died, which costs no other task.

    A dead process takes down its pool and does not say whose task it had: what is left is halved until the
    one task stands alone.
    """
    left = dict(tasks)
    try:
        for index, result in launch.processes(min(workers, len(tasks)))(function, tasks):
            del left[index]
            yield index, result
    except launch.WorkerDiedError:
        rest = list(left.items())
        if len(rest) <= 1:
            yield from ((index, None) for index, _ in rest)
            return
        for half in (rest[: len(rest) // 2], rest[len(rest) // 2 :]):
            yield from surviving(function, half, workers=workers)


def _identity(path: Path) -> dict[str, object]:
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return {"sha256": sha256, "size_bytes": path.stat().st_size}


def _labels(row: Row) -> dict[str, object]:
    return {
        "video_id": row.video_id,
        "path": row.path,
        "prompt": row.prompt,
        "mos": row.mos,
        "mos_se": row.mos_se,
        "generator": row.generator,
        "group": row.group,
        "given_split": row.given_split,
        "weight": row.weight,
        "quality_true": row.quality_true,
    }


def _describe(task: tuple[int, Path]) -> tuple[int, dict[str, object] | str]:
    """One file's columns of the manifest, or why its bytes cannot be read."""
    index, path = task
    try:
        identity = _identity(path)
    except OSError as error:
        return index, f"{str(path)!r} could not be read ({error.strerror})"
    try:
        facts = probe(path)
    except DecodeError as error:
        return index, {**identity, **_UNKNOWN, "error": str(error)}
    return index, {
        **identity,
        "container": facts.container,
        "codec": facts.codec,
        "fps": facts.fps if facts.fps > 0 else math.nan,
        "frame_count": facts.frame_count,
        "width": facts.width,
        "height": facts.height,
        "duration_seconds": facts.duration_seconds,
        "rotation_degrees": facts.rotation_degrees,
        "status": "ok",
        "error": "",
    }


_UNKNOWN = {
    "container": "",
    "codec": "",
    "fps": math.nan,
    "frame_count": -1,
    "width": 0,
    "height": 0,
    "duration_seconds": math.nan,
    "rotation_degrees": 0,
    "status": "unreadable",
}
_CRASH = "Reading it ended the process that did (a fault in ffmpeg, or out of memory)."
