"""Several processes that compute one batch together take the steps of one process alone."""

import dataclasses
import json
import os
import socket
from pathlib import Path

import pytest
import torch

from msavqa.learning import folds
from msavqa.learning.folds import FINAL, Job, Work
from msavqa.learning.ranks import Ranks
from tests import feature_world
from tests.feature_world import World
from tests.test_fit import NAMES, close, final, work


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return feature_world.make(tmp_path_factory.mktemp("world"))


def _rank(rank: int, todo: dict[str, Work], port: int, out: str) -> None:
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    ranks = Ranks.join(torch.device("cpu"))
    for name, one in todo.items():
        outcome = folds.run_job(folds.open_work(one), Job(repeat=0, fold=FINAL), ranks=ranks)
        if ranks.leads:
            text = json.dumps([list(outcome.scores["score"]), outcome.history])
            (Path(out) / f"{name}.json").write_text(text)
    torch.distributed.destroy_process_group()


@pytest.fixture(scope="module")
def by_two(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with scores and history of each branch, trained by two processes together."""
    out = tmp_path_factory.mktemp("by_two")
    todo = {name: work(world, name, head__dropout=0.0) for name in NAMES}
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    torch.multiprocessing.spawn(_rank, args=(todo, port, str(out)), nprocs=2)
    return out


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_two_processes_take_the_same_steps_as_one(world: World, by_two: Path, name: str) -> None:
    score, history = json.loads((by_two / f"{name}.json").read_text())
    alone = final(work(world, name, head__dropout=0.0))
    close(alone, dataclasses.replace(alone, scores=alone.scores.assign(score=score), history=history))
