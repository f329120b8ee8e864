"""What is in a store, as plain data and as a table, and whether it is what was written.

print(store_info.info(found).arrays)                    # shapes, dtypes, sizes
report = store_info.verify(found, sample=20, recompute=compute)
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Group, RenderableType
from rich.filesize import decimal
from rich.table import Table

from msavqa.store import format as fmt
from msavqa.store import shard_file
from msavqa.store.format import FileRecord, StoreError
from msavqa.store.read import Array, Store
from msavqa.store.shards import Compute

ROWS_AT_ONCE = 32
"""Rows recomputed in one call: bounds the memory of a large sample."""


@dataclass(frozen=True)
class ArrayInfo:
    """One array: its axes and whole shape (rows first), and its bytes in memory and on disk."""

    name: str
    axes: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: str
    compressed: bool
    bytes_in_memory: int
    bytes_on_disk: int


@dataclass(frozen=True)
class StoreInfo:
    """What is in a store; `dataclasses.asdict` makes plain data of it."""

    path: str
    arrays: tuple[ArrayInfo, ...]
    rows: int
    valid: int
    quarantined: int
    errors: Mapping[str, int]
    """Reasons for quarantine and how many rows have each, the most frequent first."""
    shards: int
    rows_per_shard: int
    fingerprint: Mapping[str, Any]
    attributes: Mapping[str, Any]


@dataclass(frozen=True)
class Verified:
    """What was checked, and every problem found, one sentence each; none: the store is what was written."""

    files: int
    rows_compared: int
    max_abs_diff: float
    """Largest difference between stored and recomputed values; 0 where nothing was recomputed."""
    problems: tuple[str, ...]
    damaged: tuple[Path, ...] = ()
    """The files that are not what was written."""


def info(found: Store) -> StoreInfo:
    """Shapes, sizes, valid and quarantined rows and the fingerprint of an opened store."""
    reasons = Counter(str(reason) for reason in found.rows["error"][~found.valid])
    return StoreInfo(
        path=str(found.path),
        arrays=tuple(_array_info(found, name) for name in sorted(found.specs)),
        rows=len(found),
        valid=int(found.valid.sum()),
        quarantined=int((~found.valid).sum()),
        errors=dict(reasons.most_common()),
        shards=len(found.records.shards),
        rows_per_shard=found.rows_per_shard,
        fingerprint=found.fingerprint,
        attributes=found.attributes,
    )


def table(shown: StoreInfo) -> RenderableType:
    """The same for a terminal (rich): arrays, rows, fingerprint."""
    columns = ("array", "axes", "shape", "dtype", "in memory", "on disk")
    arrays = Table(*columns, title=shown.path, title_justify="left")
    for a in shown.arrays:
        dtype = a.dtype + (", zstd" if a.compressed else "")
        shape = " × ".join(map(str, a.shape))
        sizes = decimal(a.bytes_in_memory), decimal(a.bytes_on_disk)
        arrays.add_row(a.name, " ".join(a.axes), shape, dtype, *sizes)
    facts = Table("fact", "value", show_header=False)
    facts.add_row("rows", f"{shown.rows} ({shown.valid} valid, {shown.quarantined} quarantined)")
    for reason, count in shown.errors.items():
        facts.add_row("quarantined", f"{count} × {reason}")
    facts.add_row("shards", f"{shown.shards} of up to {shown.rows_per_shard} rows")
    for key, value in fmt.flat(shown.fingerprint).items():
        facts.add_row(key, str(value))
    return Group(arrays, facts)


def verify(
    found: Store, *, sample: int = 0, recompute: Compute | None = None, seed: int = 0, tolerance: float = 0.0
) -> Verified:
    """Checks every file of a store against what was recorded when it was written, and recomputes some rows.

    Reads all bytes. `sample` valid rows, drawn from `seed`, are computed again by `recompute` (what the stage
    gave to `shards.write`) and compared: a value may differ by `tolerance` times the row's largest stored
    absolute value; 0 asks for equal bits. Rows of damaged shards are not drawn. Raises nothing for a bad
    store: every problem is in the result.
    """
    files = _files(found)
    checks = {found.path / name: _file_problem(found.path / name, record) for name, record in files.items()}
    checks[found.path / fmt.SHARDS_FILE] = _list_problem(found)
    damaged = tuple(path for path, problem in checks.items() if problem)
    problems = [problem for problem in checks.values() if problem] + _index_problems(found)
    rows: list[int] = []
    largest = 0.0
    if recompute is not None and sample > 0:
        broken = _damaged_shards(found, damaged)
        valid = [row for row in np.flatnonzero(found.valid) if row // found.rows_per_shard not in broken]
        chosen = np.random.default_rng(seed).choice(valid, size=min(sample, len(valid)), replace=False)
        rows = sorted(chosen.tolist())
    if recompute is not None:
        largest, wrong = compare(found, rows, recompute=recompute, tolerance=tolerance)
        problems += wrong
    return Verified(len(files), len(rows), largest, tuple(problems), damaged)


def spread(found: Store, count: int) -> list[int]:
    """Up to `count` valid rows, from the first to the last."""
    valid = np.flatnonzero(found.valid)
    places = np.linspace(0, max(0, len(valid) - 1), min(count, len(valid)))
    return [int(row) for row in valid[np.unique(places.round().astype(int))]]


def compare(
    found: Store, rows: Sequence[int], *, recompute: Compute, tolerance: float
) -> tuple[float, list[str]]:
    """Computes rows again: the largest difference, and a sentence for each row and array that differs too
    much, which is by more than `tolerance` times the row's largest stored absolute value."""
    largest, problems = 0.0, list[str]()
    for first in range(0, len(rows), ROWS_AT_ONCE):
        difference, wrong = _compare(found, rows[first : first + ROWS_AT_ONCE], recompute, tolerance)
        largest, problems = max(largest, difference), problems + wrong
    return largest, problems


