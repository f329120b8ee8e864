"""Tables of scores and of ratings by generator and prompt, ours or anybody's, read strictly."""

import math
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from msavqa.datasets.text import Record, header_problems, number, read_text, records, separator_of
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


def read(path: Path, columns: Columns, *, videos: Path | None = None) -> pd.DataFrame:
    """Every row: video (empty where unknown), generator, prompt (str), value (float; NaN: it failed), line.

    A row failed where its value is empty. `videos` is a csv that says each video's generator where the table
    does not, as that which `msavqa score --csv` was given; videos are matched by name and prompt. Raises
    `ProblemsError` as `read_columns`, for a video that stands twice under one generator and prompt (it would
    count double), and for one that `videos` lacks.
    """
    texts = {
        "video": Column(VIDEO, "the file's name", needed=videos is not None, filled=videos is not None),
        "generator": Column(columns.generator, "--generator-column, or a csv that has it by --videos"),
        "prompt": Column(columns.prompt, "--prompt-column"),
    }
    numbers = {"value": Column(columns.value, columns.option, filled=False)}
    if videos is None:
        return read_columns(path, texts=texts, numbers=numbers, once=["video", "generator", "prompt"])
    keys = ["video", "prompt"]
    of_videos = read_columns(videos, texts=texts, numbers={}, once=keys)
    scored = read_columns(path, texts={key: texts[key] for key in keys}, numbers=numbers, once=keys)
    found = scored.merge(of_videos[[*keys, "generator"]], on=keys, how="left")
    lost = found[found["generator"].isna()]
    if len(lost):
        raise ProblemsError(
            where=path,
            problems=[
                f"line {line}: {videos.name} has no row of video {video!r} with this prompt"
                for line, video in zip(lost["line"].tolist(), lost["video"].tolist(), strict=True)
            ],
            next_step="give the csv that was scored, or leave these rows out",
        )
    return found[["video", "generator", "prompt", "value", "line"]]


def read_columns(
    path: Path, *, texts: Mapping[str, Column], numbers: Mapping[str, Column], once: Sequence[str] = ()
) -> pd.DataFrame:
    """Every row of a csv: the keys of `texts` (str), of `numbers` (float, NaN where empty), and its line.

    Raises `ProblemsError` with everything that is wrong: no such file, another format, a missing column, an
    empty cell that must be filled, a value that is no finite number.
    """
    wanted = {**texts, **numbers}
    text, unreadable = read_text(path, next_step=NEXT_STEP)
    separator = separator_of(text, [one.name for one in wanted.values()])
    listed = records(text, separator=separator)
    header = next(listed, Record(1, []))
    asked = [(one.option, one.name) for one in wanted.values() if one.needed or one.name in header.cells]
    problems = unreadable + ([header.problem] if header.problem else header_problems(header.cells, asked))
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
                    row[key] = number(cell, name=one.name, separator=separator) if cell.strip() else math.nan
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
    """Prompts that differ in case, spaces and punctuation only: each such set, sorted."""
    alike: dict[str, set[str]] = {}
    for prompt in prompts:
        alike.setdefault(_plain(prompt), set()).add(prompt)
    return sorted(tuple(sorted(one)) for one in alike.values() if len(one) > 1)


def _plain(prompt: str) -> str:
    """A prompt without what people spell in two ways; of one that is nothing else, the prompt itself."""
    letters = unicodedata.normalize("NFC", prompt.casefold())
    words = "".join(" " if unicodedata.category(one).startswith("P") else one for one in letters).split()
    return " ".join(words) or prompt


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
