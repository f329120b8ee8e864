"""Reading compressed rows costs the memory of one row, however many are read."""

from pathlib import Path

import numpy as np
import psutil

from msavqa.store import shard_file
from msavqa.store.format import ArraySpec

ROWS, SHAPE = 64, (1024, 1024)
SPEC = ArraySpec("frames", ("video", "height", "width"), SHAPE, "uint8", compressed=True)


def test_rows_that_were_read_leave_no_pages_behind(tmp_path: Path) -> None:
    path = tmp_path / "0"
    row = np.random.default_rng(0).integers(0, 256, SHAPE, dtype=np.uint8)
    with path.open("wb") as file:
        for part in shard_file.buffers(np.broadcast_to(row, (ROWS, *SHAPE)), SPEC, slots=ROWS):
            file.write(part)
    opened = shard_file.ShardFile.open(path, SPEC, slots=ROWS, rows=ROWS)
    assert opened is not None
    out = np.empty((1, *SHAPE), np.uint8)
    opened.copy_row(0, out)
    before = psutil.Process().memory_info().rss
    for number in range(ROWS):
        opened.copy_row(number, out)
        np.testing.assert_array_equal(out[0], row)
    grown = psutil.Process().memory_info().rss - before
    assert path.stat().st_size > 60 * 2**20, "noise does not shrink"
    assert grown < 16 * 2**20
