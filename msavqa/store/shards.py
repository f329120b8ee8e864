"""The write side of a store: shards computed one by one, each whole or not at all, joined in a store.

A shard's key is the content of its rows (ids and sha256s), and it is staged under that key (`staging.py`);
after a kill at any moment the next run finds whole shards only and continues. The finished store is made of
hardlinks to them. A changed or added video makes a new key; rows that another staged shard holds already are
taken from there, so that only what is new is computed. Missing shards are handed to a launcher, a callable
like `map` (`machine/launch.py`).

    report = shards.write(
        "features/sample/frame.zarr", ids=ids, sha256s=sha256s, specs=specs, fingerprint=fingerprint,
        attributes={"architecture": {...}}, compute=compute, shard_mb=128)
"""

import functools
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import Field

from msavqa.ground.params import Settings
from msavqa.machine.launch import Launcher, in_turn, processes
from msavqa.store import format as fmt
from msavqa.store import publish, staging
from msavqa.store.format import ArraySpec
from msavqa.store.publish import Cleaned, adopt, clean
from msavqa.store.shard import (
    Compute,
    RowResult,
    ShardDone,
    ShardResult,
    ShardTask,
    done_of,
    refused,
    require,
    write_shard,
)  # fmt: skip

__all__ = [
    "ArraySpec", "Cleaned", "Compute", "Launcher", "RowResult", "ShardDone", "ShardResult", "ShardTask",
    "StoreSettings", "WriteReport", "adopt", "clean", "in_turn", "processes", "write", "write_shard",
]  # fmt: skip


class StoreSettings(Settings):
    """Shared by the stages that write stores; no value here changes what a store holds."""

    shard_mb: float = Field(gt=0)  # MiB of one shard before compression: what a killed worker loses at most


@dataclass(frozen=True)
class WriteReport:
    """What a write did: rows and shards of the store, and how much of it had to be computed."""

    rows: int
    quarantined: int
    computed: int
    shards: int
    shards_made: int


def write(
    path: Path | str,
    *,
    ids: Sequence[str],
    sha256s: Sequence[str],
    specs: Sequence[ArraySpec],
    fingerprint: Mapping[str, object],
    attributes: Mapping[str, object],
    compute: Compute,
    shard_mb: int | float,
    staging_root: Path | None = None,
    launcher: Launcher = in_turn,
    on_progress: Callable[[ShardDone], None] | None = None,
) -> WriteReport:
    """Makes the store at `path`, computing only the rows that staging does not hold.

    Staging is `$DVC_ROOT/.msavqa` where no other root is given. `compute` is called for missing rows only (so
    load networks in it, not before) and must pickle where the launcher uses processes. `on_progress` hears of
    every shard, staged ones first. A store that stands at `path` is replaced. Memory: one shard per worker.
    Raises `MsavqaError` for rows or results that make no store, `MsavqaError` where there is no room (run
    again to continue), and whatever `compute` raises.
    """
    path, specs = Path(path), tuple(specs)
    _check_rows(path, ids, sha256s, specs)
    slots = fmt.rows_per_shard(specs, shard_mb=shard_mb)
    root = staging_root or staging.default_root()
    folder = root / fmt.staging_name(fingerprint=fingerprint, specs=specs)
    tell = on_progress or (lambda done: None)
    with staging.writing(folder):
        tasks = _tasks(ids, sha256s, slots=slots)
        missing, listed = [], set(staging.keys(folder))
        for task in tasks:
            # To ask for a name that is not there makes a file system remember that it is not.
            staged = staging.get(folder, task.key) if task.key in listed else None
            if staged is None:
                missing.append(task)
            else:
                tell(done_of(staged, computed=0))
        computed = 0
        work = functools.partial(write_shard, folder=folder, specs=specs, compute=compute)
        for done in launcher(work, _with_known_rows(missing, folder, keep={task.key for task in tasks})):
            computed += done.computed
            tell(done)
        staging.drop_retired(folder)
        shards = {task.key: require(folder, task.key) for task in tasks}
        publish.publish(
            path, folder=folder, shards=shards, specs=specs, fingerprint=fingerprint, attributes=attributes
        )
    quarantined = sum(done_of(staged, computed=0).quarantined for staged in shards.values())
    return WriteReport(len(ids), quarantined, computed, len(tasks), len(missing))


def _tasks(ids: Sequence[str], sha256s: Sequence[str], *, slots: int) -> list[ShardTask]:
    tasks = []
    for first in range(0, len(ids), slots):
        here, shas = tuple(ids[first : first + slots]), tuple(sha256s[first : first + slots])
        tasks.append(ShardTask(fmt.shard_key(slots=slots, ids=here, sha256s=shas), slots, first, here, shas))
    return tasks


def _with_known_rows(tasks: Sequence[ShardTask], folder: Path, *, keep: set[str]) -> list[ShardTask]:
    """The tasks, told where staged shards of an earlier list of videos hold some of their rows.

    Quarantined rows are not taken: computing the shard anyway is the moment to try them again.
    """
    if not tasks:
        return []
    where: dict[tuple[str, str], tuple[str, int]] = {}
    for key in [*staging.keys(folder), *staging.retired_keys(folder)]:
        staged = None if key in keep else staging.get(folder, key)
        for place, row in enumerate(staged.rows if staged else ()):
            if row["status"] == "ok":
                where[row["id"], row["sha256"]] = key, place
    known = [
        {place: where[row] for place, row in enumerate(zip(t.ids, t.sha256s, strict=True)) if row in where}
        for t in tasks
    ]
    return [replace(task, known=found) for task, found in zip(tasks, known, strict=True)]


def _check_rows(path: Path, ids: Sequence[str], sha256s: Sequence[str], specs: Sequence[ArraySpec]) -> None:
    if not ids or len(ids) != len(sha256s):
        got = f"{len(ids)} ids and {len(sha256s)} sha256s"
        raise refused(path, what="Rows", got=got, expected="one sha256 for every id, at least one")
    twice = [row_id for row_id, count in Counter(ids).items() if count > 1]
    if twice:
        raise refused(path, what="Rows", got=f"{twice[0]!r} more than once", expected="every id once")
    if len({spec.name for spec in specs}) != len(specs) or len({spec.axes[0] for spec in specs}) != 1:
        got = ", ".join(f"{spec.name} over {spec.axes[0]}" for spec in specs) or "none"
        raise refused(path, what="Arrays", got=got, expected="different names, the same first axis")
