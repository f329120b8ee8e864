"""Figures of the report as inline SVG that follows the page's light or dark colours.

Matplotlib draws with marker colours; they are replaced by the page's CSS variables, so that one drawing is
right in both modes. Text stays text. The same numbers give the same bytes.
"""

import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from msavqa.evaluation.metrics import Interval
from msavqa.report.parts import NO_NAME
from msavqa.report.results import Results

INK, FAINT, PAPER = "#010101", "#020202", "#030303"
SERIES = tuple(f"#{number:02d}0a{number:02d}" for number in range(1, 13))
_VARIABLES = {INK: "--ink", FAINT: "--faint", PAPER: "--paper"} | {
    colour: f"--series-{number}" for number, colour in enumerate(SERIES, start=1)
}
ROOM = 0.03
"""Of the scale, that plots show beyond each of its ends."""
_MARKERS = "osD^vP*Xhp<>"  # shape as well as colour, for readers who do not tell these colours apart


def scatter(results: Results) -> str:
    """MOS against the calibrated score, one mark per test video, by generator, the intervals shaded."""
    shown = results.once
    with _figure(width=5.2, height=5.2) as (figure, axes):
        band = interval_band(results)
        axes.fill_between(band["score"], band["low"], band["high"], color=FAINT, alpha=0.18, linewidth=0)
        axes.plot(results.mos_range, results.mos_range, color=FAINT, linewidth=1, linestyle="--")
        for name, (colour, marker) in _looks(results).items():
            rows = shown[shown["generator"] == name]
            axes.scatter(
                rows["score"], rows["mos"], s=16, alpha=0.75, linewidths=0, color=colour, marker=marker,
                clip_on=False, label=_plain(name or "all videos"),
            )  # fmt: skip
        _on_scale(axes, results)
        axes.set(xlabel="predicted MOS", ylabel="MOS")
        if shown["generator"].nunique() <= len(SERIES):
            axes.legend(loc="upper left", frameon=False, handletextpad=0.1, borderaxespad=0.1)
        return _svg(figure, "Predicted MOS against MOS of every test video, coloured by generator")


def interval_band(results: Results, *, bins: int = 20) -> pd.DataFrame:
    """Mean score, low and high of test rows in bins of equal count, and of the outermost rows: the shape that
    the intervals have over the score, whether they are of one width or not."""
    rows = results.tested.sort_values("score", kind="stable")[["score", "low", "high"]]
    parts = [rows.iloc[part].mean() for part in np.array_split(np.arange(len(rows)), bins) if len(part)]
    return pd.DataFrame([rows.iloc[0], *parts, rows.iloc[-1]]).reset_index(drop=True)


