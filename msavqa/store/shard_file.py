"""One shard file of one array: its rows as chunks one after the other, closed by an index.

Layout: the zarr v3 sharding codec (version 1.0) with its index at the end: a pair (offset, length) of
little-endian uint64 for every slot, absent slots all ones, then the crc32c of those pairs. Without a codec
the chunks are raw rows and are memory-mapped; with one they are zstd frames.
"""

import mmap
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
import numpy.typing as npt
from numcodecs.zstd import Zstd

from msavqa.store.format import ArraySpec, damaged

Array = npt.NDArray[Any]

ZSTD_LEVEL = 1  # 2.5 times as fast as 3 on real frames, for 5% more bytes
_ABSENT = 2**64 - 1
_CRC_BYTES = 4


def buffers(values: Array, spec: ArraySpec, *, slots: int) -> Iterator[bytes | memoryview]:
    """The bytes of the shard file that holds these rows, shape (rows, *row shape), rows <= slots."""
    values = np.ascontiguousarray(values, dtype=np.dtype(spec.dtype).newbyteorder("<"))
    if not spec.compressed:
        yield values.reshape(-1).view(np.uint8).data
        yield index_bytes([spec.row_bytes] * len(values), slots=slots)
        return
    codec, lengths = Zstd(level=ZSTD_LEVEL), []
    for row in values:
        chunk = codec.encode(np.ascontiguousarray(row).reshape(-1).view(np.uint8))
        lengths.append(len(chunk))
        yield chunk
    yield index_bytes(lengths, slots=slots)


def index_bytes(lengths: list[int], *, slots: int) -> bytes:
    """The index of a shard whose chunks of these byte lengths follow each other from byte 0."""
    table = np.full((slots, 2), _ABSENT, dtype="<u8")
    ends = np.cumsum(np.asarray(lengths, dtype=np.uint64), dtype=np.uint64)
    table[: len(lengths), 1] = lengths
    table[: len(lengths), 0] = ends - table[: len(lengths), 1]
    raw = table.tobytes()
    return raw + struct.pack("<I", google_crc32c.value(raw))


def read_index(path: Path, *, slots: int) -> npt.NDArray[np.uint64]:
    """The (offset, length) pairs of a shard file, shape (slots, 2); an absent chunk has both all ones.

    Raises `StoreError` where the file is too short or the index does not match its crc32c.
    """
    size, index_size = path.stat().st_size, 16 * slots + _CRC_BYTES
    if size < index_size:
        raise damaged(path, got=f"{size} bytes", expected=f"at least {index_size}")
    with path.open("rb") as file:
        file.seek(size - index_size)
        raw = file.read(16 * slots)
        (recorded,) = struct.unpack("<I", file.read(_CRC_BYTES))
    if google_crc32c.value(raw) != recorded:
        raise damaged(path, got=f"index crc32c {google_crc32c.value(raw):08x}", expected=f"{recorded:08x}")
    return np.frombuffer(raw, dtype="<u8").reshape(slots, 2)


class ShardFile:
    """A shard file opened for reading: its index read, its chunks memory-mapped."""

    def __init__(self, path: Path, rows: Array, chunks: "_Chunks | None" = None) -> None:
        self.path = path
        self.rows = rows
        """The whole shard, shape (rows, *row shape); empty where rows are compressed."""
        self._chunks = chunks

    @classmethod
    def open(cls, path: Path, spec: ArraySpec, *, slots: int, rows: int) -> "ShardFile | None":
        """The shard, or None where its chunks lie otherwise than this module lays them."""
        index = read_index(path, slots=slots)[:rows]
        if (index == np.uint64(_ABSENT)).any():
            return None
        starts, lengths = index[:, 0].astype(np.int64), index[:, 1].astype(np.int64)
        if spec.compressed:
            return cls(path, np.empty(0), _Chunks(path, starts, starts + lengths))
        data = np.memmap(path, dtype=np.uint8, mode="r")
        if (lengths != spec.row_bytes).any() or (starts != np.arange(len(index)) * spec.row_bytes).any():
            return None
        raw = np.asarray(data[: len(index) * spec.row_bytes])
        return cls(path, raw.view(np.dtype(spec.dtype).newbyteorder("<")).reshape(len(index), *spec.shape))

    def copy_row(self, row: int, out: Array) -> None:
        """Copies one row, compressed or not, into `out`, shape (1, *row shape), contiguous.

        Raises `StoreError` where a compressed row is damaged.
        """
        if self._chunks is None:
            out[0] = self.rows[row]
            return
        try:
            self._chunks.decode(row, out)
        except (RuntimeError, ValueError) as error:
            raise damaged(self.path, got=f"{error} in row {row}", expected="a whole zstd frame") from error


class _Chunks:
    """Compressed rows in a memory map that keeps no pages of the rows that were read: memory stays flat."""

    def __init__(self, path: Path, starts: npt.NDArray[np.int64], ends: npt.NDArray[np.int64]) -> None:
        with path.open("rb") as file:
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self._data = np.frombuffer(self._map, dtype=np.uint8)
        self._starts, self._ends, self._codec = starts, ends, Zstd()

    def decode(self, row: int, out: Array) -> None:
        """Decompresses one row into `out`; raises `RuntimeError` or `ValueError` where it is damaged."""
        start, end = int(self._starts[row]), int(self._ends[row])
        self._codec.decode(self._data[start:end], out)
        if hasattr(self._map, "madvise"):  # the pages stay in the system's cache
            page = start - start % mmap.PAGESIZE
            self._map.madvise(mmap.MADV_DONTNEED, page, end - page)
