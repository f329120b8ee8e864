"""Ratings and scores together, against ppi-python, and by simulation."""

import numpy as np
import pytest
from scipy import stats

from msavqa.evaluation import rated


def world(seed: int, *, count: int, agreement: float, scale: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Ratings around 50 with a deviation of 10, and scores that correlate with them, on another scale."""
    random = np.random.default_rng(seed)
    rating = random.normal(50, 10, count)
    noise = random.normal(0, 10, count) * (1 - agreement**2) ** 0.5
    return rating, 40 + scale * (agreement * (rating - 50) + noise)


@pytest.mark.parametrize("agreement", [0.0, 0.6, 0.95])
def test_the_mean_is_ppi_pythons(agreement: float) -> None:
    import ppi_py as ppi  # slow to import, and needed here alone

    rating, score = world(3, count=2000, agreement=agreement)
    found = rated.rated_mean(rating=rating[:500], predicted=score[:500], score=score[500:])
    point = ppi.ppi_mean_pointestimate(rating[:500], score[:500], score[500:])
    low, high = ppi.ppi_mean_ci(rating[:500], score[:500], score[500:], alpha=0.05)
    # It divides the covariance by n, not n - 1, and takes the normal quantile: 0.2% at 500 ratings.
    assert found.mean.value == pytest.approx(point.item(), abs=0.003)
    assert (found.mean.low, found.mean.high) == pytest.approx((low.item(), high.item()), abs=0.006)


def test_the_ratings_alone_are_students() -> None:
    rating, score = world(4, count=40, agreement=0.5)
    found = rated.rated_mean(rating=rating[:12], predicted=score[:12], score=score[12:])
    truth = stats.ttest_1samp(rating[:12], 0).confidence_interval(0.95)
    assert (found.alone.low, found.alone.high) == pytest.approx((truth.low, truth.high))


def test_scores_that_are_worth_something_narrow_the_interval_by_what_they_are_worth() -> None:
    rating, score = world(5, count=10_000, agreement=0.9)
    found = rated.rated_mean(rating=rating[:400], predicted=score[:400], score=score[400:])
    # Many scores leave the part of the variance that they do not explain: 1 - 0.9^2.
    assert found.worth == pytest.approx(400 / (1 - 0.81), rel=0.25)
    assert found.mean.high - found.mean.low < 0.55 * (found.alone.high - found.alone.low)


def test_the_scores_scale_does_not_matter() -> None:
    rating, score = world(6, count=60, agreement=0.8)
    first = rated.rated_mean(rating=rating[:20], predicted=score[:20], score=score[20:])
    other = rated.rated_mean(rating=rating[:20], predicted=0.02 * score[:20] - 7, score=0.02 * score[20:] - 7)
    assert (other.mean.low, other.mean.value, other.mean.high) == pytest.approx(
        (first.mean.low, first.mean.value, first.mean.high)
    )
    assert other.power == pytest.approx(first.power / 0.02)


def test_scores_that_say_nothing_leave_the_ratings_alone() -> None:
    rating, score = world(7, count=60, agreement=0.8)
    for useless in (np.full(60, 3.0), -score):
        found = rated.rated_mean(rating=rating[:20], predicted=useless[:20], score=useless[20:])
        assert found.power == 0
        assert found.mean == found.alone
        assert found.worth == 20


def test_too_few_ratings_have_no_interval() -> None:
    rating, score = world(8, count=30, agreement=0.8)
    few = rated.LEAST - 1
    found = rated.rated_mean(rating=rating[:few], predicted=score[:few], score=score[few:])
    assert np.isnan([found.mean.low, found.mean.high, found.p_value()]).all()
    none = rated.rated_mean(rating=[], predicted=[], score=score)
    assert np.isnan([none.mean.value, none.mean.low]).all()
    assert none.prompts == 0


@pytest.mark.parametrize(("count", "others"), [(8, 12), (15, 35)])
@pytest.mark.parametrize("agreement", [0.0, 0.8])
def test_the_interval_holds_the_truth_as_often_as_it_says(count: int, others: int, agreement: float) -> None:
    held = []
    for trial in range(800):
        rating, score = world(trial, count=count + others, agreement=agreement, scale=0.6)
        found = rated.rated_mean(rating=rating[:count], predicted=score[:count], score=score[count:])
        held.append(found.mean.low <= 50 <= found.mean.high)
    assert 0.93 <= np.mean(held) <= 0.97
