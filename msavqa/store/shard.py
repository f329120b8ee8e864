"""One shard made in staging, whole or not at all: its rows computed, or copied from a shard that holds them.

Its key is the content of its rows (ids and sha256s). `write_shard` is what launchers run: it may run twice,
in any process, and needs nothing but the staging folder.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from msavqa.ground.errors import MsavqaError
from msavqa.store import shard_file, staging
from msavqa.store.format import PATIENCE_SECONDS, ArraySpec, FileRecord
from msavqa.store.shard_file import ShardFile
from msavqa.store.staging import Row, Staged

Scalar = bool | int | float | str | None
Array = npt.NDArray[Any]


@dataclass(frozen=True)
class RowResult:
    """What was learnt of one row while it was computed.

    A row with an `error` is quarantined: its values are stored as zeros. `extra` are the store's own columns.
    """

    frames: int = 0
    decoder: str = ""
    error: str = ""
    extra: Mapping[str, Scalar] = field(default_factory=dict)


@dataclass(frozen=True)
class ShardResult:
    """The values of some rows: arrays by name, (rows, *row shape) in the spec's dtype; one result per row."""

    arrays: Mapping[str, Array]
    rows: Sequence[RowResult]


Compute = Callable[[Sequence[int]], ShardResult]
"""Computes the rows of these numbers (positions in `ids`, ascending, not always without gaps).

A row's values must depend on nothing but its own content and the fingerprint.
"""


@dataclass(frozen=True)
class ShardTask:
    """One shard to be made: its key, its rows, and where rows that are known already can be taken from."""

    key: str
    slots: int
    first_row: int
    ids: tuple[str, ...]
    sha256s: tuple[str, ...]
    known: Mapping[int, tuple[str, int]] = field(default_factory=dict)
    """Place in this shard -> (key of a staged shard, place in that)."""

    def __str__(self) -> str:
        return f"the shard of {len(self.ids)} rows from {self.ids[0]!r} to {self.ids[-1]!r}"


@dataclass(frozen=True)
class ShardDone:
    """One shard that stands in staging: how many rows, how many quarantined, how many computed just now."""

    rows: int
    quarantined: int
    computed: int
    errors: tuple[str, ...] = ()
    """Why rows are quarantined, of the first `SHOWN`, where some were computed just now."""


SHOWN = 3


def write_shard(task: ShardTask, *, folder: Path, specs: Sequence[ArraySpec], compute: Compute) -> ShardDone:
    """Makes one shard in staging, unless it stands there already; the function that launchers run.

    Idempotent, needs nothing but the staging folder, holds one shard in memory.
    """
    if (staged := staging.get(folder, task.key)) is not None:
        return done_of(staged, computed=0)
    staging.discard(folder, task.key)  # one that lost bytes, if any
    sources = {key: _source(folder, key, specs) for key in sorted({key for key, _ in task.known.values()})}
    known = {
        place: (source, there)
        for place, (key, there) in task.known.items()
        if (source := sources[key]) is not None
    }
    new = [place for place in range(len(task.ids)) if place not in known]
    result = compute([task.first_row + place for place in new]) if new else ShardResult({}, [])
    _check_result(result, specs, rows=len(new), where=folder)
    rows = {place: source.rows[there] for place, (source, there) in known.items()}
    for place, computed in zip(new, result.rows, strict=True):
        rows[place] = _row(task.ids[place], task.sha256s[place], computed)
    files: dict[str, FileRecord] = {}
    ordered = [rows[place] for place in range(len(task.ids))]
    with staging.shard(folder, task.key, rows=ordered, slots=task.slots, files=files) as partial:
        for spec in specs:
            values = _values(spec, new=new, result=result, known=known)
            buffers = shard_file.buffers(values, spec, slots=task.slots)
            files[spec.name] = staging.write_file(partial / spec.name, buffers)
    return done_of(require(folder, task.key), computed=len(new))


@dataclass(frozen=True)
class _Source:
    """A staged shard whose bytes are those that were written: its rows, and its files by array name."""

    rows: tuple[Row, ...]
    files: Mapping[str, ShardFile]


def _source(folder: Path, key: str, specs: Sequence[ArraySpec]) -> _Source | None:
    """A staged shard to copy rows from, read whole once; None where that cannot be: its rows are computed.

    A copied row gets a new checksum, which would make damage look sound: a damaged shard is dropped here.
    """
    if (staged := staging.sound(folder, key)) is None:
        return None
    files = {}
    for spec in specs:
        path = folder / key / spec.name
        file = ShardFile.open(path, spec, slots=staged.slots, rows=staged.record.rows)
        if file is None:  # whole, but laid out by another writer
            return None
        files[spec.name] = file
    return _Source(staged.rows, files)


def _values(
    spec: ArraySpec,
    *,
    new: list[int],
    result: ShardResult,
    known: Mapping[int, tuple[_Source, int]],
) -> Array:
    """A shard's rows of one array: computed ones and known ones in place, quarantined ones zero."""
    bad = [at for at, row in enumerate(result.rows) if row.error]
    if not known and not bad:
        return result.arrays[spec.name]
    values = np.zeros((len(new) + len(known), *spec.shape), dtype=spec.dtype)
    for at, place in enumerate(new):
        if not result.rows[at].error:
            values[place] = result.arrays[spec.name][at]
    for place, (source, there) in known.items():
        source.files[spec.name].copy_row(there, values[place : place + 1])
    return values


def _row(row_id: str, sha256: str, result: RowResult) -> Row:
    extra = {
        name: value.item() if isinstance(value, np.generic) else value for name, value in result.extra.items()
    }
    status = "quarantined" if result.error else "ok"
    fixed = {"frames": int(result.frames), "decoder": result.decoder, "status": status, "error": result.error}
    return {"id": row_id, "sha256": sha256, **fixed, **extra}


def _check_result(result: ShardResult, specs: Sequence[ArraySpec], *, rows: int, where: Path) -> None:
    if not rows:
        return
    expected = {spec.name: f"{spec.dtype}{(rows, *spec.shape)}" for spec in specs}
    got = {name: f"{array.dtype}{array.shape}" for name, array in result.arrays.items()}
    if got != expected or len(result.rows) != rows:
        raise refused(
            where,
            what="Computed shard",
            got=f"{len(result.rows)} rows of {got}",
            expected=f"{rows} rows of {expected}",
        )


def done_of(staged: Staged, *, computed: int) -> ShardDone:
    """What a staged shard counts for."""
    bad = [str(row["error"]) for row in staged.rows if row["status"] == "quarantined"]
    return ShardDone(len(staged.rows), len(bad), computed, tuple(bad[:SHOWN]) if computed else ())


def require(folder: Path, key: str) -> Staged:
    """The staged shard of that key; raises `MsavqaError` where it is gone.

    A file system that caches names, such as NFS, may show late what another machine has made. So the folder
    is listed, which makes it ask anew, until the shard is there or `PATIENCE_SECONDS` are over.
    """
    until = time.monotonic() + PATIENCE_SECONDS
    while (staged := staging.get(folder, key)) is None and time.monotonic() < until:
        time.sleep(0.2)
        staging.keys(folder)
    if staged is None:
        raise refused(folder, what="Lost shard", got=f"no shard {key}", expected="the one that was staged")
    return staged


def refused(where: Path, *, what: str, got: object, expected: object) -> MsavqaError:
    """The refusal of rows or results of which no store can be made."""
    return MsavqaError(
        what=what, where=where, got=got, expected=expected, next_step="mend the stage that writes it"
    )
