"""What readers of label files share: one row's fields, text and numbers read strictly, all problems at once.

A reader turns each line into a `Row` or a problem (one sentence that begins with the line) and hands both to
`checked`, which adds what can be said of any dataset: ids twice, MOS out of the declared range, paths that
leave the root, videos that are not there. Nothing is decoded before all of that is right.
"""

import codecs
import csv
import io
import math
import os
import posixpath
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag

from msavqa.ground.errors import ProblemsError
from msavqa.machine.params import Settings, nearest

NEXT_STEP = "mend them and run again, nothing was started"

# A link into a DVC cache (.../files/md5/ab/cdef...) is DVC's own way to place a file; see cache.type.
_DVC_CACHE = re.compile(r"/files/md5/[0-9a-f]{2}/[0-9a-f]{30}$")


class LabelsError(ProblemsError):
    """Everything that is wrong with one dataset's label files, in the order of reading."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One video as its label file has it; the fields and units of the manifest's first columns."""

    where: str  # "line 3", for sentences
    video_id: str
    prompt: str = ""
    mos: float = math.nan
    mos_se: float = math.nan
    generator: str = ""
    group: str = ""
    given_split: str = ""
    weight: float = 1.0
    quality_true: float = math.nan

    @property
    def path(self) -> str:
        """The video's path below the root, one spelling for one file (`./a//b.mp4` is `a/b.mp4`)."""
        return posixpath.normpath(self.video_id)


def _rising(limits: tuple[float, float]) -> tuple[float, float]:
    low, high = limits
    if not low < high:
        raise ValueError("the first bound must lie below the second")
    return limits


def _path(text: object) -> object:
    if isinstance(text, str) and text.strip():
        return Path(text)
    raise ValueError("expected a path as text")


# YAML has no paths and no tuples: strings and lists stand for them.
PathSetting = Annotated[Path, BeforeValidator(_path)]
MosRange = Annotated[tuple[float, float], Field(strict=False), AfterValidator(_rising)]


Key = TypeVar("Key", bound=str)
# One file or folder, or a file for each split.
PathOrPaths = Annotated[
    Annotated[PathSetting, Tag("path")]
    | Annotated[dict[Key, PathSetting], Field(min_length=1), Tag("files")],
    Discriminator(lambda value: "files" if isinstance(value, dict) else "path"),
]


class LabelSettings(Settings):
    """What every dataset block says; each reader adds `reader`, `labels` and its own keys."""

    root: PathSetting  # the folder that video paths start from
    mos_range: MosRange  # lowest and highest MOS the scale allows


def read_text(path: Path) -> tuple[str, list[str]]:
    """The whole of a label file as text, UTF-8 with or without a byte order mark, and what of it is not.

    One problem a line; bad bytes are replaced, so that all else that is wrong can be found as well.
    Raises `LabelsError` where there is no such file, or it is empty or UTF-16.
    """
    if not path.is_file():
        problem = "a folder, not a file" if path.is_dir() else "no such file"
        raise LabelsError(where=path, problems=[problem], next_step="mend `labels` of this dataset")
    data = path.read_bytes()
    problems = []
    if looks_like_utf_16(data):
        problem = "the file looks like UTF-16, save it as UTF-8; nothing else of it was read"
        raise LabelsError(where=path, problems=[problem], next_step="mend `labels` of this dataset")
    for number, line in enumerate(data.split(b"\n"), start=1):
        try:
            line.decode("utf-8")
        except UnicodeDecodeError as error:
            byte = line[error.start]
            problems.append(f"line {number}: byte 0x{byte:02x} is not UTF-8, save the file as UTF-8")
    text = data.decode("utf-8-sig", errors="replace")
    if not text.strip():
        raise LabelsError(
            where=path, problems=["the file is empty"], next_step="mend `labels` of this dataset"
        )
    return text, problems


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


def read_files(
    files: Mapping[Key, Path], parse: Callable[[Path, Key], tuple[list[Row], list[str]]]
) -> tuple[list[Row], list[str]]:
    """Rows and problems of several label files, in order; one that cannot be read hides no other's."""
    rows: list[Row] = []
    problems: list[str] = []
    for split, file in files.items():
        try:
            found, wrong = parse(file, split)
        except LabelsError as error:
            problems += [f"{file.name}: {problem}" for problem in error.problems]
            continue
        rows += found
        problems += wrong
    return rows, problems


