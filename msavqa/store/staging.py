"""Where shards wait until a store is finished: each whole or absent, kept between runs and experiments.

`<root>/<fingerprint>/<key>/` holds one shard: a file an array and `manifest.json`, written into a folder of
another name, synced, and renamed. Root is `$DVC_ROOT/.msavqa` (DVC sets DVC_ROOT for its stages, to the
parent repository in queued experiments). Nothing in it is ever edited: a finished store, and DVC's cache, may
be the same inodes.
"""

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from msavqa.ground.errors import MsavqaError, full_disk
from msavqa.store.format import FileRecord, ShardRecord, StoreError, check_content

MANIFEST = "manifest.json"
LOCK = "lock"
RETIRED = "-retired"
Row = Mapping[str, Any]
"""What is known of one row: id, sha256, frames, decoder, status, error and the store's own columns."""


@dataclass(frozen=True)
class Staged:
    """One shard in staging: its record and its rows."""

    record: ShardRecord
    slots: int
    """Rows a full shard of its store holds."""
    rows: tuple[Row, ...]


def default_root() -> Path:
    """`$DVC_ROOT/.msavqa`, or `.msavqa` in the working directory outside DVC."""
    return Path(os.environ.get("DVC_ROOT", ".")) / ".msavqa"


@contextlib.contextmanager
def shard(
    folder: Path, key: str, *, rows: Sequence[Row], slots: int, files: dict[str, FileRecord]
) -> Iterator[Path]:
    """Stages one shard: yields an empty folder for its files, whose records the caller puts into `files`.

    On leaving, the manifest is added and the folder appears under its key by one rename; where the key has
    appeared meanwhile (two runs may make the same shard) this copy is dropped. Raises `MsavqaError` where
    the disk is full: then, as after any error or kill, the shard is simply absent.
    """
    partial = folder / f"{key}.{uuid.uuid4().hex}.partial"
    with no_room(folder):
        try:
            partial.mkdir(parents=True)
            yield partial
            shown = {name: vars(file) for name, file in files.items()}
            manifest = json.dumps({"slots": slots, "files": shown, "rows": list(rows)})
            write_file(partial / MANIFEST, [manifest.encode()])
            sync_folder(partial)
            with contextlib.suppress(FileExistsError):
                _rename(partial, folder / key)
            sync_folder(folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def get(folder: Path, key: str) -> Staged | None:
    """The staged shard of that key, or None where it is absent or a file of it has lost bytes."""
    try:
        shown = json.loads((folder / key / MANIFEST).read_bytes())
        files = {name: FileRecord(**file) for name, file in shown["files"].items()}
        if any((folder / key / name).stat().st_size != file.bytes for name, file in files.items()):
            return None
    except (OSError, ValueError):
        return None
    return Staged(ShardRecord(len(shown["rows"]), files), shown["slots"], tuple(shown["rows"]))


def sound(folder: Path, key: str) -> Staged | None:
    """The staged shard of that key, every byte compared with its checksum; a damaged one is removed."""
    staged = get(folder, key)
    try:
        for name, file in staged.record.files.items() if staged else ():
            check_content(folder / key / name, file)
    except (StoreError, OSError):
        staged = None
    if staged is None:
        discard(folder, key)
    return staged


def discard(folder: Path, key: str) -> None:
    """Removes a staged shard (its bytes stay with every store that links to them)."""
    doomed = folder / f"{key}.{uuid.uuid4().hex}.partial"
    with contextlib.suppress(FileNotFoundError):
        (folder / key).rename(doomed)
        shutil.rmtree(doomed)


def retire(folder: Path, key: str) -> None:
    """Takes a staged shard out of use so that it is made again; rows that were valid in it serve for that."""
    discard(folder, key + RETIRED)
    with contextlib.suppress(FileNotFoundError):
        (folder / key).rename(folder / (key + RETIRED))


def drop_retired(folder: Path) -> None:
    """Removes every retired shard that has been made again."""
    for key in retired_keys(folder):
        if get(folder, key.removesuffix(RETIRED)) is not None:
            discard(folder, key)


def keys(folder: Path) -> list[str]:
    """The keys of all shards in use in a staging folder, sorted."""
    return [name for name in _names(folder) if not name.endswith(RETIRED)]


def retired_keys(folder: Path) -> list[str]:
    """The names under which retired shards wait, sorted."""
    return [name for name in _names(folder) if name.endswith(RETIRED)]


def link(source: Path, target: Path) -> None:
    """Hardlinks a staged file into a store; copies it where the file system cannot link."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source.resolve(), target)
    except OSError as error:
        if error.errno not in (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP, errno.EACCES):
            raise
        shutil.copyfile(source, target)
        with target.open("rb") as file:
            os.fsync(file.fileno())


def write_file(path: Path, buffers: Iterable[bytes | memoryview]) -> FileRecord:
    """Writes a new file and syncs it; returns its size and checksum, taken from what was to be written."""
    size, content = 0, hashlib.sha256()
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    try:
        for buffer in buffers:
            view = memoryview(buffer).cast("B")
            content.update(view)
            size += len(view)
            while view:
                view = view[os.write(descriptor, view) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return FileRecord(size, content.hexdigest())


def sync_folder(path: Path) -> None:
    """Makes the names in a folder survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def no_room(where: Path) -> Iterator[None]:
    """Turns "no space left" into a sentence that says what to do."""
    try:
        yield
    except OSError as error:
        if full_disk(error, where=where) is None:
            raise
        raise MsavqaError(
            what="Full disk",
            where=where,
            got="no space left",
            expected="room for one more shard",
            next_step="free some space and run again: what is finished is kept",
        ) from error


@contextlib.contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Marks a staging folder as in use; if nobody else does, removes what killed runs left half-written."""
    with _locked(folder):
        yield


@contextlib.contextmanager
def idle(folder: Path) -> Iterator[bool]:
    """Whether no run is writing to a staging folder; where none is, a run that starts waits for the end."""
    with (folder / LOCK).open("w") as lock:
        yield _lock(lock.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)


def _names(folder: Path) -> list[str]:
    if not folder.is_dir():
        return []
    return sorted(f.name for f in folder.iterdir() if f.is_dir() and not f.name.endswith(".partial"))


def _locked(folder: Path) -> IO[str]:
    """A staging folder's lock, held with others; one that a cleaning took away meanwhile is made anew."""
    while True:
        with no_room(folder), contextlib.suppress(FileNotFoundError):  # the folder went between two lines
            folder.mkdir(parents=True, exist_ok=True)
            lock = (folder / LOCK).open("w")
            if _lock(lock.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB):
                for left in folder.glob("*.partial"):
                    shutil.rmtree(left, ignore_errors=True)
            _lock(lock.fileno(), fcntl.LOCK_SH)
            if _still_at(folder / LOCK, lock):
                return lock
            lock.close()


def _still_at(path: Path, opened: IO[str]) -> bool:
    """Whether an open file is still the one at a path."""
    return path.exists() and os.path.samestat(os.fstat(opened.fileno()), path.stat())


def _lock(descriptor: int, kind: int) -> bool:
    """Whether the lock was had; a file system without locks has none to give, so nothing is cleaned there."""
    try:
        fcntl.flock(descriptor, kind)
    except OSError:
        return False
    return True


def _rename(source: Path, target: Path) -> None:
    """Renames a folder onto a free name; raises `FileExistsError` where the name is taken."""
    try:
        os.rename(source, target)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
            raise FileExistsError(target) from error
        raise
