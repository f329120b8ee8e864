"""From staged shards to a finished store that appears whole; from a store back to staging; cleaning up.

The store is built beside its place, of hardlinks to staged shards, and takes its place by a rename; the
shards' bytes are on disk once. It must never be edited: the same inodes are in staging and, with DVC's
hardlinks, in its cache.
"""

import io
import json
import shutil
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from msavqa.store import format as fmt
from msavqa.store import read as store
from msavqa.store import staging
from msavqa.store.format import ArraySpec, ShardRecord
from msavqa.store.shard_file import ZSTD_LEVEL
from msavqa.store.staging import Row, Staged

FIXED_COLUMNS = {
    "id": pa.string(),
    "sha256": pa.string(),
    "frames": pa.int64(),
    "decoder": pa.string(),
    "status": pa.string(),
    "error": pa.string(),
}


def publish(
    path: Path,
    *,
    folder: Path,
    shards: Mapping[str, Staged],
    specs: Sequence[ArraySpec],
    fingerprint: Mapping[str, object],
    attributes: Mapping[str, object],
) -> None:
    """Makes the store at `path` of the staged shards of these keys, in order; replaces what stood there."""
    slots = next(iter(shards.values())).slots
    partial = path.with_name(path.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    rows = [row for staged in shards.values() for row in staged.rows]
    with staging.no_room(path.parent):
        sidecars = metadata_files(
            specs,
            valid=[row["status"] == "ok" for row in rows],
            slots=slots,
            fingerprint=fingerprint,
            attributes=attributes,
        )
        sidecars[fmt.ROWS_FILE] = rows_parquet(rows)
        written = {}
        for name, content in sidecars.items():
            (partial / name).parent.mkdir(parents=True, exist_ok=True)
            written[name] = staging.write_file(partial / name, [content])
        for number, key in enumerate(shards):
            for spec in specs:
                staging.link(folder / key / spec.name, fmt.shard_path(partial / spec.name, spec, number))
        records = fmt.Records(slots, tuple(staged.record for staged in shards.values()), written)
        staging.write_file(partial / fmt.SHARDS_FILE, [fmt.records_json(records).encode()])
        _replace(path, partial)


def metadata_files(
    specs: Sequence[ArraySpec],
    *,
    valid: Sequence[bool],
    slots: int,
    fingerprint: Mapping[str, object],
    attributes: Mapping[str, object],
) -> dict[str, bytes]:
    """The `zarr.json` files of a store by relative path, and its array `valid`, as zarr itself writes them.

    The group's file repeats the arrays' metadata (zarr's "consolidated metadata"): one read opens a store,
    and zarr need not list a folder in which it does not know our sidecar files.
    """
    import zarr  # slow to import; readers of a store do without
    from zarr.codecs import ZstdCodec
    from zarr.errors import ZarrUserWarning
    from zarr.storage import MemoryStore

    memory = MemoryStore()
    reserved = {"fingerprint": fingerprint, "msavqa_store": fmt.FORMAT}
    group = zarr.create_group(memory, attributes=json.loads(fmt.canonical_json({**attributes, **reserved})))
    for spec in specs:
        group.create_array(
            spec.name,
            shape=(len(valid), *spec.shape),
            chunks=(1, *spec.shape),
            shards=(slots, *spec.shape),
            dtype=spec.dtype,
            filters=None,
            compressors=ZstdCodec(level=ZSTD_LEVEL) if spec.compressed else None,
            dimension_names=spec.axes,
        )
    mask = np.array(valid, dtype=bool)
    axes = specs[0].axes[:1]
    group.create_array(fmt.VALID, data=mask, chunks=mask.shape, compressors=None, dimension_names=axes)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ZarrUserWarning)  # "not yet part of the specification"
        zarr.consolidate_metadata(memory)
    return {key: value.to_bytes() for key, value in sorted(memory._store_dict.items())}


def rows_parquet(rows: Sequence[Row]) -> bytes:
    """The table of all rows as parquet; the store's own columns follow the fixed ones in order of name."""
    extra = sorted({name for row in rows for name in row} - set(FIXED_COLUMNS))
    columns = {name: pa.array([row[name] for row in rows], kind) for name, kind in FIXED_COLUMNS.items()}
    columns |= {name: _column([row.get(name) for row in rows]) for name in extra}
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer)
    return buffer.getvalue()


