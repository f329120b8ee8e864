"""Tables of scores and of ratings by generator and prompt, ours or anybody's, read strictly."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from msavqa.datasets.text import Record, header_problems, looks_like_utf_16, number, records
from msavqa.ground.errors import ProblemsError

NEXT_STEP = "mend them and run again"
VIDEO = "video"
"""The column that names the file, read where it stands."""


@dataclass(frozen=True)
class Column:
    """A column that is asked for."""

    name: str
    option: str
    """What gives the name, as a sentence says it."""
    needed: bool = True
    """A table without it is refused; else its cells are empty."""
    filled: bool = True
    """A row with an empty cell is refused."""


@dataclass(frozen=True)
class Columns:
    """Names of the columns of a table to rank."""

    value: str
    """What is ranked: the score, or the rating."""
    generator: str = "generator"
    prompt: str = "prompt"
    option: str = "--score-column"
    """The option that names `value`."""


def read(path: Path, columns: Columns) -> pd.DataFrame:
    """Every row: video (empty where unknown), generator, prompt (str), value (float; NaN: it failed), line.

    A row failed where its value is empty. Raises `ProblemsError` as `read_columns`, and for a video that
    stands twice under one generator and prompt: it would count double.
    """
    return read_columns(
        path,
        texts={
            "video": Column(VIDEO, "", needed=False, filled=False),
            "generator": Column(columns.generator, "--generator-column"),
            "prompt": Column(columns.prompt, "--prompt-column"),
        },
        numbers={"value": Column(columns.value, columns.option, filled=False)},
        once=["video", "generator", "prompt"],
    )


def read_columns(
    path: Path, *, texts: Mapping[str, Column], numbers: Mapping[str, Column], once: Sequence[str] = ()
) -> pd.DataFrame:
    """Every row of a csv: the keys of `texts` (str), of `numbers` (float, NaN where empty), and its line.

    Raises `ProblemsError` with everything that is wrong: no such file, another format, a missing column, an
    empty cell that must be filled, a value that is no finite number.
    """
    listed = records(_text(path))
    header = next(listed, Record(1, []))
    wanted = {**texts, **numbers}
    asked = [(one.option, one.name) for one in wanted.values() if one.needed or one.name in header.cells]
    problems = [header.problem] if header.problem else header_problems(header.cells, asked)
    if problems:
        raise ProblemsError(where=path, problems=problems, next_step=NEXT_STEP)
    places = {
        key: header.cells.index(one.name) if one.name in header.cells else None for key, one in wanted.items()
    }
    rows: list[dict[str, str | float]] = []
    for record in listed:
        if not (record.cells or record.problem):
            continue
        cells, problem = _cells(record, places, width=len(header.cells))
        row: dict[str, str | float] = {"line": record.line}
        for key, one in wanted.items():
            cell = cells.get(key, "")
            if not problem and one.filled and not cell.strip():
                problem = f"no {one.name}"
            if key in texts:
                row[key] = cell
            elif not problem:
                try:
                    row[key] = number(cell, name=one.name) if cell.strip() else math.nan
                except ValueError as error:
                    problem = str(error)
        if problem:
            problems.append(f"line {record.line}: {problem}")
        else:
            rows.append(row)
    if not rows and not problems:
        problems.append("no rows below the header")
    found = pd.DataFrame(rows, columns=[*wanted, "line"])
    problems += _twice(found, once) if once else []
    if problems:
        raise ProblemsError(where=path, problems=problems, next_step=NEXT_STEP)
    return found


def spelled_twice(prompts: Iterable[str]) -> list[tuple[str, ...]]:
    """Prompts that differ in case, spaces and punctuation at the end only: each such set, sorted."""
    alike: dict[str, set[str]] = {}
    for prompt in prompts:
        alike.setdefault(" ".join(prompt.casefold().split()).rstrip(".!,; "), set()).add(prompt)
    return sorted(tuple(sorted(one)) for one in alike.values() if len(one) > 1)


def _text(path: Path) -> str:
    problem = ""
    if not path.is_file():
        problem = "a folder, not a file" if path.is_dir() else "no such file"
        raise ProblemsError(where=path, problems=[problem], next_step=NEXT_STEP)
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
        raise ProblemsError(where=path, problems=[problem], next_step=NEXT_STEP)
    return text


def _is_json(line: str) -> bool:
    if not line.startswith(("{", "[")):
        return False
    try:
        json.loads(line)
    except ValueError:
        return line.strip() in ("{", "[")  # a JSON file over several lines
    return True


def _twice(rows: pd.DataFrame, keys: Sequence[str]) -> list[str]:
    """A sentence for each video that stands above already under the same keys; it would count double."""
    named = rows[rows["video"] != ""]
    again = named[named.duplicated(list(keys))]
    return [
        f"line {line}: video {video!r} stands above already"
        for line, video in zip(again["line"].tolist(), again["video"].tolist(), strict=True)
    ]


def _cells(record: Record, places: Mapping[str, int | None], *, width: int) -> tuple[dict[str, str], str]:
    """The asked cells of a record, or what is wrong with it."""
    if record.problem:
        return {}, record.problem
    count = len(record.cells)
    if count != width:
        fields = f"{count} field{'' if count == 1 else 's'}"
        return {}, f"{fields} where the header has {width} (a prompt with a comma needs quotes)"
    return {key: "" if place is None else record.cells[place] for key, place in places.items()}, ""
