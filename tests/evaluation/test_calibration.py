"""Calibration: the map keeps order and scale, the interval covers what it says it covers."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter
from sklearn.isotonic import IsotonicRegression

from msavqa.evaluation.calibration import Calibration, conformal_quantile, coverage_of, fit
from msavqa.ground.errors import MsavqaError

RANGE = (0.0, 100.0)


def rows(count: int, *, seed: int, noise: float = 8.0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    score = random.uniform(0.2, 0.8, count)
    mos = 10 + 80 / (1 + np.exp(-(score - 0.5) / 0.1)) + random.normal(0, noise, count)
    return score, np.clip(mos, *RANGE)


def fitted(count: int = 400, **changes: object) -> Calibration:
    score, mos = rows(count, seed=0)
    held_score, held_mos = rows(count, seed=1)
    given = {"map_score": score, "map_mos": mos, "interval_score": held_score, "interval_mos": held_mos}
    return fit(**{**given, "coverage": 0.9, "mos_range": RANGE, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize("coverage", [0.5, 0.8, 0.9])
def test_the_interval_covers_new_videos_as_often_as_it_says(coverage: float) -> None:
    held = []
    for seed in range(200):
        score, mos = rows(100, seed=3 * seed)
        held_score, held_mos = rows(99, seed=3 * seed + 1)
        new_score, new_mos = rows(50, seed=3 * seed + 2)
        calibration = fit(
            map_score=score, map_mos=mos, interval_score=held_score, interval_mos=held_mos,
            coverage=coverage, mos_range=RANGE,
        )  # fmt: skip
        low, high = calibration.interval(new_score)
        held.append(coverage_of(low=low, high=high, mos=new_mos))
    # 99 rows: the theorem gives coverage .. coverage + 1/100 for the mean over draws of everything.
    assert np.mean(held) == pytest.approx(coverage + 0.005, abs=0.01)


def test_the_conformal_quantile_is_the_row_a_hand_count_gives() -> None:
    assert conformal_quantile(np.arange(1, 10), coverage=0.9) == 9  # ceil(10 * 0.9) = 9th of 9
    assert conformal_quantile(np.arange(1, 20), coverage=0.9) == 18  # ceil(20 * 0.9) = 18th of 19
    assert conformal_quantile(np.arange(1, 9), coverage=0.9) == math.inf  # ceil(9 * 0.9) = 9th of 8


@given(st.lists(st.floats(0, 1), min_size=2, max_size=20))
def test_the_map_never_changes_the_order_and_stays_in_the_range(scores: list[float]) -> None:
    calibration = fitted(60)
    mos = calibration.mos(np.sort(scores))
    assert (np.diff(mos) >= 0).all()
    assert (mos >= 0).all()
    assert (mos <= 100).all()


def test_the_map_is_about_as_near_as_the_best_map_that_never_decreases() -> None:
    score, mos = rows(2000, seed=5)
    new_score, new_mos = rows(2000, seed=6)
    ours = fitted(2000, map_score=score, map_mos=mos).mos(new_score)
    isotonic = IsotonicRegression(out_of_bounds="clip").fit(score, mos).predict(new_score)
    assert np.sqrt(np.mean((ours - new_mos) ** 2)) <= 1.01 * np.sqrt(np.mean((isotonic - new_mos) ** 2))


def test_scores_that_fall_while_mos_rises_give_the_constant_mean_and_say_so() -> None:
    score, mos = rows(100, seed=0)
    calibration = fitted(map_score=-score, map_mos=mos)
    assert not calibration.informative
    assert calibration.mos([-0.9, 0.0, 0.9]) == pytest.approx(np.full(3, mos.mean()))
    assert fitted().informative


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_few_rows_give_an_interval_as_wide_as_the_range(count: int) -> None:
    calibration = fitted(count)
    assert calibration.half_width == 100.0
    assert [end.item() for end in calibration.interval([0.5])] == [0.0, 100.0]


def test_no_row_at_all_is_refused_in_one_sentence() -> None:
    with pytest.raises(MsavqaError) as refusal:
        fitted(map_score=np.array([]), map_mos=np.array([]))
    assert str(refusal.value) == (
        "Rows to calibrate on in the ensemble's out-of-fold predictions: got none with a MOS, expected at "
        "least 1; give more videos a MOS or make split.test_fraction smaller."
    )


def test_a_calibration_survives_json_to_the_last_digit() -> None:
    calibration = fitted()
    assert TypeAdapter(Calibration).validate_json(json.dumps(calibration.as_dict())) == calibration


def test_a_raw_score_beyond_those_fitted_on_is_outside() -> None:
    calibration = fitted()
    low, high = calibration.score_range
    assert not calibration.outside(low)
    assert not calibration.outside(high)
    assert calibration.outside(high + 1e-6)
    assert calibration.outside(low - 1e-6)
