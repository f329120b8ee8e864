"""A tiny store for tests: every row's values follow from its id and content, so that there is one truth.

Run as a program it writes that store, for tests that kill it. `python -m tests.stores OUT SECONDS WORKERS`
sleeps before each shard. `python -m tests.stores OUT --die-at-every-call` kills a copy of itself at every
call that changes the disk, runs again, and prints after which moments the store was not the same to the byte;
with `--over-a-store` an older store stands there, of other rows, which the run replaces.
"""

import hashlib
import itertools
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from msavqa.store import shards
from msavqa.store.shards import ArraySpec, RowResult, ShardResult

SPECS = (
    ArraySpec("tokens", ("video", "frame", "width"), (3, 8), "float16"),
    ArraySpec("length", ("video",), (), "int32"),
    ArraySpec("frames", ("video", "frame", "height", "width"), (3, 4, 4), "uint8", compressed=True),
)
ROWS_PER_SHARD = 4
SHARD_MB = ROWS_PER_SHARD * sum(spec.row_bytes for spec in SPECS) / 2**20
FINGERPRINT = {"cut": "pooled", "weights": {"sha256": "0123abcd"}}
ATTRIBUTES = {"architecture": {"heads": 2, "activation": "quick_gelu"}}
BAD = "bad"
"""Rows with this sha256 are quarantined."""


def row_values(row_id: str, sha256: str) -> dict[str, np.ndarray]:
    """The one truth of a row, by array."""
    seed = int.from_bytes(hashlib.sha256(f"{row_id} {sha256}".encode()).digest()[:8], "little")
    draw = np.random.default_rng(seed)
    return {
        "tokens": draw.normal(size=(3, 8)).astype(np.float16),
        "length": np.asarray(draw.integers(1, 77), dtype=np.int32),
        "frames": draw.integers(0, 8, (3, 4, 4), dtype=np.uint8),
    }


def compute_rows(
    ids: Sequence[str], sha256s: Sequence[str], seconds: float, rows: Sequence[int]
) -> ShardResult:
    """The compute function of the tiny store; at module level, so that other processes can run it."""
    time.sleep(seconds)
    values = [row_values(ids[row], sha256s[row]) for row in rows]
    results = [
        RowResult(
            frames=3,
            decoder="decord 0.6.0",
            error="no frames" if sha256s[row] == BAD else "",
            extra={
                "fps": 8.0 + int(ids[row]) / 4,
                "prompt": f"ball {ids[row]}",
                "note": None,
                "truncated": False,
            },
        )
        for row in rows
    ]
    return ShardResult({spec.name: np.stack([v[spec.name] for v in values]) for spec in SPECS}, results)


@dataclass
class World:
    """A folder with a store, its staging, and a list of rows that a test may change."""

    root: Path
    ids: list[str] = field(default_factory=lambda: [str(number) for number in range(10)])
    sha256s: list[str] = field(default_factory=lambda: [f"content{number}" for number in range(10)])
    computed: list[int] = field(default_factory=list)
    """Row numbers that were computed, over all writes."""

    @property
    def path(self) -> Path:
        return self.root / "features" / "tiny.zarr"

    @property
    def staging(self) -> Path:
        return self.root / ".msavqa"

    def compute(self, rows: Sequence[int]) -> ShardResult:
        self.computed.extend(rows)
        return compute_rows(self.ids, self.sha256s, 0.0, rows)

    def write(self, **changes: Any) -> shards.WriteReport:
        settings: dict[str, Any] = {
            "ids": self.ids, "sha256s": self.sha256s, "specs": SPECS, "fingerprint": FINGERPRINT,
            "attributes": ATTRIBUTES, "compute": self.compute, "shard_mb": SHARD_MB,
            "staging_root": self.staging,
        }  # fmt: skip
        self.path.parent.mkdir(exist_ok=True)
        return shards.write(changes.pop("path", self.path), **(settings | changes))

    def truth(self, name: str) -> np.ndarray:
        """What the array must hold, quarantined rows zero."""
        rows = [row_values(i, sha)[name] for i, sha in zip(self.ids, self.sha256s, strict=True)]
        return np.stack(
            [np.zeros_like(row) if sha == BAD else row for row, sha in zip(rows, self.sha256s, strict=True)]
        )


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below a folder with its bytes."""
    return {str(f.relative_to(folder)): f.read_bytes() for f in sorted(folder.rglob("*")) if f.is_file()}


def flip(file: Path, place: int = 3) -> None:
    """Flips a byte in place, as a disk does: every link has it, and no time stamp tells."""
    stamp, mode = file.stat(), file.stat().st_mode
    file.chmod(0o644)
    with file.open("r+b") as opened:
        opened.seek(place)
        (byte,) = opened.read(1)
        opened.seek(place)
        opened.write(bytes([byte ^ 0xFF]))
    file.chmod(mode)
    os.utime(file, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))


def same_as_fresh(world: World, fresh: World) -> bool:
    """Whether the store is byte for byte that of a first, uninterrupted run over the same rows."""
    fresh.ids, fresh.sha256s = world.ids, world.sha256s
    shutil.rmtree(fresh.staging, ignore_errors=True)
    shutil.rmtree(fresh.path, ignore_errors=True)
    fresh.write()
    return tree(world.path) == tree(fresh.path)


def write_slowly(root: Path, seconds: float, workers: int) -> None:
    """Writes the tiny store, waiting before each shard; more than one worker means other processes."""
    world = World(root)
    launcher = shards.processes(workers) if workers > 1 else shards.in_turn
    world.write(compute=partial(compute_rows, world.ids, world.sha256s, seconds), launcher=launcher)


def die_at_every_call(root: Path, *, over: bool) -> list[int]:
    """Kills a forked copy at the first, second, ... call that changes the disk; gives the harmful moments.

    `root/whole` holds the store of an uninterrupted run.
    """
    assert zarr.codecs  # imported before the fork, or every copy would spend its time on that
    os.fsync = lambda descriptor: None  # what a kill leaves does not depend on it, and the disk is slow
    harmed = []
    for moment in itertools.count(1):
        here = root / str(moment)
        here.mkdir()
        if over:
            older = World(here)
            World(here, [*older.ids[:5], "77"], [*older.sha256s[:5], "older"]).write()
        write = partial(write_slowly, here, 0.0, 1)
        if _in_a_copy(partial(_die_at, moment, write)) == 0:
            print(f"{moment - 1} moments")
            return harmed
        resumed = _in_a_copy(write) == 0
        left = list(here.rglob("*.partial"))
        if not resumed or left or tree(World(here).path) != tree(World(root / "whole").path):
            harmed.append(moment)
        shutil.rmtree(here)
    raise AssertionError("unreachable")


def _in_a_copy(work: Callable[[], None]) -> int:
    child = os.fork()
    if child == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return os.waitpid(child, 0)[1]


def _die_at(moment: int, work: Callable[[], None]) -> None:
    calls = itertools.count(1)

    def counted(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*given: Any, **named: Any) -> Any:
            if next(calls) == moment:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*given, **named)

        return call

    for name in ("open", "write", "fsync", "rename", "link", "mkdir", "unlink", "rmdir"):
        setattr(os, name, counted(getattr(os, name)))
    work()


if __name__ == "__main__":
    target, *rest = sys.argv[1:]
    if rest[0] == "--die-at-every-call":
        print(f"harmed: {die_at_every_call(Path(target), over='--over-a-store' in rest)}")
    else:
        write_slowly(Path(target), float(rest[0]), int(rest[1]))
