"""Launchers: every task once, results as they come, errors at once."""

import os
import time

import pytest

from msavqa.launch import Launcher, in_turn, processes


def square(number: int) -> int:
    return number * number


def fail_at_two(number: int) -> int:
    if number == 2:
        raise ValueError("two")
    time.sleep(0.2)
    return number


def own_process(_: int) -> int:
    time.sleep(0.2)
    return os.getpid()


@pytest.mark.parametrize("launcher", [in_turn, processes(2)])
def test_every_task_is_run_once(launcher: Launcher) -> None:
    assert sorted(launcher(square, [1, 2, 3, 4])) == [1, 4, 9, 16]


def test_in_turn_runs_a_task_when_its_result_is_asked_for() -> None:
    seen: list[int] = []
    results = iter(in_turn(seen.append, [1, 2, 3]))
    next(results)
    assert seen == [1]


def test_processes_run_side_by_side_outside_this_one() -> None:
    used = set(processes(2)(own_process, range(4)))
    assert len(used) == 2
    assert os.getpid() not in used


def test_the_first_error_is_raised_and_waiting_tasks_are_dropped() -> None:
    started = time.monotonic()
    with pytest.raises(ValueError, match="two"):
        list(processes(1)(fail_at_two, [1, 2, *range(3, 200)]))
    assert time.monotonic() - started < 20
