"""The read side of a store: right rows in any order, and zarr reads the same."""

import pickle
import resource
import shutil
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path

import google_crc32c
import numpy as np
import pandas as pd
import pytest
import zarr

from msavqa.store import format as fmt
from msavqa.store import read as store
from msavqa.store.format import shard_path
from msavqa.store.shard_file import index_bytes
from tests.stores import ATTRIBUTES, BAD, FINGERPRINT, ROWS_PER_SHARD, SHARD_MB, SPECS, World

ARRAYS = [spec.name for spec in SPECS]


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


@pytest.mark.parametrize("name", ARRAYS)
def test_rows_come_in_the_order_asked_for_and_as_often(world: World, name: str) -> None:
    rows = [9, 0, 5, 0, 3]
    got = store.open(world.path).read(name, rows)
    np.testing.assert_array_equal(got, world.truth(name)[rows])
    assert got.dtype == world.truth(name).dtype


@pytest.mark.parametrize("name", ARRAYS)
def test_all_gives_the_whole_array_contiguous(world: World, name: str) -> None:
    found = store.open(world.path)
    whole = found.all(name)
    np.testing.assert_array_equal(whole, world.truth(name))
    assert whole.flags.c_contiguous
    assert whole.nbytes == found.nbytes(name)


def test_rows_can_be_read_into_an_array_that_is_there(world: World) -> None:
    found = store.open(world.path)
    out = np.empty((2, 3, 8), dtype=np.float16)
    assert found.read("tokens", np.array([1, 7]), out=out) is out
    np.testing.assert_array_equal(out, world.truth("tokens")[[1, 7]])
    with pytest.raises(ValueError, match=r"out is float32\(2, 3, 8\), rows are float16\(2, 3, 8\)"):
        found.read("tokens", [1, 7], out=np.empty((2, 3, 8), dtype=np.float32))


def test_no_rows_are_an_empty_array(world: World) -> None:
    assert store.open(world.path).read("tokens", []).shape == (0, 3, 8)


def test_a_quarantined_row_is_zeros_and_says_why(world: World) -> None:
    found = store.open(world.path)
    assert found.valid.tolist() == [row != 5 for row in range(10)]
    assert found.rows.loc[5, ["status", "error"]].tolist() == ["quarantined", "no frames"]
    assert not found.read("tokens", [5]).any()
    assert not found.read("frames", [5]).any()


def test_a_store_knows_its_rows_fingerprint_and_attributes(world: World) -> None:
    found = store.open(world.path, expect=FINGERPRINT)
    assert found.ids == world.ids
    assert found.fingerprint == FINGERPRINT
    assert found.attributes == ATTRIBUTES
    assert found.rows["fps"].tolist() == [8.0 + number / 4 for number in range(10)]
    assert list(found.rows.columns[:6]) == ["id", "sha256", "frames", "decoder", "status", "error"]
    assert found.index(pd.Series(["3", "0"])).tolist() == [3, 0]
    assert {name: found.specs[name] for name in ARRAYS} == {spec.name: spec for spec in SPECS}


def test_any_zarr_reader_opens_the_store_without_a_warning(world: World) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        group = zarr.open(str(world.path), mode="r")
        assert isinstance(group, zarr.Group)
        members = dict(group.arrays())
    valid = members.pop("valid")
    assert valid[:].tolist() == [row != 5 for row in range(10)]
    assert valid.metadata.dimension_names == ("video",)
    assert sorted(members) == sorted(ARRAYS)
    for spec in SPECS:
        array = members[spec.name]
        np.testing.assert_array_equal(array[:], world.truth(spec.name))
        assert array.metadata.dimension_names == spec.axes
        assert array.chunks == (1, *spec.shape)
        assert array.shards == (ROWS_PER_SHARD, *spec.shape)
        assert bool(array.compressors) == spec.compressed
    assert group.attrs["fingerprint"] == FINGERPRINT


