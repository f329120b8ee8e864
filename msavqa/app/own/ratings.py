"""Which columns of a table hold ratings: means, single raters, their error; and on which scale."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from msavqa.app.own.table import Column, Table, listed, named, refused

MEANS = (
    "mos",
    "gt_mos",
    "mos_gt",
    "mean_opinion_score",
    "mos_mean",
    "mean_mos",
    "mos_overall",
    "overall_mos",
)
LIKELY = (
    "mos*", "*_mos", "overall", "overall_score", "overall_rating", "overall_quality", "gt_score",
    "human_score", "mean_score", "score_mean", "avg_score", "average_score", "rating_mean", "mean_rating",
    "score", "rating", "average", "mean", "avg", "quality", "label", "gt",
)  # fmt: skip
PARTS = ("*_mean", "*_avg", "*_score", "*_rating", "*_quality", "*alignment", "*consistency", "*quality")
ERRORS = (
    "mos_se",
    "se",
    "stderr",
    "std_err",
    "sem",
    "mos_sem",
    "standard_error",
    "mos_stderr",
    "*_se",
    "*_sem",
)
SPREADS = ("mos_std", "std", "sd", "mos_sd", "stdev", "*_std", "*_sd", "*_stdev", "*ci95*", "*_ci", "*var")
RATERS = (
    "r", "rater", "raters", "a", "anno", "annot", "annotator", "annotation", "u", "user", "s", "subject",
    "subj", "w", "worker", "p", "person", "participant", "j", "judge", "o", "observer", "e", "evaluator",
    "expert", "rating", "ratings", "score", "scores", "vote", "votes", "human", "h", "label", "mos",
    "opinion",
)  # fmt: skip
"""Last words of the names of single raters' columns, before their number or letter."""
NO_RATINGS = (
    "id", "idx", "index", "seed", "frame", "frames", "fps", "width", "height", "duration", "size", "bytes",
    "length", "count", "num", "number", "year", "time", "seconds", "resolution", "step", "steps", "epoch",
    "line", "row", "start", "end", "left", "right", "top", "bottom", "bitrate", "weight", "split", "fold",
)  # fmt: skip
SCALES = ((1.0, 5.0), (0.0, 1.0), (0.0, 5.0), (1.0, 7.0), (1.0, 10.0), (0.0, 10.0), (0.0, 100.0), (-1.0, 1.0))
"""Usual scales; the first that holds all values is taken."""
FEW_ZEROS = 0.05


@dataclass(frozen=True)
class Ratings:
    """Which columns hold what: `mos`, or `raters` alone; sentences of what was guessed and left open."""

    mos: tuple[Column, ...]
    raters: tuple[Column, ...]
    error: Column | None
    scale: tuple[float, float]
    said: list[str] = field(default_factory=list)
    open: list[str] = field(default_factory=list)


def find(table: Table, *, without: Sequence[Column]) -> Ratings:
    """The ratings of a table; `MsavqaError` in one sentence where no column is one, or several may be."""
    numeric = [
        column
        for column in table.columns
        if column not in without
        and column.numbers
        and column.distinct > 1
        and not set(column.words) & set(NO_RATINGS)
    ]
    errors = named(numeric, ERRORS)
    spreads = [column for column in named(numeric, SPREADS) if column not in errors]
    candidates = [column for column in numeric if column not in (*errors, *spreads)]
    families = _families(candidates)
    single = [column for family in families for column in family]
    means = [column for column in candidates if column not in single]
    mos, raters, how = _chosen(table, means, families)
    scale, words = _scale([*mos, *raters])
    found = Ratings(mos, raters, errors[0] if errors else None, scale)
    values = [
        value for column in (*mos, *raters) for value in column.numbers if scale[0] <= value <= scale[1]
    ]
    found.said.append(f"{how}, {min(values):g} to {max(values):g}, {words}")
    known = single if any(column in mos for column in _means_of(families, means)) else []
    others = [column.name for column in candidates if column not in (*mos, *raters, *known)]
    if others:
        found.open.append(
            f"columns {listed(others)} hold numbers too: name in `columns.mos` what you want predicted"
        )
    outside = [
        value for column in (*mos, *raters) for value in column.numbers if not scale[0] <= value <= scale[1]
    ]
    if outside:
        zeros = "1 rating is" if len(outside) == 1 else f"{len(outside)} ratings are"
        found.open.append(
            f"{zeros} 0, the others {scale[0]:g} or more: if 0 means missing, empty those cells; "
            f"if not, set `mos_range: [0, {scale[1]:g}]`"
        )
    _say_error(found, spreads, single)
    return found


