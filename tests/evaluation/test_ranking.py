"""Generators ranked, against scipy, networkx, a hand-worked Holm, brute force, and by property."""

import itertools

import networkx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from msavqa.evaluation import many_pairs, ranking, wins


def drawn(seed: int, *, prompts: int, generators: int = 4, gaps: float = 0.3) -> np.ndarray:
    """A table in which prompts differ, generators differ, and a share of the videos is missing."""
    random = np.random.default_rng(seed)
    table = (
        random.normal(50, 8, (prompts, 1))
        + np.arange(generators) * gaps
        + random.normal(0, 6, (prompts, generators))
    )
    table[random.random(table.shape) < 0.1] = np.nan
    return table


def test_videos_of_one_prompt_count_as_one_mean() -> None:
    table, prompts, names = ranking.by_prompt(
        generator=["b", "a", "b", "b", "a"], prompt=["x", "x", "x", "y", "y"], score=[1, 2, 3, 5, np.nan]
    )
    assert (prompts, names) == (["x", "y"], ["a", "b"])
    np.testing.assert_equal(table, [[2.0, 2.0], [np.nan, 5.0]])


def test_the_p_value_is_scipys_paired_t_over_the_prompts_that_both_have() -> None:
    table = drawn(0, prompts=30)
    for pair in ranking.pairs(table, resamples=100, seed=0):
        found = stats.ttest_rel(table[:, pair.first], table[:, pair.second], nan_policy="omit")
        assert pair.p_value == pytest.approx(float(found.pvalue), rel=1e-9)
        gaps = table[:, pair.first] - table[:, pair.second]
        assert pair.difference.value == pytest.approx(np.nanmean(gaps))
        assert pair.prompts == np.isfinite(gaps).sum()


def test_an_interval_is_a_bootstrap_of_whole_prompts_at_hesterbergs_percentiles() -> None:
    table = drawn(1, prompts=25)
    known = table[np.isfinite(table[:, 0]), 0]
    random = np.random.default_rng(5)
    draws = random.choice(known, size=(40_000, len(known))).mean(axis=1)
    tail = ranking.expanded(len(known), level=0.95)
    assert tail < 0.025
    low, high = np.quantile(draws, [tail, 1 - tail])
    found = ranking.means(table, resamples=8000, seed=0)[0]
    assert found.value == pytest.approx(known.mean())
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.15)


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    truth, held = np.array([50.0, 50.0, 52.0]), []
    random = np.random.default_rng(20)
    for trial in range(250):
        table = truth + random.normal(0, 8, (20, 1)) + random.normal(0, 6, (20, 3))
        held += [
            one.low <= value <= one.high
            for one, value in zip(ranking.means(table, resamples=300, seed=trial), truth, strict=True)
        ]
        held += [
            pair.difference.low <= truth[pair.first] - truth[pair.second] <= pair.difference.high
            for pair in ranking.pairs(table, resamples=300, seed=trial)
        ]
    assert 0.93 <= np.mean(held) <= 0.97


def test_equal_generators_are_rarely_told_apart_over_all_pairs_together() -> None:
    random, wrong = np.random.default_rng(3), 0
    for trial in range(200):
        table = random.normal(50, 8, (20, 1)) + random.normal(0, 6, (20, 4))
        wrong += any(pair.decided(alpha=0.05) for pair in ranking.pairs(table, resamples=100, seed=trial))
    assert wrong / 200 <= 0.05 + 0.03  # two standard errors of 200 trials


def test_more_prompts_are_as_many_as_decide_it() -> None:
    random = np.random.default_rng(0)
    table = random.normal(0, 6, (40, 1)) + random.normal([0.0, 1.2], 4, (40, 2))
    (pair,) = ranking.pairs(table, resamples=100, seed=0)
    assert not pair.decided(alpha=0.05)
    assert pair.more_prompts is not None
    gaps = table[:, 0] - table[:, 1]
    size, decided = 40 + pair.more_prompts, []
    for _ in range(800):  # a world in which the difference and the spread are what they seem
        sample = random.normal(gaps.mean(), gaps.std(ddof=1), size)
        decided.append(stats.ttest_1samp(sample, 0).pvalue <= 0.05)
    assert np.mean(decided) == pytest.approx(ranking.POWER, abs=0.04)


def test_the_scores_own_error_widens_every_interval_and_may_leave_a_pair_open_for_ever() -> None:
    table = drawn(2, prompts=400, gaps=2.0)
    sure = ranking.pairs(table, resamples=200, seed=0)
    doubted = ranking.pairs(table, resamples=200, seed=0, model_error=3.0)
    assert all(one.decided(alpha=0.05) for one in sure)
    neighbours = next(one for one in doubted if (one.first, one.second) == (0, 1))
    assert not neighbours.decided(alpha=0.05)
    assert neighbours.more_prompts is None
    assert neighbours.difference.high - neighbours.difference.low >= 2 * 1.95 * 2**0.5 * 3.0
    plain, wide = (ranking.means(table, resamples=200, seed=0, model_error=error)[0] for error in (0.0, 3.0))
    assert (wide.high - wide.value) ** 2 == pytest.approx(
        (plain.high - plain.value) ** 2 + (1.959964 * 3) ** 2
    )


