"""A store as one HDF5 file and back: nothing is lost, and a stranger's file is refused."""

import re
from pathlib import Path

import h5py
import numpy as np
import pytest

from msavqa.app.features import hdf5
from msavqa.store import read as store
from msavqa.store.format import FORMAT
from msavqa.store.read import StoreError
from tests.stores import BAD, SPECS, World, flip, tree


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    made = World(tmp_path_factory.mktemp("hdf5"))
    made.sha256s[5] = BAD
    made.write()
    return made


@pytest.fixture
def file(world: World, tmp_path: Path) -> Path:
    hdf5.export_store(store.open(world.path), tmp_path / "tiny.h5")
    return tmp_path / "tiny.h5"


def test_a_round_trip_gives_the_same_store_to_the_byte(world: World, file: Path, tmp_path: Path) -> None:
    report = hdf5.import_store(file, tmp_path / "back.zarr", staging_root=tmp_path / "staging")
    assert (report.rows, report.quarantined) == (10, 1)
    assert tree(tmp_path / "back.zarr") == tree(world.path)


def test_an_imported_store_is_staged_so_that_a_grown_one_computes_only_the_new(
    world: World, file: Path, tmp_path: Path
) -> None:
    hdf5.import_store(file, tmp_path / "back.zarr", staging_root=tmp_path / "staging")
    grown = World(tmp_path, [*world.ids, "77"], [*world.sha256s, "new"])
    grown.write(staging_root=tmp_path / "staging")
    assert grown.computed == [10]


def test_an_import_without_a_staging_root_leaves_the_store_alone(
    world: World, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    hdf5.import_store(file, "back.zarr")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["back.zarr", "tiny.h5"]
    assert tree(tmp_path / "back.zarr") == tree(world.path)


def test_what_is_there_already_and_something_else_is_left_as_it_is(
    world: World, file: Path, tmp_path: Path
) -> None:
    thesis = tmp_path / "folder" / "thesis.txt"
    thesis.parent.mkdir()
    thesis.write_text("years of work", encoding="utf-8")
    sentence = (
        "expected a new name, or one that may be replaced; choose another name, or remove what is there."
    )
    for target in (thesis.parent, thesis):
        with pytest.raises(StoreError) as refusal:
            hdf5.import_store(file, target)
        assert str(refusal.value) == f"Target in {target}: got something that is no store, {sentence}"
    with pytest.raises(StoreError) as refusal:
        hdf5.export_store(store.open(world.path), thesis)
    assert str(refusal.value) == f"Target in {thesis}: got something that is no HDF5 file, {sentence}"
    assert thesis.read_text(encoding="utf-8") == "years of work"
    hdf5.export_store(store.open(world.path), file)


def test_a_folder_that_is_not_there_is_a_sentence(world: World, tmp_path: Path) -> None:
    with pytest.raises(StoreError) as refused:
        hdf5.export_store(store.open(world.path), tmp_path / "nowhere" / "a.h5")
    assert str(refused.value) == (
        f"Folder of the new file in {tmp_path / 'nowhere'}: got no folder that can be written to, expected "
        "one that is there; make it, or choose another place."
    )


def test_the_file_speaks_for_itself(world: World, file: Path) -> None:
    with h5py.File(file) as h5:
        for spec in SPECS:
            assert h5[spec.name].dtype == np.dtype(spec.dtype)
            assert tuple(dimension.label for dimension in h5[spec.name].dims) == spec.axes
            np.testing.assert_array_equal(h5[spec.name][:], world.truth(spec.name))
        assert h5["rows/id"].asstr()[:].tolist() == world.ids
        assert h5["rows/valid"][:].tolist() == [row != 5 for row in range(10)]
        assert h5["rows/fps"][:].tolist() == [8.0 + number / 4 for number in range(10)]
        assert '"cut":"pooled"' in h5.attrs["fingerprint"]


def test_no_half_written_file_is_left(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(store.Store, "read", stop)
    with pytest.raises(KeyboardInterrupt):
        hdf5.export_store(store.open(world.path), tmp_path / "tiny.h5")
    assert list(tmp_path.iterdir()) == []


def refusal(file: Path, tmp_path: Path) -> str:
    with pytest.raises(StoreError) as caught:
        hdf5.import_store(file, tmp_path / "back.zarr", staging_root=tmp_path / "staging")
    assert not (tmp_path / "back.zarr").exists()
    return str(caught.value)


def test_another_hdf5_file_is_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "other.h5", "w") as h5:
        h5["features"] = np.zeros(3)
    assert refusal(tmp_path / "other.h5", tmp_path) == (
        f"Not an exported store in {tmp_path / 'other.h5'}: got format None, expected a whole HDF5 file of "
        "format 1; ask for a file made by `msavqa features export`."
    )


def test_a_truncated_file_is_refused(file: Path, tmp_path: Path) -> None:
    file.write_bytes(file.read_bytes()[:-100])
    assert "truncated file" in refusal(file, tmp_path)


@pytest.mark.parametrize("name", [spec.name for spec in SPECS])
def test_a_flipped_byte_of_an_array_is_refused(file: Path, tmp_path: Path, name: str) -> None:
    with h5py.File(file) as h5:
        place = h5[name].id.get_chunk_info(3).byte_offset
    flip(file, place)
    assert refusal(file, tmp_path) == (
        f"Not an exported store in {file}: got Can't synchronously read data (filter returned failure during "
        f"read), expected a whole HDF5 file of format {FORMAT}; ask for a file made by `msavqa features "
        "export`."
    )


@pytest.mark.parametrize("text", [b"ball 3", b"0123abcd", b"quick_gelu"])
def test_a_flipped_byte_of_rows_or_attributes_is_refused(file: Path, tmp_path: Path, text: bytes) -> None:
    flip_bit(file, file.read_bytes().index(text) + 3)
    assert re.fullmatch(
        f"Not an exported store in {file}: got rows and attributes of sha256 [0-9a-f]{{64}}, expected a "
        f"whole HDF5 file of format {FORMAT}; ask for a file made by `msavqa features export`.",
        refusal(file, tmp_path),
    )


def flip_bit(file: Path, place: int) -> None:
    raw = bytearray(file.read_bytes())
    raw[place] ^= 1  # still text
    file.write_bytes(raw)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path / "none.h5", tmp_path) == (
        f"Not an exported store in {tmp_path / 'none.h5'}: got no such file, expected a whole HDF5 file of "
        "format 1; ask for a file made by `msavqa features export`."
    )


