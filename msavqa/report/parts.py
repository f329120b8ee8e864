"""Figures of some of the test videos: of one generator, or of a part that the data set names itself."""

import math
import re
from typing import Any

import numpy as np
import pandas as pd

from msavqa.evaluation import metrics
from msavqa.evaluation.metrics import Interval
from msavqa.report.numbers import LEAST, OF_EACH, BootstrapSettings, by_repeat, known_mean
from msavqa.report.results import Results

NO_NAME = "(not given)"
"""How a table calls videos whose generator, or whose part, is not named."""


def per_generator(results: Results, settings: BootstrapSettings) -> pd.DataFrame:
    """One row per generator, that of the highest mean MOS first: videos, mean MOS and mean score with their
    95% intervals (`_low`, `_high`; a prompt's videos drawn as one); SRCC, PLCC and RMSE among its own test
    videos, each the mean over the repeats in which it has `LEAST` of them."""
    found = _by(results, "generator", settings)
    return found.sort_values(["mos", "generator"], ascending=[False, True], ignore_index=True)


def per_given_split(results: Results, settings: BootstrapSettings) -> pd.DataFrame:
    """The same of each part of the test set that the dataset names itself (LSVQ's test and test_1080p), in
    order of names."""
    return _by(results, "given_split", settings)


def flat_splits(table: pd.DataFrame) -> dict[str, float]:
    """`per_given_split`'s correlations by name, such as `split_test_1080p_srcc`; finite ones only."""
    found = {
        f"split_{re.sub('[^A-Za-z0-9]+', '_', row['given_split']).strip('_')}_{key}": float(row[key])
        for row in table.to_dict("records")
        for key in OF_EACH
    }
    return {name: round(value, 6) for name, value in found.items() if math.isfinite(value)}


def _by(results: Results, column: str, settings: BootstrapSettings) -> pd.DataFrame:
    lines, groups = [], results.groups
    for name, rows in results.tested.groupby(column, sort=True):
        means = {key: _mean(rows[key], groups[rows.index], settings) for key in ("mos", "score")}
        lines.append(
            {
                column: str(name) or NO_NAME,
                "videos": int(rows["video_id"].nunique()),
                **{key: mean.value for key, mean in means.items()},
                **{f"{key}_low": mean.low for key, mean in means.items()},
                **{f"{key}_high": mean.high for key, mean in means.items()},
                "srcc": known_mean(by_repeat(rows, "raw", metrics.srcc, least=LEAST)),
                "plcc": known_mean(by_repeat(rows, "raw", metrics.plcc, least=LEAST)),
                "rmse": known_mean(by_repeat(rows, "score", metrics.rmse, least=LEAST)),
            }
        )
    return pd.DataFrame(lines)


def _mean(values: "pd.Series[float]", groups: "pd.Series[Any]", settings: BootstrapSettings) -> Interval:
    if len(values) < 2:
        return Interval(value=float(values.mean()), low=math.nan, high=math.nan)
    return metrics.bootstrap(
        score=values, mos=values, statistic=lambda *, score, mos: float(np.mean(score)), groups=groups,
        resamples=settings.resamples, seed=settings.seed,
    )  # fmt: skip