def number(text: str, *, name: str) -> float:
    """A finite number; raises `ValueError` with the end of a sentence where it is not one."""
    try:
        # float() also takes 1_000 and digits of other scripts, which no label file means.
        value = float(text) if text.isascii() and "_" not in text else math.nan
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"{name} is {text.strip()!r}, not a finite number")
    return value


def role_of(split: str) -> str | None:
    """The role a dataset's own split name means: train, val, test or test_<anything> (`test_1080p`)."""
    if split in ("train", "val", "test"):
        return split
    return "test" if split.startswith("test_") else None


def checked(
    rows: Sequence[Row],
    *,
    problems: Sequence[str],
    where: object,
    settings: LabelSettings,
    check_files: bool,
    given: bool,
) -> list[Row]:
    """The rows, once nothing is wrong with any of them.

    `problems` are those the reader met already; `check_files` false leaves out the look for the videos, so
    that labels alone can be read where the videos are not; `given` says that the rows' own splits decide, and
    so must mean something. Raises `LabelsError` with every problem.
    """
    found = [*problems, *_repeated(rows), *_out_of_range(rows, settings.mos_range)]
    found += [f"{row.where}: {problem}" for row in rows if (problem := _bad_path(row.video_id))]
    found += [
        f"{row.where}: split {row.given_split!r}, expected train, val, test or test_<name>"
        for row in rows
        if given and role_of(row.given_split) is None
    ]
    if not rows and not found:
        found.append("no rows")
    if check_files:
        found += _missing(rows, settings.root)
    if found:
        raise LabelsError(where=where, problems=found, next_step=NEXT_STEP)
    return list(rows)


def _repeated(rows: Sequence[Row]) -> Iterator[str]:
    first: dict[str, Row] = {}
    for row in rows:
        other = first.setdefault(row.path, row)
        if other is not row:
            spelled = "" if other.video_id == row.video_id else f" as {other.video_id!r}"
            yield f"{row.where}: video {row.video_id!r} stands already in {other.where}{spelled}"


def _out_of_range(rows: Sequence[Row], limits: tuple[float, float]) -> Iterator[str]:
    low, high = limits
    for row in rows:
        if row.mos < low or row.mos > high:  # NaN, an MOS that is not published, is neither
            yield f"{row.where}: mos {row.mos:g} lies outside mos_range [{low:g}, {high:g}]"


def _bad_path(video_id: str) -> str:
    if not video_id.strip():
        return "the video's path is empty"
    if "\0" in video_id:
        return f"path {video_id!r} holds a NUL byte"
    if video_id.startswith(("/", "\\")) or re.match(r"[A-Za-z]:[\\/]", video_id):
        return f"path {video_id!r} is absolute, expected one below root"
    if ".." in re.split(r"[/\\]", video_id):
        return f"path {video_id!r} leads out of root"
    return ""


def _missing(rows: Sequence[Row], root: Path) -> list[str]:
    if not root.is_dir():
        return [f"root {str(root)!r} is not a folder"]
    real_root = root.resolve()
    problems, missing = [], 0
    for row in rows:
        if _bad_path(row.video_id):
            continue
        file = root / row.path
        try:
            there = file.is_file()
        except OSError as error:  # a name that no file system takes
            problems.append(f"{row.where}: no video {str(file)[:80]!r}...: {error.strerror}")
            continue
        if not there:
            missing += 1
            problems.append(f"{row.where}: no video {str(file)!r}")
        elif not os.access(file, os.R_OK):
            problems.append(f"{row.where}: no permission to read {str(file)!r}")
        elif not _stays_inside(file, real_root):
            problems.append(
                f"{row.where}: {str(file)!r} is a link that leads out of root, to {file.resolve()}"
            )
    if missing == len(rows) > 1:
        problems.insert(0, f"none of the {missing} videos lies in root {str(root)!r}")
    return problems


def _stays_inside(file: Path, real_root: Path) -> bool:
    real = file.resolve()
    return real.is_relative_to(real_root) or _DVC_CACHE.search(real.as_posix()) is not None


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