def generators(results: Results, names: Sequence[str]) -> str:
    """MOS against the calibrated score, one small plot per generator in the order of `names`; empty where
    there are not two."""
    if len(names) < 2:
        return ""
    columns, shown, looks = 3, results.once, _looks(results)
    lines = -(-len(names) // columns)
    with _figure(width=7.2, height=0.4 + 2.3 * lines, cells=(lines, columns)) as (figure, _):
        for number, axes in enumerate(figure.axes):
            if number >= len(names):
                axes.set_axis_off()
                continue
            name = "" if names[number] == NO_NAME else names[number]
            rows, (colour, marker) = shown[shown["generator"] == name], looks[name]
            axes.plot(results.mos_range, results.mos_range, color=FAINT, linewidth=1, linestyle="--")
            axes.scatter(
                rows["score"], rows["mos"], s=9, alpha=0.75, linewidths=0, color=colour, marker=marker,
                clip_on=False,
            )  # fmt: skip
            axes.set_title(_plain(name or "no name"), fontsize=11, loc="left")
            _on_scale(axes, results)
            axes.set(xticks=results.mos_range, yticks=results.mos_range)
        figure.supxlabel("predicted MOS", fontsize=11)
        figure.supylabel("MOS", fontsize=11)
        return _svg(figure, "Each generator's videos: predicted MOS against MOS")


def generator_means(table: pd.DataFrame) -> str:
    """Mean MOS and mean score of each generator with 95% intervals, from `parts.per_generator`, in its
    order; empty where there are not two of them."""
    if len(table) < 2:
        return ""
    with _figure(width=6.4, height=0.9 + 0.4 * len(table)) as (figure, axes):
        for key, label, colour, marker, shift in (
            ("mos", "mean MOS", INK, "o", -0.12), ("score", "mean predicted MOS", SERIES[0], "s", 0.12)
        ):  # fmt: skip
            places = np.arange(len(table)) + shift
            # What one video has no interval of is a mark alone.
            reach = [
                (table[key] - table[f"{key}_low"]).fillna(0),
                (table[f"{key}_high"] - table[key]).fillna(0),
            ]
            axes.errorbar(
                table[key], places, xerr=reach, color=colour, marker=marker, markersize=5, linestyle="none",
                elinewidth=1.4, label=label,
            )  # fmt: skip
        axes.set_yticks(range(len(table)), [_plain(name) for name in table["generator"]])
        axes.set_ylim(len(table) - 0.5, -0.5)
        axes.set(xlabel="mean over the generator's test videos, 95% interval")
        axes.grid(axis="x", color=FAINT, alpha=0.25, linewidth=0.6)
        figure.legend(loc="outside upper left", ncols=2, frameon=False, handletextpad=0.3)
        return _svg(figure, "Mean MOS and mean predicted MOS of each generator with 95% intervals")


def histogram(results: Results, *, bins: int = 20) -> str:
    """How many rated videos have which MOS: those that the first repeat tests stand on the others."""
    rated = results.manifest[results.manifest["mos"].notna() & (results.manifest["status"] == "ok")]
    first = results.tested[results.tested["repeat"] == results.repeats[0]]
    tested = rated["video_id"].isin(first["video_id"])
    low, high = results.mos_range
    edges = np.linspace(low, high, bins + 1).tolist()
    with _figure(width=5.2, height=2.6) as (figure, axes):
        axes.hist(
            [rated.loc[~tested, "mos"], rated.loc[tested, "mos"]], bins=edges, stacked=True,
            color=[FAINT, SERIES[0]], label=["for learning", "for testing"], rwidth=0.9,
        )  # fmt: skip
        axes.set(xlim=(low, high), xlabel="MOS", ylabel="videos")
        figure.legend(loc="outside upper left", ncols=2, frameon=False, handlelength=1)
        return _svg(figure, "How many rated videos have which MOS")


def reliability(results: Results, *, bins: int = 10) -> str:
    """Mean MOS against mean prediction in bins of equal count, ± 95%: a calibrated score is on the line."""
    table = reliability_table(results, bins=bins)
    low, high = results.mos_range
    reach = 1.96 * table["mos_se"].fillna(0)
    ends = [
        np.minimum(reach, table["mos"] - low),
        np.minimum(reach, high - table["mos"]),
    ]  # no MOS lies beyond
    with _figure(width=5.2, height=5.2) as (figure, axes):
        axes.plot(results.mos_range, results.mos_range, color=FAINT, linewidth=1, linestyle="--")
        axes.errorbar(
            table["score"], table["mos"], yerr=ends, color=SERIES[0], marker="o",
            markersize=5, linewidth=1.4, elinewidth=1, capsize=2, clip_on=False,
        )  # fmt: skip
        _on_scale(axes, results)
        axes.set(xlabel="mean predicted MOS", ylabel="mean MOS")
        return _svg(figure, "Mean MOS against mean predicted MOS in bins of equal count")


def reliability_table(results: Results, *, bins: int = 10) -> pd.DataFrame:
    """One row per bin: videos, those of several repeats each time; mean score; mean MOS; its standard error,
    for which a video counts once; share inside the interval."""
    tested = results.tested.sort_values(["score", "video_id"], kind="stable").reset_index(drop=True)
    parts = [part for part in np.array_split(np.arange(len(tested)), min(bins, len(tested))) if len(part)]
    lines = []
    for number, part in enumerate(parts, start=1):
        rows = tested.loc[part]
        inside = (rows["low"] <= rows["mos"]) & (rows["mos"] <= rows["high"])
        different = rows["video_id"].nunique()
        error = rows["mos"].std(ddof=1) / np.sqrt(different) if different > 1 else np.nan
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


def _looks(results: Results) -> dict[str, tuple[str, str]]:
    """Colour and mark of each generator, the same in all figures."""
    names = sorted(map(str, results.tested["generator"].unique()))
    return {
        name: (SERIES[number % len(SERIES)], _MARKERS[number % len(_MARKERS)])
        for number, name in enumerate(names)
    }


def _on_scale(axes: Axes, results: Results) -> None:
    """Both axes from end to end of the scale and a little further: a mark at an end is whole."""
    low, high = results.mos_range
    room = ROOM * (high - low)
    axes.set(xlim=(low - room, high + room), ylim=(low - room, high + room), aspect="equal")
    ticks = [tick for tick in axes.xaxis.get_ticklocs() if low <= tick <= high]
    axes.set(xticks=ticks, yticks=ticks)


def _plain(name: str) -> str:
    return name if len(name) <= 28 else name[:27] + "…"
