"""Results -> the flat numbers of reports/metrics.json: each figure beside its interval and its ceiling.

With several repeats a figure is the mean over repeats, `_sd` its standard deviation over them, and its
interval a bootstrap that draws a prompt's videos as one in all repeats, so that repeats of one dataset do
not count as independent data; `plcc_logistic`'s draws keep the map that was fitted on all of a repeat's
rows. `dvc metrics` knows numbers only: what cannot be computed is left out.
"""

import dataclasses
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from pydantic import Field

from msavqa import progress
from msavqa.evaluation import calibration, metrics
from msavqa.evaluation.metrics import Interval, Statistic
from msavqa.params import Settings
from msavqa.report.collect import Results

HEADLINE: Mapping[str, tuple[str, Statistic]] = {
    "srcc": ("raw", metrics.srcc),
    "plcc": ("raw", metrics.plcc),
    "krcc": ("raw", metrics.krcc),
    "avg_score": ("raw", metrics.average_score),
    "plcc_logistic": ("mapped", metrics.plcc),
    "rmse": ("score", metrics.rmse),
}
"""Name -> the column it reads and how; `mapped` is `raw` after each repeat's own 4-parameter logistic."""
OF_EACH: Mapping[str, Statistic] = {"srcc": metrics.srcc, "plcc": metrics.plcc}
"""What is said of each branch and each control."""


class BootstrapSettings(Settings):
    """How intervals are drawn."""

    resamples: int = Field(ge=100)
    seed: int = Field(ge=0)


@dataclass(frozen=True)
class Ceiling:
    """The SRCC that a perfect predictor would reach, given the raters' noise."""

    value: float
    source: str
    """How it was found, as a reader should be told."""


def flat_metrics(results: Results, settings: BootstrapSettings) -> dict[str, int | float]:
    """All figures of reports/metrics.json, finite numbers by name, the headline first."""
    tested, found = results.tested, dict[str, float]()
    mapped = _mapped(results)
    for name, (column, statistic) in progress.track(
        HEADLINE.items(), description="report: figures", total=len(HEADLINE), unit="figures"
    ):
        found |= _figure(name, interval(mapped, column, statistic=statistic, settings=settings))
        found[f"{name}_sd"] = deviation(mapped, column, statistic)
    found["within_generator_srcc"] = within_generator(results, "raw")
    ceiling = noise_ceiling(results)
    if ceiling is not None:
        found["noise_ceiling_srcc"] = ceiling.value
        found["srcc_of_ceiling"] = found["srcc"] / ceiling.value
    found["interval_coverage"] = calibration.coverage_of(
        low=tested["low"].to_numpy(), high=tested["high"].to_numpy(), mos=tested["mos"].to_numpy()
    )
    found["interval_half_width"] = float(np.mean([one.half_width for one in results.calibrations.values()]))
    for prefix, names in (("", results.branches), ("control_", results.controls)):
        for name in names:
            for key, function in OF_EACH.items():
                found[f"{prefix}{name}_{key}"] = float(np.mean(_by_repeat(tested, name, function)))
                found[f"{prefix}{name}_{key}_sd"] = deviation(results, name, function)
            found[f"{prefix}{name}_within_generator_srcc"] = within_generator(results, name)
    rounded = {name: round(value, 6) for name, value in found.items() if math.isfinite(value)}
    return rounded | dict(results.counts)


def interval(results: Results, column: str, *, statistic: Statistic, settings: BootstrapSettings) -> Interval:
    """Mean over repeats of a statistic of one column of `tested`, with its bootstrap interval."""
    tested = results.tested[results.tested[column].notna()].reset_index(drop=True)
    score, mos = tested[column].to_numpy(dtype=np.float64), tested["mos"].to_numpy(dtype=np.float64)
    repeat, groups = tested["repeat"].to_numpy(), results.groups[results.tested[column].notna()].to_numpy()

    def mean_over_repeats(*, score: ArrayLike, mos: ArrayLike) -> float:
        # `bootstrap` hands over what it drew: here row numbers stand where scores would.
        return _mean_over_repeats(np.asarray(score, dtype=np.int64), statistic)

    def _mean_over_repeats(rows: NDArray[np.int64], function: Statistic) -> float:
        parts = [rows[repeat[rows] == one] for one in np.unique(repeat)]
        return float(np.mean([function(score=score[part], mos=mos[part]) for part in parts if len(part) > 1]))

    if len(tested) < 2:
        return Interval(value=math.nan, low=math.nan, high=math.nan)
    return metrics.bootstrap(
        score=np.arange(len(tested)), mos=mos, statistic=mean_over_repeats, groups=groups,
        resamples=settings.resamples, seed=settings.seed,
    )  # fmt: skip


