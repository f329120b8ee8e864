"""A raw ensemble score becomes a MOS of the training data's scale, with an interval around it.

The map is the four-parameter logistic of VQEG, fitted on out-of-fold training rows. The interval's half width
is the quantile of split conformal prediction (Lei et al. 2018, Theorem 2.2) over residuals of rows that no
branch learned from. No test row is used. The theorem's promise, at least the asked probability for a new
video of the same kind, is that of `interval_roles: [val]`. `oof` rows add many residuals and two ways out of
it: the ensemble's weights and the map were fitted on them, and other models scored them than the one that is
used. So coverage is asked for, not proven; every report measures it on the test rows.
"""

import math
from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from pydantic import Field

from msavqa.evaluation import metrics
from msavqa.ground.errors import MsavqaError
from msavqa.ground.params import Settings

Floats = NDArray[np.float64]


class CalibrationSettings(Settings):
    """Block `calibration` of params.yaml."""

    coverage: float = Field(gt=0, lt=1)
    """Share of new videos whose MOS the interval should hold, such as 0.9."""
    interval_roles: list[Literal["val", "oof"]] = Field(min_length=1)
    """Predicted roles whose residuals give the interval; both are held out from the branches' learning."""


@dataclass(frozen=True)
class Calibration:
    """A fitted map and interval; `mos` and `interval` apply it."""

    logistic: tuple[float, float, float, float]
    """(b1, b2, b3, b4) of `metrics.logistic4`."""
    half_width: float
    """Half the interval, in units of MOS, before it is cut at the range's ends."""
    coverage: float
    mos_range: tuple[float, float]
    """The declared range of the dataset's MOS: scores and intervals never leave it."""
    score_range: tuple[float, float]
    """Lowest and highest raw score among the rows the map was fitted on: beyond it the map extrapolates."""
    rows_map: int
    rows_interval: int

    @property
    def informative(self) -> bool:
        """False where all raw scores map to one MOS."""
        return self.logistic[0] > self.logistic[1]

    def mos(self, score: ArrayLike) -> Floats:
        """Calibrated scores, same shape, within `mos_range`; never decreasing in the raw score."""
        mapped = metrics.logistic4(score, self.logistic)
        return np.clip(mapped, *self.mos_range)

    def interval(self, score: ArrayLike) -> tuple[Floats, Floats]:
        """Lower and upper end of the interval, same shape, within `mos_range`."""
        middle = self.mos(score)
        low, high = self.mos_range
        return np.clip(middle - self.half_width, low, high), np.clip(middle + self.half_width, low, high)

    def outside(self, score: float) -> bool:
        """Whether a raw score lies outside those of the rows the map was fitted on."""
        return not self.score_range[0] <= score <= self.score_range[1]

    def as_dict(self) -> dict[str, object]:
        """Plain data for JSON, exact to the last digit."""
        return asdict(self)


def fit(
    *,
    map_score: ArrayLike,
    map_mos: ArrayLike,
    interval_score: ArrayLike,
    interval_mos: ArrayLike,
    coverage: float,
    mos_range: tuple[float, float],
) -> Calibration:
    """Fits the map on one set of rows and the interval's width on another, all of shape (video,).

    `mos_range` is (low, high) of the dataset's scale. Where scores do not rise with MOS on those rows, the
    nearest map that never decreases is the constant mean: the calibration is then not `informative`.
    Raises `MsavqaError` where there is no row to fit on.
    """
    score, mos = np.asarray(map_score, dtype=np.float64), np.asarray(map_mos, dtype=np.float64)
    if not len(score):
        raise MsavqaError(
            what="Rows to calibrate on",
            where="the ensemble's out-of-fold predictions",
            got="none with a MOS",
            expected="at least 1",
            next_step="give more videos a MOS or make split.test_fraction smaller",
        )
    b1, b2, b3, b4 = _constant(mos) if len(score) < 2 else metrics.fit_logistic4(score=score, mos=mos)
    if b1 < b2 or np.ptp(score) == 0:
        b1, b2, b3, b4 = _constant(mos)
    low, high = mos_range
    held_out = np.asarray(interval_score, dtype=np.float64)
    middle = np.clip(metrics.logistic4(held_out, (b1, b2, b3, b4)), low, high)
    residuals = np.abs(np.asarray(interval_mos, dtype=np.float64) - middle)
    return Calibration(
        logistic=(b1, b2, b3, b4),
        half_width=min(conformal_quantile(residuals, coverage=coverage), high - low),
        coverage=float(coverage),
        mos_range=(low, high),
        score_range=(float(score.min()), float(score.max())),
        rows_map=len(score),
        rows_interval=len(residuals),
    )


def fit_predictions(
    predictions: pd.DataFrame,
    manifest: pd.DataFrame,
    *,
    settings: CalibrationSettings,
    mos_range: tuple[float, float],
) -> Calibration:
    """Fits one repeat's ensemble predictions: the map on `oof` rows, the interval on `interval_roles`.

    Tables as `msavqa.datasets.tables` has them; test rows and rows without a MOS are left out here.
    """
    known = predictions[predictions["role"] != "test"].merge(manifest[["video_id", "mos"]], on="video_id")
    known = known[known["mos"].notna()]
    for_map = known[known["role"] == "oof"]
    for_interval = known[known["role"].isin(settings.interval_roles)]
    return fit(
        map_score=for_map["score"].to_numpy(),
        map_mos=for_map["mos"].to_numpy(),
        interval_score=for_interval["score"].to_numpy(),
        interval_mos=for_interval["mos"].to_numpy(),
        coverage=settings.coverage,
        mos_range=mos_range,
    )


def conformal_quantile(residuals: ArrayLike, *, coverage: float) -> float:
    """The ceil((n + 1) * coverage)-th smallest of n absolute residuals; infinite where n is too small."""
    ordered = np.sort(np.asarray(residuals, dtype=np.float64))
    # The product is rounded first: 0.9 * 10 is 9.000000000000002 for some n, and ceil would skip a row.
    place = math.ceil(round((len(ordered) + 1) * coverage, 9))
    return float(ordered[place - 1]) if place <= len(ordered) else math.inf


def coverage_of(*, low: ArrayLike, high: ArrayLike, mos: ArrayLike) -> float:
    """Share of videos whose MOS lies within its interval, ends included, in 0..1."""
    mos_ = np.asarray(mos, dtype=np.float64)
    return float(np.mean((np.asarray(low) <= mos_) & (mos_ <= np.asarray(high))))


def _constant(mos: Floats) -> tuple[float, float, float, float]:
    mean = float(np.mean(mos))
    return mean, mean, 0.0, 1.0