@pytest.mark.parametrize("name", ARRAYS)
def test_zarr_itself_writes_the_same_bytes(world: World, tmp_path: Path, name: str) -> None:
    ours = zarr.open_array(str(world.path / name), mode="r")
    theirs = zarr.create_array(
        tmp_path / "theirs.zarr",
        shape=ours.shape, chunks=ours.chunks, shards=ours.shards, dtype=ours.dtype, filters=None,
        compressors=ours.compressors or None, dimension_names=ours.metadata.dimension_names,
        config={"write_empty_chunks": True},
    )  # fmt: skip
    theirs[:] = world.truth(name)
    files = [f.relative_to(world.path / name) for f in (world.path / name).rglob("*") if f.is_file()]
    assert len(files) == 1 + 3
    for file in files:
        assert (tmp_path / "theirs.zarr" / file).read_bytes() == (world.path / name / file).read_bytes(), file


def test_a_shard_whose_chunks_lie_in_another_order_is_read_through_zarr(world: World, copy: Path) -> None:
    spec = SPECS[0]
    file = shard_path(copy / "tokens", spec, 0)
    size = spec.row_bytes
    raw = file.read_bytes()
    swapped = raw[size : 2 * size] + raw[:size] + raw[2 * size : 4 * size]
    table = np.frombuffer(index_bytes([size] * 4, slots=4)[:-4], dtype="<u8").reshape(4, 2)[[1, 0, 2, 3]]
    file.write_bytes(swapped + with_crc(table.tobytes()))
    np.testing.assert_array_equal(store.open(copy).all("tokens"), world.truth("tokens"))


def with_crc(raw: bytes) -> bytes:
    return raw + google_crc32c.value(raw).to_bytes(4, "little")


def test_a_pickled_store_reads_and_carries_no_data(world: World) -> None:
    found = store.open(world.path)
    found.all("tokens")
    sent = pickle.dumps(found)
    assert len(sent) < 20_000
    np.testing.assert_array_equal(pickle.loads(sent).all("tokens"), world.truth("tokens"))  # noqa: S301


def test_a_store_that_is_another_where_it_arrives_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path)
    world.write()
    monkeypatch.setattr(fmt, "PATIENCE_SECONDS", 0.3)
    first = store.open(world.path)
    sent = pickle.dumps(first)
    world.sha256s[0] = "another content"
    world.write()
    now = store.open(world.path).digest
    with pytest.raises(store.StoreError) as refusal:
        pickle.loads(sent)  # noqa: S301
    assert str(refusal.value) == (
        f"Another store in {world.path}: got digest {now[:12]}, expected digest {first.digest[:12]}, as "
        "where the work was given out; see that all machines see the same folder, and that nothing else "
        "writes there."
    )
    shutil.rmtree(world.path)
    with pytest.raises(store.StoreError, match="Incomplete store"):
        pickle.loads(sent)  # noqa: S301


def test_a_store_that_is_seen_late_is_waited_for(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.write()
    sent = pickle.dumps(store.open(world.path))
    away = world.path.with_name("away")
    world.path.rename(away)
    threading.Timer(0.5, away.rename, [world.path]).start()
    assert len(pickle.loads(sent)) == 10  # noqa: S301


def test_threads_may_share_a_store(world: World) -> None:
    found = store.open(world.path)
    wrong: list[int] = []

    def read(seed: int) -> None:
        rows = np.random.default_rng(seed).integers(0, 10, 200)
        for name in ARRAYS:
            if not np.array_equal(found.read(name, rows), world.truth(name)[rows]):
                wrong.append(seed)

    threads = [threading.Thread(target=read, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.fixture
def few_descriptors() -> Iterator[None]:
    """A limit of 128 open files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (128, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.usefixtures("few_descriptors")
def test_a_store_of_more_shards_than_files_may_be_open_is_read(tmp_path: Path) -> None:
    many = [str(number) for number in range(150)]
    world = World(tmp_path, many, [f"content{number}" for number in many])
    assert world.write(shard_mb=1e-6).shards == 150
    found = store.open(world.path)
    order = np.random.default_rng(0).permutation(np.repeat(np.arange(150), 2))
    for name in ARRAYS:
        np.testing.assert_array_equal(found.read(name, order), world.truth(name)[order])
        np.testing.assert_array_equal(found.all(name), world.truth(name))


def test_the_shard_size_is_what_was_asked_for(world: World) -> None:
    assert store.open(world.path).rows_per_shard == ROWS_PER_SHARD
    assert SHARD_MB < 1
