"""How a launcher's workers share work: shards that only sleep, empty tasks, bytes of a task.

    python -m benchmarks.scale_out          # a Ray cluster of this machine, its CPUs pretended
    python -m benchmarks.scale_out --workers 1 2 --shards 20 --seconds 0.2

Prints JSON. `ideal` is the time that so many workers need for the sleep alone, counted from when all are up
(each waits for the others first); `ms_per_empty_task` is with a function of 50 MB, once it has arrived.
"""

import argparse
import json
import math
import os
import pickle
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from msavqa.machine import launchers, ray_cluster
from msavqa.store.format import shard_key
from msavqa.store.shard import ShardTask

LARGE = 50_000_000
ROWS = 256
"""Of the largest shard that there is."""


@dataclass(frozen=True)
class Sleep:
    """Sleeps, and carries what a network's settings would weigh."""

    ballast: bytes = b""

    def __call__(self, seconds: float) -> None:
        time.sleep(seconds)


@dataclass(frozen=True)
class SleepTogether:
    """The first task of every worker waits until all are here; the others sleep."""

    folder: Path
    workers: int

    def __call__(self, seconds: float) -> bool:
        """Whether it was a task that waits (0 seconds)."""
        if seconds:
            time.sleep(seconds)
            return False
        (self.folder / str(os.getpid())).touch()
        while len(list(self.folder.iterdir())) < self.workers:
            time.sleep(0.001)
        return True


def main(argv: Sequence[str] | None = None) -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--shards", type=int, default=100, help="that sleep, for every number of workers")
    parser.add_argument("--seconds", type=float, default=0.5, help="that a shard sleeps")
    parser.add_argument("--tasks", type=int, default=2000, help="empty ones")
    given = parser.parse_args(argv)
    os.environ["MSAVQA_LAUNCHER"] = "ray:cpus=1"
    start(max(given.workers))
    sleeping = [
        slept(workers, most=max(given.workers), shards=given.shards, seconds=given.seconds)
        for workers in given.workers
    ]
    print(
        json.dumps(
            {
                "sleep": sleeping,
                "ms_per_empty_task": round(1000 * empty(given.tasks, most=max(given.workers)), 2),
                "bytes_of_a_shards_task": task_bytes(),
                "bytes_of_a_shards_task_with_known_rows": task_bytes(known=True),
            },
            indent=2,
        )
    )


def start(cpus: int) -> None:
    """A cluster of this machine that says it has so many CPUs: who sleeps needs none."""
    import ray

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    size = ray_cluster.OBJECT_STORE_BYTES
    ray.init("local", num_cpus=cpus, include_dashboard=False, object_store_memory=size, log_to_driver=False)


def slept(workers: int, *, most: int, shards: int, seconds: float) -> dict[str, float]:
    """Seconds for shards that sleep, by so many workers of a cluster with room for `most`, and the ideal."""
    os.environ["MSAVQA_LAUNCHER"] = f"ray:cpus={most // workers}"
    began = up = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        function = SleepTogether(Path(folder), workers)
        for waited in launchers.chosen()(function, [0.0] * workers + [seconds] * shards):
            if waited:
                up = time.monotonic()
    took, ideal = time.monotonic() - up, math.ceil(shards / workers) * seconds
    return {
        "workers": workers,
        "until_all_are_up": round(up - began, 2),
        "seconds": round(took, 3),
        "ideal": round(ideal, 3),
        "ratio": round(took / ideal, 3),
    }


def empty(tasks: int, *, most: int) -> float:
    """Seconds of one task that does nothing, with a function of 50 MB, by one worker, after its first."""
    os.environ["MSAVQA_LAUNCHER"] = f"ray:cpus={most}"
    answers = iter(launchers.chosen()(Sleep(os.urandom(LARGE)), [0.0] * (tasks + 1)))
    next(answers)
    began = time.monotonic()
    assert sum(1 for _ in answers) == tasks
    return (time.monotonic() - began) / tasks


def task_bytes(*, known: bool = False) -> int:
    """Of the largest shard's task; `known`: where all rows but one stand in an earlier shard."""
    ids = tuple(f"generator/{number:08d}-of-a-prompt.mp4" for number in range(ROWS))
    sha256s = tuple(os.urandom(32).hex() for _ in ids)
    key = shard_key(slots=ROWS, ids=ids, sha256s=sha256s)
    where = {place: (key, place) for place in range(1, ROWS)} if known else {}
    return len(pickle.dumps(ShardTask(key, ROWS, 0, ids, sha256s, where)))


if __name__ == "__main__":
    main()
