"""A launcher whose workers are actors of a Ray cluster, each with its function warm.

Ray's own retries are off. A worker that dies gives its task to another; a task that takes `MOST_LOSSES`
workers along ends the run with its name. A node that joins gets workers, one that leaves is missed.
"""

import contextlib
import os
import pickle
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from msavqa.ground.errors import MsavqaError
from msavqa.machine import ray_cluster, ray_worker
from msavqa.machine.device import Device
from msavqa.machine.launch import Launcher
from msavqa.machine.ray_cluster import Request, Size
from msavqa.machine.ray_worker import Arrived, Place

__all__ = ["Size", "launcher"]

MOST_LOSSES = 3
"""Workers that one task may take along."""
LOOK_SECONDS = 2.0
"""How often nodes are looked for."""
LONELY_SECONDS = 120.0
"""How long a run goes on in a cluster that has lost all its nodes with room."""
SHOWN = 200


def launcher(size: Size, *, device: Device, tell: Callable[[int], None]) -> Launcher:
    """A launcher of workers of that size; `tell` hears how many are at work. One error of a task ends all."""

    def launch(function: Callable[[Any], Any], tasks: Sequence[Any]) -> Iterator[Any]:
        if not tasks:
            return
        ray_cluster.connect()
        asked = ray_cluster.request(size, device=device, nodes=ray_cluster.nodes())
        run = _Run(function, tasks, asked=asked, tell=tell)
        try:
            yield from run.results()
        finally:
            run.end()

    return launch


class Kinds:
    """What workers compute on, and who was the first."""

    def __init__(self) -> None:
        self._first: Arrived | None = None
        self._known = set[str]()

    def heard(self, here: Arrived) -> str:
        """One line where a worker is of another kind than the first, once a kind; otherwise nothing."""
        self._first = self._first or here
        if here.kind in {self._first.kind, *self._known}:
            return ""
        self._known.add(here.kind)
        return (
            f"note: {here.address} computes on {here.kind}, {self._first.address} on {self._first.kind}: the "
            "last digits of what they compute may differ"
        )


