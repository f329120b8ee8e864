"""A store as one HDF5 file, to hand to others, and back: bit for bit the same store.

    hdf5.export_store(store.open("features/sample/frame.zarr"), "frame.h5")
    hdf5.import_store("frame.h5", "features/sample/frame.zarr")

Every array is a dataset of the same name, its dimensions labelled with the axes; one chunk is one row. What
is compressed in the store is gzipped here, which every HDF5 reader knows. The table of rows is the group
`rows`, one dataset a column (and `rows/valid` for convenience). Fingerprint and attributes are JSON texts.
Arrays carry HDF5's own checksums, which every reader compares; `facts_sha256` is that of all the rest.
"""

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from msavqa.store import format as fmt
from msavqa.store import shards, staging
from msavqa.store.format import ArraySpec, StoreError
from msavqa.store.publish import FIXED_COLUMNS
from msavqa.store.read import Store

ROWS = "rows"
TEXT = h5py.string_dtype("utf-8")


def export_store(found: Store, file: Path | str) -> None:
    """Writes an opened store into a new HDF5 file, which appears whole; holds one row in memory at a time.

    Raises `StoreError` for a damaged store or a file that is there and no export, `MsavqaError` where
    there is no room.
    """
    file = Path(file)
    if file.exists() and not (file.is_file() and h5py.is_hdf5(file)):
        raise _in_the_way(file, "something that is no HDF5 file")
    if not (file.parent.is_dir() and os.access(file.parent, os.W_OK)):
        raise StoreError(
            what="Folder of the new file",
            where=file.parent,
            got="no folder that can be written to",
            expected="one that is there",
            next_step="make it, or choose another place",
        )
    partial_file = file.with_name(file.name + ".partial")
    with staging.no_room(file.parent):
        try:
            with h5py.File(partial_file, "w") as h5:
                _export(found, h5)
            partial_file.replace(file)
        finally:
            partial_file.unlink(missing_ok=True)


def import_store(
    file: Path | str, path: Path | str, *, staging_root: Path | None = None
) -> shards.WriteReport:
    """Makes the store at `path` of a file that `export_store` wrote.

    Its shards stay staged for later runs where a staging root is given; otherwise they pass through a folder
    beside `path`. Raises `StoreError` where the file is not such a file or not whole, and where `path` is
    there and no store.
    """
    file, path = Path(file), Path(path)
    if path.exists() and not (path / fmt.ROWS_FILE).is_file():
        raise _in_the_way(path, "something that is no store")
    passing = path.with_name(path.name + ".staging.partial")
    with contextlib.ExitStack() as clean_up:
        h5 = clean_up.enter_context(_opened(file))
        clean_up.callback(shutil.rmtree, passing, ignore_errors=True)
        with _reading(file):
            _check_own(h5, file)
            specs = tuple(_spec(h5[name]) for name in h5 if name != ROWS)
            rows = _rows(h5[ROWS])
            facts = {name: json.loads(h5.attrs[name]) for name in ("fingerprint", "attributes")}
            slots = int(h5.attrs["rows_per_shard"])
            if h5.attrs["facts_sha256"] != (got := _facts_sha256(h5)):
                raise _refused(file, got=f"rows and attributes of sha256 {got}")
        return shards.write(
            path,
            ids=[row["id"] for row in rows],
            sha256s=[row["sha256"] for row in rows],
            specs=specs,
            fingerprint=facts["fingerprint"],
            attributes=facts["attributes"],
            compute=partial(_read_rows, h5, file, specs, rows),
            shard_mb=slots * sum(spec.row_bytes for spec in specs) / 2**20,
            staging_root=staging_root or passing,
        )


def _export(found: Store, h5: h5py.File) -> None:
    h5.attrs["msavqa_store"] = fmt.FORMAT
    h5.attrs["rows_per_shard"] = found.rows_per_shard
    h5.attrs["fingerprint"] = fmt.canonical_json(found.fingerprint)
    h5.attrs["attributes"] = fmt.canonical_json(found.attributes)
    for name, spec in found.specs.items():
        packed: dict[str, Any] = {"compression": "gzip", "compression_opts": 1} if spec.compressed else {}
        dataset = h5.create_dataset(
            name,
            shape=found.shape(name),
            dtype=spec.dtype,
            chunks=(1, *spec.shape),
            fletcher32=True,
            **packed,
        )
        dataset.attrs["compressed"] = spec.compressed
        for dimension, axis in zip(dataset.dims, spec.axes, strict=True):
            dimension.label = axis
        for row in range(len(found)):
            dataset[row] = found.read(name, [row])[0]
    table = pq.read_table(found.path / fmt.ROWS_FILE)
    group = h5.create_group(ROWS)
    group.attrs["columns"] = json.dumps(
        {name: str(table.schema.field(name).type) for name in table.column_names}
    )
    for name in table.column_names:
        _write_column(group, name, table.column(name))
    group["valid"] = found.valid
    h5.attrs["facts_sha256"] = _facts_sha256(h5)


