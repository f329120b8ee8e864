"""Several processes that compute one batch together take the steps of one process alone."""

import dataclasses
import json
import os
import socket
from pathlib import Path

import pytest
import torch

from msavqa.learning import training
from msavqa.learning.folds import FINAL, Job, Outcome, Work
from msavqa.learning.gradients import Ranks
from tests import feature_world
from tests.feature_world import World
from tests.learning import test_trainable
from tests.training import NAMES, close, final, opened, work


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return feature_world.make(tmp_path_factory.mktemp("world"))


def test_a_process_of_several_takes_its_own_gpu_before_it_meets_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    done: list[object] = []
    for name, value in {"RANK": "3", "LOCAL_RANK": "1", "WORLD_SIZE": "4"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(torch.cuda, "set_device", done.append)
    monkeypatch.setattr(torch.distributed, "init_process_group", done.append)
    monkeypatch.setattr(torch.distributed, "get_rank", lambda: 3)
    assert Ranks.join(torch.device("cuda")) == Ranks(rank=3, count=4)
    assert done == [1, "nccl"]
    done.clear()
    Ranks.join(torch.device("cpu"))
    assert done == ["gloo"]


def _rank(rank: int, todo: dict[str, Work], port: int, out: str) -> None:
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    ranks = Ranks.join(torch.device("cpu"))
    for name, one in todo.items():
        outcome = training.train(opened(one), Job(repeat=0, fold=FINAL), ranks=ranks)
        if ranks.leads:
            text = json.dumps([list(outcome.scores["score"]), outcome.history])
            (Path(out) / f"{name}.json").write_text(text)
    torch.distributed.destroy_process_group()


pixels = test_trainable.world
"""A world of frames, for a backbone trained end to end."""


@pytest.fixture(scope="module")
def by_two(world: World, pixels: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with scores and history of each branch, trained by two processes together."""
    out = tmp_path_factory.mktemp("by_two")
    todo = {name: work(world, name, head__dropout=0.0) for name in NAMES}
    todo |= {f"{name}-dropout": work(world, name, head__dropout=0.5) for name in NAMES}
    todo["pixels"] = test_trainable.extract(pixels, "image", "pixels")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    torch.multiprocessing.spawn(_rank, args=(todo, port, str(out)), nprocs=2)
    return out


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_two_processes_take_the_same_steps_as_one(world: World, by_two: Path, name: str) -> None:
    _compare(by_two / f"{name}.json", final(work(world, name, head__dropout=0.0)))


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_with_dropout_two_processes_take_the_same_steps_as_one_in_two_parts(
    world: World, by_two: Path, name: str
) -> None:
    alone = final(work(world, name, head__dropout=0.5, train={"accumulate": 2}))
    _compare(by_two / f"{name}-dropout.json", alone)
    with pytest.raises(AssertionError):
        _compare(by_two / f"{name}.json", alone)


@pytest.mark.slow
def test_two_processes_train_a_whole_network_like_one(pixels: Path, by_two: Path) -> None:
    _compare(by_two / "pixels.json", final(test_trainable.extract(pixels, "image", "pixels")))


def _compare(written: Path, alone: Outcome) -> None:
    score, history = json.loads(written.read_text())
    close(alone, dataclasses.replace(alone, scores=alone.scores.assign(score=score), history=history))
