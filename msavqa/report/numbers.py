"""Results -> the flat numbers of metrics.json: each figure beside its interval and its ceiling.

With several repeats a figure is the mean over repeats, `_sd` its standard deviation over them, and its
interval a bootstrap that draws a prompt's videos as one in all repeats, so that repeats of one dataset do
not count as independent data; `plcc_logistic`'s draws keep the map that was fitted on all of a repeat's
rows. `dvc metrics` knows numbers only: what cannot be computed is left out.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from pydantic import Field

from msavqa.evaluation import calibration, metrics, reliability
from msavqa.evaluation.metrics import Difference, Interval, Statistic
from msavqa.ground import progress
from msavqa.ground.params import Settings
from msavqa.report import compare
from msavqa.report.results import Results

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
"""What is said of each branch and each control; unknown where it is in one of the repeats."""
LEAST = 3
"""Videos of a generator, or of a named part, in a repeat, below which a correlation says nothing."""


FIFTHS = 5


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
    reliability: float | None = None
    """Share of the MOS' variance that is the videos', not the raters'; None where the truth is known."""


def flat_metrics(results: Results, settings: BootstrapSettings) -> dict[str, int | float]:
    """All figures of metrics.json, finite numbers by name, the headline first."""
    tested, found = results.tested, dict[str, float]()
    mapped = _mapped(results)
    for name, (column, statistic) in progress.track(
        HEADLINE.items(), description="report: figures", total=len(HEADLINE), unit="figures"
    ):
        found |= _figure(name, interval(mapped, column, statistic=statistic, settings=settings))
        found[f"{name}_sd"] = deviation(mapped, column, statistic)
    found |= _figure("within_generator_srcc", within_generator_interval(results, settings))
    found["within_generator_srcc_sd"] = _deviation(_within_by_repeat(results, "raw"))
    ceiling = noise_ceiling(results)
    if ceiling is not None:
        found["noise_ceiling_srcc"] = ceiling.value
        found["srcc_of_ceiling"] = found["srcc"] / ceiling.value
        if ceiling.reliability is not None:
            found["mos_reliability"] = ceiling.reliability
    found["interval_coverage"] = calibration.coverage_of(
        low=tested["low"].to_numpy(), high=tested["high"].to_numpy(), mos=tested["mos"].to_numpy()
    )
    found |= _widths(tested)
    for prefix, names in (("", results.branches), ("control_", results.controls)):
        for name in names:
            for key, function in OF_EACH.items():
                found[f"{prefix}{name}_{key}"] = float(np.mean(by_repeat(tested, name, function)))
                found[f"{prefix}{name}_{key}_sd"] = deviation(results, name, function)
            found[f"{prefix}{name}_within_generator_srcc"] = within_generator(results, name)
    for name in results.controls:
        over = over_control(results, name, settings)
        found |= _figure(f"srcc_over_{name}", Interval(value=over.value, low=over.low, high=over.high))
    rounded = {name: round(value, 6) for name, value in found.items() if math.isfinite(value)}
    return rounded | dict(results.counts)


def interval(results: Results, column: str, *, statistic: Statistic, settings: BootstrapSettings) -> Interval:
    """Mean over repeats of a statistic of one column of `tested`, with its bootstrap interval."""
    known = results.tested[column].notna()
    rows = results.tested[known]
    score, mos = rows[column].to_numpy(dtype=np.float64), rows["mos"].to_numpy(dtype=np.float64)
    return _over_repeats(
        rows,
        groups=results.groups[known],
        each=lambda part: statistic(score=score[part], mos=mos[part]),
        mean=lambda values: float(np.mean(values)),
        settings=settings,
    )


def over_control(results: Results, control: str, settings: BootstrapSettings) -> Difference:
    """SRCC of the ensemble minus a control's, paired on the test rows that both have scored."""
    known = results.tested["raw"].notna() & results.tested[control].notna()
    if known.sum() < 2:
        return Difference(value=math.nan, low=math.nan, high=math.nan, p_value=math.nan)
    pair = results.tested[known].assign(group=results.groups[known])
    pair = pair.rename(columns={"raw": "score_a", control: "score_b"})
    return compare.difference(pair, statistic=metrics.srcc, resamples=settings.resamples, seed=settings.seed)


def deviation(results: Results, column: str, statistic: Statistic) -> float:
    """Standard deviation over repeats of a statistic of one column of `tested`; NaN of a single repeat."""
    return _deviation(by_repeat(results.tested, column, statistic))


def within_generator(results: Results, column: str) -> float:
    """SRCC among one generator's own videos, mean over generators and over the repeats where it is known.

    A generator of fewer than `LEAST` videos in a repeat is left out of it; NaN where none is left.
    """
    return known_mean(_within_by_repeat(results, column))


def within_generator_interval(results: Results, settings: BootstrapSettings) -> Interval:
    """The ensemble's `within_generator` with its bootstrap interval."""
    named = _named(results, "raw")
    rows = results.tested[named]
    score, mos = rows["raw"].to_numpy(), rows["mos"].to_numpy()
    generator = rows["generator"].to_numpy(dtype=str)
    return _over_repeats(
        rows,
        groups=results.groups[named],
        each=lambda part: metrics.within_groups(
            score=score[part], mos=mos[part], groups=generator[part], statistic=metrics.srcc
        ),
        mean=known_mean,
        settings=settings,
    )


