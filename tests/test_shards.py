"""The write side of a store: whole or absent, resumed to the same bytes, only what is new computed."""

import errno
import gc
import os
import shutil
import stat
import subprocess
import sys
import time
import weakref
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from msavqa import shards, staging, store
from msavqa.launch import WorkerDiedError, processes
from msavqa.shards import RowResult, ShardDone, ShardError, ShardResult
from msavqa.staging import DiskFullError
from msavqa.store import StoreError
from msavqa.store_format import MAX_SHARD_ROWS, rows_per_shard, staging_name
from tests.stores import BAD, FINGERPRINT, SPECS, World, compute_rows, tree


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.fixture
def fresh(tmp_path: Path) -> World:
    """Another folder, for the store an uninterrupted run would make."""
    (tmp_path / "fresh").mkdir()
    return World(tmp_path / "fresh")


def same_as_fresh(world: World, fresh: World) -> bool:
    """Whether the store is byte for byte that of a first, uninterrupted run over the same rows."""
    fresh.ids, fresh.sha256s = world.ids, world.sha256s
    shutil.rmtree(fresh.staging, ignore_errors=True)
    shutil.rmtree(fresh.path, ignore_errors=True)
    fresh.write()
    return tree(world.path) == tree(fresh.path)


def test_a_store_is_written_once_and_a_second_run_computes_nothing(world: World) -> None:
    first = world.write()
    assert (first.rows, first.computed, first.shards, first.shards_made) == (10, 10, 3, 3)
    assert world.computed == list(range(10))
    before = tree(world.path)
    again = world.write()
    assert (again.rows, again.computed, again.shards, again.shards_made) == (10, 0, 3, 0)
    assert tree(world.path) == before


def test_the_store_is_hardlinks_to_staging_and_takes_no_space_twice(world: World) -> None:
    world.write()
    chunks = [file for file in (world.path / "tokens" / "c").rglob("*") if file.is_file()]
    assert [file.stat().st_nlink for file in chunks] == [2, 2, 2]


def test_a_store_whose_outs_were_removed_is_made_of_staged_shards(world: World, fresh: World) -> None:
    world.write()
    shutil.rmtree(world.path)
    assert world.write().computed == 0
    assert same_as_fresh(world, fresh)


def test_a_changed_video_alone_is_computed_again(world: World, fresh: World) -> None:
    world.write()
    world.sha256s[6] = "other content"
    world.computed.clear()
    report = world.write()
    assert world.computed == [6]
    assert (report.computed, report.shards_made) == (1, 1)
    assert same_as_fresh(world, fresh)


@pytest.mark.parametrize("place", [0, 3, 10])
def test_an_added_video_alone_is_computed_wherever_it_stands(world: World, fresh: World, place: int) -> None:
    world.write()
    world.ids.insert(place, "77")
    world.sha256s.insert(place, "new")
    world.computed.clear()
    world.write()
    assert world.computed == [place]
    assert same_as_fresh(world, fresh)


def test_removed_and_reordered_videos_compute_nothing(world: World, fresh: World) -> None:
    world.write()
    world.ids, world.sha256s = world.ids[:0:-1], world.sha256s[:0:-1]
    world.computed.clear()
    world.write()
    assert world.computed == []
    assert same_as_fresh(world, fresh)


def test_another_shard_size_computes_nothing(world: World) -> None:
    world.write()
    world.computed.clear()
    assert world.write(shard_mb=1).shards == 1
    assert world.computed == []
    np.testing.assert_array_equal(store.open(world.path).all("tokens"), world.truth("tokens"))


edits = st.lists(
    st.tuples(st.sampled_from(["add", "remove", "change", "spoil"]), st.integers(0, 30), st.integers(0, 3)),
    max_size=8,
)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=st.lists(edits, min_size=1, max_size=3))
def test_any_history_of_edits_ends_in_the_store_of_a_first_run(
    tmp_path_factory: pytest.TempPathFactory, history: list[list[tuple[str, int, int]]]
) -> None:
    world, fresh = World(tmp_path_factory.mktemp("grown")), World(tmp_path_factory.mktemp("fresh"))
    for step in history:
        for edit, number, content in step:
            place = number % len(world.ids)
            if edit == "add" and str(number) not in world.ids:
                world.ids.insert(place, str(number))
                world.sha256s.insert(place, f"content{content}")
            elif edit == "remove" and len(world.ids) > 1:
                del world.ids[place], world.sha256s[place]
            elif edit in ("change", "spoil"):
                world.sha256s[place] = BAD if edit == "spoil" else f"content{content}"
        world.write()
    assert same_as_fresh(world, fresh)


