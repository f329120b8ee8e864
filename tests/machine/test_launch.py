"""Launchers: every task once, results as they come, errors at once."""

import os
import pickle
import subprocess
import sys
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from msavqa.machine.launch import Kept, Launcher, in_turn, processes


def square(number: int) -> int:
    return number * number


def fail_at_two(number: int) -> int:
    if number == 2:
        raise ValueError("two")
    time.sleep(0.2)
    return number


def meet(folder: Path) -> int:
    """Comes back when two processes are in here."""
    (folder / str(os.getpid())).touch()
    while len(list(folder.iterdir())) < 2:
        time.sleep(0.01)
    return os.getpid()


def sleep_long(folder: Path) -> None:
    (folder / str(os.getpid())).touch()
    time.sleep(600)


@dataclass
class Loads:
    """Loads something at its first call, as a network is loaded."""

    loaded: list[str] = field(default_factory=list)

    def __call__(self, task: int) -> tuple[int, str]:
        if not self.loaded:
            self.loaded.append(uuid.uuid4().hex)
        return os.getpid(), self.loaded[0]


def test_what_is_kept_is_made_once_and_stays_when_it_is_pickled() -> None:
    kept, calls = Kept[int](), list[int]()
    assert kept.made == ()
    for _ in range(2):
        assert kept.get(lambda: [calls.append(0), len(calls)][1]) == 1
    assert kept.made == (1,)
    copy: Kept[int] = pickle.loads(pickle.dumps(kept))  # noqa: S301
    assert copy.made == ()
    assert copy.get(lambda: 7) == 7


@pytest.mark.parametrize("launcher", [in_turn, processes(2)])
def test_every_task_is_run_once(launcher: Launcher) -> None:
    assert sorted(launcher(square, [1, 2, 3, 4])) == [1, 4, 9, 16]


def test_in_turn_runs_a_task_when_its_result_is_asked_for() -> None:
    seen: list[int] = []
    results = iter(in_turn(seen.append, [1, 2, 3]))
    next(results)
    assert seen == [1]


def test_processes_run_side_by_side_outside_this_one(tmp_path: Path) -> None:
    used = set(processes(2)(meet, [tmp_path] * 2))
    assert len(used) == 2
    assert os.getpid() not in used


def test_what_a_function_loads_serves_all_tasks_of_its_process() -> None:
    found = set(processes(2)(Loads(), range(8)))
    assert len(found) == len({process for process, _ in found})


def test_the_first_error_is_raised_and_waiting_tasks_are_dropped() -> None:
    started = time.monotonic()
    with pytest.raises(ValueError, match="two"):
        list(processes(1)(fail_at_two, [1, 2, *range(3, 200)]))
    assert time.monotonic() - started < 20


def test_processes_end_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(
        "import pathlib, sys\n"
        "from msavqa.machine.launch import processes\n"
        "from tests.machine.test_launch import sleep_long\n"
        "if __name__ == '__main__':\n"
        "    list(processes(2)(sleep_long, [pathlib.Path(sys.argv[1])] * 4))\n",
        encoding="utf-8",
    )
    workers = tmp_path / "workers"
    workers.mkdir()
    env = {**os.environ, "PYTHONPATH": os.getcwd()}
    with subprocess.Popen([sys.executable, script, workers], env=env, stderr=subprocess.DEVNULL) as parent:
        deadline = time.monotonic() + 60
        while (
            len(started := [int(file.name) for file in workers.iterdir()]) < 2 and time.monotonic() < deadline
        ):
            time.sleep(0.05)
        assert len(started) == 2
        parent.kill()
    deadline = time.monotonic() + 20
    while any(map(psutil.pid_exists, started)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(psutil.pid_exists, started))
