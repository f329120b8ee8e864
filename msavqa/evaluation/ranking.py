"""Which generator is better: means, paired differences and win rates, each with an interval over prompts.

A table holds one value per prompt and generator: the mean score of the generator's videos of that prompt, NaN
where there is none. Prompts are the units. They are what was drawn from all prompts that people might type,
and what one generator makes of a prompt is judged beside what another makes of the same. Videos of one prompt
are therefore never drawn apart.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from msavqa.evaluation import many_pairs
from msavqa.evaluation.metrics import Interval
from msavqa.evaluation.wins import LEVEL, outcomes, win_rate

Floats = NDArray[np.float64]
POWER = 0.8
"""With which `more_prompts` would decide a pair."""
BLOCK = 200
"""Bootstrap draws at once: they bound the memory."""


@dataclass(frozen=True)
class Pair:
    """Generator `first` against `second`, paired over the prompts that both have."""

    first: int
    second: int
    """Columns of the table."""
    prompts: int
    difference: Interval
    """Mean over prompts of first - second; NaN with fewer than two prompts, as all that follows."""
    wins: Interval
    """Share of prompts, 0..1, in which first is better, a tie as half."""
    p_value: float
    """Two-sided, of the paired t-test over prompts."""
    corrected: float
    """The same after Holm's correction over all pairs."""
    more_prompts: int | None
    """How many prompts more would decide it with a power of `POWER`, were the difference what it seems; 0
    where it is decided, None where no number would (no difference at all, fewer than two prompts, or one that
    the scores' own error hides)."""

    def decided(self, *, alpha: float) -> bool:
        """Whether one of the two is better, the chance of any false verdict over all pairs held at
        `alpha`."""
        return self.corrected <= alpha


def by_prompt(
    *, generator: ArrayLike, prompt: ArrayLike, score: ArrayLike
) -> tuple[Floats, list[str], list[str]]:
    """The table (prompt, generator) of mean scores, NaN where there is none, with its prompts and generators.

    All three are (video,); both names are sorted. Scores that are NaN count as no video.
    """
    prompts, rows = np.unique(np.asarray(prompt, dtype=object).astype(str), return_inverse=True)
    generators, columns = np.unique(np.asarray(generator, dtype=object).astype(str), return_inverse=True)
    values = np.asarray(score, dtype=np.float64)
    known = np.isfinite(values)
    shape = len(prompts), len(generators)
    places = rows[known] * shape[1] + columns[known]
    sums = np.bincount(places, weights=values[known], minlength=shape[0] * shape[1])
    counts = np.bincount(places, minlength=shape[0] * shape[1])
    with np.errstate(invalid="ignore"):
        table = np.where(counts > 0, sums / counts, np.nan)
    return table.reshape(shape), prompts.tolist(), generators.tolist()


def means(
    table: Floats, *, resamples: int, seed: int, model_error: float = 0.0, level: float = LEVEL
) -> list[Interval]:
    """Each generator's mean over its prompts with its bootstrap interval; NaN bounds with one prompt.

    `model_error` is the standard deviation, in scores, by which they misjudge a generator as a whole; no
    number of prompts helps against it.
    """
    found = _bootstrapped(table, resamples=resamples, seed=seed, level=level)
    return [_widened(one, model_error, level=level) for one in found]


def pairs(
    table: Floats,
    *,
    wins: Floats | None = None,
    tie: float = 0.0,
    model_error: float = 0.0,
    alpha: float = 1 - LEVEL,
    resamples: int,
    seed: int,
    level: float = LEVEL,
) -> list[Pair]:
    """Every pair of generators, first before second as the table's columns stand.

    `wins` (prompt, pair) are shares of wins where a prompt has several videos of a generator
    (`wins.win_shares`); None takes them from the table. Differences of at most `tie` are ties. `model_error`
    as in `means`, once per generator, so that a difference has it twice.
    """
    both = 2**0.5 * model_error
    first, second = np.triu_indices(table.shape[1], k=1)
    gaps = table[:, first] - table[:, second]
    won = outcomes(gaps, tie=tie) if wins is None else wins
    differences = _bootstrapped(gaps, resamples=resamples, seed=seed, level=level)
    counts = np.isfinite(gaps).sum(axis=0)
    p_values = np.array([_paired_t(gaps[:, place], both) for place in range(gaps.shape[1])])
    corrected = many_pairs.holm(p_values)
    steps = many_pairs.steps(p_values)
    return [
        Pair(
            first=int(one),
            second=int(other),
            prompts=int(counts[place]),
            difference=_widened(differences[place], both, level=level),
            wins=win_rate(won[:, place], level=level),
            p_value=float(p_values[place]),
            corrected=float(corrected[place]),
            more_prompts=_more_prompts(
                gaps[:, place], both, decided=bool(corrected[place] <= alpha), alpha=alpha / steps[place]
            ),
        )
        for place, (one, other) in enumerate(zip(first, second, strict=True))
    ]