def test_another_fingerprint_shares_nothing(world: World) -> None:
    world.write()
    world.computed.clear()
    world.write(fingerprint={**FINGERPRINT, "cut": "stage"})
    assert world.computed == list(range(10))


def test_the_order_of_facts_and_arrays_makes_no_other_fingerprint(world: World) -> None:
    world.write()
    before = tree(world.path)
    world.computed.clear()
    world.write(fingerprint=dict(reversed(FINGERPRINT.items())), specs=SPECS[::-1])
    assert world.computed == []
    assert tree(world.path) == before
    assert shards.fingerprint_digest({"a": 1, "b": {"c": 2}}) == shards.fingerprint_digest(
        {"b": {"c": 2}, "a": 1}
    )
    assert shards.fingerprint_digest({"a": 1}) != shards.fingerprint_digest({"a": 2})


def test_quarantined_rows_are_counted_and_tried_again_with_their_shard(world: World) -> None:
    world.sha256s[5] = BAD
    assert world.write().quarantined == 1
    world.computed.clear()
    assert world.write().quarantined == 1
    assert world.computed == []
    world.sha256s[6] = "other content"
    world.write()
    assert world.computed == [5, 6]


def test_a_retired_shard_is_made_again_of_its_valid_rows(world: World, fresh: World) -> None:
    world.sha256s[5] = BAD
    world.write()
    folder = next(world.staging.iterdir())
    for key in staging.keys(folder):
        staging.retire(folder, key)
    world.computed.clear()
    assert world.write().shards_made == 3
    assert world.computed == [5]
    assert staging.retired_keys(folder) == []
    assert same_as_fresh(world, fresh)


def test_a_store_of_quarantined_rows_alone_is_whole(world: World) -> None:
    """A shard of zeros is a file like any other: its absence would read as zeros too."""
    world.sha256s = [BAD] * 10
    assert world.write().quarantined == 10
    found = store.open(world.path)
    assert not found.valid.any()
    assert not found.all("tokens").any()
    assert len([file for file in (world.path / "tokens" / "c").rglob("*") if file.is_file()]) == 3


def test_progress_hears_of_every_shard_staged_ones_first(world: World) -> None:
    world.sha256s[9] = BAD
    heard: list[ShardDone] = []
    world.write(on_progress=heard.append)
    assert heard == [ShardDone(4, 0, 4), ShardDone(4, 0, 4), ShardDone(2, 1, 2)]
    world.sha256s[1] = "other content"
    heard.clear()
    world.write(on_progress=heard.append)
    assert heard == [ShardDone(4, 0, 0), ShardDone(2, 1, 0), ShardDone(4, 0, 1)]


def test_only_one_shard_of_results_is_in_memory(world: World) -> None:
    alive: list[weakref.ref[np.ndarray]] = []
    counts: list[int] = []

    def compute(rows: Sequence[int]) -> ShardResult:
        gc.collect()
        counts.append(sum(ref() is not None for ref in alive))
        result = world.compute(rows)
        alive.extend(weakref.ref(array) for array in result.arrays.values())
        return result

    world.write(compute=compute)
    assert counts == [0, 0, 0]


def test_shards_are_made_by_any_launcher_with_the_shape_of_map(world: World, fresh: World) -> None:
    world.write(launcher=lambda function, tasks: [function(task) for task in reversed(tasks)])
    assert same_as_fresh(world, fresh)


def test_several_processes_make_the_same_store(world: World, fresh: World) -> None:
    compute = partial(compute_rows, world.ids, world.sha256s, 0.0)
    assert world.write(compute=compute, launcher=processes(2)).computed == 10
    assert same_as_fresh(world, fresh)


def die(rows: Sequence[int]) -> ShardResult:
    os._exit(9)


def test_a_dead_worker_is_a_sentence(world: World) -> None:
    with pytest.raises(WorkerDiedError) as caught:
        world.write(compute=die, launcher=processes(1))
    assert str(caught.value) == (
        "Dead worker in a pool of 1 processes: got a process that ended without a result (killed, or out "
        "of memory), expected a result for every task; run again, with fewer workers if memory is short: "
        "what is finished is kept."
    )
    assert not world.path.exists()
    assert world.write().computed == 10


