"""Which column of a table names the videos, and how many of them are there."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from msavqa.app.own.table import Column, Table, is_video, listed, named, refused
from msavqa.datasets.paths import Places
from msavqa.ground.errors import MsavqaError

NAMES = (
    "video", "video_path", "path", "file", "filename", "file_name", "file_path", "video_file", "video_name",
    "video_id", "clip", "clip_file", "*video*", "*path*", "*file*", "name", "id",
)  # fmt: skip
"""Names of such columns, likeliest first."""
LOOKED_AT = 200
LOOKED_THROUGH = 100_000
ABOVE = 3


@dataclass(frozen=True)
class Videos:
    """The column of videos; `there` of `asked` names have a file, `missing` is the first without one."""

    column: Column
    there: int
    asked: int
    missing: str


def find(table: Table, root: Path) -> Videos:
    """The column of which most cells are files below root; `MsavqaError` in one sentence where none is."""
    names = list(_names_below(root))
    places = Places(root)
    order = named(table.columns, NAMES)

    def fitness(column: Column) -> tuple[float, float, int]:
        cells = list(dict.fromkeys(column.filled))[:LOOKED_AT]
        known = order.index(column) if column in order else len(order)
        there = sum(_is_there(places, cell, table.path) for cell in cells)
        return there / max(len(cells), 1), sum(map(is_video, cells)) / max(len(cells), 1), -known

    best = max(table.columns, key=fitness)
    there, looks_so, _ = fitness(best)
    if there == 0 and looks_so < 0.5:
        raise _no_column(table, order, names)
    asked = list(dict.fromkeys(best.filled))
    missing = [cell for cell in asked if not _is_there(places, cell, table.path)]
    if len(missing) == len(asked):
        raise _none_there(table, best, root, names)
    return Videos(best, len(asked) - len(missing), len(asked), missing[0] if missing else "")


def _names_below(root: Path) -> Iterator[PurePosixPath]:
    """Paths below root of what looks like a video; `MsavqaError` where there is none."""
    expected, step = "the folder that holds the videos", "name it with --videos"
    if not root.is_dir():
        got = "a file" if root.exists() else "no such folder"
        raise MsavqaError(what="Videos", where=root, got=got, expected=expected, next_step=step)
    if not os.access(root, os.R_OK | os.X_OK):
        raise MsavqaError(
            what="Videos", where=root, got="no permission to look into it", expected=expected, next_step=step
        )
    count = seen = 0
    for folder, _, files in os.walk(root, followlinks=False):
        for file in files:
            seen += 1
            if is_video(file):
                count += 1
                yield PurePosixPath((Path(folder) / file).relative_to(root).as_posix())
        if count and seen > LOOKED_THROUGH:
            return
    if not count:
        got = f"{seen} file{'s' if seen > 1 else ''}, none named like a video" if seen else "an empty folder"
        raise MsavqaError(what="Videos", where=root, got=got, expected=expected, next_step=step)


def _is_there(places: Places, cell: str, labels: Path) -> bool:
    can_mean, wrong = places.below(cell, labels)
    return not wrong and bool(can_mean) and not places.find(cell, labels)[1]


def _no_column(table: Table, order: list[Column], names: list[PurePosixPath]) -> MsavqaError:
    got = f"no column of paths of videos among {listed([column.name for column in table.columns])}"
    stems = {name.stem: name.suffix for name in names}
    for column in order:
        ending = next(
            (stems[stem] for cell in column.filled if (stem := PurePosixPath(cell).name) in stems), ""
        )
        if ending:
            return refused(
                table.path,
                f"a column {column.name!r} that names videos without their ending",
                expected=f"names as the files have them ({column.filled[0].strip() + ending!r})",
                next_step="write the ending into the column",
            )
    return refused(
        table.path, got, expected="one such column", next_step="add one that names the file of each row"
    )


def _none_there(table: Table, column: Column, root: Path, names: list[PurePosixPath]) -> MsavqaError:
    """Why no video of a column is there: another folder was named, or the paths are another machine's."""
    first = column.filled[0]
    step = f"name the folder that the paths start from with --videos (it holds {names[0].as_posix()!r})"
    beside = table.path.parent / PurePosixPath(first).parts[0]
    others = [beside if beside.is_dir() else table.path.parent, *list(root.absolute().parents)[:ABOVE]]
    for folder in others:
        holds_project = Path.cwd().is_relative_to(folder.absolute())
        if not holds_project and _is_there(Places(folder), first, table.path):
            step = f"name {os.path.relpath(folder)!r} with --videos, where they are"
            break
    else:
        same = {name.name: name for name in names}.get(first.replace("\\", "/").rsplit("/", 1)[-1].strip())
        if same is not None:
            step = f"write paths below that folder into the column ({same.as_posix()!r} for {first!r})"
    return refused(
        table.path,
        f"a column {column.name!r} of which no video is there, the first is {first!r}",
        expected=f"paths that lead into {str(root)!r}",
        next_step=step,
    )
