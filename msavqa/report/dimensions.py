"""Several dimensions of quality: what each branch and the ensemble know of each.

The first dimension is what the rest of the report is about. The others' ensembles and calibrations are made
as the first's are: nothing is fitted on test rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup, escape

from msavqa.evaluation import calibration, metrics
from msavqa.evaluation.metrics import Interval
from msavqa.report import numbers
from msavqa.report.numbers import BootstrapSettings
from msavqa.report.results import Results

ENSEMBLE = "ensemble"


@dataclass(frozen=True)
class Line:
    """One dimension of quality."""

    name: str
    srcc: dict[str, Interval]
    """By predictor: the ensemble, then each branch."""
    plcc: Interval
    """The ensemble's, as the two that follow."""
    rmse: Interval
    coverage: float
    """Share of test videos inside their interval."""
    videos: int
    """Test videos that are rated in it."""


def lines(named: Sequence[tuple[str, Results]], settings: BootstrapSettings) -> list[Line]:
    """Each dimension's figures, in order; `named` is its name and its results as a set of its own."""
    return [_line(name, results, settings) for name, results in named]


def flat(found: Sequence[Line]) -> dict[str, float]:
    """Figures of metrics.json: `dimension_<name>_srcc` and so on, with ends of intervals."""
    said: dict[str, float] = {}
    for line in found:
        start = f"dimension_{line.name}"
        for name, one in (
            (f"{start}_srcc", line.srcc[ENSEMBLE]),
            (f"{start}_plcc", line.plcc),
            (f"{start}_rmse", line.rmse),
        ):
            said |= {name: one.value, f"{name}_ci95_low": one.low, f"{name}_ci95_high": one.high}
        said |= {
            f"{start}_{branch}_srcc": one.value for branch, one in line.srcc.items() if branch != ENSEMBLE
        }
        said |= {f"{start}_interval_coverage": line.coverage, f"{start}_videos_test": line.videos}
    return {name: round(value, 6) for name, value in said.items() if np.isfinite(value)}


def section(found: Sequence[Line]) -> Markup:
    """The table branch x dimension, HTML; every text is escaped."""
    predictors = list(found[0].srcc)
    head = "".join(f"<th>{escape(line.name)}</th>" for line in found)
    rows = [(name, [f"{_shown(line.srcc[name])}" for line in found]) for name in predictors] + [
        ("PLCC of the ensemble", [_shown(line.plcc) for line in found]),
        ("RMSE of the ensemble", [_shown(line.rmse) for line in found]),
        ("inside their interval", [f"{line.coverage:.0%}" for line in found]),
        ("test videos", [f"{line.videos}" for line in found]),
    ]
    body = "".join(
        f'<tr><td class="text">{escape(name)}</td>{"".join(f"<td>{cell}</td>" for cell in cells)}</tr>'
        for name, cells in rows
    )
    return Markup(
        "<p>SRCC with people's ratings of each dimension, on test videos. Every branch learned all of them "
        f"from the same features. All else in this report is about {escape(found[0].name)}.</p>"
        '<div class="wide"><table id="branch-by-dimension"><thead><tr><th class="text">predictor</th>'
        f"{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _line(name: str, results: Results, settings: BootstrapSettings) -> Line:
    tested = results.tested

    def figure(column: str, statistic: metrics.Statistic) -> Interval:
        return numbers.interval(results, column, statistic=statistic, settings=settings)

    srcc = {ENSEMBLE: figure("raw", metrics.srcc)}
    srcc |= {branch: figure(branch, metrics.srcc) for branch in results.branches}
    return Line(
        name=name,
        srcc=srcc,
        plcc=figure("raw", metrics.plcc),
        rmse=figure("score", metrics.rmse),
        coverage=calibration.coverage_of(
            low=tested["low"].to_numpy(), high=tested["high"].to_numpy(), mos=tested["mos"].to_numpy()
        ),
        videos=int(tested["video_id"].nunique()),
    )


def _shown(one: Interval) -> str:
    return f"{one.value:.3f} <small>[{one.low:.3f}, {one.high:.3f}]</small>"