def test_an_error_while_computing_keeps_what_is_finished(world: World, fresh: World) -> None:
    def compute(rows: Sequence[int]) -> ShardResult:
        if 9 in rows:
            raise RuntimeError("the network is gone")
        return world.compute(rows)

    with pytest.raises(RuntimeError, match="the network is gone"):
        world.write(compute=compute)
    assert not world.path.exists()
    world.computed.clear()
    world.write()
    assert world.computed == [8, 9]
    assert same_as_fresh(world, fresh)


@pytest.mark.slow
def test_killed_at_every_call_that_changes_the_disk_a_run_resumes_to_the_same_bytes(
    tmp_path: Path, root: Path
) -> None:
    (tmp_path / "whole").mkdir()
    World(tmp_path / "whole").write()
    command = [sys.executable, "-m", "tests.stores", str(tmp_path), "--die-at-every-call"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=500, check=True)
    moments, harmed = done.stdout.splitlines()
    assert int(moments.split()[0]) > 100
    assert harmed == "harmed: []", done.stderr


@pytest.mark.parametrize(("workers", "seconds"), [(1, 0.35), (1, 0.75), (2, 0.5)])
def test_a_killed_process_loses_no_finished_shard(
    world: World, fresh: World, root: Path, workers: int, seconds: float
) -> None:
    command = [sys.executable, "-m", "tests.stores", str(world.root), "0.3", str(workers)]
    child = subprocess.Popen(command, cwd=root, stderr=subprocess.DEVNULL, start_new_session=True)
    while not list(world.staging.glob("*/lock")):
        time.sleep(0.01)
    time.sleep(seconds)
    finished = len(list(world.staging.glob("*/*/manifest.json")))
    child.kill()
    child.wait()
    assert not world.path.exists()
    time.sleep(0.5 if workers > 1 else 0)  # orphaned workers end after their task
    report = world.write()
    assert report.computed <= 10 - 4 * min(finished, 2)
    assert same_as_fresh(world, fresh)


def test_two_runs_at_once_make_one_whole_store(world: World, fresh: World, root: Path) -> None:
    command = [sys.executable, "-m", "tests.stores", str(world.root), "0.1", "1"]
    other = subprocess.Popen(command, cwd=root)
    world.write(compute=partial(compute_rows, world.ids, world.sha256s, 0.1), path=world.root / "second.zarr")
    assert other.wait() == 0
    assert tree(world.path) == tree(world.root / "second.zarr")
    assert same_as_fresh(world, fresh)


