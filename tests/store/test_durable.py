"""What a power cut or a kill leaves: whatever is renamed into its place is whole and on the disk."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from msavqa.store import read as store
from tests.stores import World

Event = tuple[str, Any]


@pytest.fixture
def events(monkeypatch: pytest.MonkeyPatch) -> list[Event]:
    """What was synced (its inode) and renamed (from, to), in order."""
    seen: list[Event] = []
    fsync, rename = os.fsync, os.rename

    def synced(descriptor: int) -> None:
        fsync(descriptor)
        seen.append(("sync", os.fstat(descriptor).st_ino))

    def renamed(source: Path, target: Path, **given: Any) -> None:
        files = [file.stat().st_ino for file in Path(source).rglob("*") if file.is_file()]
        folder = Path(source).stat().st_ino
        rename(source, target, **given)
        seen.append(("rename", (Path(target), folder, files, Path(target).parent.stat().st_ino)))

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "rename", renamed)
    return seen


def renames(events: list[Event]) -> Iterator[tuple[Path, int, list[int], int, set[int], set[int]]]:
    """Every rename of a new shard or store, with what was synced before and after it."""
    for place, (kind, what) in enumerate(events):
        if kind == "rename" and not what[0].name.endswith(".partial"):
            before, after = events[:place], events[place + 1 :]
            yield (
                *what,
                {inode for kind, inode in before if kind == "sync"},
                {inode for kind, inode in after if kind == "sync"},
            )


def test_every_file_is_on_the_disk_before_it_is_renamed_into_its_place(
    tmp_path: Path, events: list[Event]
) -> None:
    World(tmp_path).write()
    found = list(renames(events))
    assert len(found) == 3 + 1, "three shards and the store"
    for target, _, files, _, before, _ in found:
        assert files
        assert set(files) <= before, target


def test_names_are_on_the_disk_too(tmp_path: Path, events: list[Event]) -> None:
    World(tmp_path).write()
    for target, folder, _, parent, before, after in renames(events):
        assert folder in before, f"{target}: its own list of files"
        assert parent in after, f"{target}: that it is there"


def test_a_copied_file_is_on_the_disk_where_there_are_no_links(
    tmp_path: Path, events: list[Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(18, "another device")

    monkeypatch.setattr(os, "link", refuse)
    World(tmp_path).write()
    for target, _, files, _, before, _ in renames(events):
        assert set(files) <= before, target


def test_a_store_stands_whole_at_its_place_while_the_old_one_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path)
    world.write()
    world.ids.append("77")
    world.sha256s.append("new")
    rows = []

    def looking(function: Callable[..., None]) -> Callable[..., None]:
        def call(*given: Any, **named: Any) -> None:
            rows.append(len(store.open(world.path)))
            function(*given, **named)

        return call

    for name in ("unlink", "rmdir"):
        monkeypatch.setattr(os, name, looking(getattr(os, name)))
    world.write()
    assert shutil.rmtree.avoids_symlink_attacks, "it calls os.unlink and os.rmdir"
    assert rows.count(11) > 10, "the old store's files go when the new one stands"
    assert set(rows) <= {10, 11}
