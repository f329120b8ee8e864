"""How far ratings can be trusted, from the ratings alone: would another panel of as many people agree?

    ratings (video, rater), NaN: not rated -> reliability of their mean -> the best SRCC that can be reached

Source: Spearman 1910 and Brown 1910 for equal halves; Horst 1951 (Psychometrika 16, 189) for unequal ones.
"""

import itertools
import math

import numpy as np
from numpy.typing import NDArray

from msavqa.evaluation import metrics

Floats = NDArray[np.float64]
HALVINGS = 200
"""Ways to part the raters that are looked at; all of them where there are no more."""
LEAST = 3
"""Videos below which a correlation says nothing."""


def split_half(*, ratings: Floats) -> float:
    """Reliability of the mean over raters, at most 1: the share of variance that is the videos' own.

    `ratings` (video, rater), NaN where a rater did not rate; the result is NaN where nothing can be told.
    Raters are parted into two halves, which differ by one where their number is odd. Pearson's correlation r
    of the halves' means is averaged over all ways to do so (or `HALVINGS` random ones, always the same) and
    stepped up to the whole panel:

        R = 2 r / (1 + r)                                                  Spearman-Brown, equal halves
        R = r (sqrt(r^2 + 4 p q (1 - r^2)) - r) / (2 p q (1 - r^2))        Horst, shares p and q = 1 - p

    A video counts where both halves have rated it; p is the mean share of ratings that the first half gave.
    """
    found, shares = [], []
    for first in _halves(ratings.shape[1]):
        one, other = ratings[:, first], ratings[:, ~first]
        left, right = (np.isfinite(half).sum(axis=1) for half in (one, other))
        both = (left > 0) & (right > 0)
        if both.sum() < LEAST:
            continue
        found.append(metrics.plcc(score=np.nanmean(one[both], axis=1), mos=np.nanmean(other[both], axis=1)))
        shares.append(float(np.mean(left[both] / (left + right)[both])))
    known = np.isfinite(found)
    if not known.any():
        return math.nan
    return stepped_up(r=float(np.mean(np.array(found)[known])), p=float(np.mean(np.array(shares)[known])))


def stepped_up(*, r: float, p: float) -> float:
    """Horst's reliability of a whole whose parts, of shares p and 1 - p, correlate by r; NaN for r <= -1."""
    if not -1 < r < 1:
        return 1.0 if r >= 1 else math.nan
    rest = p * (1 - p) * (1 - r**2)
    return r * (math.sqrt(r**2 + 4 * rest) - r) / (2 * rest)


def best_srcc(*, reliability: float) -> float:
    """SRCC of the videos' true quality with ratings of this reliability in (0, 1], if both are normal.

    Pearson's is sqrt(reliability) (classical test theory), and Spearman's then (6 / pi) asin(that / 2).
    """
    return 6 / math.pi * math.asin(math.sqrt(min(reliability, 1.0)) / 2)


def _halves(raters: int) -> list[NDArray[np.bool_]]:
    """Who is in the first half, (rater,) each."""
    size, numbers = raters // 2, range(raters)
    if math.comb(raters, size) <= HALVINGS:
        chosen = [list(one) for one in itertools.combinations(numbers, size)]
    else:
        random = np.random.default_rng(0)
        chosen = [random.permutation(raters)[:size].tolist() for _ in range(HALVINGS)]
    return [np.isin(np.arange(raters), one) for one in chosen]
