"""Of two videos of one prompt, does the better rated one have the higher score?

The question that people answer when they choose between videos, and the one that a reward model is asked. A
correlation over all videos says little of it: most of it is between prompts and between generators.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from msavqa.evaluation.metrics import Interval

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Pairs:
    """Pairs of videos, all of one prompt each."""

    people: NDArray[np.int64]
    """(pair,): 1 where people prefer the first, -1 the second, 0 neither."""
    gap: Floats
    """(pair,): score of the first minus score of the second."""
    prompt: NDArray[np.int64]
    """(pair,): a number for each prompt, which a draw takes whole."""


def of_ratings(*, score: ArrayLike, mos: ArrayLike, prompt: ArrayLike) -> Pairs:
    """All pairs of videos of one prompt, (video,) each; ratings that are equal are a tie."""
    values, rated = np.asarray(score, dtype=np.float64), np.asarray(mos, dtype=np.float64)
    _, numbers = np.unique(np.asarray(prompt, dtype=object).astype(str), return_inverse=True)
    order = np.argsort(numbers, kind="stable")
    first: list[NDArray[np.int64]] = []
    second: list[NDArray[np.int64]] = []
    for rows in np.split(order, np.flatnonzero(np.diff(numbers[order])) + 1):
        one, other = np.triu_indices(len(rows), k=1)
        first.append(rows[one])
        second.append(rows[other])
    left, right = np.concatenate(first), np.concatenate(second)
    return Pairs(
        people=np.sign(rated[left] - rated[right]).astype(np.int64),
        gap=values[left] - values[right],
        prompt=numbers[left],
    )


def without_ties(pairs: Pairs, *, resamples: int, seed: int, level: float = 0.95) -> Interval:
    """Share of the pairs with a preference that the scores order rightly, 0..1; equal scores count as half.

    The interval draws prompts. NaN where people prefer nothing anywhere.
    """
    chosen = pairs.people != 0
    right = pairs.people * pairs.gap > 0
    values = np.where(pairs.gap == 0, 0.5, right.astype(np.float64))
    return _share(values[chosen], pairs.prompt[chosen], resamples=resamples, seed=seed, level=level)


def with_ties(pairs: Pairs, *, resamples: int, seed: int, level: float = 0.95) -> tuple[Interval, float]:
    """Share of all pairs that the scores judge as people do, ties included, and the threshold of a tie.

    Scores are never equal, so a difference of at most the threshold counts as one. It is the threshold that
    agrees most with these very pairs, the smallest such: tie calibration of Deutsch et al. 2023 (Ties matter,
    EMNLP), acc*_eq there. The interval keeps the threshold.
    """
    sizes = np.abs(pairs.gap)
    order = np.argsort(sizes, kind="stable")
    tied = pairs.people[order] == 0
    right = (pairs.people * pairs.gap > 0)[order]
    # With a threshold at the k-th size, the pairs up to it are called ties and those above are ordered.
    agree = np.append(0, np.cumsum(tied)) + right.sum() - np.append(0, np.cumsum(right))
    last = np.append(np.diff(sizes[order]) > 0, True)  # equal sizes fall on one side
    allowed = np.append(True, last)
    best = int(np.argmax(np.where(allowed, agree, -1)))
    threshold = 0.0 if best == 0 else float(sizes[order][best - 1])
    called = np.where(sizes <= threshold, 0, np.sign(pairs.gap)) if best else np.sign(pairs.gap)
    values = (called == pairs.people).astype(np.float64)
    return _share(values, pairs.prompt, resamples=resamples, seed=seed, level=level), threshold


def _share(values: Floats, prompt: NDArray[np.int64], *, resamples: int, seed: int, level: float) -> Interval:
    """Mean of (pair,) values with the percentile interval of draws of whole prompts."""
    if not len(values):
        return Interval(np.nan, np.nan, np.nan)
    _, numbers = np.unique(prompt, return_inverse=True)
    sums, counts = np.bincount(numbers, weights=values), np.bincount(numbers)
    random = np.random.default_rng(seed)
    picks = random.integers(0, len(sums), size=(resamples, len(sums)))
    drawn = sums[picks].sum(axis=1) / counts[picks].sum(axis=1)
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(values.mean()), float(low), float(high))
