"""Somebody's table of videos as columns of text, and in one sentence why it is none."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from msavqa.datasets import text
from msavqa.ground.errors import MsavqaError, ProblemsError

ENDINGS = (
    "3gp", "apng", "asf", "avi", "flv", "gif", "m2ts", "m4v", "mkv", "mov", "mp4", "mpeg", "mpg", "mts",
    "mxf", "ogv", "ts", "webm", "webp", "wmv", "y4m",
)  # fmt: skip
"""How names of videos end, in small letters; it tells names of files from other text, no more."""
_EXPECTED = "a csv with one row per video, names of columns in line 1"


@dataclass(frozen=True)
class Column:
    """One column: its name as written, its cells in the order of the rows, and what separates fields."""

    name: str
    cells: tuple[str, ...]
    separator: str

    @cached_property
    def words(self) -> tuple[str, ...]:
        """The name's words in small letters: `MOS (1-5)` is mos, 1, 5, and `videoPath` is video, path."""
        parted = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", self.name)
        return tuple(re.findall(r"[^\W_]+", parted.casefold()))

    @property
    def key(self) -> str:
        """The name's words, joined by `_`."""
        return "_".join(self.words)

    @cached_property
    def filled(self) -> tuple[str, ...]:
        """The cells that are not blank."""
        return tuple(cell for cell in self.cells if cell.strip())

    @cached_property
    def numbers(self) -> tuple[float, ...]:
        """The filled cells as numbers, where all of them are; else none."""
        try:
            return tuple(text.number(cell, name=self.name, separator=self.separator) for cell in self.filled)
        except ValueError:
            return ()

    @cached_property
    def distinct(self) -> int:
        """How many different filled cells there are."""
        return len(set(self.filled))


@dataclass(frozen=True)
class Table:
    """Columns whose names stand once in line 1; `rows` that have as many fields as line 1, of `lines`."""

    path: Path
    columns: tuple[Column, ...]
    rows: int
    lines: int


def read(path: Path) -> Table:
    """The table of a file; `MsavqaError` with one sentence where it is none."""
    try:
        content, problems = text.read_text(path)
    except ProblemsError as error:
        first = error.problems[0].split(", ")[0]
        got = first.replace("the file looks like", "what looks like").replace(
            "the file is empty", "an empty file"
        )
        step = "save it as a csv in UTF-8" if got != first else "name it with --csv"
        raise refused(path, got, next_step=step) from None
    except OSError as error:
        raise refused(
            path, (error.strerror or str(error)).casefold(), next_step="name it with --csv"
        ) from None
    if problems:
        raise refused(path, problems[0].split(", ")[0], expected="UTF-8", next_step="save the file as UTF-8")
    separator = _separator(content)
    header, *records = text.records(content, separator=separator)
    if not any(cell.strip() for cell in header.cells):
        raise refused(path, header.problem or "a blank line 1")
    if any(map(is_video, header.cells)):
        step = _known_format(content) or "write the names of the columns into a line above"
        raise refused(path, "values in line 1", next_step=step)
    whole = [record.cells for record in records if len(record.cells) == len(header.cells)]
    if not whole:
        raise refused(path, "no rows below line 1")
    counts = Counter(header.cells)
    columns = tuple(
        Column(name, tuple(cells), separator)
        for name, cells in zip(header.cells, zip(*whole, strict=True), strict=True)
        if counts[name] == 1 and name.strip()
    )
    return Table(path, columns, len(whole), sum(bool(one.cells or one.problem) for one in records))


def refused(path: Path, got: str, *, expected: str = _EXPECTED, next_step: str = "mend it") -> MsavqaError:
    """The sentence for a table that cannot be used."""
    return MsavqaError(what="Table", where=path, got=got, expected=expected, next_step=next_step)


def named(columns: Sequence[Column], words: Sequence[str]) -> list[Column]:
    """The columns of one of these names, in the order of the names; `*` stands for any words."""
    found: dict[str, Column] = {}
    for word in words:
        pattern = re.compile(word.replace("*", ".*"))
        for column in columns:
            if pattern.fullmatch(column.key):
                found.setdefault(column.name, column)
    return list(found.values())


def is_video(cell: str) -> bool:
    """Whether a cell looks like the name of a video's file."""
    _, dot, ending = cell.strip().rpartition(".")
    return bool(dot) and ending.casefold() in ENDINGS


def listed(names: Sequence[str], *, at_most: int = 8) -> str:
    """Quoted names with commas between, the first ones of many."""
    more = f" and {len(names) - at_most} more" if len(names) > at_most else ""
    return ", ".join(map(repr, names[:at_most])) + more


def _separator(content: str) -> str:
    """What separates the fields: what gives most rows as many fields as line 1, two at least."""

    def fit(separator: str) -> float:
        lines = [one.cells for one in text.records(content[:200_000], separator=separator) if one.cells]
        width = len(lines[0]) if lines else 0
        return sum(len(cells) == width for cells in lines) / len(lines) if width > 1 else 0.0

    return max(text.SEPARATORS, key=fit)


def _known_format(content: str) -> str:
    """Which format without names of columns a text looks like, and who reads it; nothing for others."""
    first = content.split("\n", 1)[0].rstrip("\r")
    if re.fullmatch(r"[^|]+\.\w+\|.*\|[-+.\deE]+", first):
        return "it looks like labels of T2VQA-DB or NTIRE, for which there are the readers t2vqa_db and ntire"
    if re.fullmatch(r"[^,]+\.\w+, *-1, *-1, *[-+.\deE]+", first):
        return "it looks like labels of LSVQ, for which there is the reader lsvq"
    return ""
