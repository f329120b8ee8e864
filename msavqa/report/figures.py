"""Figures of the report as inline SVG that follows the page's light or dark colours.

Matplotlib draws with marker colours; they are replaced by the page's CSS variables, so that one drawing is
right in both modes. Text stays text. The same numbers give the same bytes.
"""

import io
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from msavqa.evaluation.metrics import Interval
from msavqa.report.results import Results

INK, FAINT, PAPER = "#010101", "#020202", "#030303"
SERIES = tuple(f"#{number:02d}0a{number:02d}" for number in range(1, 13))
_VARIABLES = {INK: "--ink", FAINT: "--faint", PAPER: "--paper"} | {
    colour: f"--series-{number}" for number, colour in enumerate(SERIES, start=1)
}
_MARKERS = "osD^vP*Xhp<>"  # shape as well as colour, for readers who do not tell these colours apart


def scatter(results: Results) -> str:
    """MOS against the calibrated score, one mark per test video, by generator, the interval shaded."""
    tested = results.tested
    low, high = results.mos_range
    with _figure(width=5.2, height=5.2) as (figure, axes):
        half = float(np.mean([one.half_width for one in results.calibrations.values()]))
        ends = np.array([low, high])
        axes.fill_between(ends, ends - half, ends + half, color=FAINT, alpha=0.18, linewidth=0)
        axes.plot(ends, ends, color=FAINT, linewidth=1, linestyle="--")
        for number, (name, rows) in enumerate(tested.groupby("generator", sort=True)):
            axes.scatter(
                rows["score"], rows["mos"], s=16, alpha=0.75, linewidths=0,
                color=SERIES[number % len(SERIES)], marker=_MARKERS[number % len(_MARKERS)],
                label=_plain(str(name) or "all videos"),
            )  # fmt: skip
        axes.set(xlim=(low, high), ylim=(low, high), xlabel="predicted MOS", ylabel="MOS", aspect="equal")
        if tested["generator"].nunique() <= len(SERIES):
            axes.legend(loc="upper left", frameon=False, handletextpad=0.1, borderaxespad=0.1)
        return _svg(figure, "Predicted MOS against MOS of every test video, coloured by generator")