@pytest.mark.parametrize("column", ["rows", "rows/id"])
def test_a_file_without_its_rows_is_refused(file: Path, tmp_path: Path, column: str) -> None:
    with h5py.File(file, "a") as h5:
        del h5[column]
    assert refusal(file, tmp_path).startswith(f"Not an exported store in {file}: got ")


def test_a_file_that_leads_to_another_file_is_refused(file: Path, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "secret.h5", "w") as h5:
        h5["tokens"] = np.zeros((10, 3, 8), dtype=np.float16)
    with h5py.File(file, "a") as h5:
        del h5["tokens"]
        h5["tokens"] = h5py.ExternalLink(str(tmp_path / "secret.h5"), "tokens")
    assert refusal(file, tmp_path) == (
        f"Not an exported store in {file}: got a link to another file under 'tokens', expected a whole HDF5 "
        "file of format 1; ask for a file made by `msavqa features export`."
    )


def test_data_that_lies_in_another_file_is_refused(file: Path, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "secret.h5", "w") as h5:
        h5["tokens"] = np.zeros((10, 3, 8), dtype=np.float16)
    layout = h5py.VirtualLayout((10, 3, 8), dtype=np.float16)
    layout[:] = h5py.VirtualSource(str(tmp_path / "secret.h5"), "tokens", shape=(10, 3, 8))
    with h5py.File(file, "a") as h5:
        del h5["tokens"]
        h5.create_virtual_dataset("tokens", layout)
    assert "data of another file under 'tokens'" in refusal(file, tmp_path)
