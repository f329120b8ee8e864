"""Launchers: how a function is run over many tasks, in turn here or in processes of its own."""

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

from msavqa.ground.errors import MsavqaError

Launcher = Callable[[Callable[[Any], Any], Sequence[Any]], Iterable[Any]]

T = TypeVar("T")
in_turn: Launcher = map
"""One task after the other in this process: for what keeps all cores or the device busy by itself."""


def processes(count: int, *, cpus: int | None = None) -> Launcher:
    """A launcher of `count` fresh processes, one task each at a time; the first error stops all.

    The function travels once to each process, not with every task: what it loads there, such as a network,
    serves all tasks of that process. They end with the process that started them, however it ends. `cpus` is
    what `cpus()` says there; None: what it is asked with.
    """

    def launch(function: Callable[[Any], Any], tasks: Sequence[Any]) -> Iterator[Any]:
        # A forked child may inherit a lock that nobody will release.
        context = multiprocessing.get_context("spawn")
        arguments = (function, cpus)
        with ProcessPoolExecutor(count, mp_context=context, initializer=_begin, initargs=arguments) as pool:
            futures = [pool.submit(_do, task) for task in tasks]
            with ending(pool, count):
                for future in as_completed(futures):
                    yield future.result()

    return launch


class Kept(Generic[T]):
    """What a function makes at its first call and keeps for the next ones, such as a loaded network.

    A pickled copy has made nothing yet, so the function can be sent to other processes. Safe to share between
    threads.
    """

    def __init__(self) -> None:
        self._made: list[T] = []
        self._lock = threading.Lock()

    def get(self, make: Callable[[], T]) -> T:
        """What was made, now by `make` if nothing was."""
        with self._lock:
            if not self._made:
                self._made.append(make())
            return self._made[0]

    @property
    def made(self) -> Sequence[T]:
        """What was made, to be closed; empty if nothing was."""
        return tuple(self._made)

    def __reduce__(self) -> tuple[object, ...]:
        return (Kept, ())


def cpus(default: int) -> int:
    """How many processes or threads may be busy here: what this process's launcher gave it, or `default`."""
    return _CPUS[0] if _CPUS else default


def give_cpus(count: int | None) -> None:
    """Says what `cpus()` gives in this process from here on, for launchers; None: its default."""
    _CPUS[:] = [] if count is None else [count]


_CPUS: list[int] = []
_GIVEN: list[Callable[[Any], Any]] = []
"""The function of this process, where a launcher has started it."""


def _begin(function: Callable[[Any], Any], cpus: int | None) -> None:
    _GIVEN[:] = [function]
    give_cpus(cpus)
    end_with_parent()


def _do(task: Any) -> Any:
    return _GIVEN[0](task)


@contextmanager
def ending(pool: ProcessPoolExecutor, count: int) -> Iterator[None]:
    """Whatever ends the block, tasks that wait are dropped; a process that died is a `MsavqaError`."""
    try:
        yield
    except BrokenProcessPool as error:
        raise MsavqaError(
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
