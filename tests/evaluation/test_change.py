"""The moment of change: a threshold without labels, and the first step above it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import cosine

from msavqa.evaluation import change
from msavqa.evaluation.change import SAME, ChangeSettings
from msavqa.evaluation.metrics import frame_change

SETTINGS = ChangeSettings(percentile=97, rank=3)


def test_steps_are_scipys_cosine_distances_of_neighbours() -> None:
    cls = np.random.default_rng(0).normal(size=(3, 5, 4))
    expected = [[cosine(one[place], one[place + 1]) for place in range(4)] for one in cls]
    assert change.steps(cls) == pytest.approx(np.array(expected))
    assert change.steps(cls)[1] == pytest.approx(frame_change(cls[1])[1:])


def test_the_threshold_is_not_moved_by_changes_that_come_and_go() -> None:
    """Two large steps in every second video, as many as a change that goes back again makes."""
    calm = np.random.default_rng(0).uniform(0.05, 0.1, (200, 15))
    changed = calm.copy()
    changed[::2, [4, 9]] = 0.9
    assert change.threshold(changed, SETTINGS) == pytest.approx(change.threshold(calm, SETTINGS), abs=0.005)
    assert change.threshold(changed, ChangeSettings(percentile=97, rank=2)) == 0.9


@pytest.mark.parametrize(("rank", "percentile"), [(1, 50.0), (3, 90.0), (2, 97.0)])
def test_the_threshold_is_that_percentile_of_that_step(rank: int, percentile: float) -> None:
    steps = np.random.default_rng(0).uniform(0.1, 1, (30, 7))
    by_hand = [sorted(row, reverse=True)[rank - 1] for row in steps.tolist()]
    settings = ChangeSettings(percentile=percentile, rank=rank)
    assert change.threshold(steps, settings) == pytest.approx(np.percentile(by_hand, percentile))


def test_of_training_videos_that_stand_still_a_tiny_step_is_no_change() -> None:
    assert change.threshold(np.zeros((50, 15)), SETTINGS) == SAME


def test_videos_of_fewer_steps_count_by_their_smallest_and_of_none_not_at_all() -> None:
    assert change.threshold(np.full((5, 1), 0.5), SETTINGS) == 0.5
    assert change.threshold(np.empty((5, 0)), SETTINGS) is None
    assert change.threshold(np.empty((0, 15)), SETTINGS) is None


@given(st.lists(st.floats(0, 2), min_size=1, max_size=16), st.floats(0, 2))
def test_the_first_step_above_is_named_or_none(found: list[float], above: float) -> None:
    named = change.first(found, threshold=above)
    if named is None:
        assert max(found) <= above
    else:
        assert found[named] > above >= max([*found[:named], 0])
