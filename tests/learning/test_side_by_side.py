"""Models trained in processes of their own are those trained in this one, and every epoch is told."""

from pathlib import Path

import psutil
import pytest

from msavqa.ground.errors import MsavqaError
from msavqa.learning import folds, side_by_side
from tests import feature_world
from tests.training import ALONE, same, work


@pytest.mark.slow
def test_models_trained_side_by_side_are_those_trained_one_after_the_other(tmp_path: Path) -> None:
    world = feature_world.make(tmp_path)
    todo, found, epochs = folds.jobs(world.splits), [], list[int]()
    for number, processes in enumerate((1, 2)):
        wanted = folds.open_work(work(world, train={"processes": processes}))
        running = side_by_side.run(wanted, todo, ranks=ALONE, epoch=lambda to=number: epochs.append(to))
        found.append({outcome.job: outcome for outcome in running})
    assert set(found[0]) == set(found[1]) == set(todo)
    assert all(same(found[0][job], found[1][job]) for job in todo)
    assert epochs == [0] * 3 * len(todo) + [1] * 3 * len(todo)


@pytest.mark.slow
def test_a_training_process_that_dies_is_told_in_one_sentence(tmp_path: Path) -> None:
    world = feature_world.make(tmp_path)
    todo = folds.jobs(world.splits)
    running = side_by_side.run(
        folds.open_work(work(world, train={"processes": 2, "epochs": 2000})),
        todo,
        ranks=ALONE,
        epoch=kill_a_child,
    )
    with pytest.raises(MsavqaError) as refusal:
        list(running)
    assert str(refusal.value) == (
        "Dead worker in a pool of 2 processes: got a process that ended without a result (killed, or out of "
        "memory), expected a result for every task; run again, with fewer workers if memory is short: what "
        "is finished is kept."
    )


def kill_a_child() -> None:
    for child in psutil.Process().children():
        if child.status() != psutil.STATUS_ZOMBIE and "spawn_main" in " ".join(child.cmdline()):
            child.kill()
            return


def test_every_epoch_is_told_as_it_ends(tmp_path: Path) -> None:
    world, told = feature_world.make(tmp_path), []
    todo = folds.jobs(world.splits)
    for number, _ in enumerate(
        side_by_side.run(folds.open_work(work(world)), todo, ranks=ALONE, epoch=lambda: told.append(0))
    ):
        assert len(told) == 3 * (number + 1)
