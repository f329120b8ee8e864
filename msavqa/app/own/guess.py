"""A table and a folder -> the block of a data set in params.yaml, and sentences on how it came about."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from msavqa.app.own import files, ratings, table
from msavqa.app.own.table import Column, Table, listed, named
from msavqa.datasets import names
from msavqa.datasets.names import GENERATOR, PROMPT
from msavqa.datasets.paths import Places
from msavqa.datasets.rows import role_of
from msavqa.ground.errors import MsavqaError

PROMPTS = (
    "prompt", "prompts", "prompt_en", "text_prompt", "prompt_text", "caption", "captions", "text",
    "description", "query", "instruction", "sentence", "*prompt*", "*caption*",
)  # fmt: skip
GENERATORS = (
    "generator", "model", "model_name", "method", "t2v_model", "generator_name", "system", "t2v", "gen_model",
    "*generator*", "*model*", "source",
)  # fmt: skip
GROUPS = ("group", "group_id", "prompt_id")
SPLITS = ("split", "subset", "partition")
OPENING_WORDS = 2.0
"""Words per cell from which text without a telling name is taken for prompts."""
FEW = 50


@dataclass(frozen=True)
class Guess:
    """`block`: datasets.mine; `said`: what was guessed; `open`: what its owner has to look at."""

    block: dict[str, Any]
    said: tuple[str, ...]
    open: tuple[str, ...]


def guess(csv: Path, *, videos: Path, home: Path, pattern: str | None = None) -> Guess:
    """What a csv's names and values say of its columns; `home` is the project's folder, where paths start.

    `pattern` says what names of videos hold. Raises `MsavqaError`, one sentence, where it is none, where no
    column names videos that are there, or none holds ratings.
    """
    if Path(os.path.abspath(home)).is_relative_to(os.path.abspath(videos)):
        raise MsavqaError(
            what="Videos",
            where=videos,
            got="a folder that holds the project",
            expected="one that no result is written into",
            next_step="put the videos into a folder of their own",
        )
    found = table.read(csv)
    named_videos = files.find(found, videos)
    video = named_videos.column
    rated = ratings.find(found, without=[video])
    taken = [video, *rated.mos, *rated.raters, *([rated.error] if rated.error else [])]
    said = [
        f"videos: column {video.name!r}, {named_videos.there} of {named_videos.asked} are in "
        f"{_shown(videos, home)}/",
        f"MOS: {rated.said[0]}",
        *rated.said[1:],
    ]
    left = list(rated.open)
    columns: dict[str, Any] = {"video": video.name}
    told = _told(pattern, video, Places(videos), csv, said)
    prompt = None if PROMPT in told else _prompt(found, taken, said, left)
    if prompt is not None:
        columns["prompt"] = prompt.name
    if len(rated.mos) == 1:
        columns["mos"] = rated.mos[0].name
    elif rated.mos:
        columns["mos"] = [one.name for one in rated.mos]
    if rated.raters:
        columns["raters"] = [one.name for one in rated.raters]
    if rated.error:
        columns["mos_se"] = rated.error.name
    if GENERATOR not in told and (
        generator := _generator(found, [*taken, *([prompt] if prompt else [])], said, left)
    ):
        columns["generator"] = generator.name
    _others(found, columns, said, left)
    left += _rows(found, named_videos, videos)
    block = {
        "reader": "csv",
        "root": _shown(videos, home),
        "labels": _shown(csv, home),
        "mos_range": [_plain(end) for end in rated.scale],
        "columns": columns,
    } | ({"names": pattern} if pattern is not None else {})
    return Guess(block, tuple(said), tuple(left))


def _told(pattern: str | None, video: Column, places: Places, csv: Path, said: list[str]) -> tuple[str, ...]:
    """The fields of the pattern of names; `MsavqaError` where it is none."""
    if pattern is None:
        return ()
    try:
        form = names.compiled(pattern)
    except ValueError as error:
        raise MsavqaError(
            what="Pattern", where="--names", got=str(error), expected="a path with fields in braces",
            next_step="write it as {generator}/{prompt}-{index}.mp4",
        ) from None  # fmt: skip
    held: dict[str, set[str]] = {field: set() for field in form.fields}
    for cell in video.filled:
        can_mean = places.below(cell, csv)[0]
        for field, value in (names.first(form, can_mean)[0] if can_mean else {}).items():
            held[field].add(value)
    said += [
        f"{field}s: from the names, {len(held[field])} different ones"
        for field in (PROMPT, GENERATOR)
        if field in held
    ]
    return form.fields


def _prompt(found: Table, taken: Sequence[Column], said: list[str], left: list[str]) -> Column | None:
    rest = [one for one in found.columns if one not in taken and one.filled and not one.numbers]
    by_name = [one for one in named(rest, PROMPTS) if "id" not in one.words]
    by_words = sorted(rest, key=_words_per_cell, reverse=True)
    best = next(iter(by_name or [one for one in by_words if _words_per_cell(one) >= OPENING_WORDS]), None)
    if best is None:
        left.append("no column of prompts: no branch can tell whether a video shows what was asked for")
        return None
    said.append(f"prompts: column {best.name!r}, {best.distinct} different ones")
    if blank := len(best.cells) - len(best.filled):
        left.append(f"{blank} of {len(best.cells)} rows have no prompt")
    return best


def _generator(found: Table, taken: Sequence[Column], said: list[str], left: list[str]) -> Column | None:
    rest = [one for one in found.columns if one not in taken and one.filled]
    best = next(
        (one for one in named(rest, GENERATORS) if 1 < one.distinct <= max(FEW, found.rows // 5)), None
    )
    if best is not None:
        said.append(f"generators: column {best.name!r}, {best.distinct} of them")
        return best
    few = [one.name for one in rest if not one.numbers and 1 < one.distinct <= min(FEW, found.rows // 3)]
    hint = f"; if {listed(few)} {'is one' if len(few) == 1 else 'hold one'}, name it there" if few else ""
    left.append(f"no column of generators for `columns.generator`: no figures per text-to-video model{hint}")
    return None


def _others(found: Table, columns: dict[str, Any], said: list[str], left: list[str]) -> None:
    """The columns `group` and `split`, by their names."""
    free = [one for one in found.columns if one.name not in columns.values() and one.filled]
    if groups := [one for one in named(free, GROUPS) if one.distinct > 1]:
        columns["group"] = groups[0].name
        said.append(f"groups that no split parts: column {groups[0].name!r}, {groups[0].distinct} of them")
    own = [one for one in named(free, SPLITS) if all(role_of(cell) for cell in one.cells)]
    if (
        own
        and "train" in own[0].filled
        and any(str(role_of(cell)) == "test" or cell != "train" for cell in own[0].cells)
    ):
        columns["split"] = own[0].name
        left.append(f"column {own[0].name!r} parts the rows: to use it set `split.protocol: given`")


def _rows(found: Table, videos: files.Videos, root: Path) -> list[str]:
    """What of the rows the reader will refuse."""
    said = []
    if missing := videos.asked - videos.there:
        are = "is" if missing == 1 else "are"
        said.append(
            f"{missing} of {videos.asked} videos {are} not in {str(root)!r}, the first is "
            f"{videos.missing!r}: bring them there or take their rows out"
        )
    if repeated := len(videos.column.filled) - videos.asked:
        rows = "1 row names" if repeated == 1 else f"{repeated} rows name"
        said.append(f"{rows} a video again: a row is a video, so let one hold the mean of its ratings")
    if odd := found.lines - found.rows:
        lines = "1 line has" if odd == 1 else f"{odd} lines have"
        said.append(f"{lines} another number of fields than line 1")
    return said


def _words_per_cell(column: Column) -> float:
    return sum(len(cell.split()) for cell in column.filled) / max(len(column.filled), 1)


def _shown(path: Path, home: Path) -> str:
    """A path from the project's folder where it is below it, else absolute: what DVC can follow."""
    here, start = os.path.abspath(path), os.path.abspath(home)
    below = os.path.relpath(here, start)
    return here if below == "." or below.split(os.sep)[0] == ".." else below


def _plain(end: float) -> float | int:
    return int(end) if end.is_integer() else end
