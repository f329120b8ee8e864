"""How well scores agree with people: SRCC, PLCC, KRCC, RMSE, each with an interval and a paired test.

All functions take `score` (any scale) and `mos` (the dataset's scale), both of shape (video,), by keyword,
so that the two cannot change places. `plcc` fits nothing, as T2VQA and Zoom-VQA report it; `plcc_logistic4`
fits the four-parameter logistic of VQEG first, as SimpleVQA reports it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize
from scipy.special import expit

from msavqa.ground.errors import MsavqaError

Floats = NDArray[np.float64]
Statistic = Callable[..., float]


@dataclass(frozen=True)
class Interval:
    """A statistic with its percentile bootstrap interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Difference:
    """A statistic of run a minus that of run b, with its paired bootstrap interval and two-sided p-value."""

    value: float
    low: float
    high: float
    p_value: float


def ranks(values: Floats) -> Floats:
    """Ranks from 1, (video,), ties at their mean, of values without NaN: scipy's `rankdata` in a quarter of
    its time, of which the report's bootstrap needs 50,000."""
    order = np.argsort(values)
    ordered = values[order]
    first = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))
    size = np.diff(np.append(first, len(values)))
    found = np.empty(len(values))
    found[order] = np.repeat(first + (size + 1) / 2, size)
    return found


def srcc(*, score: ArrayLike, mos: ArrayLike) -> float:
    """Spearman's rank correlation, ties at their mean rank, in -1..1; NaN where either side is constant."""
    score_, mos_ = _pair(score, mos)
    return _pearson(ranks(score_), ranks(mos_))


def plcc(*, score: ArrayLike, mos: ArrayLike) -> float:
    """Pearson's linear correlation without any fit, in -1..1; NaN where either side is constant."""
    return _pearson(*_pair(score, mos))


def krcc(*, score: ArrayLike, mos: ArrayLike) -> float:
    """Kendall's tau-b, in -1..1; NaN where either side is constant."""
    from scipy import stats  # slow to import; training, which shows SRCC and PLCC, does without it

    score_, mos_ = _pair(score, mos)
    return float(stats.kendalltau(score_, mos_).statistic)


def rmse(*, score: ArrayLike, mos: ArrayLike) -> float:
    """Root of the mean squared difference, in units of mos: the score must be on the scale of mos already."""
    score_, mos_ = _pair(score, mos)
    return float(np.sqrt(np.mean((score_ - mos_) ** 2)))


def average_score(*, score: ArrayLike, mos: ArrayLike) -> float:
    """(SRCC + PLCC) / 2: the paper's `Avg Score`, by which the NTIRE 2024 track ranks."""
    return (srcc(score=score, mos=mos) + plcc(score=score, mos=mos)) / 2


def plcc_logistic4(*, score: ArrayLike, mos: ArrayLike) -> float:
    """Pearson's correlation of mos with the scores after `fit_logistic4`, in -1..1."""
    return plcc(score=logistic4(score, fit_logistic4(score=score, mos=mos)), mos=mos)


def rmse_logistic4(*, score: ArrayLike, mos: ArrayLike) -> float:
    """RMSE in units of mos after `fit_logistic4`: for scores that live on another scale."""
    return rmse(score=logistic4(score, fit_logistic4(score=score, mos=mos)), mos=mos)


def logistic4(score: ArrayLike, parameters: Sequence[float] | Floats) -> Floats:
    """VQEG's monotonic map: b2 + (b1 - b2) / (1 + exp(-(score - b3) / |b4|)), parameters (b1, b2, b3, b4)."""
    top, bottom, middle, width = parameters
    scaled = (np.asarray(score, dtype=np.float64) - middle) / (abs(width) + 1e-12)
    return np.asarray(bottom + (top - bottom) * expit(scaled))


