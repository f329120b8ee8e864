"""One self-contained page of everything: no script, no request, every text from the data escaped."""

import datetime
import math
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from msavqa.evaluation.metrics import Interval
from msavqa.evaluation.verdict import Verdict
from msavqa.report import filmstrips
from msavqa.report.ablation import Ablation
from msavqa.report.filmstrips import Strip
from msavqa.report.numbers import HEADLINE, Ceiling
from msavqa.report.results import Results

HERE = Path(__file__).parent
SOURCE_URL = "https://arxiv.org/abs/2501.02706"


@dataclass(frozen=True)
class Line:
    """One predictor of the comparison table."""

    name: str
    kind: str
    """"ours", "branch" or "control"."""
    srcc: Interval
    plcc: Interval
    srcc_sd: float
    """Over repeats; NaN of a single one, as `plcc_sd`."""
    plcc_sd: float
    within: float
    """SRCC among one generator's own videos."""
    weight: float | None
    """The branch's weight in the ensemble, mean over repeats."""
    note: str


@dataclass(frozen=True)
class Section:
    """A part of the page that is made elsewhere."""

    name: str
    """Its place in the address, such as "trivial"."""
    title: str
    html: Markup
    """All of it below the title, safe to show: who makes it has escaped every text from the data."""


@dataclass(frozen=True)
class Content:
    """All that the page shows."""

    results: Results
    verdict: Verdict
    metrics: Mapping[str, int | float]
    ceiling: Ceiling | None
    lines: Sequence[Line]
    generators: pd.DataFrame
    splits: pd.DataFrame
    """The same per part of the test set that the dataset names itself; empty where there are not two."""
    seconds: Mapping[str, float]
    """By stage, in the pipeline's order."""
    figures: Mapping[str, str]
    """Inline SVG by name: "histogram", "scatter", "generators", "means", "reliability", "forest"."""
    strips: Mapping[str, Sequence[Strip]]
    """By "best", "worst", "disagreed"."""
    ablation: Ablation | None
    """None where no sweep has run on this dataset."""
    settings: Mapping[str, object]
    fingerprints: Mapping[str, Mapping[str, object]]
    revision: str
    date: datetime.date
    """When it was made."""
    change_threshold: float | None
    """Cosine distance above which a change of meaning is named; None where it is not known."""
    sections: Sequence[Section]
    """Shown after the figures by generator, in this order."""


UNKNOWN = dict.fromkeys(
    (
        *(f"{name}{part}" for name in HEADLINE for part in ("", "_ci95_low", "_ci95_high", "_sd")),
        "within_generator_srcc", "srcc_of_ceiling", "interval_coverage", "interval_half_width",
    ),
    math.nan,
)  # fmt: skip
"""Figures that the page shows as a dash where they cannot be computed and metrics.json leaves them out."""


def render(content: Content) -> str:
    """The page as HTML text."""
    environment = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters |= {
        "figure": _number, "signed": _signed, "percent": _percent, "height": filmstrips.height, "date": _date,
    }  # fmt: skip
    style = (HERE / "style.css").read_text(encoding="utf-8")
    return environment.get_template("report.html").render(
        content=content,
        results=content.results,
        metrics=UNKNOWN | dict(content.metrics),
        # Markup: our own drawings and style, whose texts matplotlib has escaped.
        style=Markup(style),
        figures={name: Markup(figure) for name, figure in content.figures.items()},
        settings=yaml.safe_dump(dict(content.settings), sort_keys=False, allow_unicode=True, width=100),
        strip_titles={
            "best": "Scored highest",
            "worst": "Scored lowest",
            "disagreed": "Furthest from the ratings",
        },
        digits=1 if content.results.mos_range[1] - content.results.mos_range[0] >= 20 else 2,
        source=SOURCE_URL,
    )


def revision(folder: Path) -> str:
    """The git revision the page is made from, with `+` for local changes; "(no git)" outside a checkout."""
    command = ["git", "-C", str(folder), "describe", "--always", "--dirty=+", "--abbrev=12", "--exclude=*"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return "(no git)"
    return done.stdout.strip() if done.returncode == 0 else "(no git)"


def _number(value: int | float | None, digits: int = 3) -> str:
    return "–" if value is None or value != value else f"{value:.{digits}f}"


def _date(day: datetime.date) -> str:
    return f"{day.day} {day:%B %Y}"


def _signed(value: int | float | None, digits: int = 3) -> str:
    return "–" if value is None or value != value else f"{value:+.{digits}f}"


def _percent(value: float | None) -> str:
    return "–" if value is None or value != value else f"{100 * value:.0f}%"
