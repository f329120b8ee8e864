"""A csv's records with their lines: one that is badly quoted costs itself; columns are asked for by name."""

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from msavqa.params import nearest

PLAINLY = {
    "unexpected end of data": "a quote that never ends",
    "',' expected after '\"'": "text between a closing quote and the next comma",
}
"""The csv module's words for a badly quoted record, and ours."""


@dataclass(frozen=True)
class Record:
    """One record: the line it begins on, counted from 1, and its cells, or why there are none."""

    line: int
    cells: list[str]
    problem: str = ""


def records(text: str) -> Iterator[Record]:
    """Every record of a comma-separated text, quoted as spreadsheets do; blank lines have no cells.

    After a record that is badly quoted reading goes on with the line below its first one.
    """
    csv.field_size_limit(2**31 - 1)  # a prompt of any length; and a quote that never ends is called that
    lines = list(io.StringIO(text, newline=""))
    begin = 0
    while begin < len(lines):
        reader = csv.reader(lines[begin:], strict=True)
        line = begin
        try:
            for cells in reader:
                yield Record(line + 1, cells)
                line = begin + reader.line_num
            return
        except csv.Error as error:
            yield Record(line + 1, [], PLAINLY.get(str(error), str(error)))
            begin = line + 1


def header_problems(header: list[str], wanted: Sequence[tuple[str, str]]) -> list[str]:
    """What is wrong with a header, given (what asks for it, name) of every column that is read."""
    problems = [
        f"column {name!r} stands {header.count(name)} times"
        for name in dict.fromkeys(name for _, name in wanted)
        if header.count(name) > 1  # spreadsheets leave columns without a name, those do no harm
    ]
    missing = [
        f"no column {name!r} ({asks}{nearest(name, header)})" for asks, name in wanted if name not in header
    ]
    found = f"the columns are {', '.join(map(repr, header))}"
    if len(header) == 1 and (";" in header[0] or "\t" in header[0]):
        found += " (the fields must be separated by commas)"
    return problems + ([*missing[:-1], f"{missing[-1]}; {found}"] if missing else [])
