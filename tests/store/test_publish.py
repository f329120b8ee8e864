"""A finished store is links to staged shards; a store can go back there, and staging be cleaned."""

import shutil
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from msavqa.store import read as store
from msavqa.store import shards, staging
from msavqa.store.read import StoreError
from msavqa.store.shards import Cleaned, ShardResult
from tests.stores import BAD, FINGERPRINT, World, same_as_fresh


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.fixture
def fresh(tmp_path: Path) -> World:
    """Another folder, for the store an uninterrupted run would make."""
    (tmp_path / "fresh").mkdir()
    return World(tmp_path / "fresh")


def test_the_store_is_hardlinks_to_staging_and_takes_no_space_twice(world: World) -> None:
    world.write()
    chunks = [file for file in (world.path / "tokens" / "c").rglob("*") if file.is_file()]
    assert [file.stat().st_nlink for file in chunks] == [2, 2, 2]


def test_a_store_whose_outs_were_removed_is_made_of_staged_shards(world: World, fresh: World) -> None:
    world.write()
    shutil.rmtree(world.path)
    assert world.write().computed == 0
    assert same_as_fresh(world, fresh)


def test_a_store_of_quarantined_rows_alone_is_whole(world: World) -> None:
    """A shard of zeros is a file like any other: its absence would read as zeros too."""
    world.sha256s = [BAD] * 10
    assert world.write().quarantined == 10
    found = store.open(world.path)
    assert not found.valid.any()
    assert not found.all("tokens").any()
    assert len([file for file in (world.path / "tokens" / "c").rglob("*") if file.is_file()]) == 3


def test_a_colleagues_store_can_be_adopted(world: World, fresh: World) -> None:
    fresh.write()
    assert shards.adopt(fresh.path, staging_root=world.staging) == 3
    assert shards.adopt(fresh.path, staging_root=world.staging) == 0
    world.ids.append("77")
    world.sha256s.append("new")
    world.write()
    assert world.computed == [10]
    assert same_as_fresh(world, fresh)


def test_a_damaged_store_is_not_adopted(world: World, fresh: World) -> None:
    fresh.write()
    victim = fresh.path / "tokens" / "c" / "0" / "0" / "0"
    content = bytearray(victim.read_bytes())
    content[7] ^= 1
    victim.unlink()
    victim.write_bytes(content)
    with pytest.raises(
        StoreError, match=f"Damaged file in {victim}: got sha256 [0-9a-f]+, expected [0-9a-f]+; "
    ):
        shards.adopt(fresh.path, staging_root=world.staging)
    assert world.write().computed == 10


def test_cleaning_keeps_what_the_named_stores_hold(world: World, fresh: World) -> None:
    world.write()
    world.sha256s[2] = "other content"
    world.write()
    world.write(path=world.root / "stage.zarr", fingerprint={**FINGERPRINT, "cut": "stage"})
    cleaned = shards.clean(world.staging, keep=[world.path])
    assert cleaned.shards == 1 + 3
    assert cleaned.bytes > 0
    assert len(list(world.staging.iterdir())) == 1
    world.computed.clear()
    world.write()
    assert world.computed == []
    manifests = sum(file.stat().st_size for file in world.staging.glob("*/*/manifest.json"))
    assert shards.clean(world.staging) == Cleaned(shards=3, bytes=manifests)
    assert list(world.staging.iterdir()) == []
    np.testing.assert_array_equal(store.open(world.path).all("tokens"), world.truth("tokens"))
    assert same_as_fresh(world, fresh)


def test_cleaning_reaches_roots_within_a_root_and_drops_other_content_of_a_kept_key(world: World) -> None:
    def other(rows: Sequence[int]) -> ShardResult:
        result = world.compute(rows)
        result.arrays["tokens"][:] = 1
        return result

    world.write(staging_root=world.staging / "newer code")
    world.write(staging_root=world.staging / "older code", compute=other, path=world.root / "older.zarr")
    assert shards.clean(world.staging, keep=[world.path]).shards == 3
    assert world.write(staging_root=world.staging / "newer code").computed == 0
    assert list((world.staging / "older code").iterdir()) == []


def test_a_run_that_starts_while_a_folder_is_cleaned_waits_and_loses_nothing(world: World) -> None:
    folder = world.staging / "cleaned"
    with ThreadPoolExecutor(1) as thread:
        with staging.writing(folder):
            pass
        with staging.idle(folder) as idle:
            assert idle

            def write() -> bool:
                with staging.writing(folder):
                    return (folder / staging.LOCK).is_file()

            waiting = thread.submit(write)
            time.sleep(0.5)
            assert not waiting.done()
            shutil.rmtree(folder)
        assert waiting.result(timeout=60)


def test_cleaning_leaves_what_a_run_is_writing(world: World) -> None:
    def compute(rows: Sequence[int]) -> ShardResult:
        assert shards.clean(world.staging).shards == 0
        return world.compute(rows)

    world.write(compute=compute)
    assert shards.clean(world.staging).shards == 3
