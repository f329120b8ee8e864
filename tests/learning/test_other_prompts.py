"""Shuffled prompts: nobody keeps its own text where that can be, and only the prompt of a batch changes."""

import dataclasses
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from msavqa.evaluation import metrics
from msavqa.learning import folds, inputs
from tests import feature_world
from tests.feature_world import World
from tests.training import final, work

TEXT = {"text_tokens", "text_length"}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return feature_world.make(tmp_path_factory.mktemp("world"))


@given(prompts=st.lists(st.sampled_from("abcde"), min_size=1, max_size=12), seed=st.integers(0, 99))
def test_prompts_are_permuted_and_as_few_as_can_be_stay(prompts: list[str], seed: int) -> None:
    order = inputs.givers(prompts, seed=[seed])
    assert sorted(order) == list(range(len(prompts)))
    stay = sum(prompts[giver] == own for giver, own in zip(order, prompts, strict=True))
    most = max(Counter(prompts).values())
    assert stay == max(0, 2 * most - len(prompts))


def test_another_seed_gives_another_order() -> None:
    prompts = [str(number // 3) for number in range(30)]
    first, again, other = (inputs.givers(prompts, seed=[seed]).tolist() for seed in (0, 0, 1))
    assert first == again != other


@pytest.mark.parametrize("resident", ["ram", "stream"])
def test_a_batch_holds_another_videos_prompt_and_all_else_is_its_own(world: World, resident: str) -> None:
    opened = folds.open_work(work(world, train={"resident": resident})).inputs
    videos = np.arange(40, 60)
    prompts = dict(zip(world.manifest["video_id"], world.manifest["prompt"], strict=True))
    others = inputs.beside(opened, videos=videos, prompts=prompts, seed=[0])
    assert others is not None
    givers = videos[inputs.givers([prompts[opened.ids[video]] for video in videos], seed=[0])]
    own, given_, now = opened.batch(videos), opened.batch(givers), others.batch(videos)
    assert set(own) > TEXT
    for key in own:
        torch.testing.assert_close(now[key], (given_ if key in TEXT else own)[key], rtol=0, atol=0)
    assert not torch.equal(now["text_tokens"], own["text_tokens"])
    untouched = np.arange(40)
    torch.testing.assert_close(others.batch(untouched), opened.batch(untouched), rtol=0, atol=0)


def test_a_model_that_reads_prompts_does_worse_with_those_of_others(tmp_path) -> None:
    world = feature_world.make(tmp_path, videos=200)
    outcome = final(work(world, train={"epochs": 10}, sma__enabled=False, pss__fusion=["cosine"]))
    assert outcome.shuffled[["repeat", "video_id", "role"]].equals(
        outcome.scores[["repeat", "video_id", "role"]]
    )
    found = [
        metrics.srcc(score=rows["score"], mos=rows["mos"])
        for rows in (one.merge(world.manifest, on="video_id") for one in (outcome.scores, outcome.shuffled))
    ]
    assert found[0] > found[1] + 0.1, found


def test_where_no_prompt_is_read_or_all_are_one_there_is_no_control(world: World) -> None:
    off = final(work(world, pss__enabled=False, sma__enabled=False))
    one = final(dataclasses.replace(work(world), manifest=world.manifest.assign(prompt="prompt 1")))
    assert off.shuffled.empty
    assert one.shuffled.empty
    assert not one.scores.empty


def test_a_folds_model_is_not_asked_again(world: World) -> None:
    opened = folds.open_work(work(world))
    fold = folds.run_job(opened, folds.Job(repeat=0, fold=0), ranks=folds.Ranks(0, 1))
    assert fold.shuffled.empty