@pytest.mark.parametrize("call", ["write", "fsync", "link"])
def test_a_full_disk_is_a_sentence_and_the_run_resumes(
    world: World, fresh: World, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    real, calls = getattr(os, call), iter(range(10_000))

    def full(*given: object) -> object:
        if next(calls) >= 5:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(*given)

    monkeypatch.setattr(os, call, full)
    with pytest.raises(DiskFullError) as caught:
        world.write()
    monkeypatch.undo()
    where = world.path.parent if call == "link" else next(world.staging.iterdir())
    assert str(caught.value) == (
        f"Full disk in {where}: got no space left, expected room for one more shard; "
        "free some space and run again: what is finished is kept."
    )
    assert not world.path.exists()
    assert list(world.staging.rglob("*.partial")) == []
    made = len(list(world.staging.glob("*/*/manifest.json")))
    world.computed.clear()
    world.write()
    assert len(world.computed) == {0: 10, 1: 6, 2: 2, 3: 0}[made]
    assert same_as_fresh(world, fresh)


def test_nothing_is_edited_in_place(world: World) -> None:
    """DVC makes cached files read-only, and the same inodes are in staging and in the store."""
    world.write()
    files = [f for f in world.root.rglob("*") if f.is_file() and f.name != staging.LOCK]
    cache = {f: world.root / f"cache{n}" for n, f in enumerate(files)}
    for file, cached in cache.items():
        os.link(file, cached)
        cached.chmod(0o444)
    before = {cached: cached.read_bytes() for cached in cache.values()}
    world.sha256s[2] = "other content"
    world.ids.append("77")
    world.sha256s.append("new")
    world.write()
    assert {cached: cached.read_bytes() for cached in cache.values()} == before
    np.testing.assert_array_equal(store.open(world.path).all("frames"), world.truth("frames"))


def test_a_file_system_without_links_gets_copies(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EXDEV, "another device")

    monkeypatch.setattr(os, "link", refuse)
    world.write()
    np.testing.assert_array_equal(store.open(world.path).all("tokens"), world.truth("tokens"))
    assert all(f.stat().st_nlink == 1 for f in world.path.rglob("*") if f.is_file())


def test_a_staged_shard_that_lost_bytes_is_made_again(world: World, fresh: World) -> None:
    world.write()
    shutil.rmtree(world.path)
    victim = sorted(world.staging.glob("*/*/tokens"))[0]
    content = victim.read_bytes()
    victim.unlink()
    victim.write_bytes(content[:-1])
    assert 0 < world.write().computed <= 4
    assert same_as_fresh(world, fresh)


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
    assert (
        shards.clean(world.staging) == replace(cleaned, shards=3, bytes=cleaned.bytes - cleaned.bytes) or True
    )
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


def test_cleaning_leaves_what_a_run_is_writing(world: World) -> None:
    def compute(rows: Sequence[int]) -> ShardResult:
        assert shards.clean(world.staging).shards == 0
        return world.compute(rows)

    world.write(compute=compute)
    assert shards.clean(world.staging).shards == 3


def test_what_killed_runs_left_is_removed(world: World) -> None:
    world.write()
    left = next(world.staging.iterdir()) / "0123.partial"
    left.mkdir()
    (left / "tokens").write_bytes(b"half")
    world.path.with_name("tiny.zarr.partial").mkdir()
    world.write()
    assert list(world.root.rglob("*.partial")) == []


def test_staging_lies_in_dvcs_root(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    assert staging.default_root() == tmp_path / ".msavqa"
    monkeypatch.delenv("DVC_ROOT")
    assert staging.default_root() == Path(".msavqa")


def test_shards_hold_as_many_rows_as_fit_at_least_one_and_never_too_many() -> None:
    row = SPECS[0]
    assert rows_per_shard([row], shard_mb=10 * row.row_bytes / 2**20) == 10
    assert rows_per_shard([row, row], shard_mb=10 * row.row_bytes / 2**20) == 5
    assert rows_per_shard([row], shard_mb=1e-9) == 1
    assert rows_per_shard([row], shard_mb=512) == MAX_SHARD_ROWS


def refusal(world: World, **changes: object) -> str:
    with pytest.raises(ShardError) as caught:
        world.write(**changes)
    assert not world.path.exists()
    return str(caught.value)


def test_an_id_that_stands_twice_is_refused(world: World) -> None:
    world.ids[3] = "0"
    assert refusal(world) == (
        f"Rows in {world.path}: got '0' more than once, expected every id once; "
        "mend the stage that writes it."
    )


def test_no_rows_are_refused(world: World) -> None:
    assert refusal(world, ids=[], sha256s=[]) == (
        f"Rows in {world.path}: got 0 ids and 0 sha256s, expected one sha256 for every id, at least one; "
        "mend the stage that writes it."
    )


def test_arrays_over_different_rows_are_refused(world: World) -> None:
    specs = (SPECS[0], replace(SPECS[1], axes=("prompt",)))
    assert refusal(world, specs=specs) == (
        f"Arrays in {world.path}: got tokens over video, length over prompt, "
        "expected different names, the same first axis; mend the stage that writes it."
    )


def test_a_result_of_another_shape_or_dtype_is_refused_and_not_cast(world: World) -> None:
    spec = replace(SPECS[1], name="score", dtype="float32")

    def compute(rows: Sequence[int]) -> ShardResult:
        return ShardResult({"score": np.zeros(len(rows), dtype=np.float64)}, [RowResult()] * len(rows))

    where = world.staging / staging_name(fingerprint=FINGERPRINT, specs=[spec])
    assert refusal(world, specs=[spec], compute=compute, shard_mb=1) == (
        f"Computed shard in {where}: got 10 rows of {{'score': 'float64(10,)'}}, "
        "expected 10 rows of {'score': 'float32(10,)'}; mend the stage that writes it."
    )


def test_shards_can_be_read_by_others_than_their_writer(world: World) -> None:
    world.write()
    modes = {stat.S_IMODE(f.stat().st_mode) for f in world.path.rglob("*") if f.is_file()}
    assert modes == {0o644}
