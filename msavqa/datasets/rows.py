"""What readers of label files share: one row's fields, and every mistake that any dataset can make, at once.

A reader turns each line into a `Row` or a problem (one sentence that begins with the line) and hands both to
`checked`, which adds what can be said of any dataset: ids twice, MOS out of the declared range, paths that
leave the root, videos that are not there. Nothing is decoded before all of that is right.
"""

import math
import posixpath
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag

from msavqa.datasets import names
from msavqa.datasets.names import GENERATOR, PROMPT, NamesSetting
from msavqa.datasets.paths import Places
from msavqa.ground.errors import ProblemsError
from msavqa.ground.params import Settings

NEXT_STEP = "mend them and run again, nothing was started"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One video as its label file has it; the fields and units of the manifest's first columns."""

    where: str  # "line 3", for sentences
    video_id: str
    labels: Path | None = field(default=None, compare=False)  # the file that the row stands in
    below_root: str = ""  # where the video is, if not where its id says
    prompt: str = ""
    mos: float = math.nan
    mos_se: float = math.nan
    generator: str = ""
    group: str = ""
    given_split: str = ""
    weight: float = 1.0
    quality_true: float = math.nan
    dimensions: Mapping[str, float] = field(default_factory=dict)  # mos of further ones, by name
    ratings: tuple[float, ...] = ()  # one per rater that counts, in one order for all rows; NaN: did not rate

    @property
    def path(self) -> str:
        """The video's path below the root, one spelling for one file (`./a//b.mp4` is `a/b.mp4`)."""
        return self.below_root or posixpath.normpath(self.video_id)


class Rows(list[Row]):
    """Rows in file order, and what people should be told of how they were read: one sentence each."""

    notes: tuple[str, ...] = ()


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
    # `{generator}/{prompt}-{index}.mp4`: what paths below root say that the label file does not.
    names: NamesSetting | None = None

    def in_names(self, field: str) -> bool:
        """Whether the names of videos say this of them."""
        return self.names is not None and field in names.compiled(self.names).fields


def read_files(
    files: Mapping[Key, Path], parse: Callable[[Path, Key], tuple[list[Row], list[str]]]
) -> tuple[list[Row], list[str]]:
    """Rows and problems of several label files, in order; one that cannot be read hides no other file's."""
    rows: list[Row] = []
    problems: list[str] = []
    for split, file in files.items():
        try:
            found, wrong = parse(file, split)
        except ProblemsError as error:
            problems += [f"{file.name}: {problem}" for problem in error.problems]
            continue
        rows += found
        problems += wrong
    return rows, problems


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
    notes: Sequence[str] = (),
) -> Rows:
    """The rows, each with its video's path below root, once nothing is wrong with any of them.

    `problems` are those the reader met already; `check_files` false leaves out the look for the videos, so
    that labels alone can be read where the videos are not; `given` says that the rows' own splits decide, and
    so must mean something; `notes` go with the rows. Raises `ProblemsError` with every problem.
    """
    look = check_files and settings.root.is_dir()
    placed, bad_paths, missing = _placed(rows, Places(settings.root), look=look)
    found = [*problems, *_repeated(placed), *_out_of_range(rows, settings.mos_range), *bad_paths]
    if settings.names is not None:
        placed, unlike = _told(placed, settings.names, None if look else Places(settings.root))
        found += unlike
    found += [
        f"{row.where}: split {row.given_split!r}, expected train, val, test or test_<name>"
        for row in rows
        if given and role_of(row.given_split) is None
    ]
    if not rows and not found:
        found.append("no rows")
    if check_files and not look:
        found.append(f"root {str(settings.root)!r} is not a folder")
    found += missing
    if found:
        raise ProblemsError(where=where, problems=found, next_step=NEXT_STEP)
    right = Rows(placed)
    right.notes = tuple(notes)
    return right


def _placed(rows: Sequence[Row], places: Places, *, look: bool) -> tuple[list[Row], list[str], list[str]]:
    """The rows with their paths; what is wrong with these; which videos are not there, if one may look."""
    placed, bad_paths, missing = [], [], []
    absent = 0
    for row in rows:
        can_mean, wrong = places.below(row.video_id, row.labels)
        if wrong:
            bad_paths.append(f"{row.where}: {wrong}")
            placed.append(row)
            continue
        path = can_mean[0]
        if look:
            found, wrong, not_there = places.find(row.video_id, row.labels)
            path = found or path
            absent += not_there
            if wrong:
                missing.append(f"{row.where}: {wrong}")
        placed.append(row if path == row.path else replace(row, below_root=path))
    if absent == len(rows) > 1:
        missing.insert(0, f"none of the {absent} videos lies in root {str(places.root)!r}")
    return placed, bad_paths, missing


def _told(rows: Sequence[Row], pattern: str, places: Places | None) -> tuple[list[Row], list[str]]:
    """The rows with what their names say where the label file says nothing; which names do not fit.

    `places` is given where nobody looked for the videos: of the paths that a row can mean the first that fits
    is taken.
    """
    form, told, unlike = names.compiled(pattern), [], []
    for row in rows:
        can_mean = places.below(row.video_id, row.labels)[0] if places is not None else []
        said, wrong = names.first(form, can_mean or [row.path])
        if wrong:
            unlike.append(f"{row.where}: {row.path!r} {wrong}")
        told.append(
            replace(
                row,
                generator=row.generator or said.get(GENERATOR, ""),
                prompt=row.prompt or said.get(PROMPT, ""),
            )
        )
    return told, unlike


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
        for name, value in row.dimensions.items():
            if value < low or value > high:
                yield f"{row.where}: mos of {name} {value:g} lies outside mos_range [{low:g}, {high:g}]"