def adopt(path: Path | str, *, staging_root: Path | None = None) -> int:
    """Puts a finished store's shards (a colleague's, say) into staging; returns how many were new there.

    After it, a run whose list of videos has grown computes only what the store lacks. Every file's checksum
    is compared first. Raises `StoreError` where the store is not whole or a file is damaged.
    """
    found = store.open(path)
    specs = tuple(found.specs.values())
    folder = (staging_root or staging.default_root()) / fmt.staging_name(
        fingerprint=found.fingerprint, specs=specs
    )
    with staging.writing(folder):
        return _adopt(found, folder)


@dataclass(frozen=True)
class Cleaned:
    """What cleaning removed: shards, and the bytes the disk got back (none where a store has them)."""

    shards: int
    bytes: int


def clean(staging_root: Path | None = None, *, keep: Iterable[Path | str] = ()) -> Cleaned:
    """Removes every shard staged anywhere below a root that is not one of the stores in `keep`.

    Safe at any time for finished stores: they have their own links. What is lost is the work of unfinished
    runs and the shortcut for rows of older lists of videos. A staging folder that a run is writing to is left
    alone. While DVC links by hardlink a staged shard of a finished store costs no space; where it copies, its
    size.
    """
    root = staging_root or staging.default_root()
    kept = {place: record for path in keep for place, record in _places(store.open(path))}
    shards = size = 0
    for folder in sorted(lock.parent for lock in root.rglob(staging.LOCK)):
        with staging.idle(folder) as idle:
            if not idle:
                continue
            for key in [*staging.keys(folder), *staging.retired_keys(folder)]:
                staged = staging.get(folder, key)
                if staged is not None and kept.get((folder.name, key)) == staged.record:
                    continue
                files = [file.stat() for file in (folder / key).iterdir()]
                size += sum(stat.st_size for stat in files if stat.st_nlink == 1)
                staging.discard(folder, key)
                shards += 1
            if not staging.keys(folder):
                shutil.rmtree(folder)
    return Cleaned(shards, size)


def drop_damaged(found: store.Store, *, staging_root: Path | None = None) -> int:
    """Removes staged copies of a store's shards, below a root, that lost what was written; says how many.

    A store and its staged shards may be the same inodes: a run would link the damage into the store again.
    """
    root, dropped = staging_root or staging.default_root(), 0
    for (name, key), _ in _places(found):
        for folder in (root / name, *root.glob(f"*/{name}")):
            held = [one for one in (key, key + staging.RETIRED) if (folder / one).is_dir()]
            dropped += sum(staging.sound(folder, one) is None for one in held)
    return dropped


def store_keys(found: store.Store) -> list[str]:
    """The keys of a store's shards, in their order."""
    ids, sha256s, slots = found.ids, [str(sha) for sha in found.rows["sha256"]], found.rows_per_shard
    spans = [slice(first, first + slots) for first in range(0, len(found), slots)]
    return [fmt.shard_key(slots=slots, ids=ids[span], sha256s=sha256s[span]) for span in spans]


def _places(found: store.Store) -> Iterator[tuple[tuple[str, str], ShardRecord]]:
    """Staging folder and key of each of a store's shards, and its content."""
    name = fmt.staging_name(fingerprint=found.fingerprint, specs=found.specs.values())
    for key, record in zip(store_keys(found), found.records.shards, strict=True):
        yield (name, key), record


def _adopt(found: store.Store, folder: Path) -> int:
    rows = pq.read_table(found.path / fmt.ROWS_FILE).to_pylist()
    adopted = first = 0
    for number, (key, record) in enumerate(zip(store_keys(found), found.records.shards, strict=True)):
        here, first = rows[first : first + record.rows], first + record.rows
        if any(staging.get(folder, held) for held in (key, key + staging.RETIRED)):
            continue
        sources = {
            name: fmt.shard_path(found.path / name, spec, number) for name, spec in found.specs.items()
        }
        for name, source in sources.items():
            fmt.check_content(source, record.files[name])
        staging.discard(folder, key)
        with staging.shard(
            folder, key, rows=here, slots=found.rows_per_shard, files=dict(record.files)
        ) as partial:
            for name, source in sources.items():
                staging.link(source, partial / name)
        adopted += 1
    return adopted


def _column(values: Sequence[Any]) -> pa.Array:
    column = pa.array(values)
    return column.cast(pa.string()) if pa.types.is_null(column.type) else column


def _replace(path: Path, partial: Path) -> None:
    old = path.with_name(path.name + ".old.partial")
    shutil.rmtree(old, ignore_errors=True)
    staging.sync_folder(partial)
    if path.exists():
        path.rename(old)
    partial.rename(path)
    staging.sync_folder(path.parent)
    shutil.rmtree(old, ignore_errors=True)
