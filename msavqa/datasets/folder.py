"""A folder of videos as rows to score: every file, what its name says, and what it was asked to show.

Nothing starts where a file does not fit: each is named. Hidden files are not looked at.
"""

import os
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from msavqa.datasets import names, prompt_lists, score_tables
from msavqa.datasets.names import GENERATOR, INDEX, KEY, PROMPT, Names
from msavqa.datasets.prompt_lists import NEXT_STEP, Prompts
from msavqa.frames import video_file
from msavqa.ground.errors import ProblemsError, few

SHOWN = 3
"""Of names in a note, as many are shown."""


@dataclass(frozen=True)
class Video:
    """One file."""

    path: str
    """Below the folder."""
    prompt: str
    fields: dict[str, str]
    """What its name says, the prompt left out."""


@dataclass(frozen=True)
class Folder:
    """All videos of a folder, in the order of their names."""

    videos: Sequence[Video]
    fields: Sequence[str]
    notes: Sequence[str]
    """What a reader must know, a sentence each."""


@dataclass
class _Found:
    """What was met so far."""

    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def read(
    folder: Path,
    *,
    pattern: str | None,
    prompts: Path | None,
    prompt: str | None,
    video_column: str,
    prompt_column: str,
    taken: Collection[str],
    beside: Collection[Path],
) -> Folder:
    """The videos of a folder.

    Prompts come from the names, from the file `prompts`, or are all `prompt`. `taken` are words that no field
    may have; files of `beside` are no videos. Raises `ProblemsError` with everything that is wrong.
    """
    met = _Found()
    form, listed = _pattern(pattern, taken, met), None
    if prompts is not None:
        try:
            listed = prompt_lists.read(prompts, video=video_column, prompt=prompt_column)
        except ProblemsError as error:
            met.problems += [f"--prompts {prompts.name}: {problem}" for problem in error.problems]
    in_names = form is not None and PROMPT in form.fields
    places = [in_names, prompts is not None, prompt is not None]
    if sum(places) > 1:
        met.problems.append(
            "prompts come from one place, {prompt} of --names, --prompts or --prompt: write {key} for the "
            "part of a name that --prompts lists"
        )
    elif not any(places) and (form is not None or pattern is None):
        met.problems.append(
            "no prompt anywhere: put {prompt} into --names, or give --prompts FILE, or --prompt for all "
            '(--prompt "" where there is none)'
        )
    skipped = {one.resolve() for one in beside} | ({prompts.resolve()} if prompts is not None else set())
    paths = [path for path in _files(folder) if (folder / path).resolve() not in skipped]
    if not paths:
        met.problems.append("no file in it")
    fields = _fields(paths, folder, form, met)
    asked = [prompt or ""] * len(paths) if listed is None else _asked(fields, listed, prompts, met)
    if met.problems:
        raise ProblemsError(where=folder, problems=met.problems, next_step=NEXT_STEP)
    videos = [
        Video(path, said.get(PROMPT, text), {name: held for name, held in said.items() if name != PROMPT})
        for (path, said), text in zip(fields.items(), asked, strict=True)
    ]
    twice = score_tables.spelled_twice({one.prompt for one in videos})
    met.notes += [
        f"{', '.join(map(repr, one))} count as {len(one)} prompts: spell them alike if they are one"
        for one in twice[:SHOWN]
    ]
    if len(twice) > SHOWN:
        met.notes.append(f"{len(twice) - SHOWN} more prompts are spelled in several ways")
    return Folder(videos, [name for name in form.fields if name != PROMPT] if form else [], met.notes)


def _pattern(pattern: str | None, taken: Collection[str], met: _Found) -> Names | None:
    if pattern is None:
        return None
    if wrong := names.problems(pattern):
        met.problems += [f"--names: {one}" for one in wrong]
        return None
    form = names.compiled(pattern)
    met.problems += [
        f"--names: {{{name}}} is a column of the scores: call the field something else"
        for name in form.fields
        if name in taken and name != PROMPT
    ]
    return form


