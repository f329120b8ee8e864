"""Anybody's csv: one row per video, any column names, given by `columns` of the dataset block.

    video,prompt,mos,model
    clips/-my video.mp4,"a ""red"" ball, rolling",3.5,A

UTF-8 (a byte order mark and CRLF are fine), quoted as spreadsheets do. Commas separate the fields, or
semicolons, tabs or bars: whichever the named columns are found by. Paths start from `root`, or from the
folder of the csv where that leads below `root` too.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

from pydantic import Field, model_validator

from msavqa.datasets.dimensions import Dimension
from msavqa.datasets.raters import Screening, mean_of, settled
from msavqa.datasets.rows import LabelSettings, PathSetting, Row, Rows, checked
from msavqa.datasets.text import header_problems, number, read_text, records, separator_of
from msavqa.ground.errors import ProblemsError
from msavqa.ground.params import Settings

Name = Annotated[str, Field(min_length=1)]
Mos = Name | Annotated[list[Name], Field(min_length=1)]


class ColumnSettings(Settings):
    """Which column of the csv holds what; a key left out (or null) means the csv has no such column."""

    video: Name  # path that starts from root, or from the folder of the csv
    prompt: Name | None = None  # without it no branch can use its prompt
    # Several: their mean, row by row. By name: dimensions of quality, all learned, the first one leads.
    mos: Mos | Annotated[dict[Dimension, Mos], Field(min_length=1)] | None = None
    # One column per rater; an empty cell: did not rate. Their mean where `mos` names no column (which then
    # counts by their number where `weight` names none), and its standard error where `mos_se` names none.
    raters: Annotated[list[Name], Field(min_length=2)] | None = None
    mos_se: Name | None = None  # standard error of the mos; a cell may be empty
    generator: Name | None = None
    group: Name | None = None  # rows of one group are never parted by `prompt_disjoint`
    split: Name | None = None  # the dataset's own split, for the protocol `given`
    weight: Name | None = None  # above 0
    quality_true: Name | None = None  # quality without raters' noise, for simulated datasets


class ReaderSettings(LabelSettings):
    """A dataset block with `reader: csv`."""

    reader: Literal["csv"]
    labels: PathSetting
    columns: ColumnSettings
    missing: list[float] = Field(
        default=[]
    )  # numbers that mean "did not rate", as 0 or -1, in mos and raters
    # bt500: raters who stand out on both sides are left out before anything is averaged, see `raters.screen`
    screening: Screening | None = None

    @model_validator(mode="after")
    def _has_raters(self) -> "ReaderSettings":
        if self.screening and (self.columns.raters is None or self.columns.mos is not None):
            raise ValueError("`screening` needs `columns.raters` and no `columns.mos`: their mean is the MOS")
        return self


def read(settings: ReaderSettings, *, check_files: bool, given: bool = False) -> Rows:
    """Every row of the csv in file order, and who was left out; raises `ProblemsError` with all mistakes."""
    text, problems = read_text(settings.labels)
    separator = separator_of(text, [name for _, name in _names(settings.columns)])
    listed = records(text, separator=separator)
    header = next(listed)
    if not header.cells:
        problem = f"line 1: {header.problem}" if header.problem else "line 1 is blank"
        problems.append(f"{problem}, expected the names of the columns")
        raise ProblemsError(where=settings.labels, problems=problems, next_step="mend them or `columns`")
    problems += header_problems(header.cells, _names(settings.columns))
    problems += [
        f"names: {{{one}}} and columns.{one} both give it, keep one"
        for one in ("generator", "prompt")
        if getattr(settings.columns, one) is not None and settings.in_names(one)
    ]
    if header.cells.count(settings.columns.video) != 1:
        raise ProblemsError(where=settings.labels, problems=problems, next_step="mend them or `columns`")
    columns = _readable(settings.columns, header.cells)
    rows: list[Row] = []
    for record in listed:
        where = f"line {record.line}"
        if record.problem:
            problems.append(f"{where}: {record.problem}")
        elif record.cells and len(record.cells) != len(header.cells):
            problems.append(f"{where}: {len(record.cells)} fields, the header has {len(header.cells)}")
        elif record.cells:
            cells = dict(zip(header.cells, record.cells, strict=True))
            row, wrong = _row(where, cells, columns=columns, settings=settings, separator=separator)
            problems += [f"{where}: {sentence}" for sentence in wrong]
            rows.append(row)
    counted = Rows(rows)
    if columns.raters and not problems:
        try:
            counted = settled(
                rows,
                names=columns.raters,
                screening=settings.screening,
                mean=not columns.mos,
                error=not columns.mos_se,
                weigh=not columns.mos and not columns.weight,
            )
        except ValueError as error:
            problems.append(str(error))
    return checked(
        counted,
        problems=problems,
        where=settings.labels,
        settings=settings,
        check_files=check_files,
        given=given,
        notes=counted.notes,
    )


def _names(columns: ColumnSettings) -> list[tuple[str, str]]:
    """All (key below the dataset's block, column name) that the settings ask for."""
    pairs = []
    for key, value in columns.model_dump(exclude_none=True).items():
        parts = (
            {f"{key}.{name}": one for name, one in value.items()} if isinstance(value, dict) else {key: value}
        )
        for part, one in parts.items():
            pairs += [(f"columns.{part}", name) for name in (one if isinstance(one, list) else [one])]
    return pairs


def _readable(columns: ColumnSettings, header: list[str]) -> ColumnSettings:
    """The columns that stand in the header once: a column that is missing hides no mistake in another."""
    kept: dict[str, object] = {}
    for key, value in columns.model_dump(exclude_none=True).items():
        if isinstance(value, dict):
            there = {one: _there(names, header) for one, names in value.items()}
            kept |= (
                {key: {one: names for one, names in there.items() if names}} if any(there.values()) else {}
            )
            continue
        names = _there(value, header)
        if len(names) > (key == "raters"):  # of one rater there is no spread
            kept[key] = names if isinstance(value, list) else names[0]
    return ColumnSettings.model_validate(kept)


def _there(names: str | list[str], header: list[str]) -> list[str]:
    return [name for name in (names if isinstance(names, list) else [names]) if header.count(name) == 1]


def _row(
    where: str,
    cells: Mapping[str, str],
    *,
    columns: ColumnSettings,
    settings: ReaderSettings,
    separator: str,
) -> tuple[Row, list[str]]:
    """One row and all that is wrong with its numbers (those are NaN then)."""
    lowest, highest = settings.mos_range
    problems: list[str] = []

    def value(name: str, *, low: float = -math.inf, empty: float | None = None) -> float:
        if not cells[name].strip() and empty is not None:
            return empty
        try:
            found = number(cells[name], name=name, separator=separator)
        except ValueError as error:
            problems.append(str(error))
            return math.nan
        if found < low:
            problems.append(f"{name} is {found:g}, below {low:g}")
        return found

    def text(name: str | None) -> str:
        return cells[name] if name else ""

    def ratings(names: Sequence[str], *, empty: float | None) -> list[float]:
        """Each column's number, within the range where it is one of several: their mean would not tell."""
        found = {
            name: math.nan
            if _is_one_of(settings.missing, cells[name], separator)
            else value(name, empty=empty)
            for name in names
        }
        outside = [name for name, one in found.items() if one < lowest or one > highest]
        if len(found) > 1:
            problems.extend(
                f"{name} {found[name]:g} lies outside mos_range [{lowest:g}, {highest:g}]" for name in outside
            )
            return [math.nan] if outside else list(found.values())
        return list(found.values())

    def mos(names: str | list[str]) -> float:
        named = [names] if isinstance(names, str) else names
        return mean_of(_known(ratings(named, empty=None if len(named) > 1 else math.nan)))

    if isinstance(columns.mos, dict):
        (_, mean), *further = [(name, mos(names)) for name, names in columns.mos.items()]
    else:
        mean, further = mos(columns.mos or []), []
    raters = ratings(columns.raters or [], empty=math.nan)
    weight = value(columns.weight) if columns.weight else 1.0
    if weight <= 0:
        problems.append(f"{columns.weight} is {weight:g}, expected more than 0")
    row = Row(
        where=where,
        labels=settings.labels,
        video_id=cells[columns.video],
        prompt=text(columns.prompt),
        mos=mean,
        mos_se=value(columns.mos_se, low=0.0, empty=math.nan) if columns.mos_se else math.nan,
        generator=text(columns.generator),
        group=text(columns.group),
        given_split=text(columns.split),
        weight=weight,
        quality_true=value(columns.quality_true, empty=math.nan) if columns.quality_true else math.nan,
        dimensions=dict(further),
        ratings=tuple(raters),
    )
    return row, problems


def _is_one_of(numbers: Sequence[float], cell: str, separator: str) -> bool:
    try:
        return bool(numbers) and number(cell, name="", separator=separator) in numbers
    except ValueError:  # said where the cell is read
        return False


def _known(ratings: Sequence[float]) -> list[float]:
    return [one for one in ratings if not math.isnan(one)]
