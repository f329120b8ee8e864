"""The read side of a store: opened once, refused with a sentence, read by row as fast as a memory map.

    features = store.open("features/sample/frame.zarr", expect={"cut": "pooled"})
    rows = features.index(["videos/0001.mp4", "videos/0002.mp4"])
    pooled = features.read("pooled", rows)          # (2, view, frame, width) float16
    everything = features.all("cls")                # (video, ...) in one contiguous array

Arrays without a codec are memory-mapped, so a random row costs one copy; zarr's own random reads of sharded
arrays are an order of magnitude slower (`benchmarks/store_read.py`). Compressed rows are decompressed
straight from their bytes. A shard laid out in a way this module does not know is read through zarr.
"""

import hashlib
import json
import resource
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow.parquet as pq

from msavqa.store import format as fmt
from msavqa.store.format import ArraySpec, Records, ShardRecord, StoreError
from msavqa.store.shard_file import ShardFile

__all__ = ["Array", "ArraySpec", "Rows", "Store", "StoreError", "open"]

Array = npt.NDArray[Any]
Rows = Sequence[int] | npt.NDArray[Any]
"""Row numbers, 0-based, in any order and as often as wanted."""

ARRAYS_OPEN = 16
"""Arrays that may have as many shards open as they can at once, under the limit of open files."""


