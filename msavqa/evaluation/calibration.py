"""A raw ensemble score becomes a MOS of the training data's scale, with an interval around it.

The map is the four-parameter logistic of VQEG, fitted on out-of-fold training rows. The interval is that of
conformal prediction over residuals of rows that no branch learned from, prompts as its units, see
`intervals`: of one width (Lei et al. 2018, Theorem 2.2), or normalised. No test row is used. The promise, at
least the asked probability for a new video of the same kind, is that of `interval_roles: [val]`. `oof` rows
add many residuals and two ways out of it: the ensemble's weights and the map were fitted on them, and other
models scored them than the one that is used. So coverage is asked for, not proven; every report measures it
on the test rows. A video unlike all that was learned from is no such video: its interval is the whole scale.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from pydantic import Field

from msavqa.evaluation import intervals, metrics
from msavqa.evaluation.change import ChangeSettings
from msavqa.evaluation.intervals import Width
from msavqa.ground.errors import MsavqaError
from msavqa.ground.params import Settings

Floats = NDArray[np.float64]


class CalibrationSettings(Settings):
    """Block `calibration` of params.yaml."""

    coverage: float = Field(gt=0, lt=1)
    """Share of new videos whose MOS the interval should hold, such as 0.9."""
    interval_roles: list[Literal["val", "oof"]] = Field(min_length=1)
    """Predicted roles whose residuals give the interval; both are held out from the branches' learning."""
    interval: Literal["normalised", "constant"]
    """Whether the interval's width follows the score and the distance to the training videos, or is one."""
    interval_rows: int = Field(ge=10)
    """Held-out rows below which one width stands, whatever was asked for: too few to tell widths apart."""
    familiarity_bound: float = Field(gt=0, lt=1)
    """Share of training videos as unlike the others, at or below which a video counts as unlike them all."""
    change: ChangeSettings