def generators(results: Results) -> str:
    """MOS against the calibrated score, a small plot a generator; empty where there are not two of them."""
    groups = list(results.tested.groupby("generator", sort=True))
    if len(groups) < 2:
        return ""
    columns, ends = 3, list(results.mos_range)
    lines = -(-len(groups) // columns)
    with _figure(width=7.2, height=0.4 + 2.3 * lines, cells=(lines, columns)) as (figure, _):
        for number, axes in enumerate(figure.axes):
            if number >= len(groups):
                axes.set_axis_off()
                continue
            name, rows = groups[number]
            axes.plot(ends, ends, color=FAINT, linewidth=1, linestyle="--")
            axes.scatter(
                rows["score"], rows["mos"], s=9, alpha=0.75, linewidths=0,
                color=SERIES[number % len(SERIES)], marker=_MARKERS[number % len(_MARKERS)],
            )  # fmt: skip
            axes.set_title(_plain(str(name) or "no name"), fontsize=11, loc="left")
            axes.set(xlim=ends, ylim=ends, aspect="equal", xticks=ends, yticks=ends)
        figure.supxlabel("predicted MOS", fontsize=11)
        figure.supylabel("MOS", fontsize=11)
        return _svg(figure, "Each generator's videos: predicted MOS against MOS")


def reliability(results: Results, *, bins: int = 10) -> str:
    """Mean MOS against mean prediction in bins of equal count, ± 95%: a calibrated score is on the line."""
    table = reliability_table(results, bins=bins)
    low, high = results.mos_range
    with _figure(width=5.2, height=5.2) as (figure, axes):
        axes.plot([low, high], [low, high], color=FAINT, linewidth=1, linestyle="--")
        axes.errorbar(
            table["score"], table["mos"], yerr=1.96 * table["mos_se"].fillna(0), color=SERIES[0], marker="o",
            markersize=5, linewidth=1.4, elinewidth=1, capsize=2,
        )  # fmt: skip
        axes.set(xlim=(low, high), ylim=(low, high), xlabel="mean predicted MOS", ylabel="mean MOS")
        axes.set_aspect("equal")
        return _svg(figure, "Mean MOS against mean predicted MOS in bins of equal count")


def reliability_table(results: Results, *, bins: int = 10) -> pd.DataFrame:
    """One row a bin: videos, mean score, mean MOS, its standard error, share inside the interval."""
    tested = results.tested.sort_values(["score", "video_id"], kind="stable").reset_index(drop=True)
    parts = [part for part in np.array_split(np.arange(len(tested)), min(bins, len(tested))) if len(part)]
    lines = []
    for number, part in enumerate(parts, start=1):
        rows = tested.loc[part]
        inside = (rows["low"] <= rows["mos"]) & (rows["mos"] <= rows["high"])
        error = rows["mos"].std(ddof=1) / np.sqrt(len(rows)) if len(rows) > 1 else np.nan
        lines.append(
            {
                "bin": number,
                "videos": len(rows),
                "score": rows["score"].mean(),
                "mos": rows["mos"].mean(),
                "mos_se": error,
                "inside_interval": inside.mean(),
            }
        )
    return pd.DataFrame(lines)


def forest(rows: Sequence[tuple[str, Interval, str]], *, ceiling: float | None) -> str:
    """SRCC with its interval, one line a predictor: (name, interval, kind "ours", "branch" or "control")."""
    colours = {"ours": SERIES[0], "branch": SERIES[1], "control": FAINT}
    with _figure(width=6.4, height=0.6 + 0.33 * len(rows)) as (figure, axes):
        for place, (_, found, kind) in enumerate(rows):
            ends = [found.low, found.high]
            axes.plot(ends, [place, place], color=colours[kind], linewidth=2.2, solid_capstyle="round")
            axes.plot([found.value], [place], color=colours[kind], marker="o", markersize=6)
        axes.set_yticks(range(len(rows)), [_plain(name) for name, _, _ in rows])
        axes.set_ylim(len(rows) - 0.5, -0.5)
        left = min([0.0, *(found.low for _, found, _ in rows if np.isfinite(found.low))])
        axes.set(xlabel="SRCC on test videos, 95% interval", xlim=(left - 0.02, 1.0))
        axes.axvline(0, color=FAINT, linewidth=0.8)
        if ceiling is not None:
            axes.axvline(ceiling, color=INK, linewidth=1, linestyle="--")
            axes.annotate(
                "noise ceiling", (ceiling, 1), xycoords=("data", "axes fraction"), xytext=(-3, 3),
                textcoords="offset points", ha="right", color=INK,
            )  # fmt: skip
        axes.grid(axis="x", color=FAINT, alpha=0.25, linewidth=0.6)
        return _svg(figure, "SRCC with 95% interval of the ensemble, each branch and each control")


@contextmanager
def _figure(*, width: float, height: float, cells: tuple[int, int] = (1, 1)) -> Iterator[tuple[Figure, Axes]]:
    style: dict[Any, Any] = {
        "svg.fonttype": "none", "svg.hashsalt": "msavqa", "font.family": "sans-serif", "font.size": 11,
        "text.color": INK, "axes.labelcolor": INK, "axes.edgecolor": FAINT, "xtick.color": INK,
        "ytick.color": INK, "axes.facecolor": "none", "axes.spines.top": False, "axes.spines.right": False,
        "figure.facecolor": "none", "legend.fontsize": 10, "legend.labelcolor": INK, "text.parse_math": False,
    }  # fmt: skip
    with mpl.rc_context(style):
        figure = Figure(figsize=(width, height), layout="constrained")
        axes = figure.subplots(*cells, sharex=True, sharey=True, squeeze=False)
        yield figure, axes[0, 0]


def _svg(figure: Figure, description: str) -> str:
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    # Ids of two drawings on one page must differ.
    prefix = re.sub(r"[^a-z]", "", description.lower())[:24]
    text = re.sub(r'\bid="([^"]+)"', rf'id="{prefix}-\1"', text)
    text = re.sub(r'href="#([^"]+)"', rf'href="#{prefix}-\1"', text).replace("url(#", f"url(#{prefix}-")
    for colour, name in _VARIABLES.items():
        text = text.replace(colour, f"var({name})")
    # The page gives the font and the line joins: matplotlib's own would reach all of the page.
    text = re.sub(r"; font-family: [^;\"]+", "", text)
    text = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->", "", text, flags=re.DOTALL)
    text = re.sub(r'(<svg[^>]*?) width="[^"]*pt"', r"\1", text)
    text = re.sub(r'(<svg[^>]*?) height="[^"]*pt"', r"\1", text)
    return text.replace("<svg ", f'<svg role="img" aria-label="{description}" ', 1)


def _plain(name: str) -> str:
    return name if len(name) <= 28 else name[:27] + "…"


DIGITS = 6


def write(folder: Path, tables: Mapping[str, pd.DataFrame]) -> None:
    """Writes each table as `<name>.csv` (UTF-8, LF); what else stood in the folder goes away."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.csv"):
        old.unlink()
    for name, table in tables.items():
        text = table.round(DIGITS).to_csv(index=False, lineterminator="\n")
        (folder / f"{name}.csv").write_text(text, encoding="utf-8")