def _bootstrapped(values: Floats, *, resamples: int, seed: int, level: float) -> list[Interval]:
    """Means over prompts of (prompt, column) with intervals from draws of prompts, the same draws in all
    columns.

    Percentiles are Hesterberg's expanded ones: a bootstrap of n prompts is too narrow by sqrt((n - 1) / n)
    and by the normal quantile in the place of Student's, which at 20 prompts costs 2% of coverage.
    (Hesterberg 2015, What teachers should know about the bootstrap, The American Statistician 69, section
    4.2.)
    """
    known = np.isfinite(values)
    filled = np.where(known, values, 0.0)
    count = known.sum(axis=0)
    random = np.random.default_rng(seed)
    prompts = len(values)
    draws = []
    for start in range(0, resamples, BLOCK):
        size = min(BLOCK, resamples - start)
        times = random.multinomial(prompts, np.full(prompts, 1 / prompts), size=size).astype(np.float64)
        with np.errstate(invalid="ignore", divide="ignore"):
            draws.append((times @ filled) / (times @ known))
    drawn = np.concatenate(draws)
    found = []
    for column in range(values.shape[1]):
        mean = float(filled[:, column].sum() / count[column]) if count[column] else np.nan
        finite = drawn[np.isfinite(drawn[:, column]), column]
        if count[column] < 2 or not len(finite):
            found.append(Interval(mean, np.nan, np.nan))
            continue
        tail = expanded(int(count[column]), level=level)
        low, high = np.quantile(finite, [tail, 1 - tail])
        found.append(Interval(mean, float(low), float(high)))
    return found


def expanded(count: int, *, level: float) -> float:
    """The tail, 0..0.5, at which a bootstrap of the mean of `count` units has its bounds, see
    `_bootstrapped`."""
    wider = np.sqrt(count / (count - 1)) * stats.t.ppf((1 + level) / 2, count - 1)
    return float(stats.norm.cdf(-wider))


def _widened(one: Interval, deviation: float, *, level: float) -> Interval:
    """The interval with an independent normal error more; bounds keep their own distances."""
    more = float(stats.norm.ppf((1 + level) / 2)) * deviation
    return Interval(
        one.value,
        one.value - float(np.hypot(one.value - one.low, more)),
        one.value + float(np.hypot(one.high - one.value, more)),
    )


def _paired_t(gaps: Floats, deviation: float) -> float:
    """Two-sided p of the mean of (prompt,) gaps; `deviation` is the error that they share."""
    known = gaps[np.isfinite(gaps)]
    if len(known) < 2:
        return float("nan")
    error = float(np.hypot(known.std(ddof=1) / np.sqrt(len(known)), deviation))
    if error == 0:  # every prompt differs by the same: nothing, or something beyond doubt
        return 1.0 if known[0] == 0 else 0.0
    return float(2 * stats.t.sf(abs(float(known.mean())) / error, len(known) - 1))


def _more_prompts(gaps: Floats, deviation: float, *, decided: bool, alpha: float) -> int | None:
    known = gaps[np.isfinite(gaps)]
    if len(known) < 2:
        return None
    if decided:
        return 0
    quantiles = float(stats.norm.ppf(1 - alpha / 2) + stats.norm.ppf(POWER))
    left = (float(known.mean()) / quantiles) ** 2 - deviation**2
    if left <= 0:
        return None
    needed = int(np.ceil(float(known.var(ddof=1)) / left))
    return max(1, needed - len(known))
