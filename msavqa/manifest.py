"""A reader's rows and what the files themselves say -> the manifest, one row a video in label order.

Each file is hashed and probed in a process of its own; a video that cannot be probed stays in the manifest
with status "unreadable" and its reason (`decode` counts those and stops where they are too many).
"""

import hashlib
import math
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from pydantic import Field

from msavqa import launch
from msavqa.labels import LabelsError, Row
from msavqa.params import Settings
from msavqa.probe import probe
from msavqa.progress import Progress
from msavqa.video_file import DecodeError


class IndexSettings(Settings):
    """The block `index`."""

    workers: int = Field(ge=1)  # processes that hash and probe files


def build(rows: Sequence[Row], *, root: Path, settings: IndexSettings, description: str) -> pd.DataFrame:
    """The manifest (`tables.MANIFEST`) of rows whose files are known to lie below root.

    The same rows and files give the same table, whatever the number of workers. Reads each file once for its
    sha256 and its packets once for the probe; memory grows by some kB a video. Raises `LabelsError` naming
    every file that could no longer be read.
    """
    found: dict[int, dict[str, object]] = {}
    problems: list[str] = []
    unreadable = 0
    tasks = [(index, root / row.path) for index, row in enumerate(rows)]
    with Progress(description, total=len(tasks)) as progress:
        for index, facts in launch.processes(settings.workers)(_describe, tasks):
            if isinstance(facts, str):
                problems.append(f"{rows[index].where}: {facts}")
            else:
                found[index] = facts
                unreadable += facts["status"] == "unreadable"
            progress.advance(1, unreadable=unreadable)
    if problems:
        raise LabelsError(where=root, problems=sorted(problems), next_step="mend them and run again")
    return pd.DataFrame([{**_labels(row), **found[index]} for index, row in enumerate(rows)])


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
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        size = path.stat().st_size
    except OSError as error:
        return index, f"{str(path)!r} could not be read ({error.strerror})"
    identity = {"sha256": sha256, "size_bytes": size}
    try:
        facts = probe(path)
    except DecodeError as error:
        return index, {**identity, **_UNKNOWN, "status": "unreadable", "error": str(error)}
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
}
