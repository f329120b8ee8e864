"""How far a calibrated score may be off: conformal prediction, narrower where the model is sure.

A residual is divided by what residuals like it come to, and the quantile of these shares is the factor of new
intervals (normalised conformal prediction: Papadopoulos et al. 2002; Lei et al. 2018, section 5.2). What they
come to is a quantile regression of log(|residual| + c) on the score, its square and the log distance to the
training videos, cross-fitted: no row's residual has shaped its own share. The units that are exchangeable are
prompts, not videos: one prompt's videos err together (Lee, Barber and Willett 2023, hierarchical data).
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from msavqa.evaluation.familiarity import folds_of

Floats = NDArray[np.float64]
FOLDS = 5
OFFSET = 0.15
"""Medians of |residual| that are added before the logarithm: small residuals are luck and must not rule."""
ROUNDS = 200
SMOOTH = 1e-3
"""Of the regression's loss around zero, in logarithms: below a thousandth of a width."""


@dataclass(frozen=True)
class Width:
    """Half an interval by score and distance: factor x exp(slopes . (1, s, s^2[, d])).

    s is the score on -1..1 of the MOS range; d the log distance, standardised. Both are held to the range
    of the rows that the slopes were fitted on: nothing is known of how widths go on beyond.
    """

    factor: float
    slopes: tuple[float, ...]
    score: tuple[float, float]
    """Lowest and highest score of the rows fitted on, on the MOS scale."""
    distance: tuple[float, float, float, float] | None
    """Mean, standard deviation, lowest and highest distance; None where distances were not known."""
    mos_range: tuple[float, float]

    def half(self, score: ArrayLike, distance: ArrayLike | None) -> Floats:
        """Half the interval, MOS units, (video,); a distance that is not given, or NaN, is the mean one."""
        columns = _columns(
            np.clip(np.asarray(score, dtype=np.float64), *self.score),
            distance,
            scale=self.distance,
            mos_range=self.mos_range,
        )
        return np.asarray(self.factor * np.exp(columns @ np.asarray(self.slopes)))


def fit_width(
    *,
    score: ArrayLike,
    mos: ArrayLike,
    distance: ArrayLike | None,
    groups: ArrayLike,
    coverage: float,
    mos_range: tuple[float, float],
) -> Width:
    """The width of intervals that hold `coverage` of new videos, from held-out rows (video,).

    `score` is calibrated, on the scale of `mos`; `groups` says what hangs together. The factor is infinite
    where there are too few groups.
    """
    middle = np.asarray(score, dtype=np.float64)
    residual = np.abs(np.asarray(mos, dtype=np.float64) - middle)
    group = np.asarray(groups)
    scale: tuple[float, float, float, float] | None = None
    if distance is not None:
        away = np.asarray(distance, dtype=np.float64)
        away = away[np.isfinite(away)]
        if len(away):
            spread = float(away.std()) or 1.0
            scale = (float(away.mean()), spread, float(away.min()), float(away.max()))
    columns = _columns(middle, distance, scale=scale, mos_range=mos_range)
    target = np.log(residual + max(OFFSET * float(np.median(residual)), 1e-9))
    expected = np.empty(len(residual))
    folds = folds_of(group, folds=FOLDS)
    for fold in np.unique(folds):
        left = folds == fold
        slopes = quantile_slopes(columns[~left], target[~left], level=coverage)
        expected[left] = np.exp(columns[left] @ slopes)
    return Width(
        factor=group_quantile(residual / expected, groups=group, coverage=coverage),
        slopes=tuple(quantile_slopes(columns, target, level=coverage).tolist()),
        score=(float(middle.min()), float(middle.max())),
        distance=scale,
        mos_range=mos_range,
    )


def group_quantile(values: ArrayLike, *, groups: ArrayLike, coverage: float) -> float:
    """The least value with at least `coverage` of the weight at or below it; infinite where there is none.

    Each of K groups weighs 1 / (K + 1), in equal parts for its values, and the group to come weighs as much,
    at infinity: a value of a new exchangeable group is at or below the result with probability `coverage` or
    more. Groups of one give split conformal's ceil((n + 1) x coverage)-th smallest value.
    """
    ordered = np.asarray(values, dtype=np.float64)
    _, group, sizes = np.unique(np.asarray(groups), return_inverse=True, return_counts=True)
    order = np.argsort(ordered, kind="stable")
    weight = np.cumsum((1 / (sizes[group] * (len(sizes) + 1)))[order])
    # Rounded: 0.9 of ten ninths' sums would else skip a row.
    place = int(np.searchsorted(np.round(weight, 12), round(coverage, 12)))
    return float(ordered[order][place]) if place < len(ordered) else math.inf


def quantile_slopes(columns: Floats, target: Floats, *, level: float) -> Floats:
    """Least (smoothed) pinball loss of target (row,) - columns (row, column) @ slopes: slopes (column,).

    Quantile regression (Koenker and Bassett 1978) by Hunter and Lange's MM algorithm (2000): every round
    solves a weighted least-squares problem and lowers the loss.
    """
    ridge = 1e-9 * len(target) * np.eye(columns.shape[1])
    slopes = np.linalg.solve(columns.T @ columns + ridge, columns.T @ target)
    tilt = (2 * level - 1) * columns.sum(axis=0)
    for _ in range(ROUNDS):
        weighted = columns / (SMOOTH + np.abs(target - columns @ slopes))[:, None]
        slopes = np.linalg.solve(weighted.T @ columns + ridge, weighted.T @ target + tilt)
    return np.asarray(slopes)


def _columns(
    score: Floats,
    distance: ArrayLike | None,
    *,
    scale: tuple[float, float, float, float] | None,
    mos_range: tuple[float, float],
) -> Floats:
    low, high = mos_range
    along = (2 * score - low - high) / (high - low)
    columns = [np.ones_like(along), along, along**2]
    if scale is not None:
        mean, spread, least, most = scale
        given = np.full_like(along, mean) if distance is None else np.asarray(distance, dtype=np.float64)
        away = np.clip(np.where(np.isnan(given), mean, given), least, most)
        columns.append((away - mean) / spread)
    return np.stack(columns, axis=-1)
