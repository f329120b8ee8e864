"""Calibration: the map keeps order and scale, the interval covers what it says it covers."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter
from sklearn.isotonic import IsotonicRegression

from msavqa.evaluation.calibration import Calibration, coverage_of, fit
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


def test_a_width_that_follows_the_score_survives_json_too() -> None:
    calibration = fitted(normalised_from=300, interval_distance=np.linspace(0, 1, 400))
    assert calibration.width is not None
    assert calibration.width.distance is not None
    assert TypeAdapter(Calibration).validate_json(json.dumps(calibration.as_dict())) == calibration


@pytest.mark.parametrize(("rows_needed", "follows"), [(400, True), (401, False)])
def test_one_width_stands_below_so_many_held_out_rows(rows_needed: int, follows: bool) -> None:
    calibration = fitted(normalised_from=rows_needed)
    low, high = calibration.interval([0.45, 0.5, 0.55])
    assert (calibration.width is not None) == follows
    assert (np.ptp(high - low) > 1e-9) == follows
    if follows:
        assert calibration.half_width == pytest.approx(fitted().half_width, rel=0.25)


def test_a_video_unlike_all_that_was_learned_from_gets_the_whole_scale() -> None:
    low, high = fitted().interval([0.5, 0.5], unlike=[True, False])
    assert (low[0], high[0]) == RANGE
    assert high[1] - low[1] < 60


def test_an_interval_of_a_former_bundle_is_as_it_was() -> None:
    former = {key: value for key, value in fitted().as_dict().items() if key != "width"}
    assert TypeAdapter(Calibration).validate_python(former) == fitted()
