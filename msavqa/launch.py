"""Launchers: how one function runs over many tasks, in this process, in several, or on a cluster.

A launcher is any callable with `map`'s shape: `launcher(function, tasks)` runs `function(task)` for every
task and yields results in any order. Tasks and extraction's functions can be pickled, every task is
idempotent, and the only thing shared is the file system; so a cluster's launcher needs no more than this
file's ten lines. Decoding's function holds worker processes of its own and runs in threads beside them.
"""

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any

from msavqa.errors import MsavqaError

Launcher = Callable[[Callable[[Any], Any], Sequence[Any]], Iterable[Any]]

in_turn: Launcher = map
"""One task after the other in this process: for what keeps all cores or the device busy by itself."""


class WorkerDiedError(MsavqaError):
    """A worker process ended without a word, for instance for lack of memory."""


def processes(count: int) -> Launcher:
    """A launcher of `count` fresh processes, one task each at a time; the first error stops all.

    They end with the process that started them, however it ends.
    """

    def launch(function: Callable[[Any], Any], tasks: Sequence[Any]) -> Iterator[Any]:
        # A forked child may inherit a lock that nobody will release.
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(count, mp_context=context, initializer=end_with_parent) as pool:
            futures = [pool.submit(function, task) for task in tasks]
            with ending(pool, count):
                for future in as_completed(futures):
                    yield future.result()

    return launch


@contextmanager
def ending(pool: ProcessPoolExecutor, count: int) -> Iterator[None]:
    """Whatever ends the block, tasks that wait are dropped; a process that died is a `WorkerDiedError`."""
    try:
        yield
    except BrokenProcessPool as error:
        raise WorkerDiedError(
            what="Dead worker",
            where=f"a pool of {count} processes",
            got="a process that ended without a result (killed, or out of memory)",
            expected="a result for every task",
            next_step="run again, with fewer workers if memory is short: what is finished is kept",
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def end_with_parent() -> None:
    """Ends this process, spawned by multiprocessing, when its parent is gone, even in the midst of a task."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_after, args=(parent.join,), daemon=True).start()


def _end_after(wait: Callable[[], None]) -> None:
    wait()  # for the end of a pipe that only the parent holds open
    os._exit(1)