def _files(folder: Path) -> list[str]:
    """Paths of all files below a folder, through links too, as people sort: 2 before 10."""
    if not folder.is_dir():
        problem = "no such folder" if not folder.exists() else "a file, not a folder"
        raise ProblemsError(where=folder, problems=[problem], next_step=NEXT_STEP)
    found, seen = [], {os.path.realpath(folder)}
    for here, folders, files in os.walk(folder, followlinks=True):
        for name in list(folders):
            real = os.path.realpath(os.path.join(here, name))
            if name.startswith(".") or real in seen:  # a link may lead back to where it stands
                folders.remove(name)
            seen.add(real)
        below = os.path.relpath(here, folder)
        found += [os.path.normpath(os.path.join(below, name)) for name in files if not name.startswith(".")]
    return sorted((one.replace(os.sep, "/") for one in found), key=_order)


def _order(name: str) -> list[tuple[int, int, str]]:
    parts = re.split(r"([0-9]+)", name)
    return [(0, int(part), part) if place % 2 else (1, 0, part) for place, part in enumerate(parts)]


def _fields(paths: Sequence[str], folder: Path, form: Names | None, met: _Found) -> dict[str, dict[str, str]]:
    """What each name says; a problem for each file that is no video, or that does not fit."""
    found: dict[str, dict[str, str]] = {}
    for path in paths:
        found[path] = {}
        try:
            kind = video_file.no_video(folder / path)
        except OSError as error:
            met.problems.append(f"{path!r} cannot be read: {error.strerror}")
            continue
        if any("\udc80" <= letter <= "\udcff" for letter in path):  # how Python keeps such bytes
            met.problems.append(f"{path!r} is a name that is not UTF-8: rename it")
        elif kind:
            met.problems.append(f"{path!r} is {kind}, no video: take it out of the folder")
        elif form is not None:
            try:
                found[path] = form.of(path)
            except ValueError as error:
                met.problems.append(f"{path!r} {error}")
    return found


def _asked(fields: dict[str, dict[str, str]], listed: Prompts, source: Path | None, met: _Found) -> list[str]:
    """Each video's prompt by a list of them."""
    name = source.name if source is not None else ""
    if listed.in_order:
        return _in_order(fields, listed.in_order, name, met)
    known = {path: listed.name_of(path, said.get(KEY, said.get(INDEX, ""))) for path, said in fields.items()}
    met.problems += [f"{path!r} has no prompt in {name}" for path, one in known.items() if one is None]
    used = set(known.values())
    if unused := [one for one in listed.by_name if one not in used]:
        count = _count(len(unused), "prompt")
        met.notes.append(
            f"{name} has {count} of videos that are not in the folder: {few(list(map(repr, unused)))}"
        )
    return [listed.by_name[one] if one is not None else "" for one in known.values()]


def _in_order(fields: dict[str, dict[str, str]], lines: Sequence[str], name: str, met: _Found) -> list[str]:
    """A prompt per line, in the order of the names: of the field `key` where names have it, else of what is
    left of a name without its generator, else of the whole name."""
    keys = {path: _key(path, said) for path, said in fields.items()}
    ordered = sorted(set(keys.values()), key=_order)
    if len(ordered) != len(lines):
        met.problems.append(
            f"{name} has {_count(len(lines), 'prompt')} for {_count(len(ordered), 'name')}, from "
            f"{ordered[0]!r} to {ordered[-1]!r}: a prompt per line, in the order of the names"
        )
        return [""] * len(fields)
    met.notes.append(
        f"prompts go by order: {ordered[0]!r} was asked for {lines[0]!r}, {ordered[-1]!r} for {lines[-1]!r}"
    )
    by_key = dict(zip(ordered, lines, strict=True))
    return [by_key[key] for key in keys.values()]


def _key(path: str, said: dict[str, str]) -> str:
    if KEY in said:
        return said[KEY]
    if GENERATOR in said:
        return " ".join(held for name, held in said.items() if name != GENERATOR) or path
    return path


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