def fit_logistic4(*, score: ArrayLike, mos: ArrayLike) -> tuple[float, float, float, float]:
    """Least-squares parameters of `logistic4`, started as VQEG starts them (max, min, mean, sd / 4).

    The best of that start, one four times as wide and a nearly straight one is kept, so that the fit is never
    worse than a line by more than the least-squares tolerance.
    """
    score_, mos_ = _pair(score, mos)
    # Fitted in standard units, so that one step size suits scores of any scale.
    centre, spread = float(np.mean(score_)), float(np.std(score_)) or 1.0
    level, reach = float(np.mean(mos_)), float(np.std(mos_)) or 1.0
    x, y = (score_ - centre) / spread, (mos_ - level) / reach
    slope = float(np.mean(x * y))  # of the least-squares line through the origin
    flat = 8.0  # a logistic this much wider than the data is a line: slope = (b1 - b2) / (4 b4)
    # b1 and b2 change places where scores fall with quality: |b4| keeps the width positive.
    starts = [
        (float(y.max()), float(y.min()), 0.0, 0.25),
        (float(y.max()), float(y.min()), 0.0, 1.0),
        (2 * slope * flat, -2 * slope * flat, 0.0, flat),
    ]
    method = "lm" if len(x) >= len(starts[0]) else "trf"  # MINPACK asks for as many rows as parameters
    fits = [
        optimize.least_squares(
            lambda p: logistic4(x, p) - y,
            start,
            jac=lambda p: slopes_of_logistic4(x, p),
            method=method,
            x_scale="jac",
            max_nfev=400,
        )
        for start in starts
    ]
    b1, b2, b3, b4 = (float(value) for value in min(fits, key=lambda fit: float(fit.cost)).x)
    return b1 * reach + level, b2 * reach + level, b3 * spread + centre, b4 * spread


def slopes_of_logistic4(x: Floats, parameters: Floats) -> Floats:
    """The derivatives of `logistic4` by its four parameters, (row, 4)."""
    top, bottom, middle, width = parameters
    scaled = (x - middle) / (abs(width) + 1e-12)
    share = expit(scaled)
    rise = (top - bottom) * share * (1 - share) / (abs(width) + 1e-12)
    return np.stack([share, 1 - share, -rise, -rise * scaled * np.sign(width)], axis=1)


def bootstrap(
    *,
    score: ArrayLike,
    mos: ArrayLike,
    statistic: Statistic,
    groups: ArrayLike | None,
    resamples: int,
    seed: int,
    level: float = 0.95,
) -> Interval:
    """A statistic with its percentile bootstrap interval, drawing videos (or whole groups) with replacement.

    `groups` (video,) names what is drawn as one, such as the prompt where all videos of a prompt are tested
    together and are not independent; None draws single videos. Draws whose statistic is NaN are left out.
    """
    score_, mos_ = _pair(score, mos)
    values = [
        statistic(score=score_[rows], mos=mos_[rows])
        for rows in draws(len(score_), groups, resamples=resamples, seed=seed)
    ]
    low, high = percentiles(values, level)
    return Interval(value=statistic(score=score_, mos=mos_), low=low, high=high)


def paired_bootstrap(
    *,
    score_a: ArrayLike,
    score_b: ArrayLike,
    mos: ArrayLike,
    statistic: Statistic,
    groups: ArrayLike | None,
    repeats: ArrayLike | None,
    resamples: int,
    seed: int,
    level: float = 0.95,
) -> Difference:
    """statistic(a) - statistic(b) on the same rows, with its paired bootstrap interval and p-value.

    Rows may come from several repeats (`repeats`, (row,)): the difference is then the mean over repeats, and
    a group (a prompt or a video that several repeats test) is drawn as one in all of them, so that repeats
    of one dataset do not count as independent data. p is twice the smaller tail of the draws at zero.
    """
    score_a_, mos_ = _pair(score_a, mos)
    score_b_, _ = _pair(score_b, mos)
    repeat = np.zeros(len(mos_), dtype=np.int64) if repeats is None else np.asarray(repeats)

    def difference(rows: NDArray[np.int64]) -> float:
        parts = [rows[repeat[rows] == one] for one in np.unique(repeat)]
        return float(
            np.mean(
                [
                    statistic(score=score_a_[part], mos=mos_[part])
                    - statistic(score=score_b_[part], mos=mos_[part])
                    for part in parts
                    if len(part) > 1
                ]
            )
        )

    drawn = draws(len(mos_), groups, resamples=resamples, seed=seed)
    values = np.array([difference(rows) for rows in drawn])
    low, high = percentiles(values, level)
    values = values[np.isfinite(values)]
    tail = min((np.sum(values <= 0) + 1) / (len(values) + 1), (np.sum(values >= 0) + 1) / (len(values) + 1))
    return Difference(
        value=difference(np.arange(len(mos_))), low=low, high=high, p_value=float(min(1.0, 2 * tail))
    )


