"""Intervals: prompts as units, wide where residuals are wide, by independent truths and by simulation."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import QuantileRegressor

from msavqa.evaluation.intervals import Width, fit_width, group_quantile, quantile_slopes

RANGE = (0.0, 100.0)


def test_of_rows_that_stand_alone_the_quantile_is_the_row_that_a_hand_count_gives() -> None:
    def quantile(count: int) -> float:
        return group_quantile(np.arange(1, count), groups=np.arange(1, count), coverage=0.9)

    assert quantile(10) == 9  # ceil(10 * 0.9) = 9th of 9
    assert quantile(20) == 18  # ceil(20 * 0.9) = 18th of 19
    assert quantile(9) == math.inf  # ceil(9 * 0.9) = 9th of 8


@given(st.lists(st.tuples(st.floats(0, 10), st.integers(0, 30)), min_size=1, max_size=80))
def test_the_quantile_is_the_one_that_the_definition_gives(rows: list[tuple[float, int]]) -> None:
    values, groups = (np.array(column) for column in zip(*rows, strict=True))
    names = list(groups)
    units = len(set(names))
    weight = np.array([1 / names.count(name) / (units + 1) for name in names])
    enough = [value for value in sorted(values) if weight[values <= value].sum() >= 0.9 - 1e-9]
    assert group_quantile(values, groups=groups, coverage=0.9) == (enough[0] if enough else math.inf)


def test_a_new_prompt_is_covered_where_one_prompts_videos_err_together() -> None:
    """Exchangeable prompts, of one to eight videos each."""
    covered = []
    for seed in range(600):
        random = np.random.default_rng(seed)
        sizes = random.integers(1, 9, 21)
        level = random.exponential(1, 21)
        errors = [np.abs(random.normal(level[one], 0.05, sizes[one])) for one in range(21)]
        groups = np.repeat(np.arange(20), sizes[:20])
        bound = group_quantile(np.concatenate(errors[:20]), groups=groups, coverage=0.9)
        covered.append(np.mean(errors[20] <= bound))
    assert np.mean(covered) == pytest.approx(0.905, abs=0.03)


@pytest.mark.parametrize("level", [0.5, 0.9])
def test_the_regression_loses_no_more_than_scikit_learns_linear_program(level: float) -> None:
    random = np.random.default_rng(0)
    columns = np.stack([np.ones(400), random.normal(size=400), random.uniform(-1, 1, 400)], axis=1)
    target = columns @ [0.5, 1.0, -2.0] + random.gumbel(size=400) * (1 + columns[:, 2] ** 2)

    def loss(slopes: np.ndarray) -> float:
        rest = target - columns @ slopes
        return float(np.mean(np.maximum(level * rest, (level - 1) * rest)))

    truth = QuantileRegressor(quantile=level, alpha=0, fit_intercept=False, solver="highs").fit(
        columns, target
    )
    least = loss(truth.coef_)
    assert least - 1e-9 <= loss(quantile_slopes(columns, target, level=level)) <= least + 1e-3


def rows(count: int, *, seed: int) -> dict[str, np.ndarray]:
    """Scores whose residuals are narrow below, wide in the middle, and wider far away; three to a prompt."""
    random = np.random.default_rng(seed)
    score, distance = random.uniform(10, 90, count), random.normal(2, 0.3, count)
    spread = (2 + 10 * np.sin(np.pi * (score - 10) / 80)) * np.exp(0.8 * (distance - 2))
    mos = score + random.normal(0, 1, count) * spread
    return {"score": score, "mos": mos, "distance": distance, "groups": np.arange(count) // 3}


def fitted(count: int = 900, *, seed: int = 0, **changes: object) -> Width:
    made = {**rows(count, seed=seed), **changes}
    return fit_width(**made, coverage=0.9, mos_range=RANGE)  # type: ignore[arg-type]


def test_every_fifth_of_the_score_is_covered_and_intervals_are_no_wider_than_one_width() -> None:
    inside, width, one_width, one_inside = [], [], [], []
    for seed in range(20):
        held, new = rows(900, seed=2 * seed), rows(900, seed=2 * seed + 1)
        half = fitted(seed=2 * seed).half(new["score"], new["distance"])
        residual = np.abs(new["mos"] - new["score"])
        one = group_quantile(np.abs(held["mos"] - held["score"]), groups=held["groups"], coverage=0.9)
        order = np.argsort(new["score"]).reshape(5, -1)
        inside.append([np.mean((residual <= half)[fifth]) for fifth in order])
        one_inside.append([np.mean((residual <= one)[fifth]) for fifth in order])
        width.append(half.mean())
        one_width.append(one)
    assert np.mean(inside) == pytest.approx(0.9, abs=0.015)
    assert np.mean(inside, axis=0) == pytest.approx(np.full(5, 0.9), abs=0.04)
    assert np.mean(width) < np.mean(one_width)
    assert np.ptp(np.mean(one_inside, axis=0)) > 0.1  # what one width makes of the same videos


def test_a_video_further_away_has_a_wider_interval_and_beyond_all_rows_it_stays_as_wide() -> None:
    width = fitted()
    assert width.distance is not None
    near, far, beyond = width.half([50.0] * 3, [1.5, width.distance[3], 99.0])
    assert near < far == beyond
    assert width.half([-5.0], None) == width.half([width.score[0]], None)


@pytest.mark.parametrize("distance", [None, np.full(900, np.nan)])
def test_without_distances_the_score_alone_says_how_wide(distance: np.ndarray | None) -> None:
    width = fitted(distance=distance)
    assert width.distance is None
    assert len(width.slopes) == 3
    assert width.half([50.0], [7.0]) == width.half([50.0], None)


def test_an_unknown_distance_among_known_ones_is_the_mean_one() -> None:
    width = fitted()
    assert width.distance is not None
    assert width.half([50.0], [np.nan]) == width.half([50.0], [width.distance[0]])


def test_another_order_of_the_rows_gives_the_same_width() -> None:
    made = rows(300, seed=3)
    turned = {name: column[::-1] for name, column in made.items()}
    first, second = (fit_width(**one, coverage=0.9, mos_range=RANGE) for one in (made, turned))
    assert first.half([20.0, 50.0], [2.0, 2.0]) == pytest.approx(
        second.half([20.0, 50.0], [2.0, 2.0]), rel=1e-6
    )


def test_as_many_groups_as_two_have_no_finite_width() -> None:
    assert fitted(6).factor == math.inf