def _facts_sha256(h5: h5py.File) -> str:
    """Of all but the arrays, as it is read: what HDF5's checksums do not reach."""
    attributes = {name: h5.attrs[name] for name in ("fingerprint", "attributes")}
    specs = [vars(_spec(h5[name])) for name in h5 if name != ROWS]
    facts = [attributes, int(h5.attrs["rows_per_shard"]), specs, _rows(h5[ROWS])]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def _write_column(group: h5py.Group, name: str, column: pa.ChunkedArray) -> None:
    values = column.to_pylist()
    text = pa.types.is_string(column.type)
    filled = [("" if text else 0) if value is None else value for value in values]
    group.create_dataset(name, data=filled, dtype=TEXT if text else column.type.to_pandas_dtype())
    if column.null_count:
        group.create_dataset(f"{name}.null", data=[value is None for value in values])


def _rows(group: h5py.Group) -> list[dict[str, Any]]:
    columns: dict[str, list[Any]] = {}
    for name in json.loads(group.attrs["columns"]):
        dataset = group[name]
        values = (
            dataset.asstr()[:].tolist() if h5py.check_string_dtype(dataset.dtype) else dataset[:].tolist()
        )
        null = group[f"{name}.null"][:].tolist() if f"{name}.null" in group else [False] * len(values)
        columns[name] = [None if gone else value for value, gone in zip(values, null, strict=True)]
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _read_rows(
    h5: h5py.File,
    file: Path,
    specs: Sequence[ArraySpec],
    table: Sequence[Mapping[str, Any]],
    rows: Sequence[int],
) -> shards.ShardResult:
    """The compute function of an import: rows of the file."""
    with _reading(file):
        arrays = {spec.name: np.asarray(h5[spec.name][rows[0] : rows[-1] + 1]) for spec in specs}
    wanted = np.asarray(rows) - rows[0]
    results = [
        shards.RowResult(
            frames=table[row]["frames"],
            decoder=table[row]["decoder"],
            error=table[row]["error"],
            extra={name: value for name, value in table[row].items() if name not in FIXED_COLUMNS},
        )
        for row in rows
    ]
    return shards.ShardResult({name: array[wanted] for name, array in arrays.items()}, results)


def _spec(dataset: h5py.Dataset) -> ArraySpec:
    return ArraySpec(
        name=dataset.name.strip("/"),
        axes=tuple(dimension.label for dimension in dataset.dims),
        shape=tuple(dataset.shape[1:]),
        dtype=dataset.dtype.name,
        compressed=bool(dataset.attrs["compressed"]),
    )


def _opened(file: Path) -> h5py.File:
    with _reading(file):
        return h5py.File(file, "r")


@contextlib.contextmanager
def _reading(file: Path) -> Iterator[None]:
    """Turns whatever reading an HDF5 file not ours, or not whole, may raise into one sentence."""
    try:
        yield
    except FileNotFoundError:
        raise _refused(file, got="no such file") from None
    except (OSError, KeyError, ValueError, TypeError, AttributeError) as error:
        raise _refused(file, got=" ".join(str(error).split())) from error


def _check_own(h5: h5py.File, file: Path) -> None:
    """The file is one of ours, and all its data lies in it: no link leads to another file."""
    if h5.attrs.get("msavqa_store") != fmt.FORMAT:
        raise _refused(file, got=f"format {h5.attrs.get('msavqa_store')}")
    for group in (h5, h5[ROWS]):
        for name in group:
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise _refused(file, got=f"a link to another file under {name!r}")
            if isinstance(group[name], h5py.Dataset) and (group[name].is_virtual or group[name].external):
                raise _refused(file, got=f"data of another file under {name!r}")


def _in_the_way(path: Path, got: str) -> StoreError:
    return StoreError(
        what="Target",
        where=path,
        got=got,
        expected="a new name, or one that may be replaced",
        next_step="choose another name, or remove what is there",
    )


def _refused(file: Path, *, got: str) -> StoreError:
    return StoreError(
        what="Not an exported store",
        where=file,
        got=got,
        expected=f"a whole HDF5 file of format {fmt.FORMAT}",
        next_step="ask for a file made by `msavqa features export`",
    )