def within_groups(*, score: ArrayLike, mos: ArrayLike, groups: ArrayLike, statistic: Statistic) -> float:
    """Mean of a statistic over groups (generators), weighted by their videos; groups below 3 left out.

    It answers whether videos of one generator are told apart, not only generators from each other.
    NaN where no group is large enough or varies.
    """
    score_, mos_ = _pair(score, mos)
    group = np.asarray(groups)
    members = [np.flatnonzero(group == one) for one in np.unique(group)]
    found = [(len(rows), statistic(score=score_[rows], mos=mos_[rows])) for rows in members if len(rows) >= 3]
    known = [(size, value) for size, value in found if np.isfinite(value)]
    if not known:
        return float("nan")
    return float(np.average([value for _, value in known], weights=[size for size, _ in known]))


def draws(count: int, groups: ArrayLike | None, *, resamples: int, seed: int) -> list[NDArray[np.int64]]:
    """Rows of each bootstrap draw with replacement: single rows, or whole groups, (row,), where given."""
    random = np.random.default_rng(seed)
    if groups is None:
        return list(random.integers(0, count, size=(resamples, count)))
    _, group = np.unique(np.asarray(groups), return_inverse=True)
    order = np.argsort(group, kind="stable")
    members = np.split(order, np.flatnonzero(np.diff(group[order])) + 1)
    picks = random.integers(0, len(members), size=(resamples, len(members)))
    return [np.concatenate([members[one] for one in pick]) for pick in picks]


def percentiles(values: ArrayLike, level: float) -> tuple[float, float]:
    """Both ends of the percentile interval of draws; those that are not finite do not count."""
    finite = np.asarray(values, dtype=np.float64)
    finite = finite[np.isfinite(finite)]
    if not len(finite):
        return float("nan"), float("nan")
    low, high = np.percentile(finite, [50 * (1 - level), 50 * (1 + level)])
    return float(low), float(high)


def _pearson(first: Floats, second: Floats) -> float:
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return float("nan")
    first, second = first - first.mean(), second - second.mean()
    scale = float(np.sqrt(np.sum(first**2) * np.sum(second**2)))
    # A side that varies by rounding errors only: no correlation can be read from them.
    if scale <= 1e-12 * max(1.0, float(np.abs(first).max() * np.abs(second).max())):
        return float("nan")
    return float(np.clip(np.sum(first * second) / scale, -1.0, 1.0))


def _pair(score: ArrayLike, mos: ArrayLike) -> tuple[Floats, Floats]:
    score_, mos_ = np.asarray(score, dtype=np.float64), np.asarray(mos, dtype=np.float64)
    if score_.ndim != 1 or score_.shape != mos_.shape or len(score_) < 2:
        raise MsavqaError(
            what="Shapes",
            where="a metric of score and mos",
            got=f"{score_.shape} and {mos_.shape}",
            expected="two of (video,) with at least 2 videos",
            next_step="give one score and one mos per video",
        )
    if not (np.isfinite(score_).all() and np.isfinite(mos_).all()):
        raise MsavqaError(
            what="Values",
            where="a metric of score and mos",
            got=f"{np.sum(~np.isfinite(score_))} scores and {np.sum(~np.isfinite(mos_))} mos not finite",
            expected="finite numbers",
            next_step="leave out videos without a label before computing metrics",
        )
    return score_, mos_


def frame_change(cls: NDArray[np.floating]) -> NDArray[np.float64]:
    """Cosine distance, 0..2, of each frame's embedding (frame, dim) to the one before: (frame,), first 0."""
    vectors = cls.astype(np.float64)
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    return np.append(0.0, np.clip(1 - np.sum(unit[1:] * unit[:-1], axis=1), 0, 2))
