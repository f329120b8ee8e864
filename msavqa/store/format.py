"""How a store lies on disk: its arrays, where their shards are, the sidecar files.

A store is a zarr v3 group that any zarr reader opens. Every array is sharded: one chunk is one row (a video
or a prompt), one shard is one file of `rows_per_shard` rows, the same number for all arrays of the store.
Features carry no codec, so that a shard is raw rows and can be memory-mapped; frames are compressed
losslessly (zstd). The one array without shards is `valid`: false for quarantined rows, which are zeros.
Beside the arrays lie `rows.parquet` (what is known of every row) and `shards.json` (of every file).
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from msavqa.ground.errors import MsavqaError

FORMAT = 1
ROWS_FILE = "rows.parquet"
SHARDS_FILE = "shards.json"
PATIENCE_SECONDS = 60.0
"""How long other machines may see old names: acregmax and acdirmax of nfs(5)."""
METADATA_FILE = "zarr.json"
VALID = "valid"
"""The array that tells any zarr reader which rows hold data; our own reader takes that from the rows."""
MAX_SHARD_ROWS = 256
"""However small a row is, a killed run loses at most this many rows per worker."""

DTYPES = ("bool", "uint8", "int16", "int32", "int64", "float16", "float32", "float64")
_NAME = re.compile(r"[a-z][a-z0-9_]*")


class StoreError(MsavqaError):
    """A store that is not there, not whole or not the one that was asked for."""


@dataclass(frozen=True)
class ArraySpec:
    """One array of a store.

    `axes` names every axis, the first (`video` or `prompt`) being the rows; `shape` is that of one row,
    without the first axis; `dtype` one of `DTYPES`; `compressed` asks for lossless zstd (meant for uint8
    frames).
    """

    name: str
    axes: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: str
    compressed: bool = False

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"array name {self.name!r}: expected lower-case letters, digits and _")
        if self.name == VALID:
            raise ValueError(f"array name {self.name!r}: taken by the store itself")
        if len(self.axes) != len(self.shape) + 1:
            raise ValueError(
                f"array {self.name}: {len(self.axes)} axes for rows of {len(self.shape)} dimensions"
            )
        if self.dtype not in DTYPES or min(self.shape, default=1) < 1:
            raise ValueError(f"array {self.name}: dtype {self.dtype}, row shape {self.shape}")

    @property
    def row_bytes(self) -> int:
        """Bytes of one row before compression."""
        return int(np.prod(self.shape, dtype=np.int64)) * np.dtype(self.dtype).itemsize


@dataclass(frozen=True)
class FileRecord:
    """Size and content checksum of one file, taken while it was written."""

    bytes: int
    sha256: str


@dataclass(frozen=True)
class ShardRecord:
    """One shard of every array: how many rows it holds, and its files by array name."""

    rows: int
    files: Mapping[str, FileRecord]


@dataclass(frozen=True)
class Records:
    """All that `shards.json` says: rows of a full shard, every shard in order, the other files by path."""

    rows_per_shard: int
    shards: tuple[ShardRecord, ...]
    sidecars: Mapping[str, FileRecord]


def rows_per_shard(specs: Iterable[ArraySpec], *, shard_mb: int | float) -> int:
    """Rows of one shard: at least one, and at most `shard_mb` MiB of all arrays together (uncompressed)."""
    row_bytes = sum(spec.row_bytes for spec in specs)
    return max(1, min(MAX_SHARD_ROWS, int(shard_mb * 2**20) // max(row_bytes, 1)))


def canonical_json(value: object) -> str:
    """The one text for a value: keys sorted, no spaces; raises `TypeError` or `ValueError` for others."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest(value: object) -> str:
    """SHA-256 (hexadecimal) of a value's canonical JSON."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def staging_name(*, fingerprint: Mapping[str, object], specs: Iterable[ArraySpec]) -> str:
    """The name of what makes a store's values, its fingerprint and arrays: SHA-256, hexadecimal."""
    arrays = sorted((vars(spec) for spec in specs), key=lambda array: str(array["name"]))
    return digest({"format": FORMAT, "fingerprint": fingerprint, "arrays": arrays})


def shard_key(*, slots: int, ids: Sequence[str], sha256s: Sequence[str]) -> str:
    """The name of one shard's content: its rows' ids and sha256s in order; SHA-256, hexadecimal."""
    return digest([slots, list(ids), list(sha256s)])


def shard_path(array: Path, spec: ArraySpec, shard: int) -> Path:
    """Where shard number `shard` of an array lies: zarr's default chunk key below the array's folder."""
    return array.joinpath("c", str(shard), *["0"] * len(spec.shape))


def damaged(path: Path, *, got: str, expected: str) -> StoreError:
    """The refusal of a file that is not what was written."""
    return StoreError(
        what="Damaged file",
        where=path,
        got=got,
        expected=expected,
        next_step="run `msavqa features verify` on its store and do what it says",
    )


def check_content(path: Path, record: FileRecord) -> None:
    """Raises `StoreError` where a file's bytes are not those that were written."""
    if (size := path.stat().st_size) != record.bytes:
        raise damaged(path, got=f"{size} bytes", expected=f"{record.bytes} bytes")
    with path.open("rb") as file:
        got = hashlib.file_digest(file, "sha256").hexdigest()
    if got != record.sha256:
        raise damaged(path, got=f"sha256 {got}", expected=record.sha256)


def flat(value: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """A nested mapping with dotted keys: `{"a": {"b": 1}}` becomes `{"a.b": 1}`."""
    out: dict[str, Any] = {}
    for key, item in value.items():
        out |= flat(item, f"{prefix}{key}.") if isinstance(item, Mapping) else {f"{prefix}{key}": item}
    return out


def records_json(records: Records) -> str:
    """The text of `shards.json`."""
    shards = [{"rows": shard.rows, "files": _plain(shard.files)} for shard in records.shards]
    data = {"format": FORMAT, "rows_per_shard": records.rows_per_shard, "shards": shards}
    return json.dumps({**data, "sidecars": _plain(records.sidecars)}, indent=1) + "\n"


def parse_records(data: Mapping[str, Any]) -> Records:
    """What the data of a `shards.json` says; raises `KeyError`, `TypeError` or `ValueError` for others."""
    shards = tuple(ShardRecord(int(shard["rows"]), _files(shard["files"])) for shard in data["shards"])
    return Records(int(data["rows_per_shard"]), shards, _files(data["sidecars"]))


def _plain(files: Mapping[str, FileRecord]) -> dict[str, dict[str, object]]:
    return {name: vars(file) for name, file in sorted(files.items())}


def _files(data: Mapping[str, Any]) -> dict[str, FileRecord]:
    return {name: FileRecord(int(file["bytes"]), str(file["sha256"])) for name, file in data.items()}


def prompt_id(prompt: str) -> str:
    """64 hex digits; the text is taken as it stands, double spaces and case included."""
    return hashlib.sha256(prompt.encode("utf-8")).hexdigest()