def _damaged_shards(found: Store, damaged: Sequence[Path]) -> set[int]:
    """Numbers of the shards of which a file is damaged: there is nothing to compare with."""
    return {
        number
        for number in range(len(found.records.shards))
        for name, spec in found.specs.items()
        if fmt.shard_path(found.path / name, spec, number) in damaged
    }


def _array_info(found: Store, name: str) -> ArrayInfo:
    spec = found.specs[name]
    on_disk = sum(shard.files[name].bytes for shard in found.records.shards)
    in_memory = found.nbytes(name)
    return ArrayInfo(name, spec.axes, found.shape(name), spec.dtype, spec.compressed, in_memory, on_disk)


def _files(found: Store) -> dict[str, FileRecord]:
    """Every file of a store by its path in it."""
    files = dict(found.records.sidecars)
    for number, shard in enumerate(found.records.shards):
        for name, record in shard.files.items():
            path = fmt.shard_path(found.path / name, found.specs[name], number)
            files[path.relative_to(found.path).as_posix()] = record
    return files


def _file_problem(path: Path, record: FileRecord) -> str | None:
    try:
        fmt.check_content(path, record)
    except StoreError as error:
        return str(error)
    except OSError as error:
        return f"{path}: {error.strerror}"
    return None


def _index_problems(found: Store) -> list[str]:
    problems = []
    for name, spec in found.specs.items():
        for number in range(len(found.records.shards)):
            try:
                shard_file.read_index(
                    fmt.shard_path(found.path / name, spec, number), slots=found.rows_per_shard
                )
            except StoreError as error:
                problems.append(str(error))
    return problems


def _list_problem(found: Store) -> str | None:
    """`shards.json` has no checksum itself, but only one text for what it says."""
    path = found.path / fmt.SHARDS_FILE
    if path.read_text(encoding="utf-8") == fmt.records_json(found.records):
        return None
    return str(fmt.damaged(path, got="another text", expected="the one text for what it says"))


def _compare(
    found: Store, rows: Sequence[int], recompute: Compute, tolerance: float
) -> tuple[float, list[str]]:
    largest, problems = 0.0, []
    again = recompute(rows)
    for place, row in enumerate(rows):
        if again.rows[place].error:
            reason = again.rows[place].error
            problems.append(f"row {found.ids[row]!r}: stored as valid, computes to an error now: {reason}")
            continue
        for name in found.specs:
            stored, computed = found.read(name, [row])[0], np.asarray(again.arrays[name][place])
            if stored.dtype == computed.dtype and stored.tobytes() == computed.tobytes():
                continue
            difference = _difference(stored, computed)
            largest = max(largest, difference)
            allowed = tolerance * float(np.abs(stored.astype(np.float64)).max(initial=0))
            if not (tolerance and difference <= allowed):
                shown = f"differs by {difference:.3g}, allowed {allowed:.3g}"
                problems.append(f"row {found.ids[row]!r}, array {name}: {shown}")
    return largest, problems


def _difference(stored: Array, computed: Array) -> float:
    if stored.shape != computed.shape or stored.dtype != computed.dtype:
        return float("inf")
    difference = np.abs(stored.astype(np.float64) - computed.astype(np.float64)).max(initial=0)
    return float(difference) if np.isfinite(difference) else float("inf")