def _chosen(
    table: Table, means: Sequence[Column], families: Sequence[tuple[Column, ...]]
) -> tuple[tuple[Column, ...], tuple[Column, ...], str]:
    """Columns of the MOS and of its raters, and the guess in words."""
    if exact := named(means, MEANS):
        own = next((family for family in families if _mean_is(exact[0], family)), ())
        beside = f", the mean of the raters {listed([one.name for one in own])}" if own else ""
        return (exact[0],), own, f"column {exact[0].name!r}{beside}"
    parts = named(means, PARTS)
    if len(families) == 1 and len(parts) < 2:
        of_them = [one for one in named(means, (*LIKELY, *PARTS)) if _mean_is(one, families[0])]
        beside = f", whose mean is column {of_them[0].name!r}" if of_them else ""
        names = listed([one.name for one in families[0]])
        return (), families[0], f"the raters {names}{beside}"
    if overall := named(means, LIKELY):
        return (overall[0],), (), f"column {overall[0].name!r}"
    several = parts or [column for family in families for column in family]
    if len(several) > 1 and len({_scale([column])[0] for column in several}) == 1:
        return tuple(several), (), f"the mean of {listed([one.name for one in several], at_most=12)}"
    if len(means) == 1:
        return (means[0],), (), f"column {means[0].name!r}, the only one of numbers"
    some = listed([column.name for column in (*means, *(one for family in families for one in family))])
    raise refused(
        table.path,
        f"several columns of numbers, {some}, none named like a rating" if some else "no column of ratings",
        expected="a column of mean ratings, or one per rater",
        next_step="name the column of ratings `mos`" if some else "add one named `mos`",
    )


def _families(columns: Sequence[Column]) -> list[tuple[Column, ...]]:
    """Columns of single raters: names that differ in a last number or letter, a rater's word before it."""
    found: dict[str, list[Column]] = {}
    for column in columns:
        match = re.fullmatch(r"(.*?)_?(\d{1,3}|(?<=_)[a-h])", column.key)
        stem = match[1] if match else ""
        last = re.findall(r"[^\W\d_]+", stem)[-1:] if match else []
        if match and set(last) <= set(RATERS) and (last or stem == ""):
            found.setdefault(stem, []).append(column)
    return [tuple(family) for family in found.values() if len(family) > 1]


def _means_of(families: Sequence[tuple[Column, ...]], means: Sequence[Column]) -> list[Column]:
    """The columns that are the mean of some family of raters."""
    return [mean for mean in means if any(_mean_is(mean, family) for family in families)]


def _mean_is(mean: Column, family: Sequence[Column]) -> bool:
    """Whether a column is the mean of some raters, row by row, as far as its digits go."""
    if any(len(one.filled) < len(one.cells) for one in (mean, *family)):
        return False
    rows = zip(mean.numbers, *(one.numbers for one in family), strict=True)
    return all(abs(value - math.fsum(ratings) / len(ratings)) < 0.006 for value, *ratings in rows)


def _scale(columns: Sequence[Column]) -> tuple[tuple[float, float], str]:
    """The scale of some ratings, and where it is from: a name that says it, else the values."""
    values = [value for column in columns for value in column.numbers]
    low, high = min(values), max(values)
    for column in columns:
        ends = re.search(r"(?<![\d.])(\d+) *(?:-|–|_|to|\.\.) *(\d+)(?![\d.])", column.name)
        if ends and float(ends[1]) <= low < high <= float(ends[2]):
            return (float(ends[1]), float(ends[2])), "the scale is the name's"
    zeros = values.count(0.0)
    rest = min((value for value in values if value != 0), default=low)
    if low == 0 and 0 < zeros <= FEW_ZEROS * len(values) and 1 <= rest <= high <= 5:
        low = rest
    whole = all(value.is_integer() for value in values) and len(values) >= 30
    if whole and low >= 1 and high == 3:
        return (1.0, 3.0), "the scale is taken as 1 to 3"
    for lowest, highest in SCALES:
        if lowest <= low and high <= highest:
            return (lowest, highest), f"the scale is taken as {lowest:g} to {highest:g}"
    ends_at = float(math.floor(low)), float(math.ceil(high))
    return ends_at, f"no usual scale holds them, so it is taken as {ends_at[0]:g} to {ends_at[1]:g}"


def _say_error(found: Ratings, spreads: Sequence[Column], single: Sequence[Column]) -> None:
    """Adds where the standard error is from, or what is missing for one."""
    if found.error is not None:
        found.said.append(f"its standard error: column {found.error.name!r}")
    elif found.raters:
        found.said.append("its standard error: the spread of the raters")
    elif spreads:
        found.open.append(
            f"column {spreads[0].name!r} looks like a spread: `columns.mos_se` takes the standard error of "
            f"the mean, "
            "a standard deviation divided by the root of the number of raters"
        )
    elif single:
        found.open.append(
            "the single raters are of several ratings, and `columns.raters` takes those of one: the report "
            "cannot "
            "give a noise ceiling"
        )
    else:
        found.open.append(
            "no standard error of the MOS, and no single raters: the report cannot give a noise ceiling"
        )
