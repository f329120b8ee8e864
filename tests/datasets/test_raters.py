"""Raters: who is left out, against a loop written from ITU-R BT.500's text; means, errors, weights."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from msavqa.datasets import raters
from msavqa.datasets.raters import Floats
from msavqa.datasets.rows import Row


def by_the_text(ratings: Floats) -> list[bool]:
    """BT.500-15, Annex 1, the loop in its words: for each presentation, then each observer."""
    above, below, rated = (np.zeros(ratings.shape[1], dtype=int) for _ in range(3))
    for given in ratings:
        known = [one for one in given if not math.isnan(one)]
        mean = sum(known) / len(known)
        moment = {order: sum((one - mean) ** order for one in known) / len(known) for order in (2, 4)}
        rated += np.isfinite(given)
        if moment[2] == 0:
            continue
        beta = moment[4] / moment[2] ** 2
        sd = math.sqrt(sum((one - mean) ** 2 for one in known) / (len(known) - 1))
        limit = 2 * sd if 2 <= beta <= 4 else math.sqrt(20) * sd
        for observer, one in enumerate(given):
            if one >= mean + limit:
                above[observer] += 1
            if one <= mean - limit:
                below[observer] += 1
    return [
        bool((p + q) / n > 0.05 and abs((p - q) / (p + q)) < 0.3)
        for p, q, n in zip(above, below, rated, strict=True)
    ]


def panel(*, seed: int = 0, videos: int = 80, people: int = 15) -> Floats:
    """Ratings 1 to 5 of people who agree, but for the last two: one careless, one strict."""
    random = np.random.default_rng(seed)
    found = random.uniform(1.5, 4.5, (videos, 1)) + random.normal(0, 0.5, (videos, people))
    found[:, -2] += random.choice([-1.5, 1.5], videos)
    found[:, -1] -= 1
    return np.round(found, 1)


@pytest.mark.parametrize("gaps", [0.0, 0.3])
def test_whom_the_text_of_bt500_rejects_is_left_out(gaps: float) -> None:
    rejected = []
    for seed in range(8):
        ratings = panel(seed=seed)
        ratings[np.random.default_rng(seed).random(ratings.shape) < gaps] = math.nan
        found = raters.screen(ratings=ratings).left_out.tolist()
        assert found == by_the_text(ratings)
        rejected.append(found)
    assert [one[-1] for one in rejected] == [False] * 8  # strict on one side, not careless
    assert sum(one[-2] for one in rejected) >= 6  # the careless one
    assert not np.any([one[:-2] for one in rejected])


def test_far_is_counted_by_hand() -> None:
    """Of [3 x 5, 9]: mean 4, m2 5, m4 104.17, kurtosis 4.2: sqrt(20) x 2.45 is out of anybody's reach.

    Of [1, 3 x 6, 5]: mean 3, m2 1, m4 4, kurtosis 4, sd sqrt(8 / 7): 2 lies just below 2 sd, which is 2.138.
    """
    none = raters.screen(ratings=np.array([[3.0, 3, 3, 3, 3, 9]]))
    assert (none.above.sum(), none.below.sum()) == (0, 0)
    none = raters.screen(ratings=np.array([[1.0, 3, 3, 3, 3, 3, 3, 5]]))
    assert (none.above.sum(), none.below.sum()) == (0, 0)
    # One against n - 1 alike lies (n - 1) / sqrt(n) sd off: 4.25 of 20, 4.69 of 24, and sqrt(20) is 4.47.
    assert raters.screen(ratings=np.array([[3.0] * 19 + [9.0]])).above.sum() == 0
    assert raters.screen(ratings=np.array([[3.0] * 23 + [9.0]])).above.sum() == 1
    one = np.array([[1.0, 1, 2, 2, 3, 3, 4, 4, 7]])
    assert 2 <= np.mean((one - one.mean()) ** 4) / np.var(one) ** 2 <= 4
    assert one[0, -1] >= one.mean() + 2 * np.std(one, ddof=1)
    assert raters.screen(ratings=one).above.tolist() == [0] * 8 + [1]
    assert raters.screen(ratings=8 - one).below.tolist() == [0] * 8 + [1]


def test_ratings_that_are_all_alike_or_alone_count_nobody() -> None:
    alone = [math.nan, 3.0, math.nan, math.nan, math.nan, math.nan]
    found = raters.screen(ratings=np.array([[3.0] * 6, alone, [math.nan] * 6]))
    assert found.rated.tolist() == [1, 2, 1, 1, 1, 1]
    assert (found.above.sum(), found.below.sum(), found.left_out.sum()) == (0, 0, 0)


def test_five_raters_can_never_be_told_apart() -> None:
    found = raters.screen(ratings=np.random.default_rng(0).normal(size=(20_000, raters.FEWEST - 1)))
    assert (found.above.sum(), found.below.sum()) == (0, 0)
    sixth = raters.screen(ratings=np.array([[-0.74, -0.44, -0.44, -0.44, -0.14, 2.2]]))  # kurtosis 3.99
    assert sixth.above.tolist() == [0, 0, 0, 0, 0, 1]


def rows(ratings: Floats) -> list[Row]:
    return [
        Row(where=f"line {n}", video_id=f"{n}.mp4", mos=-1.0, mos_se=-1.0, ratings=tuple(given))
        for n, given in enumerate(ratings.tolist(), start=2)
    ]


def test_those_left_out_are_named_and_count_nowhere() -> None:
    ratings = panel()
    names = [f"r{n}" for n in range(15)]
    assert raters.screen(ratings=ratings).left_out.tolist() == [False] * 13 + [True, False]
    found = raters.settled(rows(ratings), names=names, screening="bt500", mean=True, error=True, weigh=True)
    counted = raters.screen(ratings=ratings)
    above, below = counted.above[13], counted.below[13]
    assert found.notes == (
        f"screening (ITU-R BT.500) leaves out 1 of 15 raters: 'r13' ({above + below} of 80 ratings far from "
        f"the others, {above} above and {below} below)",
    )
    kept = np.delete(ratings, 13, axis=1)
    assert np.array([row.ratings for row in found]).tolist() == kept.tolist()
    assert [row.mos for row in found] == pytest.approx(kept.mean(axis=1))
    assert [row.mos_se for row in found] == pytest.approx(kept.std(axis=1, ddof=1) / math.sqrt(14))
    assert {row.weight for row in found} == {1.0}
    same = raters.settled(rows(ratings), names=names, screening=None, mean=True, error=True, weigh=True)
    assert same.notes == ()
    assert [row.mos for row in same] == pytest.approx(ratings.mean(axis=1))


def test_a_row_counts_by_its_number_of_ratings_where_that_is_asked() -> None:
    gap = math.nan
    ratings = np.array([[1.0, 2, 4], [gap, 3, gap], [5, gap, 4], [gap, gap, gap]])
    asked = raters.settled(
        rows(ratings), names=["a", "b", "c"], screening=None, mean=True, error=True, weigh=True
    )
    assert [row.weight for row in asked] == [
        1.5,
        0.5,
        1.0,
        1.0,
    ]  # 3, 1, 2 ratings; nobody learns from the last
    assert [row.mos for row in asked[1:3]] == [3.0, 4.5]
    assert math.isnan(asked[1].mos_se)
    assert math.isnan(asked[3].mos)
    left = raters.settled(
        rows(ratings), names=["a", "b", "c"], screening=None, mean=False, error=False, weigh=False
    )
    assert {(row.mos, row.mos_se, row.weight) for row in left} == {(-1.0, -1.0, 1.0)}


def test_real_panels_of_four_are_too_small_to_be_screened(shared_data: Path) -> None:
    listed = json.loads((shared_data / "videobench" / "motion_effects.json").read_text(encoding="utf-8"))
    given = [found for entry in listed for found in entry["human_anno"].values()]
    ratings = np.array([[float(one) or math.nan for one in found] for found in given])
    names = ["a", "b", "c", "d"]
    found = raters.settled(rows(ratings), names=names, screening="bt500", mean=True, error=True, weigh=True)
    assert found.notes == (
        "screening (ITU-R BT.500) leaves out 0 of 4 raters; with fewer than 6 ratings a video nobody can "
        "stand out",
    )
    assert sum(row.weight < 1 for row in found) == 35  # zeros that mean missing
