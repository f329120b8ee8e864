"""Pairs of videos of one prompt, by hand, by brute force, and their interval."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from msavqa.evaluation import pair_accuracy
from msavqa.evaluation.pair_accuracy import Pairs

MOS = [5.0, 3.0, 3.0, 1.0, 2.0]
SCORE = [0.9, 0.5, 0.4, 0.6, 0.1]
PROMPT = ["x", "x", "x", "y", "y"]
DRAWS = {"resamples": 100, "seed": 0}


def test_pairs_are_of_one_prompt_each_and_right_ones_are_counted() -> None:
    pairs = pair_accuracy.of_ratings(score=SCORE, mos=MOS, prompt=PROMPT)
    assert len(pairs.gap) == 3 + 1
    # x: 5 over 3 and over 3 are right, the tie does not count; y: 1 under 2, but the score is above.
    assert pair_accuracy.without_ties(pairs, **DRAWS).value == pytest.approx(2 / 3)


def test_equal_scores_are_half_right() -> None:
    pairs = pair_accuracy.of_ratings(score=[1, 1], mos=[2, 3], prompt=["x", "x"])
    assert pair_accuracy.without_ties(pairs, **DRAWS).value == 0.5


def test_with_ties_by_hand() -> None:
    pairs = pair_accuracy.of_ratings(score=SCORE, mos=MOS, prompt=PROMPT)
    # Gaps .4 and .5 are right, .1 is people's tie, .5 of y is wrong: a threshold of .1 gives 3 of 4.
    found, threshold = pair_accuracy.with_ties(pairs, **DRAWS)
    assert (found.value, threshold) == (pytest.approx(0.75), pytest.approx(0.1))


@given(st.lists(st.tuples(st.integers(-1, 1), st.integers(-4, 4)), min_size=1, max_size=12))
@settings(max_examples=100)
def test_the_threshold_is_the_smallest_of_those_that_agree_most(rows: list[tuple[int, int]]) -> None:
    people, gap = (np.array(column) for column in zip(*rows, strict=True))
    pairs = Pairs(people=people, gap=gap.astype(float), prompt=np.arange(len(rows)))
    found, threshold = pair_accuracy.with_ties(pairs, **DRAWS)
    agree = {
        size: float(np.mean(np.where(np.abs(gap) <= size, 0, np.sign(gap)) == people))
        for size in {0, *np.abs(gap).tolist()}
    }
    assert found.value == pytest.approx(max(agree.values()))
    assert threshold == min(size for size, value in agree.items() if value == max(agree.values()))


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.sampled_from("xyz")), min_size=1, max_size=12)
)
@settings(max_examples=50)
def test_without_ties_is_a_count_over_all_pairs(rows: list[tuple[int, int, str]]) -> None:
    score, mos, prompt = (list(column) for column in zip(*rows, strict=True))
    counted = [
        0.5 if score[a] == score[b] else float((score[a] > score[b]) == (mos[a] > mos[b]))
        for a, b in itertools.combinations(range(len(rows)), 2)
        if prompt[a] == prompt[b] and mos[a] != mos[b]
    ]
    pairs = pair_accuracy.of_ratings(score=score, mos=mos, prompt=prompt)
    found = pair_accuracy.without_ties(pairs, **DRAWS).value
    assert found == pytest.approx(np.mean(counted)) if counted else np.isnan(found)


def test_an_interval_draws_prompts_whole() -> None:
    random = np.random.default_rng(0)
    # Ten prompts that are all right or all wrong: as uncertain as ten coins, not as 450 pairs.
    prompts, gap = np.repeat(np.arange(10), 45), np.repeat(random.choice([1.0, -1.0], 10), 45)
    found = pair_accuracy.without_ties(
        Pairs(people=np.ones(450, dtype=int), gap=gap, prompt=prompts), resamples=2000, seed=0
    )
    coins = np.mean(gap > 0)
    spread = 2 * 1.96 * (coins * (1 - coins) / 10) ** 0.5
    assert found.high - found.low == pytest.approx(spread, rel=0.25)
