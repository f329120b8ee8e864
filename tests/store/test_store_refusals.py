"""A store that is not whole, not ours or not the one that was meant is refused in one sentence."""

import json
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import zarr

from msavqa.store import read as store
from msavqa.store.read import StoreError
from tests.stores import BAD, FINGERPRINT, World


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    made = World(tmp_path_factory.mktemp("store"))
    made.sha256s[5] = BAD
    made.write()
    return made


@pytest.fixture
def copy(world: World, tmp_path: Path) -> Path:
    """A copy of the store that a test may harm."""
    return Path(shutil.copytree(world.path, tmp_path / "copy.zarr"))


def refusal(path: Path, **expect: object) -> str:
    with pytest.raises(StoreError) as caught:
        store.open(path, expect=expect or None)
    return str(caught.value)


def test_a_store_that_is_not_there_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "none.zarr"
    assert refusal(path) == (
        f"Incomplete store in {path}: got no such store, expected a finished store; "
        "run `dvc repro` or `dvc pull` to get it whole."
    )


@pytest.mark.parametrize("name", ["zarr.json", "shards.json", "rows.parquet"])
def test_a_half_written_store_is_refused(copy: Path, name: str) -> None:
    (copy / name).unlink()
    assert refusal(copy) == (
        f"Incomplete store in {copy}: got no {name}, expected a finished store; "
        "run `dvc repro` or `dvc pull` to get it whole."
    )


def test_a_truncated_shard_is_refused(copy: Path) -> None:
    file = copy / "tokens" / "c" / "1" / "0" / "0"
    whole = file.read_bytes()
    file.write_bytes(whole[:-10])
    assert refusal(copy) == (
        f"Truncated store in {file}: got {len(whole) - 10} bytes, expected {len(whole)} bytes; "
        "run `dvc repro` or `dvc pull` to get it whole."
    )


def test_a_missing_shard_is_refused_and_not_read_as_zeros(copy: Path) -> None:
    file = copy / "frames" / "c" / "2" / "0" / "0" / "0"
    size = file.stat().st_size
    file.unlink()
    assert refusal(copy) == (
        f"Truncated store in {file}: got no such file, expected {size} bytes; "
        "run `dvc repro` or `dvc pull` to get it whole."
    )


def test_a_store_of_another_fingerprint_is_refused_with_both_values(world: World) -> None:
    assert refusal(world.path, cut="tokens", weights={"sha256": "ffff"}, precision="bf16") == (
        f"Another fingerprint in {world.path}: got cut 'pooled', precision '(absent)', "
        "weights.sha256 '0123abcd', expected cut 'tokens', precision 'bf16', weights.sha256 'ffff'; "
        "run `dvc repro` to make the store that the settings ask for."
    )


def test_facts_that_are_not_asked_for_may_have_any_value(world: World) -> None:
    assert store.open(world.path, expect={"cut": "pooled"}).fingerprint == FINGERPRINT


def test_a_missing_array_is_refused(world: World) -> None:
    with pytest.raises(StoreError) as caught:
        store.open(world.path).read("stage", [0])
    assert str(caught.value) == (
        f"Missing array in {world.path}: got arrays frames, length, tokens, expected 'stage'; "
        "choose a cut in params.yaml that caches it and run `dvc repro`."
    )


def test_missing_rows_are_refused(world: World) -> None:
    with pytest.raises(StoreError) as caught:
        store.open(world.path).index(["3", "a", "b", "c", "d"])
    assert str(caught.value) == (
        f"Missing rows in {world.path}: got no row for 4 of 5 ids ('a', 'b', 'c', ...), "
        "expected a row for every id; run `dvc repro` so that the store follows the manifest."
    )


def test_a_table_that_lost_rows_is_refused(copy: Path) -> None:
    pq.write_table(pq.read_table(copy / "rows.parquet").slice(0, 7), copy / "rows.parquet")
    assert refusal(copy) == (
        f"Missing rows in {copy}: got 7 rows in rows.parquet, expected 10 rows, as shards.json records; "
        "run `dvc repro` or `dvc pull` to get it whole."
    )


def test_a_table_that_is_no_table_is_refused(copy: Path) -> None:
    (copy / "rows.parquet").write_bytes(b"PAR1")
    assert refusal(copy).startswith(f"Damaged store in {copy}: got rows.parquet: ")


def test_another_programs_zarr_group_is_refused(tmp_path: Path) -> None:
    zarr.create_group(tmp_path / "other.zarr")
    (tmp_path / "other.zarr" / "shards.json").write_text("{}")
    assert refusal(tmp_path / "other.zarr") == (
        f"Unknown store format in {tmp_path / 'other.zarr'}: got None, expected 1; "
        "run `dvc repro` or `dvc pull` to get it whole."
    )


@pytest.mark.parametrize("harm", ["{", "[]", '{"format": 1}'])
def test_a_damaged_list_of_shards_is_refused(copy: Path, harm: str) -> None:
    (copy / "shards.json").write_text(harm)
    assert refusal(copy).startswith(f"Damaged store in {copy}: got ")


def test_an_array_cannot_lead_out_of_the_store(copy: Path) -> None:
    text = (copy / "zarr.json").read_text()
    data = json.loads(text)
    arrays = data["consolidated_metadata"]["metadata"]
    arrays["../../elsewhere"] = arrays.pop("tokens")
    (copy / "zarr.json").write_text(json.dumps(data))
    assert refusal(copy) == (
        f"Damaged store in {copy}: got array name '../../elsewhere': expected lower-case letters, digits "
        "and _, expected the metadata of a finished store; run `dvc repro` or `dvc pull` to get it whole."
    )


def test_a_flipped_byte_in_an_index_is_found_on_reading(copy: Path) -> None:
    file = copy / "tokens" / "c" / "0" / "0" / "0"
    raw = bytearray(file.read_bytes())
    raw[-20] ^= 1
    file.write_bytes(raw)
    with pytest.raises(StoreError, match=f"Damaged file in {file}: got index crc32c [0-9a-f]{{8}}, expected"):
        store.open(copy).all("tokens")


def test_a_damaged_compressed_row_is_found_on_reading(copy: Path) -> None:
    file = copy / "frames" / "c" / "0" / "0" / "0" / "0"
    file.write_bytes(b"\0" * 8 + file.read_bytes()[8:])
    found = store.open(copy)
    with pytest.raises(StoreError, match=f"{file}: got .* in row 0, expected a whole zstd frame; "):
        found.read("frames", [0])
    assert found.read("frames", [1]).any()


@pytest.mark.parametrize("row", [-1, 10])
def test_a_row_outside_the_store_is_an_index_error(world: World, row: int) -> None:
    with pytest.raises(IndexError, match="of a store with 10 rows"):
        store.open(world.path).read("tokens", [0, row])
