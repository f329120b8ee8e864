"""One function over many items in processes of their own, each item with a wall-clock limit.

A decoder can hang, even holding Python's lock, or kill its process. Here that costs one item:

    with Pool(decode_one, workers=4, timeout_seconds=30, what="Video") as pool:
        for outcome in pool.map(paths):         # in the order of the paths
            outcome.value if outcome.error is None else str(outcome.error)

A worker is a fresh Python that imports the function's module and nothing of the program that started it, so
it neither inherits threads or locks nor loads torch for nothing. It leaves with its parent, hung or not.
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Generic, TypeVar, cast

from msavqa.ground.errors import MsavqaError
from msavqa.machine.channel import receive, send

T = TypeVar("T")
R = TypeVar("R")
START_SECONDS = 120.0
"""What a worker may take to start and import; not part of an item's limit."""


class LostError(MsavqaError):
    """An item whose worker hung or died, twice; the only failure that another run may not meet."""


@dataclass(frozen=True)
class Outcome(Generic[R]):
    """What became of one item: its value, or why there is none."""

    value: R | None
    error: MsavqaError | None

    def result(self) -> R:
        """The value, for whom one failure ends all: raises the error where there is none."""
        if self.error is not None:
            raise self.error
        return cast(R, self.value)


class Pool(Generic[T, R]):
    """Worker processes that run one function; safe to share between threads.

    The function, items and values have to pickle. A worker that hangs or dies is replaced and its item tried
    once more (another process may have taken its memory); then the item's error is a `LostError`. A refusal
    (`MsavqaError`) that the function raises is the item's error; any other exception is one too, named by its
    type. `what` is what errors call an item.
    """

    def __init__(
        self, function: Callable[[T], R], *, workers: int, timeout_seconds: int | float, what: str = "File"
    ) -> None:
        self._function, self._timeout, self._what = function, float(timeout_seconds), what
        self._closed = False
        self._ahead = 2 * workers
        self._mine = threading.local()
        self._started = deque[_Worker]()
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="worker")

    def __enter__(self) -> "Pool[T, R]":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends all workers at once; whoever still waits for an outcome gets a `CancelledError`."""
        self._closed = True
        self._threads.shutdown(wait=False, cancel_futures=True)
        for worker in list(self._started):
            worker.kill()
        self._threads.shutdown(wait=True)
        for worker in list(self._started):
            worker.close()

    def map(self, items: Iterable[T]) -> Iterator[Outcome[R]]:
        """Outcomes in the order of the items, which are taken as needed: two a worker under way at most."""
        waiting = deque[Future[Outcome[R]]]()
        try:
            for item in items:
                waiting.append(self._threads.submit(self._run, item))
                if len(waiting) > self._ahead:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()

    def _run(self, item: T) -> Outcome[R]:
        reason = ""
        for _ in range(2):
            if self._closed:
                raise CancelledError
            worker: _Worker | None = getattr(self._mine, "worker", None)
            if worker is None:
                worker = self._mine.worker = _Worker(self._function)
                self._started.append(worker)
                if self._closed:
                    raise CancelledError
            try:
                return worker.run(item, timeout_seconds=self._timeout)
            except _Gone as gone:
                if self._closed:
                    raise CancelledError from None
                reason = str(gone)
                worker.close()
                self._started.remove(worker)
                self._mine.worker = None
        error = LostError(
            what=self._what,
            where=item,
            got=f"{reason}, twice",
            expected="a result",
            next_step="look at that file, or allow it more seconds and memory",
        )
        return Outcome(None, error)


class _Gone(Exception):
    """Why a worker gave no answer, as half a sentence."""


class _Worker:
    """One process and the socket to it; used by one thread."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self._socket, other = socket.socketpair()
        with other:
            folders = [folder or os.getcwd() for folder in sys.path]
            self._process = subprocess.Popen(
                [sys.executable, "-m", __name__, str(other.fileno())],
                pass_fds=[other.fileno()],
                env={**os.environ, "PYTHONPATH": os.pathsep.join(folders)},
                stdin=subprocess.DEVNULL,
            )
        self._function, self._ready = function, False

    def run(self, item: Any, *, timeout_seconds: float) -> Outcome[Any]:
        """The item's outcome; raises `_Gone` after which this worker is no more."""
        if not self._ready:
            self._ask((self._function, timeout_seconds), seconds=START_SECONDS, doing="start")
            self._ready = True
        value, error = self._ask(item, seconds=timeout_seconds, doing="answer")
        return Outcome(value, error)

    def kill(self) -> None:
        """Ends the process, whatever it is doing, and waits for its end."""
        self._process.kill()
        self._process.wait()
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)  # wakes a thread that waits for it

    def close(self) -> None:
        """Ends the process and gives its socket back; no thread may be using it."""
        self.kill()
        self._socket.close()

    def _ask(self, message: Any, *, seconds: float, doing: str) -> Any:
        try:
            send(self._socket, message)
            return receive(self._socket, deadline=time.monotonic() + seconds)
        except TimeoutError:
            self.kill()
            raise _Gone(f"no {doing} within {seconds:g} s") from None
        except (EOFError, OSError):
            self.kill()
            raise _Gone(f"a worker process that ended with {_ending(self._process.returncode)}") from None


def _ending(code: int) -> str:
    """An exit status in words: `SIGSEGV` or `exit code 1`."""
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"


def _serve(descriptor: int) -> None:
    """A worker's whole life: the function and the limit, then items until the parent hangs up."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's business
    with socket.socket(fileno=descriptor) as parent, contextlib.suppress(EOFError, OSError):
        function, timeout_seconds = receive(parent)
        send(parent, None)
        while True:
            item = receive(parent)
            # The kernel ends a worker that hangs after its parent has gone, whoever holds Python's lock.
            signal.setitimer(signal.ITIMER_REAL, timeout_seconds + 10)
            answer = _answer(function, item)
            signal.setitimer(signal.ITIMER_REAL, 0)
            send(parent, answer)


def _answer(function: Callable[[Any], Any], item: Any) -> tuple[Any, MsavqaError | None]:
    try:
        return function(item), None
    except MsavqaError as error:
        return None, error
    except MemoryError:
        raise  # the process goes, its memory with it, and the item is tried again
    except Exception as error:  # noqa: BLE001  (one item's failure must not end the others)
        got = f"{type(error).__name__}: {' '.join(str(error).split())}"
        return None, MsavqaError(
            what="Failure", where=item, got=got, expected="a result", next_step="look at that file"
        )


if __name__ == "__main__":
    _serve(int(sys.argv[1]))
