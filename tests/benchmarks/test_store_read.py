"""The benchmark of random reads measures what it says, on a store of two shards."""

from pathlib import Path

from benchmarks import store_read


def test_every_way_reads_the_same_rows_and_is_given_a_rate(tmp_path: Path) -> None:
    figures = store_read.measure(tmp_path, 240, 4, 2, "cpu")
    rates = {name: value for name, value in figures.items() if name.endswith("_rows_s")}
    assert sorted(rates) == ["h5_rows_s", "memmap_rows_s", "store_rows_s", "zarr_rows_s"]
    assert all(float(rate) > 0 for rate in rates.values())
    assert float(figures["ratio"]) > 0
    assert figures["row_bytes"] == 16 * 50 * 768 * 2
