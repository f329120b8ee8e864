"""A few human ratings and many scores -> a mean that people stand behind, whatever the scores are worth.

Prediction-powered inference (Angelopoulos et al. 2023, Science 382), power-tuned (PPI++, arXiv 2311.01453).
The scores say what the mean would be were they right, the rated prompts say by how much they are wrong. If
the scores are worthless, the weight `power` falls to zero and the ratings alone remain.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from msavqa.evaluation.metrics import Interval

LEAST = 5
"""Rated prompts below which no variance can be told, and no interval is given."""


@dataclass(frozen=True)
class Rated:
    """A mean rating, of ratings and scores together."""

    mean: Interval
    """In units of the ratings; NaN bounds with fewer than `LEAST` rated prompts."""
    alone: Interval
    """What the ratings say alone, by Student's t."""
    power: float
    """Weight of the scores, 0..: lambda of PPI++."""
    prompts: int
    """How many have a rating."""
    worth: float
    """How many rated prompts would give an interval as narrow without any score."""
    error: float
    """Standard error of the mean."""

    def p_value(self) -> float:
        """Two-sided, of the mean being zero, by Student's t; NaN with fewer than `LEAST` rated prompts."""
        if self.prompts < LEAST or not self.error > 0:
            return float("nan")
        return float(2 * stats.t.sf(abs(self.mean.value) / self.error, self.prompts - 1))


def rated_mean(*, rating: ArrayLike, predicted: ArrayLike, score: ArrayLike, level: float = 0.95) -> Rated:
    """The mean rating over all prompts, from the ratings of some.

    rating, predicted: (rated prompt,), what people said and what the scores say of the same videos; score:
    (other prompt,), the scores of prompts without ratings. All finite; scores may be on any scale, the weight
    undoes it.

        mean = power * mean(score) + mean(rating - power * predicted)
        power = cov(rating, predicted) / ((1 + n / N) var(scores)), n rated and N other prompts, at least 0

    The weight and the variances are estimated from the n rated prompts, so Student's quantile with n - 1
    degrees stands for the normal one; the normal one covers 2% too little at 15 rated prompts.
    """
    people, seen = np.asarray(rating, dtype=np.float64), np.asarray(predicted, dtype=np.float64)
    others = np.asarray(score, dtype=np.float64)
    count, more = len(people), len(others)
    quantile = float(stats.t.ppf((1 + level) / 2, count - 1)) if count > 1 else np.nan
    own = float(people.var(ddof=1) / count) if count > 1 else np.nan
    mean = float(people.mean()) if count else np.nan
    alone = Interval(mean, mean - quantile * own**0.5, mean + quantile * own**0.5)
    if count < LEAST:
        return Rated(Interval(mean, np.nan, np.nan), alone, 0.0, count, float(count), own**0.5)
    power = _power(people, seen, others)
    if more == 0 or power == 0:
        return Rated(alone, alone, 0.0, count, float(count), own**0.5)
    rest = people - power * seen
    centre = power * float(others.mean()) + float(rest.mean())
    variance = (
        power**2 * float(np.concatenate([seen, others]).var(ddof=1)) / more + float(rest.var(ddof=1)) / count
    )
    half = quantile * variance**0.5
    worth = count * own / variance if variance > 0 else float(count)
    return Rated(Interval(centre, centre - half, centre + half), alone, power, count, worth, variance**0.5)


def _power(people: NDArray[np.float64], seen: NDArray[np.float64], others: NDArray[np.float64]) -> float:
    """PPI++'s weight, Eq. 13 of its paper for a mean; 0 where the scores are all one or run against
    people."""
    spread = float(np.concatenate([seen, others]).var(ddof=1)) if len(others) else 0.0
    if spread == 0:
        return 0.0
    together = float(np.cov(people, seen, ddof=1)[0, 1])
    return max(0.0, together / ((1 + len(people) / max(1, len(others))) * spread))
