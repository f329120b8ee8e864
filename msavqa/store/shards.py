"""The write side of a store: shards computed one by one, each whole or not at all, joined in a store.

A shard's key is the content of its rows (ids and sha256s), and it is staged under that key (`staging.py`);
after a kill at any moment the next run finds whole shards only and continues. The finished store is made of
hardlinks to them. A changed or added video makes a new key; rows that another staged shard holds already are
taken from there, so that only what is new is computed. Missing shards are handed to a launcher, a callable
like `map` (`launch.py`).

    report = shards.write(
        "features/sample/frame.zarr", ids=ids, sha256s=sha256s, specs=specs, fingerprint=fingerprint,
        attributes={"architecture": {...}}, compute=compute, shard_mb=128)
"""

import functools
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import Field

from msavqa.ground.errors import MsavqaError
from msavqa.machine.launch import Launcher, in_turn, processes
from msavqa.machine.params import Settings
from msavqa.store import format as fmt
from msavqa.store import publish, shard_file, staging
from msavqa.store.format import ArraySpec, FileRecord
from msavqa.store.publish import Cleaned, adopt, clean
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
    """The values of some rows: arrays by name, (rows, *row shape) in the spec's dtype; one result a row."""

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


@dataclass(frozen=True)
class ShardDone:
    """One shard that stands in staging: how many rows, how many quarantined, how many computed just now."""

    rows: int
    quarantined: int
    computed: int


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
    statuses = Counter(row["status"] for row in staged.rows)
    return ShardDone(len(staged.rows), statuses["quarantined"], computed)


def require(folder: Path, key: str) -> Staged:
    """The staged shard of that key; raises `MsavqaError` where it is gone."""
    staged = staging.get(folder, key)
    if staged is None:
        raise refused(folder, what="Lost shard", got=f"no shard {key}", expected="the one that was staged")
    return staged


def refused(where: Path, *, what: str, got: object, expected: object) -> MsavqaError:
    """The refusal of rows or results of which no store can be made."""
    return MsavqaError(
        what=what, where=where, got=got, expected=expected, next_step="mend the stage that writes it"
    )


class StoreSettings(Settings):
    """Shared by the stages that write stores; no value here changes what a store holds."""

    shard_mb: float = Field(gt=0)  # MiB of one shard before compression: what a killed worker loses at most


__all__ = [
    "ArraySpec", "Cleaned", "Compute", "Launcher", "RowResult", "ShardDone", "ShardResult",
    "ShardTask", "WriteReport", "adopt", "clean", "fingerprint_digest", "in_turn", "processes", "write",
    "write_shard",
]  # fmt: skip


@dataclass(frozen=True)
class WriteReport:
    """What a write did: rows and shards of the store, and how much of it had to be computed."""

    rows: int
    quarantined: int
    computed: int
    shards: int
    shards_made: int


def fingerprint_digest(fingerprint: Mapping[str, object]) -> str:
    """SHA-256 (hexadecimal) of a fingerprint's canonical JSON; equal facts in any order give the same."""
    return fmt.digest(fingerprint)


def write(
    path: Path | str,
    *,
    ids: Sequence[str],
    sha256s: Sequence[str],
    specs: Sequence[ArraySpec],
    fingerprint: Mapping[str, object],
    attributes: Mapping[str, object],
    compute: Compute,
    shard_mb: int | float,
    staging_root: Path | None = None,
    launcher: Launcher = in_turn,
    on_progress: Callable[[ShardDone], None] | None = None,
) -> WriteReport:
    """Makes the store at `path`, computing only the rows that staging does not hold.

    Staging is `$DVC_ROOT/.msavqa` where no other root is given. `compute` is called for missing rows only (so
    load networks in it, not before) and must pickle where the launcher uses processes. `on_progress` hears of
    every shard, staged ones first. A store that stands at `path` is replaced. Memory: one shard a worker.
    Raises `MsavqaError` for rows or results that make no store, `MsavqaError` where there is no room (run
    again to continue), and whatever `compute` raises.
    """
    path, specs = Path(path), tuple(specs)
    _check_rows(path, ids, sha256s, specs)
    slots = fmt.rows_per_shard(specs, shard_mb=shard_mb)
    root = staging_root or staging.default_root()
    folder = root / fmt.staging_name(fingerprint=fingerprint, specs=specs)
    tell = on_progress or (lambda done: None)
    with staging.writing(folder):
        tasks = _tasks(ids, sha256s, slots=slots)
        missing = []
        for task in tasks:
            staged = staging.get(folder, task.key)
            if staged is None:
                missing.append(task)
            else:
                tell(done_of(staged, computed=0))
        computed = 0
        work = functools.partial(write_shard, folder=folder, specs=specs, compute=compute)
        for done in launcher(work, _with_known_rows(missing, folder, keep={task.key for task in tasks})):
            computed += done.computed
            tell(done)
        staging.drop_retired(folder)
        shards = {task.key: require(folder, task.key) for task in tasks}
        publish.publish(
            path, folder=folder, shards=shards, specs=specs, fingerprint=fingerprint, attributes=attributes
        )
    quarantined = sum(done_of(staged, computed=0).quarantined for staged in shards.values())
    return WriteReport(len(ids), quarantined, computed, len(tasks), len(missing))


def _tasks(ids: Sequence[str], sha256s: Sequence[str], *, slots: int) -> list[ShardTask]:
    tasks = []
    for first in range(0, len(ids), slots):
        here, shas = tuple(ids[first : first + slots]), tuple(sha256s[first : first + slots])
        tasks.append(ShardTask(fmt.shard_key(slots=slots, ids=here, sha256s=shas), slots, first, here, shas))
    return tasks


def _with_known_rows(tasks: Sequence[ShardTask], folder: Path, *, keep: set[str]) -> list[ShardTask]:
    """The tasks, told where staged shards of an earlier list of videos hold some of their rows.

    Quarantined rows are not taken: computing the shard anyway is the moment to try them again.
    """
    if not tasks:
        return []
    where: dict[tuple[str, str], tuple[str, int]] = {}
    for key in [*staging.keys(folder), *staging.retired_keys(folder)]:
        staged = None if key in keep else staging.get(folder, key)
        for place, row in enumerate(staged.rows if staged else ()):
            if row["status"] == "ok":
                where[row["id"], row["sha256"]] = key, place
    known = [
        {place: where[row] for place, row in enumerate(zip(t.ids, t.sha256s, strict=True)) if row in where}
        for t in tasks
    ]
    return [replace(task, known=found) for task, found in zip(tasks, known, strict=True)]


def _check_rows(path: Path, ids: Sequence[str], sha256s: Sequence[str], specs: Sequence[ArraySpec]) -> None:
    if not ids or len(ids) != len(sha256s):
        got = f"{len(ids)} ids and {len(sha256s)} sha256s"
        raise refused(path, what="Rows", got=got, expected="one sha256 for every id, at least one")
    twice = [row_id for row_id, count in Counter(ids).items() if count > 1]
    if twice:
        raise refused(path, what="Rows", got=f"{twice[0]!r} more than once", expected="every id once")
    if len({spec.name for spec in specs}) != len(specs) or len({spec.axes[0] for spec in specs}) != 1:
        got = ", ".join(f"{spec.name} over {spec.axes[0]}" for spec in specs) or "none"
        raise refused(path, what="Arrays", got=got, expected="different names, the same first axis")