def deviation(results: Results, column: str, statistic: Statistic) -> float:
    """Standard deviation over repeats of a statistic of one column of `tested`; NaN of a single repeat."""
    found = _by_repeat(results.tested, column, statistic)
    return float(np.std(found, ddof=1)) if len(found) > 1 else math.nan


def within_generator(results: Results, column: str) -> float:
    """SRCC among one generator's own videos, mean over generators and repeats; NaN where none is named."""
    named = results.tested[(results.tested["generator"] != "") & results.tested[column].notna()]
    parts = [rows for _, rows in named.groupby("repeat") if len(rows) > 1]
    return float(np.mean([_within(rows, column) for rows in parts])) if parts else math.nan


def noise_ceiling(results: Results) -> Ceiling | None:
    """What limits any predictor: known for simulated sets, estimated from `mos_se`, None without either.

    Without the truth: reliability r = 1 - mean(se^2) / var(mos) (classical test theory), the best Pearson
    correlation is sqrt(r), and Spearman's of a bivariate normal is (6 / pi) asin(that / 2).
    """
    rows = results.tested.drop_duplicates("video_id")
    mos, truth, se = (rows[name].to_numpy(dtype=np.float64) for name in ("mos", "quality_true", "mos_se"))
    if len(rows) < 3 or np.ptp(mos) == 0:
        return None
    if np.isfinite(truth).all():
        value = metrics.srcc(score=truth, mos=mos)
        return Ceiling(value=value, source="SRCC of the simulated MOS with the quality it was made from")
    if not np.isfinite(se).all():
        return None
    reliability = 1 - float(np.mean(se**2)) / float(np.var(mos, ddof=1))
    if reliability <= 0:
        return None
    value = 6 / math.pi * math.asin(math.sqrt(reliability) / 2)
    return Ceiling(value=value, source="estimated from the raters' standard errors")


def per_generator(results: Results) -> pd.DataFrame:
    """One row a generator: videos, mean MOS, mean score, SRCC, PLCC and RMSE among its own test videos."""
    return _by(results, "generator")


def per_given_split(results: Results) -> pd.DataFrame:
    """The same of each part of the test set that the dataset names itself (LSVQ's test and test_1080p)."""
    return _by(results, "given_split")


def flat_splits(table: pd.DataFrame) -> dict[str, float]:
    """`per_given_split`'s correlations by name, such as `split_test_1080p_srcc`; finite ones only."""
    found = {
        f"split_{re.sub('[^A-Za-z0-9]+', '_', row['given_split']).strip('_')}_{key}": float(row[key])
        for row in table.to_dict("records")
        for key in OF_EACH
    }
    return {name: round(value, 6) for name, value in found.items() if math.isfinite(value)}


def _by(results: Results, column: str) -> pd.DataFrame:
    lines = []
    for name, rows in results.tested.groupby(column, sort=True):
        enough = len(rows) >= 3
        lines.append(
            {
                column: str(name) or "(not given)",
                "videos": int(rows["video_id"].nunique()),
                "mos": float(rows["mos"].mean()),
                "score": float(rows["score"].mean()),
                "srcc": _known_mean(_by_repeat(rows, "raw", metrics.srcc)) if enough else math.nan,
                "plcc": _known_mean(_by_repeat(rows, "raw", metrics.plcc)) if enough else math.nan,
                "rmse": metrics.rmse(score=rows["score"], mos=rows["mos"]) if enough else math.nan,
            }
        )
    return pd.DataFrame(lines)


def _by_repeat(tested: pd.DataFrame, column: str, function: Statistic) -> list[float]:
    known = tested[tested[column].notna()]
    parts = [rows for _, rows in known.groupby("repeat", sort=True) if len(rows) > 1]
    found = [function(score=rows[column].to_numpy(), mos=rows["mos"].to_numpy()) for rows in parts]
    return found or [math.nan]


def _mapped(results: Results) -> Results:
    """The same with the column `mapped`; NaN in a repeat of a single row."""
    tested = results.tested.assign(mapped=math.nan)
    for _, rows in tested.groupby("repeat"):
        if len(rows) > 1:
            fitted = metrics.fit_logistic4(score=rows["raw"], mos=rows["mos"])
            tested.loc[rows.index, "mapped"] = metrics.logistic4(rows["raw"], fitted)
    return dataclasses.replace(results, tested=tested)


def _known_mean(values: list[float]) -> float:
    known = [value for value in values if math.isfinite(value)]
    return float(np.mean(known)) if known else math.nan


def _within(rows: pd.DataFrame, column: str) -> float:
    return metrics.within_groups(
        score=rows[column].to_numpy(),
        mos=rows["mos"].to_numpy(),
        groups=rows["generator"].to_numpy(dtype=str),
        statistic=metrics.srcc,
    )


def _figure(name: str, found: Interval) -> Mapping[str, float]:
    return {name: found.value, f"{name}_ci95_low": found.low, f"{name}_ci95_high": found.high}