class _Run:
    """One launch: tasks that wait, workers that start, and workers that are busy."""

    def __init__(
        self,
        function: Callable[[Any], Any],
        tasks: Sequence[Any],
        *,
        asked: Request,
        tell: Callable[[int], None],
    ) -> None:
        import ray
        from ray import cloudpickle

        self._ray, self._asked, self._tell, self._tasks = ray, asked, tell, tasks
        # Pickled once and put where each node fetches it once, not sent with every task.
        self._function = ray.put(cloudpickle.dumps(function))
        self._place = ray.put(place(asked))
        self._make: Any = ray.remote(ray_worker.Worker).options(
            num_cpus=asked.cpus,
            num_gpus=asked.gpus,
            memory=asked.memory or None,
            max_restarts=0,
            max_task_retries=0,
            scheduling_strategy="SPREAD",
        )
        self._waiting = deque(range(len(tasks)))
        self._lost = Counter[int]()
        self._starting: dict[Any, Any] = {}
        self._busy: dict[Any, tuple[Any, int]] = {}
        self._idle: list[Any] = []
        self._at: dict[Any, Arrived] = {}
        self._done, self._failed_starts, self._looked = 0, 0, 0.0
        self._seen = time.monotonic()
        self._told = -1
        self._by_node = Counter[str]()
        self._kinds = Kinds()

    def results(self) -> Iterator[Any]:
        """Every task's result, as they come."""
        while self._done < len(self._tasks):
            if time.monotonic() - self._looked > LOOK_SECONDS:
                self._grow()
            self._hand_out()
            asked = [*self._starting, *self._busy]
            if not asked:
                time.sleep(LOOK_SECONDS / 4)
                continue
            for answer in self._ray.wait(asked, num_returns=1, timeout=LOOK_SECONDS)[0]:
                if answer in self._starting:
                    self._arrived(answer)
                else:
                    yield from self._answered(answer)
        if len(self._by_node) > 1:
            shares = ", ".join(f"{node} {count}" for node, count in sorted(self._by_node.items()))
            print(f"{self._done} tasks by {len(self._by_node)} nodes: {shares}", file=sys.stderr)

    def end(self) -> None:
        """Ends all workers, whatever they are doing."""
        busy = [worker for worker, _ in self._busy.values()]
        for worker in [*self._starting.values(), *busy, *self._idle]:
            self._kill(worker)

    def _grow(self) -> None:
        """As many workers as there is room for, in all nodes that are there now, or tasks to be done."""
        self._looked = time.monotonic()
        room = sum(self._asked.fit(node) for node in ray_cluster.nodes())
        if room:
            self._seen = self._looked
        elif self._looked - self._seen > LONELY_SECONDS:
            raise MsavqaError(
                what="Ray cluster",
                where=os.environ.get("RAY_ADDRESS") or "this machine",
                got=f"no node with room for a worker ({self._asked}) for {LONELY_SECONDS:g} s",
                expected="at least one",
                next_step="look at `ray status`, then run again: what is finished is kept",
            )
        wanted = min(room, len(self._tasks) - self._done)
        for _ in range(wanted - len(self._starting) - len(self._busy) - len(self._idle)):
            worker = self._make.remote()
            self._starting[worker.begin.remote(self._function, self._place)] = worker

    def _hand_out(self) -> None:
        while self._waiting and self._idle:
            worker, number = self._idle.pop(), self._waiting.popleft()
            self._busy[worker.do.remote(pickle.dumps(self._tasks[number]))] = worker, number
        count = len(self._busy) + len(self._idle)
        if count != self._told:
            self._told = count
            self._tell(count)

    def _arrived(self, answer: Any) -> None:
        """A worker is where the driver is: it is idle from now on, or the run ends by what is wrong there."""
        worker = self._starting.pop(answer)
        try:
            here: Arrived = self._ray.get(answer)
        except self._ray.exceptions.RayTaskError:
            raise  # a mistake of ours
        except self._ray.exceptions.RayError as error:
            self._kill(worker)
            self._failed_starts += 1
            if "failed to import" in str(error) or self._failed_starts > MOST_LOSSES + len(self._starting):
                raise _no_start(error) from error
            return
        if here.problem:
            self._kill(worker)
            raise _unlike(here)
        self._failed_starts = 0
        self._at[worker] = here
        if note := self._kinds.heard(here):
            print(note, file=sys.stderr)
        self._idle.append(worker)

    def _answered(self, answer: Any) -> Iterator[Any]:
        """The result of a task; a dead worker's task waits again, before all others."""
        worker, number = self._busy.pop(answer)
        try:
            done, packed = self._ray.get(answer)
        except self._ray.exceptions.RayTaskError:
            raise
        except self._ray.exceptions.RayError as error:
            # It may live behind a cut link and go on: tasks may be done twice, so nothing is torn by that.
            self._kill(worker)
            self._lost[number] += 1
            if self._lost[number] == MOST_LOSSES:
                raise _deadly(self._tasks[number], error, at=self._at[worker].address) from error
            self._waiting.appendleft(number)
            at, name = self._at[worker].address, _named(self._tasks[number])
            print(
                f"note: a worker on {at} ended over {name} ({type(error).__name__}); another gets it",
                file=sys.stderr,
            )
            return
        self._idle.append(worker)
        value = pickle.loads(packed)  # noqa: S301
        if not done:
            raise value
        self._done += 1
        self._by_node[self._at[worker].address] += 1
        self._hand_out()
        yield value

    def _kill(self, worker: Any) -> None:
        with contextlib.suppress(self._ray.exceptions.RayError, RuntimeError, ValueError):
            self._ray.kill(worker, no_restart=True)


def place(asked: Request) -> Place:
    """Where this process is and what its workers shall be like.

    A sum depends on the number of threads: they get as many as this process was told to use, if it was.
    """
    environment = {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", str(asked.cpus))}
    if not asked.gpus:  # Ray lets who asks for none see all of them
        environment["CUDA_VISIBLE_DEVICES"] = ""
    search = [os.path.abspath(one) for one in sys.path]
    return Place(os.getcwd(), search, ray_worker.facts(), environment, asked.cpus)


def _unlike(here: Arrived) -> MsavqaError:
    if here.problem == "folder":
        return MsavqaError(
            what="Node",
            where=here.address,
            got=f"no folder {here.got}",
            expected="the folder that the work is given out from, at the same place",
            next_step="mount it there, or take the node out of the cluster",
        )
    return MsavqaError(
        what="Node",
        where=here.address,
        got=here.got,
        expected=f"{here.expected}, as where the work is given out from",
        next_step="install the same there, or take the node out of the cluster",
    )


def _no_start(error: Exception) -> MsavqaError:
    return MsavqaError(
        what="Ray worker",
        where="the cluster",
        got=f"no start: {_words(error)}",
        expected="a worker that imports msavqa",
        next_step="install msavqa on every node, or look at Ray's logs there (/tmp/ray/session_latest/logs)",
    )


def _deadly(task: Any, error: Exception, *, at: str) -> MsavqaError:
    return MsavqaError(
        what="Task",
        where=_named(task),
        got=f"{MOST_LOSSES} workers that ended without a result, the last on {at} ({type(error).__name__})",
        expected="a result",
        next_step="give workers more memory (`ray:memory_gb=`) or look at Ray's logs there "
        "(/tmp/ray/session_latest/logs), then run again: what is finished is kept",
    )


def _named(task: Any) -> str:
    return _short(str(task))


def _words(error: Exception) -> str:
    return _short(" ".join(str(error).split()))


def _short(words: str) -> str:
    return words if len(words) <= SHOWN else f"{words[:SHOWN]}..."
