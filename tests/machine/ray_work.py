"""What workers of a real Ray cluster are given in tests, and a driver of its own for tests that kill it.

`python -m tests.machine.ray_work FOLDER SECONDS [WORKERS]` writes the tiny store, waiting before each shard,
and begins when so many workers are there; every worker leaves its number in FOLDER/workers.
"""

import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from msavqa.ground.errors import MsavqaError
from msavqa.machine import launch, launchers, ray_actors
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
class Waits:
    """The address of the node that it runs on; once FOLDER/called is there, only when node `address` has run
    a task, too."""

    folder: Path
    address: str

    def __call__(self, task: int) -> str:
        here, joined = where(0.02), self.folder / "joined"
        if here == self.address:
            joined.touch()
        until = time.monotonic() + 120
        while (self.folder / "called").exists() and not joined.exists() and time.monotonic() < until:
            time.sleep(0.1)
        return here


def together(count: int) -> Callable[[Any], None]:
    """In the place of a run's `_hand_out`: nothing is given out before so many workers are there."""
    plain = ray_actors._Run._hand_out

    def hand_out(run: Any) -> None:
        if len(run._at) >= min(count, len(run._tasks)):
            plain(run)

    return hand_out


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
    signal.signal(signal.SIGINT, signal.default_int_handler)  # jobs of a shell's background ignore it
    if len(sys.argv) > 3:
        ray_actors._Run._hand_out = together(int(sys.argv[3]))  # type: ignore[method-assign]
    write(Path(sys.argv[1]), seconds=float(sys.argv[2]))