def noise_ceiling(results: Results) -> Ceiling | None:
    """What limits any predictor: known for simulated sets, else estimated; None without what tells it.

    Without the truth: `reliability.best_srcc` of the single ratings' split-half reliability, or, where there
    are none, of 1 - mean(se^2) / var(mos) (classical test theory). All of test videos.
    """
    rows = results.tested.drop_duplicates("video_id")
    mos, truth, se = (rows[name].to_numpy(dtype=np.float64) for name in ("mos", "quality_true", "mos_se"))
    if len(rows) < 3 or np.ptp(mos) == 0:
        return None
    if np.isfinite(truth).all():
        value = metrics.srcc(score=truth, mos=mos)
        return Ceiling(value=value, source="SRCC of the simulated MOS with the quality it was made from")
    ratings = _ratings(results.manifest, rows["video_id"])
    if ratings is not None and (found := reliability.split_half(ratings=ratings)) > 0:
        source = f"from the reliability of {ratings.shape[1]} raters, {found:.2f} by split halves"
        return Ceiling(value=reliability.best_srcc(reliability=found), source=source, reliability=found)
    if not np.isfinite(se).all():
        return None
    found = 1 - float(np.mean(se**2)) / float(np.var(mos, ddof=1))
    if found <= 0:
        return None
    source = "estimated from the raters' standard errors"
    return Ceiling(value=reliability.best_srcc(reliability=found), source=source, reliability=found)


def _ratings(manifest: pd.DataFrame, videos: "pd.Series[str]") -> NDArray[np.float64] | None:
    """Single raters' ratings of these videos, (video, rater); None where the set has none."""
    if "ratings" not in manifest:
        return None
    return np.array(manifest.set_index("video_id")["ratings"].loc[videos].tolist(), dtype=np.float64)


def _widths(tested: pd.DataFrame) -> dict[str, float]:
    """How wide intervals are, and the share inside theirs in each fifth of the videos by score."""
    inside = ((tested["low"] <= tested["mos"]) & (tested["mos"] <= tested["high"])).to_numpy()
    fifth = tested["score"].rank(method="first", pct=True).to_numpy() * FIFTHS
    found = {
        "interval_half_width": float(tested["half_width"].mean()),
        "interval_width": float((tested["high"] - tested["low"]).mean()),
    }
    for number in range(1, FIFTHS + 1) if len(tested) >= FIFTHS else ():
        held = inside[np.ceil(fifth).clip(1, FIFTHS) == number]
        found[f"interval_coverage_fifth_{number}"] = float(np.mean(held)) if len(held) else math.nan
    return found


def by_repeat(tested: pd.DataFrame, column: str, function: Statistic, *, least: int = 2) -> list[float]:
    """A statistic of one column in every repeat that knows it of `least` rows; [NaN] where none does."""
    known = tested[tested[column].notna()]
    parts = [rows for _, rows in known.groupby("repeat", sort=True) if len(rows) >= least]
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


def _over_repeats(
    rows: pd.DataFrame,
    *,
    groups: ArrayLike,
    each: Callable[[NDArray[np.int64]], float],
    mean: Callable[[list[float]], float],
    settings: BootstrapSettings,
) -> Interval:
    """The `mean` over repeats of what `each` says of a repeat's rows (by number), with its interval."""
    repeat = rows["repeat"].to_numpy()

    def drawn(*, score: ArrayLike, mos: ArrayLike) -> float:
        # `bootstrap` hands over what it drew: here row numbers stand where scores would.
        places = np.asarray(score, dtype=np.int64)
        parts = [places[repeat[places] == one] for one in np.unique(repeat)]
        return mean([each(part) for part in parts if len(part) > 1])

    if len(rows) < 2:
        return Interval(value=math.nan, low=math.nan, high=math.nan)
    return metrics.bootstrap(
        score=np.arange(len(rows)), mos=rows["mos"], statistic=drawn, groups=groups,
        resamples=settings.resamples, seed=settings.seed,
    )  # fmt: skip


def known_mean(values: list[float]) -> float:
    """Mean of the finite ones; NaN where there are none."""
    known = [value for value in values if math.isfinite(value)]
    return float(np.mean(known)) if known else math.nan


def _deviation(values: list[float]) -> float:
    return float(np.std(values, ddof=1)) if len(values) > 1 else math.nan


def _named(results: Results, column: str) -> "pd.Series[bool]":
    return (results.tested["generator"] != "") & results.tested[column].notna()


def _within_by_repeat(results: Results, column: str) -> list[float]:
    named = results.tested[_named(results, column)]
    return [_within(rows, column) for _, rows in named.groupby("repeat") if len(rows) > 1]


def _within(rows: pd.DataFrame, column: str) -> float:
    return metrics.within_groups(
        score=rows[column].to_numpy(),
        mos=rows["mos"].to_numpy(),
        groups=rows["generator"].to_numpy(dtype=str),
        statistic=metrics.srcc,
    )


def _figure(name: str, found: Interval) -> Mapping[str, float]:
    return {name: found.value, f"{name}_ci95_low": found.low, f"{name}_ci95_high": found.high}
