"""Models of one branch trained one after the other, or side by side in other processes.

On a CPU these are some of its own, `train.processes`, or wherever the workers are of the launcher that the
environment asks for.
"""

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from dataclasses import dataclass, field
from multiprocessing.queues import SimpleQueue

from msavqa.learning import folds, training
from msavqa.learning.folds import Job, Opened, Outcome, Work
from msavqa.learning.gradients import Ranks
from msavqa.machine import launch, launchers
from msavqa.machine.launch import Kept

LOOK_EVERY_SECONDS = 0.5


def run(
    opened: Opened,
    todo: Sequence[Job],
    *,
    ranks: Ranks,
    epoch: Callable[[], None] = lambda: None,
    workers: Callable[[int], None] = lambda count: None,
) -> Iterator[Outcome]:
    """Trains the jobs' models, as they finish; which process trains one changes nothing of it.

    `epoch` is called for every epoch of every model, in this process; for a model that a launcher's worker
    has trained, when it is done. `workers` hears how many of those there are. Several ranks train one model
    after the other, whatever the environment asks for.
    """
    if not todo:
        return
    if launchers.elsewhere() and ranks.count == 1:
        launcher = launchers.chosen(device=opened.work.train.device, tell=workers)
        for outcome in launcher(Training(opened.work), todo):
            for _ in range(training.epochs(opened, outcome.job)):
                epoch()
            yield outcome
        return
    count = min(opened.work.train.processes, len(todo))
    if count == 1 or ranks.count > 1 or opened.inputs.device.type != "cpu":
        here = folds.loaded(opened)
        for job in todo:
            yield training.train(here, job, ranks=ranks, epoch=epoch)
        return
    # spawn: a forked child of a process that has run torch's thread pool can hang in it.
    context = multiprocessing.get_context("spawn")
    epochs = context.SimpleQueue()
    with ProcessPoolExecutor(
        count, mp_context=context, initializer=_start, initargs=(opened.work, epochs)
    ) as pool:
        waiting = {pool.submit(_train_here, job) for job in todo}
        with launch.ending(pool, count):
            while waiting:
                done, waiting = wait(waiting, timeout=LOOK_EVERY_SECONDS, return_when=FIRST_COMPLETED)
                while not epochs.empty():
                    epochs.get()
                    epoch()
                for one in done:
                    yield one.result()


@dataclass(frozen=True)
class Training:
    """Trains jobs where a launcher calls it; features are opened at the first."""

    work: Work
    _kept: Kept[Opened] = field(default_factory=Kept, repr=False, compare=False)

    def __call__(self, job: Job) -> Outcome:
        opened = self._kept.get(lambda: folds.loaded(folds.open_work(self.work)))
        return training.train(opened, job, ranks=Ranks(rank=0, count=1))


_here: list[tuple[Opened, "SimpleQueue[None]"]] = []
"""What `_start` opened in a worker process, and where it tells of epochs."""


def _start(work: Work, epochs: "SimpleQueue[None]") -> None:
    launch.end_with_parent()
    _here.append((folds.loaded(folds.open_work(work)), epochs))


def _train_here(job: Job) -> Outcome:
    opened, epochs = _here[0]
    return training.train(opened, job, ranks=Ranks(rank=0, count=1), epoch=lambda: epochs.put(None))
