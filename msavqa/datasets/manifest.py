"""A reader's rows and what the files themselves say -> the manifest, one row per video in label order.

Files are hashed and probed in worker processes with a wall-clock limit; a video that cannot be probed, or
whose worker hangs or dies, stays in the manifest with status "unreadable" and its reason (`decode` counts
those and stops where they are too many).
"""

import contextlib
import hashlib
import math
import re
from collections import Counter
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import pandas as pd
from pydantic import Field

from msavqa.datasets.rows import Row
from msavqa.frames.probe import probe
from msavqa.frames.video_file import DecodeError
from msavqa.ground.errors import MsavqaError, ProblemsError
from msavqa.ground.params import Settings
from msavqa.ground.progress import Progress
from msavqa.machine import launch, launchers
from msavqa.machine.launch import Kept
from msavqa.machine.processes import LostError, Outcome, Pool

Facts = dict[str, object] | str
"""A file's columns of the manifest, or why its bytes cannot be read."""


class IndexSettings(Settings):
    """The block `index`."""

    workers: int = Field(ge=1)  # processes that hash and probe files
    timeout_seconds: float = Field(gt=0, le=86_400)  # wall clock per file, its hash included


def build(rows: Sequence[Row], *, root: Path, settings: IndexSettings, description: str) -> pd.DataFrame:
    """The manifest (`tables.MANIFEST`) of rows whose files are known to lie below root.

    The same rows and files give the same table, whatever the number of workers. Its `attrs[PECULIAR]` counts
    the videos that a viewer sees otherwise than frames are read, by kind: no column holds that. Reads each
    file once for its sha256 and its packets once for the probe; memory grows by some kB a video. Raises
    `ProblemsError` naming every file that could no longer be read, `MsavqaError` where no process survived.
    """
    known: list[Facts] = [""] * len(rows)
    unreadable = lost = 0
    paths = [root / row.path for row in rows]
    with (
        Progress(description, total=len(rows)) as progress,
        contextlib.closing(_described(paths, settings=settings, progress=progress)) as described,
    ):
        for place, outcome in described:
            facts = outcome.value
            if facts is None:
                lost += isinstance(outcome.error, LostError)
                facts = _unknown(paths[place], reason=str(outcome.error))
            known[place] = facts
            unreadable += not isinstance(facts, str) and facts["status"] == "unreadable"
            progress.advance(1, unreadable=unreadable)
    found_of = list(zip(rows, known, strict=True))
    table = [{**_labels(row), **facts} for row, facts in found_of if not isinstance(facts, str)]
    if vanished := [f"{row.where}: {facts}" for row, facts in found_of if isinstance(facts, str)]:
        raise ProblemsError(where=root, problems=vanished, next_step="mend them and run again")
    if lost == len(rows) > 1:  # not the videos' fault
        raise MsavqaError(
            what="Probing",
            where=root,
            got=f"{lost} videos whose process hung or died",
            expected="facts of at least one video",
            next_step="free some memory, lower index.workers or raise index.timeout_seconds",
        )
    found = pd.DataFrame([{name: row[name] for name in row if name != PECULIAR} for row in table])
    sentences = (sentence for row in table for sentence in cast(tuple[str, ...], row.get(PECULIAR, ())))
    found.attrs[PECULIAR] = Counter(re.sub(r" \(.*?\)", "", sentence) for sentence in sentences)
    return found


def _described(
    paths: Sequence[Path], *, settings: IndexSettings, progress: Progress
) -> Generator[tuple[int, Outcome[Facts]]]:
    """Place and outcome of every file, as they come; by the launcher of the environment, parts of them."""
    if not launchers.elsewhere():
        with _pool(settings) as pool:
            yield from enumerate(pool.map(paths))
        return
    parts = [Part(first, tuple(paths[first : first + PART])) for first in range(0, len(paths), PART)]
    launcher = launchers.chosen(tell=progress.workers)
    for first, outcomes in launcher(Describing(settings), parts):
        yield from enumerate(outcomes, first)


PART = 32
"""Files that a worker of a launcher is given at once."""


@dataclass(frozen=True)
class Part:
    """Consecutive files, the first of them the file of that number."""

    first: int
    paths: tuple[Path, ...]

    def __str__(self) -> str:
        return f"the {len(self.paths)} files from {str(self.paths[0])!r} to {str(self.paths[-1])!r}"


@dataclass(frozen=True)
class Describing:
    """Hashes and probes parts in workers of its own, which end with the process that it is called in."""

    settings: IndexSettings
    _kept: Kept[Pool[Path, Facts]] = field(default_factory=Kept, repr=False, compare=False)

    def __call__(self, part: Part) -> tuple[int, list[Outcome[Facts]]]:
        pool = self._kept.get(lambda: _pool(self.settings))
        return part.first, list(pool.map(part.paths))


def _pool(settings: IndexSettings) -> Pool[Path, Facts]:
    workers, limit = launch.cpus(settings.workers), settings.timeout_seconds
    return Pool(describe, workers=workers, timeout_seconds=limit, what="Video")


def _unknown(path: Path, *, reason: str) -> Facts:
    """What is known of a video on which a worker was lost."""
    try:
        return {**identity(path), **UNKNOWN, "error": reason}
    except OSError as error:
        return f"{str(path)!r} could not be read ({error.strerror})"


def _labels(row: Row) -> dict[str, object]:
    return {
        "video_id": row.video_id,
        "path": row.path,
        "prompt": row.prompt,
        "mos": row.mos,
        "mos_se": row.mos_se,
        **{f"mos_{name}": value for name, value in row.dimensions.items()},
        "generator": row.generator,
        "group": row.group,
        "given_split": row.given_split,
        "weight": row.weight,
        "quality_true": row.quality_true,
        **({"ratings": list(row.ratings)} if row.ratings else {}),
    }


PECULIAR = "peculiar"
"""Key of sentences on what of a video is read otherwise than a viewer sees it."""
UNKNOWN: dict[str, object] = {
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
"""What is known of a video that cannot be probed."""


def describe(path: Path) -> Facts:
    """A file's columns of the manifest, or why its bytes cannot be read. Can hang or die with ffmpeg."""
    try:
        known = identity(path)
    except OSError as error:
        return f"{str(path)!r} could not be read ({error.strerror})"
    try:
        facts = probe(path)
    except DecodeError as error:
        return {**known, **UNKNOWN, "error": str(error)}
    return {
        **known,
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
        PECULIAR: facts.peculiar,
    }


def identity(path: Path) -> dict[str, object]:
    """The sha256 of a file's content and its size; raises `OSError` where it cannot be read."""
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return {"sha256": sha256, "size_bytes": path.stat().st_size}