def test_where_nothing_can_be_said_nothing_is() -> None:
    table = np.array([[1.0, np.nan], [2.0, 3.0]])
    (pair,) = ranking.pairs(table, resamples=100, seed=0)
    assert pair.prompts == 1
    assert pair.more_prompts is None
    assert not pair.decided(alpha=0.05)
    assert np.isnan([pair.p_value, pair.corrected, pair.difference.low, pair.wins.low]).all()
    same = np.array([[1.0, 1.0], [2.0, 2.0], [3.0, 3.0]])
    (pair,) = ranking.pairs(same, resamples=100, seed=0)
    assert (pair.p_value, pair.more_prompts, pair.wins.value) == (1.0, None, 0.5)
    (pair,) = ranking.pairs(same + np.array([1.0, 0.0]), resamples=100, seed=0)
    assert pair.p_value == 0.0
    assert pair.decided(alpha=0.05)


def test_holm_by_hand() -> None:
    # p .005 x 4 = .02, .01 x 3 = .03, .03 x 2 = .06, .04 x 1 = .04, which may not fall below .06.
    assert many_pairs.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    found = many_pairs.holm([0.3, np.nan, 0.02])  # no test, so two are counted
    assert np.isnan(found[1])
    assert found[[0, 2]] == pytest.approx([0.3, 0.04])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6))
@settings(max_examples=60)
def test_holm_is_the_closure_of_bonferroni(p_values: list[float]) -> None:
    """Each test is rejected where every set of tests that holds it is, by Bonferroni (Marcus et al. 1976)."""
    count = len(p_values)
    every = [chosen for size in range(1, count + 1) for chosen in itertools.combinations(range(count), size)]
    truth = [
        min(
            1.0, max(min(p_values[one] for one in chosen) * len(chosen) for chosen in every if test in chosen)
        )
        for test in range(count)
    ]
    assert many_pairs.holm(p_values) == pytest.approx(truth)


@given(st.integers(1, 7), st.data())
@settings(max_examples=60)
def test_groups_are_networkxs_cliques_of_undecided_pairs(count: int, data: st.DataObject) -> None:
    every = list(itertools.combinations(range(count), 2))
    decided = data.draw(st.lists(st.sampled_from(every), unique=True)) if every else []
    graph = networkx.Graph()
    graph.add_nodes_from(range(count))
    graph.add_edges_from(set(every) - set(decided))
    found = many_pairs.groups(-np.arange(count), decided)
    assert {frozenset(one) for one in found} == {frozenset(one) for one in networkx.find_cliques(graph)}
    assert found == sorted(found)
    assert all(one == sorted(one) for one in found)


def test_ranks_leave_open_what_is_undecided() -> None:
    assert many_pairs.ranks(3, [(0, 1), (0, 2)]) == [(1, 1), (2, 3), (2, 3)]
    assert many_pairs.ranks(2, []) == [(1, 2), (1, 2)]


def test_win_shares_are_those_of_a_count_over_all_pairs_of_videos() -> None:
    random = np.random.default_rng(0)
    rows = [
        (f"g{generator}", f"p{prompt}", float(random.integers(0, 6)))
        for generator in range(3)
        for prompt in range(5)
        for _ in range(random.integers(0, 4))
    ] + [("g0", "p9", np.nan)]
    generator, prompt, score = (np.array(column) for column in zip(*rows, strict=True))
    found = wins.win_shares(generator=generator, prompt=prompt, score=score, tie=1.0)
    for row, one in enumerate(sorted(set(prompt))):
        for place, (first, second) in enumerate(itertools.combinations(sorted(set(generator)), 2)):
            mine, theirs = (score[(prompt == one) & (generator == name)] for name in (first, second))
            duels = [
                1.0 if a > b + 1 else 0.5 if abs(a - b) <= 1 else 0.0
                for a in mine[np.isfinite(mine)]
                for b in theirs
            ]
            np.testing.assert_allclose(found[row, place], np.mean(duels) if duels else np.nan)


@pytest.mark.parametrize("won", [0, 1, 7, 19, 20])
def test_a_win_rate_of_wins_and_losses_is_wilsons(won: int) -> None:
    truth = stats.binomtest(won, 20).proportion_ci(method="wilson")
    found = wins.win_rate([1.0] * won + [0.0] * (20 - won))
    assert (found.value, found.low, found.high) == pytest.approx((won / 20, truth.low, truth.high), abs=1e-9)


@pytest.mark.parametrize(("win", "tie"), [(0.5, 0.0), (0.4, 0.3), (0.88, 0.1), (0.02, 0.5)])
def test_a_win_rates_interval_holds_the_truth_as_often_as_it_says(win: float, tie: float) -> None:
    random = np.random.default_rng(1)
    for prompts in (20, 200):
        shares = random.choice([1, 0.5, 0], p=[win, tie, 1 - win - tie], size=(700, prompts))
        found = [wins.win_rate(one) for one in shares]
        held = np.mean([one.low <= win + tie / 2 <= one.high for one in found])
        assert 0.925 <= held <= 0.985  # shares are few, so the coverage has steps
        assert all(0 <= one.low <= one.value <= one.high <= 1 for one in found)
