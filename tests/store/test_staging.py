"""Whole or absent: a run that is killed, crowded out or starved of disk resumes to the same bytes."""

import errno
import os
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from msavqa.ground.errors import MsavqaError
from msavqa.machine.launch import processes
from msavqa.store import read as store
from msavqa.store import staging
from msavqa.store.shard_file import ShardFile
from msavqa.store.shards import ShardResult
from tests.stores import BAD, World, compute_rows, flip, same_as_fresh, tree


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.fixture
def fresh(tmp_path: Path) -> World:
    """Another folder, for the store an uninterrupted run would make."""
    (tmp_path / "fresh").mkdir()
    return World(tmp_path / "fresh")


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


def die(rows: Sequence[int]) -> ShardResult:
    os._exit(9)


def test_a_dead_worker_is_a_sentence(world: World) -> None:
    with pytest.raises(MsavqaError) as caught:
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
@pytest.mark.parametrize("over", [[], ["--over-a-store"]])
def test_killed_at_every_call_that_changes_the_disk_a_run_resumes_to_the_same_bytes(
    tmp_path: Path, root: Path, over: list[str]
) -> None:
    (tmp_path / "whole").mkdir()
    World(tmp_path / "whole").write()
    command = [sys.executable, "-m", "tests.stores", str(tmp_path), "--die-at-every-call", *over]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=500, check=True)
    moments, harmed = done.stdout.splitlines()
    assert int(moments.split()[0]) > 100
    assert harmed == "harmed: []", done.stderr


@pytest.mark.parametrize(("workers", "seconds"), [(1, 2.0), (1, 3.6), (2, 2.2)])
def test_a_killed_process_loses_no_finished_shard(
    world: World, fresh: World, root: Path, workers: int, seconds: float
) -> None:
    command = [sys.executable, "-m", "tests.stores", str(world.root), "1.5", str(workers)]
    child = subprocess.Popen(command, cwd=root, stderr=subprocess.DEVNULL, start_new_session=True)
    while not list(world.staging.glob("*/lock")):
        time.sleep(0.01)
    time.sleep(seconds)
    finished = len(list(world.staging.glob("*/*/manifest.json")))
    child.kill()
    child.wait()
    assert not world.path.exists()
    time.sleep(0.5 if workers > 1 else 0)  # workers end with their parent, within moments
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
    with pytest.raises(MsavqaError) as caught:
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


def test_a_disk_that_is_full_from_the_start_is_a_sentence(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    world.path.parent.mkdir()
    monkeypatch.setattr(os, "mkdir", full)
    with pytest.raises(MsavqaError, match=r"^Full disk in .*: got no space left, expected room for one "):
        world.write()
    monkeypatch.undo()
    assert world.write().computed == 10


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


@pytest.mark.parametrize("name", ["tokens", "frames"])
def test_rows_of_a_damaged_staged_shard_are_computed_and_not_copied(
    world: World, fresh: World, name: str
) -> None:
    world.write()
    (victim,) = (staged for staged in world.staging.glob(f"*/*/{name}") if '"0"' in rows_of(staged))
    flip(victim)
    world.ids.insert(2, "77")
    world.sha256s.insert(2, "new")
    world.computed.clear()
    world.write()
    assert world.computed == [0, 1, 2, 3, 4]  # of the damaged shard, and the new one; others are copied
    assert not victim.exists()
    assert same_as_fresh(world, fresh)


def test_rows_of_a_shard_that_lies_otherwise_are_computed(
    world: World, fresh: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.write()
    monkeypatch.setattr(ShardFile, "open", lambda *_, **__: None)
    world.ids.append("77")
    world.sha256s.append("new")
    world.computed.clear()
    world.write()
    monkeypatch.undo()
    assert world.computed == [8, 9, 10]
    assert same_as_fresh(world, fresh)


def rows_of(staged: Path) -> str:
    return (staged.parent / staging.MANIFEST).read_text()


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


def test_shards_can_be_read_by_others_than_their_writer(world: World) -> None:
    world.write()
    modes = {stat.S_IMODE(f.stat().st_mode) for f in world.path.rglob("*") if f.is_file()}
    assert modes == {0o644}
