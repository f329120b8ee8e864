"""A trained model asked again: with prompts of which as few as can be stay with their video; attention."""

import dataclasses
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from msavqa.evaluation import metrics
from msavqa.ground import sources
from msavqa.learning import examine, training
from msavqa.learning.folds import FINAL, Job, Outcome, Work
from tests import feature_world
from tests.feature_world import World
from tests.training import ALONE, opened, work

TEXT = {"text_tokens", "text_length"}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return feature_world.make(tmp_path_factory.mktemp("world"))


@given(prompts=st.lists(st.sampled_from("abcde"), min_size=1, max_size=12), seed=st.integers(0, 99))
def test_prompts_are_permuted_and_as_few_as_can_be_stay(prompts: list[str], seed: int) -> None:
    order = examine.givers(prompts, seed=[seed])
    assert sorted(order) == list(range(len(prompts)))
    stay = sum(prompts[giver] == own for giver, own in zip(order, prompts, strict=True))
    most = max(Counter(prompts).values())
    assert stay == max(0, 2 * most - len(prompts))


def test_another_seed_gives_another_order() -> None:
    prompts = [str(number // 3) for number in range(30)]
    first, again, other = (examine.givers(prompts, seed=[seed]).tolist() for seed in (0, 0, 1))
    assert first == again != other


@pytest.mark.parametrize("resident", ["ram", "stream"])
def test_a_batch_holds_another_videos_prompt_and_all_else_is_its_own(world: World, resident: str) -> None:
    found = opened(work(world, train={"resident": resident})).inputs
    videos = np.arange(40, 60)
    prompts = dict(zip(world.manifest["video_id"], world.manifest["prompt"], strict=True))
    others = examine.with_other_prompts(found, videos=videos, prompts=prompts, seed=[0])
    assert others is not None
    givers = videos[examine.givers([prompts[found.ids[video]] for video in videos], seed=[0])]
    own, given_, now = found.batch(videos), found.batch(givers), others.batch(videos)
    assert set(own) > TEXT
    for key in own:
        torch.testing.assert_close(now[key], (given_ if key in TEXT else own)[key], rtol=0, atol=0)
    assert not torch.equal(now["text_tokens"], own["text_tokens"])
    untouched = np.arange(40)
    torch.testing.assert_close(others.batch(untouched), found.batch(untouched), rtol=0, atol=0)


def examined(todo: Work) -> tuple[Outcome, pd.DataFrame, pd.DataFrame]:
    """A final model's outcome, its scores with shuffled prompts, and its attention."""
    found, job = opened(todo), Job(repeat=0, fold=FINAL)
    model = found.model()
    outcome = training.train(found, job, ranks=ALONE)
    model.load_state_dict({name: torch.from_numpy(values) for name, values in outcome.weights.items()})
    return outcome, examine.shuffled(found, job, model), examine.attention(found, job, model)


def test_a_model_that_reads_prompts_does_worse_with_those_of_others(tmp_path: Path) -> None:
    world = feature_world.make(tmp_path, videos=200)
    todo = work(world, train={"epochs": 10}, sma__enabled=False, pss__fusion=["cosine"])
    outcome, shuffled, _ = examined(todo)
    rows = ["repeat", "video_id", "role"]
    assert shuffled[rows].equals(outcome.scores[rows])
    found = [
        metrics.srcc(score=rows["score"], mos=rows["mos"])
        for rows in (one.merge(world.manifest, on="video_id") for one in (outcome.scores, shuffled))
    ]
    assert found[0] > found[1] + 0.1, found


def test_where_no_prompt_is_read_or_all_are_one_there_is_no_control(world: World) -> None:
    one = dataclasses.replace(work(world), manifest=world.manifest.assign(prompt="prompt 1"))
    for todo in (work(world, pss__enabled=False, sma__enabled=False), one):
        outcome, shuffled, _ = examined(todo)
        assert shuffled.empty
        assert not outcome.scores.empty


def test_attention_is_that_of_every_scored_row_and_sums_to_one(world: World) -> None:
    outcome, _, attention = examined(work(world))
    rows = ["repeat", "video_id"]
    assert attention[rows].equals(outcome.scores[rows])
    looks = np.array(attention["attention"].tolist())
    assert looks.shape == (len(outcome.scores), feature_world.FRAMES)
    np.testing.assert_allclose(looks.sum(axis=1), 1, atol=1e-5)
    assert examined(work(world, sma__enabled=False))[2].empty


def test_training_is_made_of_no_line_that_examines() -> None:
    """A changed control trains no model anew."""
    assert Path("msavqa/learning/examine.py") not in sources.closure("msavqa.learning.training")
