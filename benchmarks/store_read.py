"""Random rows per second: our reader against a bare memory map, zarr's own reader and HDF5.

    python -m benchmarks.store_read [--rows 1760] [--batch 8] [--rounds 400] [--device cpu]

Rows are 16 frames × 50 tokens × 768 in fp16 (1.2 MB, CLIP ViT-B-32), the store 2.2 GB, all of it warm in the
page cache and, for both maps, in the page tables: all rows are read once before anything is timed. Every way
reads the same random batch in the same round, one after the other in random order, into the same array; rates
are medians over the rounds, `ratio` is the median of the rounds' own ratios. The bare map is of a file that
was written as shards are, by write(2): pages that were written through a map lie otherwise in memory and are
read 6% faster. On a GPU the rows end there. The data lies in a temporary folder (three copies, 6.5 GB; TMPDIR
moves it), deleted at the end.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
import zarr

from msavqa.store import read as store
from msavqa.store import shards
from msavqa.store.read import Array
from msavqa.store.shards import ArraySpec, RowResult, ShardResult

SHAPE = (16, 50, 768)
SPEC = ArraySpec("tokens", ("video", "frame", "token", "width"), SHAPE, "float16")
WARM_UP_ROUNDS = 5
BLOCK = 64
"""Rows of different content; row r is the block's row r % BLOCK and begins with that number."""
ZARR_ROWS = 2
"""zarr reads that many rows of each batch: it is an order of magnitude slower."""

Way = Callable[[Array, Array], object]
"""Reads rows of these numbers into an array."""


def main(argv: Sequence[str] | None = None) -> int:
    """Prints one JSON object: rows per second for each way, and ratio = store / memmap."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rows", type=int, default=1760)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=400)
    parser.add_argument("--device", default="cpu")
    given = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="store_read-") as folder:
        print(json.dumps(measure(Path(folder), given.rows, given.batch, given.rounds, given.device)))
    return 0


def measure(folder: Path, rows: int, batch: int, rounds: int, device: str) -> dict[str, float | str]:
    """Writes the same rows in every form and reads random batches of them in turns."""
    ways = prepare(folder, rows)
    draw = np.random.default_rng(0)
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    out = np.empty((batch, *SHAPE), dtype=np.float16)
    for row in range(rows):
        for name in ("memmap", "store", "h5"):
            ways[name](np.array([row]), out[:1])
    for _ in range(WARM_UP_ROUNDS + rounds):
        wanted = draw.integers(0, rows, batch)
        for name in draw.permutation(list(ways)).tolist():
            count = min(ZARR_ROWS, batch) if name == "zarr" else batch
            started = time.perf_counter()
            ways[name](wanted[:count], out[:count])
            if device != "cpu":
                torch.from_numpy(out[:count]).to(device)
                torch.cuda.synchronize()
            seconds[name].append((time.perf_counter() - started) / count)
            if out[:count, 0, 0, 0].tolist() != (wanted[:count] % BLOCK).tolist():
                raise AssertionError(f"{name} read other rows than asked for")
    kept = {name: taken[WARM_UP_ROUNDS:] for name, taken in seconds.items()}
    rates = {f"{name}_rows_s": round(1 / statistics.median(taken), 1) for name, taken in kept.items()}
    pairs = zip(kept["memmap"], kept["store"], strict=True)
    ratio = round(statistics.median(memmap / store_ for memmap, store_ in pairs), 3)
    size = round(rows * SPEC.row_bytes / 1e9, 2)
    return {**rates, "ratio": ratio, "device": device, "row_bytes": SPEC.row_bytes, "store_gb": size}


def prepare(folder: Path, rows: int) -> dict[str, Way]:
    """The four ways to read the same rows."""
    draw = np.random.default_rng(1)
    block = draw.integers(0, 2**15, (BLOCK, *SHAPE), dtype=np.uint16).view(np.float16)
    block[:, 0, 0, 0] = np.arange(BLOCK)

    def compute(numbers: Sequence[int]) -> ShardResult:
        picked = np.array(numbers) % BLOCK
        return ShardResult({SPEC.name: block[picked]}, [RowResult()] * len(numbers))

    names = [str(row) for row in range(rows)]
    path = folder / "store.zarr"
    shards.write(
        path, ids=names, sha256s=names, specs=[SPEC], fingerprint={"rows": rows}, attributes={},
        compute=compute, shard_mb=256, staging_root=folder / "staging",
    )  # fmt: skip
    h5 = h5py.File(folder / "rows.h5", "w")
    dataset = h5.create_dataset(SPEC.name, (rows, *SHAPE), dtype=np.float16, chunks=(1, *SHAPE))
    with (folder / "flat.bin").open("wb") as flat:
        for row in range(rows):
            dataset[row] = block[row % BLOCK]
            flat.write(block[row % BLOCK].data)
    h5.flush()  # left open: it is read from below, and closes with the process
    found = store.open(path)
    plain = np.asarray(np.memmap(folder / "flat.bin", dtype=np.float16, mode="r", shape=(rows, *SHAPE)))
    through_zarr: Any = zarr.open_array(str(path / SPEC.name), mode="r")
    return {
        "memmap": lambda wanted, out: _each(plain, wanted, out),
        "store": lambda wanted, out: found.read(SPEC.name, wanted, out=out),
        "zarr": lambda wanted, out: _each(through_zarr, wanted, out),
        "h5": lambda wanted, out: _read_h5(dataset, wanted, out),
    }


def _each(source: Any, wanted: Array, out: Array) -> None:
    for place, row in enumerate(wanted.tolist()):
        out[place] = source[row]


def _read_h5(dataset: Any, wanted: Array, out: Array) -> None:
    for place, row in enumerate(wanted.tolist()):
        dataset.read_direct(out, np.s_[row], np.s_[place])


if __name__ == "__main__":
    raise SystemExit(main())
