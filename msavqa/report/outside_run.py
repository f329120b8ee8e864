"""Scores of any other model, in a csv with video and score, as a run beside ours."""

import posixpath
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import pandas as pd

from msavqa.datasets import score_tables
from msavqa.datasets.score_tables import Column
from msavqa.ground.errors import ProblemsError, few

SUFFIXES = (".csv", ".tsv")


@dataclass(frozen=True)
class Tested:
    """What a run says of the videos that it may be compared on."""

    rows: pd.DataFrame
    """video_id, score, and of our runs repeat: the rows that it tests."""
    outside: bool
    notes: Sequence[str] = ()


def read(path: Path, *, column: str, manifest: pd.DataFrame, dataset: str) -> Tested:
    """The scores of a csv, by the manifest's ids.

    A video may be named by its id, its path, or the file's name with or without ending, where only one video
    has that name. A video without a score is lacking; such that the data set does not have are noted.
    Raises `ProblemsError` for a table that is wrong, and for two rows of one video.
    """
    table = score_tables.read_columns(
        path,
        texts={"video": Column("video", "the file's name")},
        numbers={"score": Column(column, f"{path.name}:COLUMN names another", filled=False)},
        once=["video"],
    )
    known = _names(manifest)
    table["video_id"] = [_id(name, known) for name in table["video"]]
    strange, scored = table["video_id"].isna(), table["score"].notna()
    named = table[~strange]
    again = named[named.duplicated("video_id")]
    if len(again):
        raise ProblemsError(
            where=path,
            problems=[
                f"line {line}: video {video!r} is {one!r}, which stands above already"
                for line, video, one in zip(again["line"], again["video"], again["video_id"], strict=True)
            ],
            next_step=score_tables.NEXT_STEP,
        )
    notes = []
    if strange.any():
        names = table.loc[strange, "video"].tolist()
        notes.append(f"{path.name} has {some(names)}, which {dataset} does not have")
    return Tested(table.loc[~strange & scored, ["video_id", "score"]], outside=True, notes=notes)


def lacking(asked: Iterable[str], found: Iterable[str], *, name: str, of: str) -> list[str]:
    """A note on the videos that are asked for and not found; none where all are there."""
    asked, found = list(dict.fromkeys(asked)), set(found)
    lost = [one for one in asked if one not in found]
    return [f"{name} lacks {some(lost)}, of {len(asked)} {of}"] if lost else []


def some(names: Sequence[str]) -> str:
    """How many videos, and the first of them."""
    return f"{len(names)} video{'' if len(names) == 1 else 's'} ({few(list(map(repr, names)))})"


def _names(manifest: pd.DataFrame) -> list[dict[str, str]]:
    """Name -> id, the surest names first; a name that two videos have is none."""
    ids, paths = manifest["video_id"].tolist(), manifest["path"].tolist()
    whole = {**dict(zip(paths, ids, strict=True)), **dict(zip(ids, ids, strict=True))}
    return [
        whole,
        _unique((PurePosixPath(path).name for path in paths), ids),
        _unique((PurePosixPath(path).stem for path in paths), ids),
    ]


def _unique(names: Iterable[str], ids: Sequence[str]) -> dict[str, str]:
    pairs = pd.DataFrame({"name": list(names), "id": ids}).drop_duplicates("name", keep=False)
    return dict(zip(pairs["name"], pairs["id"], strict=True))


def _id(name: str, known: Sequence[dict[str, str]]) -> str | None:
    path = posixpath.normpath(name.replace("\\", "/"))
    whole, files, stems = known
    file = PurePosixPath(path).name
    tried = (whole.get(name), whole.get(path), files.get(file), stems.get(file))
    return next((one for one in tried if one is not None), None)
