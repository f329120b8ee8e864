"""A training on the made-up feature world, its outcomes compared, and one that is killed."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from msavqa.learning import checkpoint, folds, training
from msavqa.learning.folds import FINAL, Job, Opened, Outcome, Work
from msavqa.learning.gradients import Ranks
from tests import branch_settings
from tests.feature_world import World

ALONE = Ranks(rank=0, count=1)
NAMES = ("frame", "segment", "video")


def work(
    world: World, name: str = "frame", *, train: dict[str, object] | None = None, **changes: object
) -> Work:
    return Work(
        branch=name,
        settings=branch_settings.branch(name, **changes),
        train=branch_settings.train(**(train or {})),
        manifest=world.manifest,
        splits=world.splits,
        features=world.features,
        weights=world.weights,
        start=None,
        kept=None,
        live=None,
    )


def opened(todo: Work) -> Opened:
    return folds.loaded(folds.open_work(todo))


def final(todo: Work) -> Outcome:
    return training.train(opened(todo), Job(repeat=0, fold=FINAL), ranks=ALONE)


def same(first: Outcome, second: Outcome) -> bool:
    assert set(first.weights) == set(second.weights)
    equal = all(np.array_equal(first.weights[name], second.weights[name]) for name in first.weights)
    return equal and first.scores.equals(second.scores) and first.history == second.history


def close(first: Outcome, second: Outcome) -> None:
    """The same scores but for rounding; a weight whose gradient is rounding alone may drift under Adam."""
    np.testing.assert_allclose(second.scores["score"], first.scores["score"], atol=0.02)
    losses = [[record["loss"] for record in one.history] for one in (first, second)]
    np.testing.assert_allclose(losses[1], losses[0], atol=1e-4)


class Killed(Exception):
    pass


def killed_after_two_epochs(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Training dies once, when it has saved its second epoch; the list gets every epoch that is saved."""
    save, saved = checkpoint.save, list[int]()

    def save_and_die(path: Path, epoch: int, *rest: Any) -> None:
        save(path, epoch, *rest)
        saved.append(epoch)
        if saved == [1, 2]:
            raise Killed

    monkeypatch.setattr(checkpoint, "save", save_and_die)
    return saved
