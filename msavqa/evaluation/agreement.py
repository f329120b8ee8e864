"""What reviewers ask of scores beside people's ratings: each figure with its interval over prompts."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from msavqa.evaluation import metrics, pair_accuracy
from msavqa.evaluation.metrics import Interval

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]
LEAST = 3
"""Videos below which a correlation says nothing."""


@dataclass(frozen=True)
class Scored:
    """Scores and ratings of the same videos, (video,) each."""

    score: Floats
    mos: Floats
    prompt: NDArray[Any]
    """str; videos of one prompt are drawn together; "" stands alone."""
    generator: NDArray[Any]
    """str; "" where it is not known."""
    low: Floats | None = None
    high: Floats | None = None
    """The scores' own intervals."""


def of(scored: Scored, *, resamples: int, seed: int) -> dict[str, Interval]:
    """Figures by name; one that cannot be computed is left out.

    srcc, plcc, plcc_logistic (after VQEG's 4-parameter logistic, fitted on these rows once), krcc, rmse and
    bias (mean score - mean MOS; both in MOS and only right where the scores are on that scale),
    within_generator_srcc (mean over generators), across_generators_srcc (of their means), pair_accuracy and
    pair_accuracy_with_ties (videos of one prompt), interval_coverage.
    """
    mapped = metrics.logistic4(scored.score, metrics.fit_logistic4(score=scored.score, mos=scored.mos))
    found = {
        name: _interval(scored, function, resamples=resamples, seed=seed)
        for name, function in _functions(scored, mapped).items()
    }
    pairs = pair_accuracy.of_ratings(score=scored.score, mos=scored.mos, prompt=_groups(scored))
    found["pair_accuracy"] = pair_accuracy.without_ties(pairs, resamples=resamples, seed=seed)
    if len(pairs.gap):
        found["pair_accuracy_with_ties"], _ = pair_accuracy.with_ties(pairs, resamples=resamples, seed=seed)
    return {name: one for name, one in found.items() if np.isfinite(one.value)}


def _functions(scored: Scored, mapped: Floats) -> Mapping[str, Callable[[Rows], float]]:
    score, mos, generator = scored.score, scored.mos, scored.generator
    named = generator != ""

    def within(rows: Rows) -> float:
        rows = rows[named[rows]]
        if len(rows) < LEAST:
            return float("nan")
        return metrics.within_groups(
            score=score[rows], mos=mos[rows], groups=generator[rows], statistic=metrics.srcc
        )

    def across(rows: Rows) -> float:
        rows = rows[named[rows]]
        names, place = np.unique(generator[rows], return_inverse=True)
        if len(names) < LEAST:
            return float("nan")
        counts = np.bincount(place)
        return metrics.srcc(
            score=np.bincount(place, weights=score[rows]) / counts,
            mos=np.bincount(place, weights=mos[rows]) / counts,
        )

    found: dict[str, Callable[[Rows], float]] = {
        "srcc": lambda rows: metrics.srcc(score=score[rows], mos=mos[rows]),
        "plcc": lambda rows: metrics.plcc(score=score[rows], mos=mos[rows]),
        "plcc_logistic": lambda rows: metrics.plcc(score=mapped[rows], mos=mos[rows]),
        "krcc": lambda rows: metrics.krcc(score=score[rows], mos=mos[rows]),
        "rmse": lambda rows: metrics.rmse(score=score[rows], mos=mos[rows]),
        "bias": lambda rows: float(np.mean(score[rows] - mos[rows])),
        "within_generator_srcc": within,
        "across_generators_srcc": across,
    }
    if scored.low is not None and scored.high is not None:
        held = (scored.low <= mos) & (mos <= scored.high)
        found["interval_coverage"] = lambda rows: float(np.mean(held[rows]))
    return found


def _interval(scored: Scored, function: Callable[[Rows], float], *, resamples: int, seed: int) -> Interval:
    whole = function(np.arange(len(scored.mos)))
    if not np.isfinite(whole):
        return Interval(whole, np.nan, np.nan)
    values = [
        function(rows)
        for rows in metrics.draws(len(scored.mos), _groups(scored), resamples=resamples, seed=seed)
    ]
    low, high = metrics.percentiles(values, 0.95)
    return Interval(whole, low, high)


def _groups(scored: Scored) -> NDArray[Any]:
    """What is drawn as one: the prompt, or the video alone where there is none."""
    alone = np.array([f"\0{number}" for number in range(len(scored.prompt))])
    return np.where(scored.prompt == "", alone, scored.prompt)
