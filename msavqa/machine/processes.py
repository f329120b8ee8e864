"""One function over many items in processes of their own, each item with a wall-clock limit.

A decoder can hang, even holding Python's lock, or kill its process. Here that costs one item:

    with Pool(decode_one, workers=4, timeout_seconds=30, what="Video") as pool:
        for outcome in pool.map(paths):         # in the order of the paths
            outcome.value if outcome.error is None else str(outcome.error)

A worker is a fresh Python that imports the function's module and nothing of the program that started it, so
it neither inherits threads or locks nor loads torch for nothing. It leaves with its parent, hung or not.
"""

import contextlib
import multiprocessing
import os
import pickle
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError, Future, ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Generic, TypeVar, cast

from msavqa.ground.errors import MsavqaError

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


def send(channel: socket.socket, message: Any) -> None:
    """Sends one object; raises `OSError` where the other end is gone."""
    buffers: list[pickle.PickleBuffer] = []
    head = pickle.dumps(message, protocol=5, buffer_callback=buffers.append)
    parts = [memoryview(head), *(buffer.raw() for buffer in buffers)]
    channel.settimeout(None)
    channel.sendall(struct.pack(f"<{len(parts) + 1}Q", len(parts), *(len(part) for part in parts)))
    for part in parts:
        channel.sendall(part)


def receive(channel: socket.socket, *, deadline: float | None = None) -> Any:
    """The next object. Raises `TimeoutError` after `deadline` (of time.monotonic), `EOFError` at the end."""
    (count,) = struct.unpack("<Q", _read(channel, 8, deadline))
    sizes = struct.unpack(f"<{count}Q", _read(channel, 8 * count, deadline))
    head, *buffers = [_read(channel, size, deadline) for size in sizes]
    return pickle.loads(head, buffers=buffers)  # noqa: S301


def _read(channel: socket.socket, size: int, deadline: float | None) -> bytearray:
    content = bytearray(size)
    view = memoryview(content)
    while view:
        channel.settimeout(None if deadline is None else max(1e-3, deadline - time.monotonic()))
        got = channel.recv_into(view)
        if got == 0:
            raise EOFError
        view = view[got:]
    return content
