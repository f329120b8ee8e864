"""Tables of scores and of ratings by generator and prompt, ours or anybody's, read strictly."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from msavqa.datasets.text import Record, header_problems, looks_like_utf_16, number, records
from msavqa.ground.errors import ProblemsError

VIDEO = "video"
"""The column that names the file, read where it stands."""


@dataclass(frozen=True)
class Columns:
    """Names of the columns that are asked for, with the option that gives each."""

    value: str
    """What is ranked: the score, or the rating."""
    generator: str = "generator"
    prompt: str = "prompt"
    option: str = "--score-column"
    """The option that names `value`."""


def read(path: Path, columns: Columns, *, next_step: str = "mend them and run again") -> pd.DataFrame:
    """Every row: video (str, empty where unknown), generator, prompt (str), value (float; NaN: it failed),
    line.

    A row failed where its value is empty. Raises `ProblemsError` with everything that is wrong: no such file,
    another format, a missing column, a row without a generator or prompt, a value that is no finite number, a
    row that stands twice.
    """
    text = _text(path, next_step)
    listed = records(text)
    header = next(listed, Record(1, []))
    wanted = [
        ("--generator-column", columns.generator),
        ("--prompt-column", columns.prompt),
        (columns.option, columns.value),
    ]
    problems = [header.problem] if header.problem else header_problems(header.cells, wanted)
    if problems:
        raise ProblemsError(where=path, problems=problems, next_step=next_step)
    names = (VIDEO, columns.generator, columns.prompt, columns.value)
    places = [header.cells.index(name) if name in header.cells else None for name in names]
    rows: list[tuple[str, str, str, float, int]] = []
    for record in listed:
        if record.cells or record.problem:
            row = _row(record, places=places, width=len(header.cells), columns=columns, problems=problems)
            rows += [] if row is None else [row]
    if not rows and not problems:
        problems.append("no rows below the header")
    found = pd.DataFrame(rows, columns=["video", "generator", "prompt", "value", "line"])
    problems += _twice(found)
    if problems:
        raise ProblemsError(where=path, problems=problems, next_step=next_step)
    return found


def spelled_twice(prompts: Iterable[str]) -> list[tuple[str, ...]]:
    """Prompts that differ in case, spaces and punctuation at the end only: each such set, sorted."""
    alike: dict[str, set[str]] = {}
    for prompt in prompts:
        alike.setdefault(" ".join(prompt.casefold().split()).rstrip(".!,; "), set()).add(prompt)
    return sorted(tuple(sorted(one)) for one in alike.values() if len(one) > 1)


def _text(path: Path, next_step: str) -> str:
    problem = ""
    if not path.is_file():
        problem = "a folder, not a file" if path.is_dir() else "no such file"
        raise ProblemsError(where=path, problems=[problem], next_step=next_step)
    data = path.read_bytes()
    if looks_like_utf_16(data):
        problem = "the file looks like UTF-16: save it as UTF-8"
    else:
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = data.count(b"\n", 0, error.start) + 1
            problem = f"line {line}: byte 0x{data[error.start]:02x} is not UTF-8, save the file as UTF-8"
        else:
            if not text.strip():
                problem = "the file is empty"
            elif _is_json(text.lstrip().split("\n", 1)[0]):
                problem = "this looks like JSON lines, not like a csv: write a csv with a header"
    if problem:
        raise ProblemsError(where=path, problems=[problem], next_step=next_step)
    return text


def _is_json(line: str) -> bool:
    if not line.startswith(("{", "[")):
        return False
    try:
        json.loads(line)
    except ValueError:
        return line.strip() in ("{", "[")  # a JSON file over several lines
    return True


def _row(
    record: Record, *, places: Sequence[int | None], width: int, columns: Columns, problems: list[str]
) -> tuple[str, str, str, float, int] | None:
    line = f"line {record.line}"
    if record.problem:
        problems.append(f"{line}: {record.problem}")
        return None
    count = len(record.cells)
    if count != width:
        fields = f"{count} field{'' if count == 1 else 's'}"
        problems.append(f"{line}: {fields} where the header has {width} (a prompt with a comma needs quotes)")
        return None
    video, generator, prompt, value = ("" if place is None else record.cells[place] for place in places)
    for name, cell in ((columns.generator, generator), (columns.prompt, prompt)):
        if not cell.strip():
            problems.append(f"{line}: no {name}")
            return None
    if not value.strip():
        return video, generator, prompt, float("nan"), record.line
    try:
        return video, generator, prompt, number(value, name=columns.value), record.line
    except ValueError as error:
        problems.append(f"{line}: {error}")
        return None


def _twice(rows: pd.DataFrame) -> list[str]:
    """A video that stands twice under one generator and prompt would count double."""
    named = rows[rows["video"] != ""]
    again = named[named.duplicated(["video", "generator", "prompt"])]
    return [f"line {row.line}: video {row.video!r} stands above already" for row in again.itertuples()]
