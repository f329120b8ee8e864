"""A hung or crashed worker costs one item; nothing of the program that started it gets into a worker."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import CancelledError, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt
import psutil
import pytest

from msavqa.ground.errors import MsavqaError
from msavqa.machine.processes import LostError, Pool


def act(what: str) -> str:
    if what == "crash":
        ctypes.string_at(0)
    if what == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "hang":
        time.sleep(600)
    if what == "hang holding the lock":
        ctypes.PyDLL(None).sleep(600)
    if what == "exit":
        os._exit(3)
    if what == "bug":
        raise ValueError("not so\nfast")
    if what == "refuse":
        raise MsavqaError(what="A", where="b", got="c", expected="d", next_step="e")
    return what.upper()


def modules(_: object) -> list[str]:
    return sorted({name.split(".")[0] for name in sys.modules})


def array(size: int) -> npt.NDArray[np.uint8]:
    return np.arange(size, dtype=np.uint8)


def process_id(_: object) -> int:
    return os.getpid()


@pytest.mark.parametrize(
    ("bad", "got"),
    [
        ("crash", "a worker process that ended with SIGSEGV"),
        ("killed", "a worker process that ended with SIGKILL"),
        ("exit", "a worker process that ended with exit code 3"),
        ("hang", "no answer within 3 s"),
        ("hang holding the lock", "no answer within 3 s"),
    ],
)
def test_one_lost_worker_costs_one_item_and_says_why(bad: str, got: str) -> None:
    items = ["a", "b", bad, "c", "d", "e"]
    with Pool(act, workers=2, timeout_seconds=3, what="Video") as pool:
        outcomes = list(pool.map(items))
    assert [outcome.value for outcome in outcomes] == ["A", "B", None, "C", "D", "E"]
    assert isinstance(outcomes[2].error, LostError)
    assert str(outcomes[2].error) == (
        f"Video in {bad}: got {got}, twice, expected a result; "
        "look at that file, or allow it more seconds and memory."
    )


def die_once(where: Path) -> str:
    """Kills its process the first time that it is asked."""
    if not where.exists():
        where.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return "alive"


def test_an_item_whose_worker_died_is_tried_once_more(tmp_path: Path) -> None:
    with Pool(die_once, workers=1, timeout_seconds=30) as pool:
        outcomes = list(pool.map([tmp_path / "a", tmp_path / "b"]))
    assert [(outcome.value, outcome.error) for outcome in outcomes] == [("alive", None)] * 2


def test_a_refusal_comes_home_as_it_is_and_a_bug_with_its_name() -> None:
    with Pool(act, workers=1, timeout_seconds=5) as pool:
        refused, failed, fine = pool.map(["refuse", "bug", "fine"])
    assert str(refused.error) == "A in b: got c, expected d; e."
    expected = "Failure in bug: got ValueError: not so fast, expected a result; look at that file."
    assert str(failed.error) == expected
    assert fine.value == "FINE"


def test_a_worker_imports_what_its_function_needs_and_no_torch() -> None:
    import torch  # the parent has it

    assert torch
    with Pool(modules, workers=1, timeout_seconds=30) as pool:
        (outcome,) = pool.map([0])
    assert outcome.value is not None
    assert "numpy" in outcome.value
    assert "torch" not in outcome.value


def test_decoding_workers_need_no_torch_pandas_or_zarr() -> None:
    modules = "sys, msavqa.frames.decode, msavqa.machine.processes"
    code = f"import {modules}; print({{m.split('.')[0] for m in sys.modules}})"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert not {"torch", "pandas", "zarr", "scipy"} & set(eval(out))


def test_large_arrays_and_thousands_of_items_come_in_order() -> None:
    with Pool(array, workers=2, timeout_seconds=30) as pool:
        sizes = [5_000_000, 0, 3, *range(1000)]
        outcomes = list(pool.map(sizes))
    assert [len(outcome.value) for outcome in outcomes if outcome.value is not None] == sizes
    assert outcomes[0].value is not None
    np.testing.assert_array_equal(outcomes[0].value, array(5_000_000))


def test_items_are_taken_as_needed() -> None:
    taken = []

    def items() -> Iterator[str]:
        for number in range(100):
            taken.append(number)
            yield str(number)

    with Pool(act, workers=2, timeout_seconds=5) as pool:
        first = next(pool.map(items()))
    assert first.value == "0"
    assert len(taken) <= 6


def test_leaving_ends_the_workers_even_hung_ones_at_once() -> None:
    with Pool(process_id, workers=2, timeout_seconds=30) as pool:
        ids = {outcome.value for outcome in pool.map(range(8))}
    assert not any(psutil.pid_exists(one) for one in ids if one is not None)
    begun = time.monotonic()
    with Pool(act, workers=1, timeout_seconds=300) as hung:
        waiting = hung.map(["a", "hang", "b", "c", "d"])
        assert next(waiting).value == "A"
    assert time.monotonic() - begun < 20


def test_workers_leave_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(
        "from msavqa.machine.processes import Pool\n"
        "from tests.machine.test_workers import process_id, act\n"
        "pool = Pool(process_id, workers=1, timeout_seconds=10)\n"  # no `if __name__` needed
        "print(next(pool.map([0])).value, flush=True)\n"
        "import time; time.sleep(600)\n",
        encoding="utf-8",
    )
    env = {**os.environ, "PYTHONPATH": os.getcwd()}
    with subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True, env=env) as parent:
        assert parent.stdout is not None
        worker = int(parent.stdout.readline())
        assert psutil.pid_exists(worker)
        parent.kill()
        parent.wait()
        deadline = time.monotonic() + 40
        while psutil.pid_exists(worker) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not psutil.pid_exists(worker)


def test_closing_wakes_whoever_waits_for_an_outcome() -> None:
    pool = Pool(act, workers=1, timeout_seconds=300)
    with ThreadPoolExecutor(1) as thread:
        waiting = thread.submit(lambda: list(pool.map(["hang"])))
        time.sleep(1)
        begun = time.monotonic()
        pool.close()
        with pytest.raises(CancelledError):
            waiting.result()
    assert time.monotonic() - begun < 20
