"""Figures of outside scores: each is the metric that it names, and its interval draws prompts."""

import numpy as np
import pytest
from scipy import stats

from msavqa.evaluation import agreement, metrics
from msavqa.evaluation.agreement import Scored


def scored(**changes: object) -> Scored:
    random = np.random.default_rng(0)
    mos = random.normal(50, 10, 120)
    score = mos + random.normal(3, 8, 120)
    prompt = np.array([f"p{row // 4}" for row in range(120)])
    generator = np.array([f"g{row % 4}" for row in range(120)])
    fields: dict[str, object] = {
        "score": score, "mos": mos, "prompt": prompt, "generator": generator, "low": score - 12,
        "high": score + 12,
    }  # fmt: skip
    return Scored(**(fields | changes))  # type: ignore[arg-type]


def test_each_figure_is_what_it_is_called() -> None:
    one = scored()
    found = agreement.of(one, resamples=100, seed=0)
    assert found["srcc"].value == pytest.approx(stats.spearmanr(one.score, one.mos).statistic)
    assert found["krcc"].value == pytest.approx(stats.kendalltau(one.score, one.mos).statistic)
    assert found["bias"].value == pytest.approx(np.mean(one.score - one.mos))
    assert found["rmse"].value == pytest.approx(metrics.rmse(score=one.score, mos=one.mos))
    assert found["plcc_logistic"].value == pytest.approx(metrics.plcc_logistic4(score=one.score, mos=one.mos))
    assert found["interval_coverage"].value == pytest.approx(np.mean(np.abs(one.score - one.mos) <= 12))
    within = [
        stats.spearmanr(one.score[one.generator == name], one.mos[one.generator == name]).statistic
        for name in sorted(set(one.generator))
    ]
    assert found["within_generator_srcc"].value == pytest.approx(np.mean(within))
    means = [
        [values[one.generator == name].mean() for name in sorted(set(one.generator))]
        for values in (one.score, one.mos)
    ]
    assert found["across_generators_srcc"].value == pytest.approx(stats.spearmanr(*means).statistic)
    assert all(one.low <= one.value <= one.high for name, one in found.items() if "ties" not in name)


def test_what_is_not_known_is_left_out() -> None:
    nothing = np.full(120, "")
    found = agreement.of(
        scored(prompt=nothing, generator=nothing, low=None, high=None), resamples=100, seed=0
    )
    assert set(found) == {"srcc", "plcc", "plcc_logistic", "krcc", "rmse", "bias"}


def test_videos_of_a_prompt_are_drawn_together() -> None:
    one = scored()
    lone = scored(prompt=np.array([f"p{row}" for row in range(120)]))
    shared = np.repeat(np.random.default_rng(1).normal(0, 10, 30), 4)  # an error that a prompt's videos share
    wide, narrow = (
        agreement.of(scored(score=one.mos + shared, prompt=each.prompt), resamples=400, seed=0)["bias"]
        for each in (one, lone)
    )
    assert wide.high - wide.low > 1.6 * (narrow.high - narrow.low)
