"""What is in a store, and that nothing in it can change unnoticed."""

import dataclasses
import io
import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from msavqa.app.features import look
from msavqa.store import read as store
from msavqa.store.shards import RowResult, ShardResult
from tests.stores import ATTRIBUTES, BAD, FINGERPRINT, World


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    made = World(tmp_path_factory.mktemp("info"))
    made.sha256s[5] = BAD
    made.write()
    return made


@pytest.fixture
def copy(world: World, tmp_path: Path) -> Path:
    return Path(shutil.copytree(world.path, tmp_path / "copy.zarr"))


def test_info_is_plain_data(world: World) -> None:
    shown = dataclasses.asdict(look.info(store.open(world.path)))
    assert json.loads(json.dumps(shown))["rows"] == 10
    assert (shown["valid"], shown["quarantined"], shown["errors"]) == (9, 1, {"no frames": 1})
    assert (shown["shards"], shown["rows_per_shard"]) == (3, 4)
    assert (shown["fingerprint"], shown["attributes"]) == (FINGERPRINT, ATTRIBUTES)
    tokens = shown["arrays"][2]
    assert (tokens["name"], tokens["shape"], tokens["dtype"]) == ("tokens", (10, 3, 8), "float16")
    assert tokens["axes"] == ("video", "frame", "width")
    assert tokens["bytes_in_memory"] == 10 * 3 * 8 * 2
    files = [file for file in (world.path / "tokens" / "c").rglob("*") if file.is_file()]
    assert tokens["bytes_on_disk"] == sum(file.stat().st_size for file in files)


def test_the_table_shows_shapes_rows_and_the_fingerprint(world: World) -> None:
    console = Console(file=io.StringIO(), width=120)
    console.print(look.table(look.info(store.open(world.path))))
    text = console.file.getvalue()
    for shown in (
        "10 × 3 × 8",
        "uint8, zstd",
        "10 (9 valid, 1 quarantined)",
        "1 × no frames",
        "weights.sha256",
    ):
        assert shown in text


def test_a_sound_store_has_no_problems(world: World) -> None:
    found = look.verify(store.open(world.path), sample=100, recompute=world.compute)
    assert found == look.Verified(files=7 + 9, rows_compared=9, max_abs_diff=0.0, problems=())


def files_of(folder: Path) -> list[str]:
    return [str(f.relative_to(folder)) for f in sorted(folder.rglob("*")) if f.is_file()]


def test_a_flipped_bit_is_found_wherever_it_is(world: World, tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    for name in files_of(world.path):
        for _ in range(60 if name == "shards.json" else 3):
            harmed = Path(shutil.copytree(world.path, tmp_path / "harmed.zarr"))
            raw = bytearray((harmed / name).read_bytes())
            place, bit = int(draw.integers(len(raw))), int(draw.integers(8))
            raw[place] ^= 1 << bit
            (harmed / name).write_bytes(raw)
            problems: Sequence[str] = ()
            try:
                problems = look.verify(store.open(harmed)).problems
            except store.StoreError as error:
                problems = [str(error)]
            assert problems, f"bit {bit} of byte {place} of {name}"
            shutil.rmtree(harmed)


def test_a_flipped_byte_is_a_sentence(copy: Path) -> None:
    file = copy / "tokens" / "c" / "0" / "0" / "0"
    raw = bytearray(file.read_bytes())
    raw[3] ^= 0xFF
    file.write_bytes(raw)
    (problem,) = look.verify(store.open(copy)).problems
    assert problem.startswith(f"Damaged file in {file}: got sha256 ")
    assert problem.endswith("; run `msavqa features verify` on its store and do what it says.")


def test_a_flipped_byte_in_an_index_is_found_by_its_crc_too(copy: Path) -> None:
    file = copy / "tokens" / "c" / "0" / "0" / "0"
    raw = bytearray(file.read_bytes())
    raw[-20] ^= 1
    file.write_bytes(raw)
    problems = look.verify(store.open(copy)).problems
    assert [problem.split(": got ")[1].split()[0] for problem in problems] == ["sha256", "index"]


def test_rows_that_compute_to_something_else_are_named(world: World) -> None:
    def other(rows: Sequence[int]) -> ShardResult:
        result = world.compute(rows)
        result.arrays["tokens"][0, 0, 0] += np.float16(0.5)
        return result

    found = look.verify(store.open(world.path), sample=2, recompute=other, seed=3)
    assert found.rows_compared == 2
    assert found.max_abs_diff == pytest.approx(0.5, abs=1e-2)
    (problem,) = found.problems
    assert problem.split(":")[0].startswith("row '")
    assert "array tokens: differs by 0.5" in problem
    loose = look.verify(store.open(world.path), sample=2, recompute=other, seed=3, tolerance=1.0)
    assert loose.problems == ()


def test_rows_of_a_damaged_shard_are_not_compared(copy: Path, world: World) -> None:
    file = copy / "tokens" / "c" / "0" / "0" / "0"
    raw = bytearray(file.read_bytes())
    raw[3] ^= 0xFF
    file.write_bytes(raw)
    opened = store.open(copy)
    found = look.verify(opened, sample=len(opened), recompute=world.compute)
    assert [problem.split(":")[0] for problem in found.problems] == [f"Damaged file in {file}"]
    assert found.rows_compared == int(opened.valid[opened.rows_per_shard :].sum())


def test_rows_that_no_longer_compute_are_named(world: World) -> None:
    def broken(rows: Sequence[int]) -> ShardResult:
        result = world.compute(rows)
        return ShardResult(result.arrays, [RowResult(error="no such file") for _ in rows])

    found = look.verify(store.open(world.path), sample=1, recompute=broken)
    (problem,) = found.problems
    assert problem.endswith("stored as valid, computes to an error now: no such file")
