"""Reliability of ratings: by hand, against panels of known reliability, and on two real sets."""

import csv
import json
import math
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from msavqa.evaluation import reliability
from msavqa.evaluation.reliability import Floats


def test_two_raters_by_hand() -> None:
    """Ratings [1, 2, 3, 4] and [2, 1, 4, 3]: r = 3 / 5, and Spearman-Brown's 2 r / (1 + r) = 3 / 4."""
    ratings = np.array([[1.0, 2], [2, 1], [3, 4], [4, 3]])
    assert reliability.split_half(ratings=ratings) == pytest.approx(0.75)
    assert reliability.split_half(ratings=ratings[:, [0, 0]]) == 1.0


def test_four_raters_by_a_loop_over_their_three_halvings() -> None:
    ratings = panel(videos=40, people=4, noise=1.0)
    halves = (([0, 1], [2, 3]), ([0, 2], [1, 3]), ([0, 3], [1, 2]))
    r = np.mean(
        [stats.pearsonr(ratings[:, a].mean(axis=1), ratings[:, b].mean(axis=1)).statistic for a, b in halves]
    )
    assert reliability.split_half(ratings=ratings) == pytest.approx(2 * r / (1 + r))


def test_unequal_parts_are_stepped_up_by_what_parallel_raters_derive() -> None:
    """Truth variance 1, noise v a rater: parts of a and b raters have r = 1 / sqrt((1 + v/a)(1 + v/b))."""
    for v in (0.1, 1.0, 7.0):
        for a, b in ((1, 1), (1, 2), (3, 4), (1, 9)):
            r = 1 / math.sqrt((1 + v / a) * (1 + v / b))
            found = reliability.stepped_up(r=r, p=a / (a + b))
            assert found == pytest.approx(1 / (1 + v / (a + b)))
    assert reliability.stepped_up(r=0.6, p=0.5) == pytest.approx(2 * 0.6 / 1.6)
    assert reliability.stepped_up(r=0.0, p=0.3) == 0.0
    assert math.isnan(reliability.stepped_up(r=-1.0, p=0.5))


def panel(*, videos: int, people: int, noise: float) -> Floats:
    random = np.random.default_rng(0)
    return random.normal(size=(videos, 1)) + random.normal(0, noise, (videos, people))


@pytest.mark.parametrize("people", [2, 3, 4, 24])  # 24: random halvings
def test_the_known_reliability_of_a_panel_is_found(people: int) -> None:
    found = reliability.split_half(ratings=panel(videos=4000, people=people, noise=1.5))
    assert found == pytest.approx(1 / (1 + 1.5**2 / people), abs=0.02)


def test_gaps_cost_reliability_and_nothing_else() -> None:
    ratings = panel(videos=4000, people=6, noise=1.0)
    ratings[np.random.default_rng(1).random(ratings.shape) < 0.5] = math.nan
    found = reliability.split_half(ratings=ratings)
    number = np.isfinite(ratings).sum(axis=1)
    expected = float(np.mean(1 / (1 + 1 / number[number > 1])))
    assert found == pytest.approx(expected, abs=0.02)


def test_the_best_srcc_is_that_of_the_truth_with_the_mean_rating() -> None:
    random = np.random.default_rng(0)
    truth = random.normal(size=20_000)
    mean = (truth[:, None] + random.normal(0, 1.2, (20_000, 4))).mean(axis=1)
    best = stats.spearmanr(truth, mean).statistic
    assert reliability.best_srcc(reliability=1 / (1 + 1.44 / 4)) == pytest.approx(best, abs=0.005)
    assert reliability.best_srcc(reliability=1.0) == pytest.approx(1.0)


def test_nothing_is_said_of_too_few_videos_or_of_ratings_without_spread() -> None:
    assert math.isnan(reliability.split_half(ratings=np.array([[1.0, 2], [2, 1]])))
    assert math.isnan(reliability.split_half(ratings=np.full((9, 3), 3.0)))
    assert math.isnan(reliability.split_half(ratings=np.array([[1.0, math.nan]] * 9)))


def test_three_people_agree_on_three_aspects_of_fetv(shared_data: Path) -> None:
    with (shared_data / "fetv" / "ratings.csv").open(encoding="utf-8", newline="") as file:
        listed = list(csv.DictReader(file))
    for aspect, expected in (("static_quality", 0.887), ("temporal_quality", 0.914), ("alignment", 0.868)):
        ratings = np.array([[float(row[f"{aspect}_r{rater}"]) for rater in range(3)] for row in listed])
        found = reliability.split_half(ratings=ratings)
        assert found == pytest.approx(expected, abs=0.001)
        # Near the estimate from the spread of each video's ratings, which knows nothing of halves.
        error = np.mean(ratings.var(axis=1, ddof=1)) / 3
        assert found == pytest.approx(1 - error / np.var(ratings.mean(axis=1), ddof=1), abs=0.02)


def test_four_people_agree_on_nine_dimensions_of_video_bench(shared_data: Path) -> None:
    found = {}
    for file in sorted((shared_data / "videobench").glob("*.json")):
        entries = json.loads(file.read_text(encoding="utf-8"))
        given = [one for entry in entries for one in entry["human_anno"].values()]
        ratings = np.array([[float(one) or math.nan for one in ratings] for ratings in given])
        found[file.stem] = reliability.split_half(ratings=ratings)
    assert len(found) == 9
    assert min(found, key=lambda name: found[name]) == "aesthetic_quality"
    assert min(found.values()) == pytest.approx(0.710, abs=0.001)
    assert max(found.values()) == pytest.approx(0.837, abs=0.001)
