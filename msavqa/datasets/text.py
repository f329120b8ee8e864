"""Label files as text: encodings, lines, csv records and numbers, read strictly."""

import codecs
import csv
import io
import json
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from msavqa.ground.errors import ProblemsError
from msavqa.ground.params import nearest


def read_text(
    path: Path, *, next_step: str = "mend `labels` of this dataset", json_too: bool = False
) -> tuple[str, list[str]]:
    """The whole of a table's file as text, UTF-8 with or without a byte order mark, and what of it is not.

    One problem per line; bad bytes are replaced, so that all else that is wrong can be found as well.
    Raises `ProblemsError` where there is no such file, or it is empty, UTF-16 or (not with `json_too`) JSON.
    """
    if not path.is_file():
        problem = "a folder, not a file" if path.is_dir() else "no such file"
        raise ProblemsError(where=path, problems=[problem], next_step=next_step)
    data = path.read_bytes()
    problems = []
    if looks_like_utf_16(data):
        problem = "the file looks like UTF-16, save it as UTF-8; nothing else of it was read"
        raise ProblemsError(where=path, problems=[problem], next_step=next_step)
    for number, line in enumerate(data.split(b"\n"), start=1):
        try:
            line.decode("utf-8")
        except UnicodeDecodeError as error:
            byte = line[error.start]
            problems.append(f"line {number}: byte 0x{byte:02x} is not UTF-8, save the file as UTF-8")
    text = data.decode("utf-8-sig", errors="replace")
    if not text.strip():
        raise ProblemsError(where=path, problems=["the file is empty"], next_step=next_step)
    if not json_too and (form := looks_like_json(text)):
        problem = f"the file looks like {form}, expected a table; save it as a csv"
        raise ProblemsError(where=path, problems=[problem], next_step=next_step)
    return text, problems


def looks_like_json(text: str) -> str:
    """Which of "JSON" and "JSON lines" (one object per line) a text begins like; "" for neither."""
    head = text.lstrip()
    if not head.startswith(("{", "[")):
        return ""
    first = head.split("\n", 1)[0].strip()
    try:
        found = json.loads(first)
    except ValueError:  # an object or a list of many lines, or a header that begins with a bracket
        return "JSON" if re.fullmatch(r"[\[{]+", first) or re.match(r'[\[{]+\s*"[^"]*":', first) else ""
    return "JSON lines" if isinstance(found, dict) else "JSON"


def looks_like_utf_16(data: bytes) -> bool:
    """By its mark, or by many NUL bytes at the beginning, all at odd places or all at even ones."""
    nul = [place for place, byte in enumerate(data[:200]) if byte == 0]
    marked = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return marked or (len(nul) > 10 and len({place % 2 for place in nul}) == 1)


def read_lines(path: Path) -> tuple[list[tuple[int, str]], list[str]]:
    """Numbered lines without their ends, blank ones left out, and the problems of `read_text`.

    Ends are LF or CRLF. Prompts may hold any other separator that `str.splitlines` would cut at.
    """
    text, problems = read_text(path)
    lines = [line.removesuffix("\r") for line in text.split("\n")]
    return [(number, line) for number, line in enumerate(lines, start=1) if line.strip()], problems


SEPARATORS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
"""What may stand between a table's fields, and its name; spreadsheets of half of Europe write semicolons."""


@dataclass(frozen=True)
class Record:
    """One record: the line it begins on, counted from 1, and its cells, or why there are none."""

    line: int
    cells: list[str]
    problem: str = ""


def separator_of(text: str, names: Sequence[str]) -> str:
    """What separates a table's fields: of `SEPARATORS` the first by which line 1 holds most of the names."""
    first = text.split("\n", 1)[0]

    def held(separator: str) -> int:
        header = next(records(first, separator=separator), Record(1, []))
        return len(set(header.cells) & set(names))

    return max(SEPARATORS, key=held)


def records(text: str, *, separator: str = ",") -> Iterator[Record]:
    """Every record of a table's text, quoted as spreadsheets do; blank lines have no cells.

    After a record that is badly quoted reading goes on with the line below its first one.
    """
    csv.field_size_limit(2**31 - 1)  # a prompt of any length; and a quote that never ends is called that
    lines = list(io.StringIO(text, newline=""))
    begin = 0
    while begin < len(lines):
        reader = csv.reader(lines[begin:], strict=True, delimiter=separator)
        line = begin
        try:
            for cells in reader:
                yield Record(line + 1, cells)
                line = begin + reader.line_num
            return
        except csv.Error as error:
            yield Record(line + 1, [], _plainly(str(error), separator))
            begin = line + 1


def _plainly(said: str, separator: str) -> str:
    """The csv module's words for a badly quoted record as ours."""
    if said == "unexpected end of data":
        return "a quote that never ends"
    if said.endswith("expected after '\"'"):
        return f"text between a closing quote and the next {SEPARATORS[separator]}"
    return said


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
    return problems + ([*missing[:-1], f"{missing[-1]}; {found}"] if missing else [])


_DECIMAL_COMMA = re.compile(r"\s*[-+]?\d+,\d+\s*")


def number(text: str, *, name: str, separator: str = ",") -> float:
    """A finite number; raises `ValueError` with the end of a sentence where it is not one.

    Where fields are not separated by commas, `3,5` is three and a half, as the same spreadsheets write it.
    """
    if separator != "," and _DECIMAL_COMMA.fullmatch(text):
        text = text.replace(",", ".")
    try:
        # float() also takes 1_000 and digits of other scripts, which no label file means.
        value = float(text) if text.isascii() and "_" not in text else math.nan
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"{name} is {text.strip()!r}, not a finite number")
    return value
