"""What workers of a real Ray cluster are given in tests, and a driver of its own for tests that kill it.

`python -m tests.machine.ray_work FOLDER SECONDS` writes the tiny store, waiting before each shard; every
worker leaves its number in FOLDER/workers.
"""

import os
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from msavqa.ground.errors import MsavqaError
from msavqa.machine import launch, launchers
from msavqa.store.shards import ShardResult, WriteReport
from tests.stores import World, compute_rows

REFUSAL = MsavqaError(what="Video", where="v", got="noise", expected="a film", next_step="film it")


def square(number: int) -> int:
    return number * number


def sizes(task: int) -> tuple[int, str, str]:
    return launch.cpus(99), os.environ["OMP_NUM_THREADS"], os.getcwd()


def refuse(task: int) -> None:
    raise REFUSAL


def deadly(task: int) -> int:
    """The task 2 takes its worker along, always."""
    if task == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return task


def where(seconds: float) -> str:
    """The address of the node that it runs on."""
    import ray

    time.sleep(seconds)
    return str(ray.util.get_node_ip_address())


@dataclass(frozen=True)
class TinyRows:
    """The rows of the tiny store; its worker is killed in the midst of the first shard that anybody makes."""

    ids: Sequence[str]
    sha256s: Sequence[str]
    folder: Path
    seconds: float = 0.0
    killing: bool = False

    def __call__(self, rows: Sequence[int]) -> ShardResult:
        (self.folder / "workers").mkdir(exist_ok=True)
        (self.folder / "workers" / str(os.getpid())).touch()
        if self.killing:
            try:
                (self.folder / "killed").touch(exist_ok=False)
            except FileExistsError:
                pass
            else:
                os.kill(os.getpid(), signal.SIGKILL)
        return compute_rows(self.ids, self.sha256s, self.seconds, rows)


def write(folder: Path, **how: Any) -> WriteReport:
    """The tiny store below a folder, by the launcher that the environment asks for."""
    world = World(folder)
    compute = TinyRows(world.ids, world.sha256s, folder, **how)
    return world.write(compute=compute, launcher=launchers.chosen())


if __name__ == "__main__":
    write(Path(sys.argv[1]), seconds=float(sys.argv[2]))