@dataclass(frozen=True)
class Store:
    """An opened store. Safe to share between threads.

    It pickles as its path and digest: where it arrives it is opened again, and another store is refused.
    """

    path: Path
    specs: Mapping[str, ArraySpec]
    """The arrays by name."""
    fingerprint: Mapping[str, Any]
    """What made the features: weights, preprocessing, frame policy, decoder, dtype, cut."""
    attributes: Mapping[str, Any]
    """What a consumer needs to know of them, such as the architecture."""
    rows: pd.DataFrame = field(repr=False)
    """One line a row: id, sha256, frames, decoder, status (ok, quarantined), error, the store's own."""
    records: Records = field(repr=False)
    """Size and checksum of every file, as they were when it was written."""
    digest: str = field(repr=False)
    """SHA-256 (hexadecimal) of metadata and checksums, so of every byte."""
    _opened: dict[str, Callable[[int], ShardFile | None]] = field(
        default_factory=dict, repr=False, compare=False
    )

    def __reduce__(self) -> tuple[object, ...]:
        from msavqa.store import arrive  # it opens stores, by this module

        return (arrive.again, (self.path, self.digest))

    @property
    def rows_per_shard(self) -> int:
        """Rows of a full shard, the same for every array."""
        return self.records.rows_per_shard

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property
    def ids(self) -> list[str]:
        """The rows' ids in row order."""
        return [str(i) for i in self.rows["id"]]

    @cached_property
    def valid(self) -> npt.NDArray[np.bool_]:
        """True for every row that holds data, false for a quarantined one (zeros), shape (row,)."""
        return (self.rows["status"] == "ok").to_numpy(dtype=bool)

    @cached_property
    def _positions(self) -> dict[str, int]:
        return {row_id: row for row, row_id in enumerate(self.ids)}

    def index(self, ids: Iterable[str]) -> npt.NDArray[np.int64]:
        """Row numbers of ids, in their order; raises `StoreError` where the store lacks one."""
        ids = list(ids)
        missing = [i for i in ids if i not in self._positions]
        if missing:
            shown = ", ".join(repr(i) for i in missing[:3]) + (", ..." if len(missing) > 3 else "")
            raise StoreError(
                what="Missing rows",
                where=self.path,
                got=f"no row for {len(missing)} of {len(ids)} ids ({shown})",
                expected="a row for every id",
                next_step="run `dvc repro` so that the store follows the manifest",
            )
        return np.array([self._positions[i] for i in ids], dtype=np.int64)

    def spec(self, name: str) -> ArraySpec:
        """The array of that name; raises `StoreError` where the store has none."""
        if name not in self.specs:
            raise StoreError(
                what="Missing array",
                where=self.path,
                got=f"arrays {', '.join(sorted(self.specs)) or '(none)'}",
                expected=repr(name),
                next_step="choose a cut in params.yaml that caches it and run `dvc repro`",
            )
        return self.specs[name]

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of a whole array, rows first."""
        return (len(self), *self.spec(name).shape)

    def nbytes(self, name: str) -> int:
        """Bytes of a whole array in memory (on disk a compressed one is smaller)."""
        return len(self) * self.spec(name).row_bytes

    def read(self, name: str, rows: Rows, *, out: Array | None = None) -> Array:
        """Rows of an array, shape (len(rows), *row shape), a fresh copy, or written into `out` and returned.

        Raises `StoreError` for an unknown array or a damaged shard, `IndexError` for a row outside the store.
        """
        spec = self.spec(name)
        wanted = np.asarray(rows, dtype=np.int64)
        if wanted.size and (wanted.min() < 0 or wanted.max() >= len(self)):
            raise IndexError(
                f"rows {wanted.min()}..{wanted.max()} of a store with {len(self)} rows: {self.path}"
            )
        if out is None:
            out = np.empty((len(wanted), *spec.shape), dtype=spec.dtype)
        elif out.shape != (len(wanted), *spec.shape) or out.dtype != np.dtype(spec.dtype):
            raise ValueError(
                f"out is {out.dtype}{out.shape}, rows are {spec.dtype}{(len(wanted), *spec.shape)}"
            )
        opened, size = self._shards(name), self.rows_per_shard
        for place, row in enumerate(wanted.tolist()):
            shard = opened(row // size)
            if shard is None:
                self._read_by_zarr(name, row, out[place : place + 1])
            elif spec.compressed:
                shard.copy_row(row % size, out[place : place + 1])
            else:
                out[place] = shard.rows[row % size]
        return out

    def all(self, name: str) -> Array:
        """The whole array in memory, shape (row, *row shape), contiguous; costs `nbytes(name)` of RAM."""
        return self.read(name, np.arange(len(self)))

    def _shards(self, name: str) -> Callable[[int], ShardFile | None]:
        """Opens an array's shards by number, as they are asked for; None for one that zarr has to read.

        An open shard keeps a file descriptor: of many, those that were used last stay open.
        """
        if name not in self._opened:
            spec, records, slots = self.spec(name), self.records.shards, self.rows_per_shard

            def opened(number: int) -> ShardFile | None:
                path = fmt.shard_path(self.path / name, spec, number)
                return ShardFile.open(path, spec, slots=slots, rows=records[number].rows)

            descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
            self._opened[name] = lru_cache(max(1, descriptors // ARRAYS_OPEN))(opened)
        return self._opened[name]

    def _read_by_zarr(self, name: str, row: int, out: Array) -> None:
        import zarr  # slow to import, and rarely needed

        out[0] = zarr.open_array(str(self.path / name), mode="r")[row]


def open(path: Path | str, *, expect: Mapping[str, object] | None = None) -> Store:
    """Opens a finished store for reading and checks that it is whole and the one that is meant.

    `expect` holds facts the fingerprint must contain with just these values (nested mappings are followed;
    what it does not name may have any value). Raises `StoreError` where the store is missing, half-written,
    truncated, of another format or of another fingerprint (both values are named). Contents are not
    checksummed here: `verify` does that.
    """
    path = Path(path)
    group = _json(path, fmt.METADATA_FILE)
    sidecar = _json(path, fmt.SHARDS_FILE)
    attributes = dict(group.get("attributes", {}))
    found = attributes.pop("msavqa_store", None)
    if found != fmt.FORMAT:
        raise _refused(path, what="Unknown store format", got=found, expected=fmt.FORMAT)
    fingerprint = attributes.pop("fingerprint", {})
    _check_fingerprint(path, fingerprint, expect or {})
    try:
        records = fmt.parse_records(sidecar)
        arrays = group["consolidated_metadata"]["metadata"]
        specs = {name: _spec(name, data) for name, data in arrays.items() if name != fmt.VALID}
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        got = f"metadata without its {error}" if isinstance(error, KeyError) else str(error)
        raise _refused(
            path, what="Damaged store", got=got, expected="the metadata of a finished store"
        ) from error
    rows = _rows(path)
    _check_shards(path, specs, records.shards, rows=len(rows))
    return Store(path, specs, fingerprint, attributes, rows, records, _digest(path))


def _digest(path: Path) -> str:
    found = hashlib.sha256()
    for name in (fmt.METADATA_FILE, fmt.SHARDS_FILE):
        found.update((path / name).read_bytes())
    return found.hexdigest()


def _refused(path: Path, *, what: str, got: object, expected: object) -> StoreError:
    next_step = "run `dvc repro` or `dvc pull` to get it whole"
    return StoreError(what=what, where=path, got=got, expected=expected, next_step=next_step)


def _json(path: Path, name: str) -> dict[str, Any]:
    try:
        data = json.loads((path / name).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        got = f"no {name}" if path.is_dir() else "no such store"
        raise _refused(path, what="Incomplete store", got=got, expected="a finished store") from None
    except ValueError as error:
        raise _refused(path, what="Damaged store", got=f"{name}: {error}", expected="valid JSON") from error
    if not isinstance(data, dict):
        raise _refused(path, what="Damaged store", got=f"{name}: {type(data).__name__}", expected="a mapping")
    return data


def _rows(path: Path) -> pd.DataFrame:
    try:
        frame: pd.DataFrame = pq.read_table(path / fmt.ROWS_FILE).to_pandas()
    except FileNotFoundError:
        got = f"no {fmt.ROWS_FILE}"
        raise _refused(path, what="Incomplete store", got=got, expected="a finished store") from None
    except (OSError, ValueError) as error:
        got = f"{fmt.ROWS_FILE}: {' '.join(str(error).split())}"
        raise _refused(path, what="Damaged store", got=got, expected="a readable table") from error
    return frame


def _spec(name: str, metadata: Mapping[str, Any]) -> ArraySpec:
    sharding = metadata["codecs"][0]["configuration"]
    return ArraySpec(
        name=name,
        axes=tuple(metadata["dimension_names"]),
        shape=tuple(metadata["shape"][1:]),
        dtype=metadata["data_type"],
        compressed=len(sharding["codecs"]) > 1,
    )


def _check_fingerprint(path: Path, found: Mapping[str, Any], expect: Mapping[str, object]) -> None:
    have, want = fmt.flat(found), fmt.flat(json.loads(fmt.canonical_json(expect)))
    wrong = [key for key in want if have.get(key, "(absent)") != want[key]]
    if wrong:
        raise StoreError(
            what="Another fingerprint",
            where=path,
            got=", ".join(f"{key} {have.get(key, '(absent)')!r}" for key in wrong),
            expected=", ".join(f"{key} {want[key]!r}" for key in wrong),
            next_step="run `dvc repro` to make the store that the settings ask for",
        )


def _check_shards(
    path: Path, specs: Mapping[str, ArraySpec], shards: Sequence[ShardRecord], *, rows: int
) -> None:
    """Rows and shards agree, and every shard file has its size: otherwise a copy stopped half-way."""
    if rows != sum(shard.rows for shard in shards):
        expected = f"{sum(shard.rows for shard in shards)} rows, as {fmt.SHARDS_FILE} records"
        raise _refused(path, what="Missing rows", got=f"{rows} rows in {fmt.ROWS_FILE}", expected=expected)
    for number, shard in enumerate(shards):
        for name, spec in specs.items():
            file = fmt.shard_path(path / name, spec, number)
            expected = f"{shard.files[name].bytes} bytes" if name in shard.files else "no such shard"
            got = f"{file.stat().st_size} bytes" if file.is_file() else "no such file"
            if got != expected:
                raise _refused(file, what="Truncated store", got=got, expected=expected)
