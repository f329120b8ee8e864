"""How often one generator beats another on the same prompt, with an interval that stays in 0..1."""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from msavqa.evaluation.metrics import Interval

Floats = NDArray[np.float64]
LEVEL = 0.95
"""Of every interval, before any correction for many pairs."""


def outcomes(gaps: Floats, *, tie: float) -> Floats:
    """1 where the first is better, 0 where the second is, a half where they differ by at most `tie`, NaN
    where the difference is NaN; of any shape."""
    return np.where(np.isfinite(gaps), (gaps > tie) + 0.5 * (np.abs(gaps) <= tie), np.nan)


def win_shares(*, generator: ArrayLike, prompt: ArrayLike, score: ArrayLike, tie: float = 0.0) -> Floats:
    """Share of video pairs of one prompt, 0..1, in which the first generator's is better: (prompt, pair).

    Prompts, generators and pairs are in the order of `ranking.by_prompt` and `ranking.pairs`. A difference of
    at most `tie` counts as half. NaN where one of the two has no video of the prompt.
    """
    prompts, rows = np.unique(np.asarray(prompt, dtype=object).astype(str), return_inverse=True)
    generators, columns = np.unique(np.asarray(generator, dtype=object).astype(str), return_inverse=True)
    values = np.asarray(score, dtype=np.float64)
    kept = np.flatnonzero(np.isfinite(values))
    kept = kept[np.lexsort((columns[kept], rows[kept]))]
    first, second = np.triu_indices(len(generators), k=1)
    place_of = np.zeros((len(generators), len(generators)), dtype=np.int64)
    place_of[first, second] = np.arange(len(first))
    found = np.full((len(prompts), len(first)), np.nan)
    bounds = np.searchsorted(rows[kept], np.arange(len(prompts) + 1))
    for row in range(len(prompts)):
        mine = kept[bounds[row] : bounds[row + 1]]
        if len(mine) < 2:
            continue
        gaps = values[mine][:, None] - values[mine][None, :]
        won = outcomes(gaps, tie=tie)
        starts = np.flatnonzero(np.diff(columns[mine], prepend=-1))
        here, sizes = columns[mine][starts], np.diff(starts, append=len(mine))
        sums = np.add.reduceat(np.add.reduceat(won, starts, axis=0), starts, axis=1)
        shares = sums / (sizes[:, None] * sizes[None, :])
        one, other = np.triu_indices(len(here), k=1)
        found[row, place_of[here[one], here[other]]] = shares[one, other]
    return found


def win_rate(shares: ArrayLike, *, level: float = LEVEL) -> Interval:
    """Mean of shares, (prompt,) in 0..1 or NaN, with an interval that stays in 0..1.

    Wilson's interval for as many prompts as the shares are worth: shares of a half vary less than wins and
    losses do, so n becomes n w (1 - w) / s^2, with half a win and half a loss added to w and s^2 so that
    twenty wins out of twenty are not called certain. Student's quantile stands for the normal one, as s^2 is
    estimated.
    """
    known = np.asarray(shares, dtype=np.float64)
    known = known[np.isfinite(known)]
    count = len(known)
    if count < 2:
        return Interval(float(known[0]) if count else np.nan, np.nan, np.nan)
    mean = float(known.mean())
    added = np.append(known, [0.0, 1.0])
    share = (known.sum() + 0.5) / (count + 1)
    spread = float(np.average((added - share) ** 2, weights=np.append(np.ones(count), [0.5, 0.5])))
    worth = count * share * (1 - share) / spread
    plain = spread > 0.999 * share * (1 - share)  # wins and losses alone: nothing is estimated but the share
    at = (1 + level) / 2
    quantile = float(stats.norm.ppf(at) if plain else stats.t.ppf(at, count - 1))
    middle = (mean + quantile**2 / (2 * worth)) / (1 + quantile**2 / worth)
    half = (
        quantile
        * np.sqrt(mean * (1 - mean) / worth + quantile**2 / (4 * worth**2))
        / (1 + quantile**2 / worth)
    )
    return Interval(mean, float(max(0.0, middle - half)), float(min(1.0, middle + half)))