@dataclass(frozen=True)
class Calibration:
    """A fitted map and interval; `mos` and `interval` apply it."""

    logistic: tuple[float, float, float, float]
    """(b1, b2, b3, b4) of `metrics.logistic4`."""
    half_width: float
    """Half the interval, in units of MOS, before it is cut at the range's ends; where `width` says how wide
    each is, their mean over the rows fitted on."""
    coverage: float
    mos_range: tuple[float, float]
    """The declared range of the dataset's MOS: scores and intervals never leave it."""
    score_range: tuple[float, float]
    """Lowest and highest raw score among the rows the map was fitted on: beyond it the map extrapolates."""
    rows_map: int
    rows_interval: int
    width: Width | None = None
    """How half the interval follows score and distance; None: one for all, as bundles of before have it."""

    @property
    def informative(self) -> bool:
        """False where all raw scores map to one MOS."""
        return self.logistic[0] > self.logistic[1]

    def mos(self, score: ArrayLike) -> Floats:
        """Calibrated scores, same shape, within `mos_range`; never decreasing in the raw score."""
        mapped = metrics.logistic4(score, self.logistic)
        return np.clip(mapped, *self.mos_range)

    def half_widths(self, score: ArrayLike, *, distance: ArrayLike | None) -> Floats:
        """Half the interval of raw scores, same shape, before it is cut; `distance` as `interval` has it."""
        if self.width is None:
            return np.full(np.shape(score), self.half_width)
        low, high = self.mos_range
        return np.minimum(self.width.half(self.mos(score), distance), high - low)

    def interval(
        self, score: ArrayLike, *, distance: ArrayLike | None = None, unlike: ArrayLike | None = None
    ) -> tuple[Floats, Floats]:
        """Lower and upper end of the interval, same shape, within `mos_range`.

        `distance` is the log distance to the training videos, None or NaN where it is not known; `unlike`
        says which videos are unlike all of them: nothing is known of those, so theirs is the whole range.
        """
        middle, half = self.mos(score), self.half_widths(score, distance=distance)
        low, high = self.mos_range
        whole = np.zeros(np.shape(score), dtype=bool) if unlike is None else np.asarray(unlike, dtype=bool)
        return (
            np.where(whole, low, np.clip(middle - half, low, high)),
            np.where(whole, high, np.clip(middle + half, low, high)),
        )

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
    interval_distance: ArrayLike | None = None,
    interval_groups: ArrayLike | None = None,
    normalised_from: int | None = None,
) -> Calibration:
    """Fits the map on one set of rows and the interval's width on another, all of shape (video,).

    `mos_range` is (low, high) of the dataset's scale. Where scores do not rise with MOS on those rows, the
    nearest map that never decreases is the constant mean: the calibration is then not `informative`.
    `interval_groups` (None: every row alone) are exchangeable, not rows. With `normalised_from` rows or more
    the width follows score and distance. Raises `MsavqaError` where there is no row to fit on.
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
    held_mos = np.asarray(interval_mos, dtype=np.float64)
    middle = np.clip(metrics.logistic4(held_out, (b1, b2, b3, b4)), low, high)
    groups = np.arange(len(middle)) if interval_groups is None else np.asarray(interval_groups)
    width = None
    if normalised_from is not None and len(middle) >= normalised_from and len(np.unique(groups)) > 1:
        width = intervals.fit_width(
            score=middle, mos=held_mos, distance=interval_distance, groups=groups, coverage=coverage,
            mos_range=mos_range,
        )  # fmt: skip
    if width is None or not np.isfinite(width.factor):
        width = None
        half = intervals.group_quantile(np.abs(held_mos - middle), groups=groups, coverage=coverage)
    else:
        half = float(np.mean(width.half(middle, interval_distance)))
    return Calibration(
        logistic=(b1, b2, b3, b4),
        half_width=min(half, high - low),
        coverage=float(coverage),
        mos_range=(low, high),
        score_range=(float(score.min()), float(score.max())),
        rows_map=len(score),
        rows_interval=len(middle),
        width=width,
    )


def fit_predictions(
    predictions: pd.DataFrame,
    manifest: pd.DataFrame,
    *,
    settings: CalibrationSettings,
    mos_range: tuple[float, float],
    distances: Mapping[str, float],
    groups: ArrayLike,
) -> Calibration:
    """Fits one repeat's ensemble predictions: the map on `oof` rows, the interval on `interval_roles`.

    Tables as `msavqa.datasets.tables` has them; test rows and rows without a MOS are left out here.
    `distances` are log distances to the training videos by video_id, `groups` (manifest row,) what hangs
    together.
    """
    facts = manifest[["video_id", "mos"]].assign(group=np.asarray(groups))
    known = predictions[predictions["role"] != "test"].merge(facts, on="video_id")
    known = known[known["mos"].notna()]
    for_map = known[known["role"] == "oof"]
    for_interval = known[known["role"].isin(settings.interval_roles)]
    return fit(
        map_score=for_map["score"].to_numpy(),
        map_mos=for_map["mos"].to_numpy(),
        interval_score=for_interval["score"].to_numpy(),
        interval_mos=for_interval["mos"].to_numpy(),
        interval_distance=for_interval["video_id"].map(distances).to_numpy(dtype=np.float64),
        interval_groups=for_interval["group"].to_numpy(),
        normalised_from=settings.interval_rows if settings.interval == "normalised" else None,
        coverage=settings.coverage,
        mos_range=mos_range,
    )


def coverage_of(*, low: ArrayLike, high: ArrayLike, mos: ArrayLike) -> float:
    """Share of videos whose MOS lies within its interval, ends included, in 0..1."""
    mos_ = np.asarray(mos, dtype=np.float64)
    return float(np.mean((np.asarray(low) <= mos_) & (mos_ <= np.asarray(high))))


def _constant(mos: Floats) -> tuple[float, float, float, float]:
    mean = float(np.mean(mos))
    return mean, mean, 0.0, 1.0
