"""Metrics against scipy, against brute force, and by property."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize, stats

from msavqa.evaluation import metrics
from msavqa.ground.errors import MsavqaError


@pytest.fixture
def pair() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(3)
    mos = random.normal(50, 15, size=80).round(0)  # rounding makes ties
    return (mos + random.normal(0, 12, size=80)).round(0), mos


def test_correlations_equal_scipys_with_ties(pair: tuple[np.ndarray, np.ndarray]) -> None:
    score, mos = pair
    assert len(np.unique(score)) < len(score)
    assert metrics.srcc(score=score, mos=mos) == pytest.approx(
        stats.spearmanr(score, mos).statistic, abs=1e-12
    )
    assert metrics.plcc(score=score, mos=mos) == pytest.approx(
        stats.pearsonr(score, mos).statistic, abs=1e-12
    )
    assert metrics.krcc(score=score, mos=mos) == pytest.approx(
        stats.kendalltau(score, mos).statistic, abs=1e-12
    )


@given(st.lists(st.sampled_from([-np.inf, -2.5, 0.0, 1e-300, 1.0, 7.0]) | st.floats(allow_nan=False)))
def test_ranks_are_scipys(values: list[float]) -> None:
    assert metrics.ranks(np.array(values)).tolist() == stats.rankdata(values).tolist()


def test_kendalls_tau_equals_a_count_of_all_pairs(pair: tuple[np.ndarray, np.ndarray]) -> None:
    score, mos = pair
    agree = ties_score = ties_mos = pairs = 0
    for i in range(len(score)):
        for j in range(i):
            agree += int(np.sign(score[i] - score[j]) * np.sign(mos[i] - mos[j]))
            ties_score += score[i] == score[j]
            ties_mos += mos[i] == mos[j]
            pairs += 1
    expected = agree / np.sqrt(float(pairs - ties_score) * float(pairs - ties_mos))
    assert metrics.krcc(score=score, mos=mos) == pytest.approx(expected, abs=1e-12)


def test_spearmans_rank_correlation_equals_a_count_of_ranks(pair: tuple[np.ndarray, np.ndarray]) -> None:
    def ranks(values: np.ndarray) -> np.ndarray:
        return np.array([np.sum(values < one) + (np.sum(values == one) + 1) / 2 for one in values])

    score, mos = pair
    first, second = ranks(score) - np.mean(ranks(score)), ranks(mos) - np.mean(ranks(mos))
    expected = np.sum(first * second) / np.sqrt(np.sum(first**2) * np.sum(second**2))
    assert metrics.srcc(score=score, mos=mos) == pytest.approx(expected, abs=1e-12)


def test_rank_metrics_do_not_change_under_a_rising_map_and_flip_under_a_falling_one(
    pair: tuple[np.ndarray, np.ndarray],
) -> None:
    score, mos = pair
    for metric in (metrics.srcc, metrics.krcc):
        assert metric(score=np.exp(score / 30), mos=mos) == pytest.approx(
            metric(score=score, mos=mos), abs=1e-12
        )
        assert metric(score=-score, mos=mos) == pytest.approx(-metric(score=score, mos=mos), abs=1e-12)


def test_plcc_does_not_change_with_scale_and_shift(pair: tuple[np.ndarray, np.ndarray]) -> None:
    score, mos = pair
    assert metrics.plcc(score=3 * score - 7, mos=mos) == pytest.approx(metrics.plcc(score=score, mos=mos))


def test_a_constant_score_has_no_correlation_rather_than_a_perfect_or_a_zero_one() -> None:
    mos = np.arange(9.0)
    assert np.isnan(metrics.srcc(score=np.full(9, 0.1), mos=mos))
    assert np.isnan(metrics.plcc(score=np.full(9, 0.1), mos=mos))
    assert np.isnan(metrics.krcc(score=np.full(9, 0.1), mos=mos))


@pytest.mark.parametrize("videos", [2, 300])
def test_no_constant_correlates_by_the_rounding_of_its_mean(videos: int) -> None:
    random = np.random.default_rng(0)
    mos = random.normal(size=videos)
    for value in random.normal(scale=50, size=200):
        assert np.isnan(metrics.plcc(score=np.full(videos, value), mos=mos))
        assert np.isnan(metrics.plcc(score=mos, mos=np.full(videos, value)))


def test_tiny_scores_that_vary_still_correlate() -> None:
    mos = np.arange(9.0)
    assert metrics.plcc(score=mos * 1e-5, mos=mos) == pytest.approx(1.0)


def test_rmse_is_the_root_of_the_mean_square() -> None:
    assert metrics.rmse(score=[1.0, 2.0, 5.0], mos=[1.0, 4.0, 4.0]) == pytest.approx(np.sqrt(5 / 3))


def test_the_average_score_is_the_mean_of_srcc_and_plcc(pair: tuple[np.ndarray, np.ndarray]) -> None:
    score, mos = pair
    expected = (metrics.srcc(score=score, mos=mos) + metrics.plcc(score=score, mos=mos)) / 2
    assert metrics.average_score(score=score, mos=mos) == pytest.approx(expected)


def test_the_logistic_fit_finds_a_logistic_it_was_made_from() -> None:
    score = np.linspace(-3, 3, 60)
    mos = metrics.logistic4(score, (80.0, 20.0, 0.5, 0.7))
    assert metrics.fit_logistic4(score=score, mos=mos) == pytest.approx((80.0, 20.0, 0.5, 0.7), rel=1e-4)
    assert metrics.plcc_logistic4(score=score, mos=mos) == pytest.approx(1.0, abs=1e-9)
    assert metrics.rmse_logistic4(score=score, mos=mos) == pytest.approx(0.0, abs=1e-4)
    assert metrics.plcc(score=score, mos=mos) < 0.98


@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e4])
@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_the_logistic_fit_is_no_worse_than_the_best_line_on_any_scale(
    pair: tuple[np.ndarray, np.ndarray], scale: float, sign: float
) -> None:
    score, mos = pair
    score = sign * scale * score
    fitted = metrics.logistic4(score, metrics.fit_logistic4(score=score, mos=mos))
    line = np.polyval(np.polyfit(score, mos, 1), score)
    assert metrics.rmse(score=fitted, mos=mos) <= 1.005 * metrics.rmse(score=line, mos=mos)


@pytest.mark.parametrize("width", [0.7, -0.7])
def test_the_slopes_of_the_logistic_are_those_of_differences(width: float) -> None:
    score, at = np.linspace(-3, 3, 7), np.array([80.0, 20.0, 0.5, width])
    expected = optimize.approx_fprime(at, lambda parameters: metrics.logistic4(score, parameters), 1e-7)
    assert metrics.slopes_of_logistic4(score, at) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("rows", [2, 3, 4])
def test_the_logistic_fit_takes_few_rows(rows: int) -> None:
    score, mos = np.array([1.0, 2.0, 4.0, 5.0])[:rows], np.array([10.0, 20.0, 60.0, 80.0])[:rows]
    fitted = metrics.logistic4(score, metrics.fit_logistic4(score=score, mos=mos))
    assert fitted == pytest.approx(mos, abs=3)


def test_the_bootstrap_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    random = np.random.default_rng(0)
    covered = 0
    for trial in range(100):
        mos = random.normal(size=60)
        score = 0.6 * mos + 0.8 * random.normal(size=60)
        found = metrics.bootstrap(
            score=score, mos=mos, statistic=metrics.plcc, groups=None, resamples=200, seed=trial
        )
        covered += found.low <= 0.6 <= found.high
    assert 85 <= covered <= 100


def test_the_bootstrap_is_the_same_for_the_same_seed_and_holds_its_value(
    pair: tuple[np.ndarray, np.ndarray],
) -> None:
    score, mos = pair
    first, second = (
        metrics.bootstrap(score=score, mos=mos, statistic=metrics.srcc, groups=None, resamples=100, seed=5)
        for _ in range(2)
    )
    assert first == second
    assert first.low < first.value < first.high


def test_drawing_whole_groups_widens_the_interval_where_a_group_agrees() -> None:
    random = np.random.default_rng(1)
    prompt = np.repeat(np.arange(20), 10)
    mos, error = random.normal(size=20)[prompt], random.normal(size=20)[prompt]
    widths = []
    for groups in (None, prompt):
        found = metrics.bootstrap(
            score=mos + error, mos=mos, statistic=metrics.plcc, groups=groups, resamples=200, seed=0
        )
        widths.append(found.high - found.low)
    assert widths[1] > 2 * widths[0]


def test_a_run_differs_from_itself_by_nothing(pair: tuple[np.ndarray, np.ndarray]) -> None:
    score, mos = pair
    found = metrics.paired_bootstrap(
        score_a=score,
        score_b=score,
        mos=mos,
        statistic=metrics.srcc,
        groups=None,
        repeats=None,
        resamples=50,
        seed=0,
    )
    assert (found.value, found.low, found.high, found.p_value) == (0.0, 0.0, 0.0, 1.0)


def test_the_paired_difference_changes_sign_with_its_runs_and_sees_a_better_run() -> None:
    random = np.random.default_rng(2)
    mos = random.normal(size=300)
    good, bad = mos + 0.5 * random.normal(size=300), mos + 1.5 * random.normal(size=300)
    forth, back = (
        metrics.paired_bootstrap(
            score_a=a,
            score_b=b,
            mos=mos,
            statistic=metrics.srcc,
            groups=None,
            repeats=None,
            resamples=200,
            seed=0,
        )
        for a, b in ((good, bad), (bad, good))
    )
    assert forth.value == -back.value
    assert (forth.low, forth.high) == pytest.approx((-back.high, -back.low))
    assert forth.low > 0
    assert forth.p_value < 0.02


def test_the_same_videos_in_two_repeats_do_not_narrow_the_interval() -> None:
    random = np.random.default_rng(4)
    mos, video = random.normal(size=100), np.arange(100)
    a, b = mos + random.normal(size=100), mos + 1.2 * random.normal(size=100)

    def width(times: int) -> float:
        found = metrics.paired_bootstrap(
            score_a=np.tile(a, times),
            score_b=np.tile(b, times),
            mos=np.tile(mos, times),
            statistic=metrics.plcc,
            groups=np.tile(video, times),
            repeats=np.repeat(np.arange(times), 100),
            resamples=400,
            seed=0,
        )
        return found.high - found.low

    assert width(4) == pytest.approx(width(1), rel=0.05)


def test_within_groups_sees_nothing_of_the_difference_between_generators() -> None:
    generator = np.repeat(["a", "b", "c"], 30)
    mos = np.repeat([10.0, 50.0, 90.0], 30) + np.tile(np.arange(30.0), 3)
    score = np.repeat([10.0, 50.0, 90.0], 30) - np.tile(np.arange(30.0), 3) / 10
    assert metrics.srcc(score=score, mos=mos) > 0.7
    found = metrics.within_groups(score=score, mos=mos, groups=generator, statistic=metrics.srcc)
    assert found == pytest.approx(-1.0)


def test_within_groups_counts_a_group_by_its_videos() -> None:
    generator = np.repeat(["many", "few"], [9, 3])
    mos = np.concatenate([np.arange(9.0), np.arange(3.0)])
    score = np.concatenate([np.arange(9.0), -np.arange(3.0)])  # SRCC 1 among nine, -1 among three
    found = metrics.within_groups(score=score, mos=mos, groups=generator, statistic=metrics.srcc)
    assert found == pytest.approx((9 * 1 + 3 * -1) / 12)


def test_within_groups_leaves_out_groups_that_are_too_small() -> None:
    found = metrics.within_groups(
        score=[1, 2, 3, 1, 2], mos=[1, 2, 3, 2, 1], groups=list("aaabb"), statistic=metrics.srcc
    )
    assert found == pytest.approx(1.0)
    assert np.isnan(
        metrics.within_groups(score=[1, 2], mos=[1, 2], groups=["a", "b"], statistic=metrics.srcc)
    )


def test_labels_of_another_shape_are_refused_in_a_sentence() -> None:
    with pytest.raises(MsavqaError) as caught:
        metrics.srcc(score=np.zeros(4), mos=np.zeros((4, 1)))
    assert str(caught.value) == (
        "Shapes in a metric of score and mos: got (4,) and (4, 1), "
        "expected two of (video,) with at least 2 videos"
        "; give one score and one mos per video."
    )


def test_a_label_that_is_not_known_is_refused_in_a_sentence() -> None:
    with pytest.raises(MsavqaError) as caught:
        metrics.plcc(score=[1.0, 2.0, 3.0], mos=[1.0, float("nan"), 2.0])
    assert str(caught.value) == (
        "Values in a metric of score and mos: got 0 scores and 1 mos not finite, expected finite numbers; "
        "leave out videos without a label before computing metrics."
    )
