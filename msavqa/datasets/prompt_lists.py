"""Files that say what videos are to show: a csv, JSON, JSON lines, or a text with a prompt per line."""

import json
import posixpath
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from msavqa.datasets import score_tables
from msavqa.datasets.score_tables import Column
from msavqa.datasets.text import looks_like_json, read_text
from msavqa.ground.errors import ProblemsError
from msavqa.ground.params import nearest

NEXT_STEP = "mend them and run again, nothing was started"
FORMS = {".csv": "csv", ".tsv": "csv", ".json": "JSON", ".jsonl": "JSON lines", ".txt": "text"}
"""How a file is read, by what its name ends in."""


@dataclass(frozen=True)
class Prompts:
    """Prompts by the name of a video, or in the order of the names."""

    by_name: Mapping[str, str]
    in_order: Sequence[str]
    """Empty where names are given."""

    def name_of(self, path: str, key: str) -> str | None:
        """The name by which a video is listed: its path, the file's name, either without its ending, or its
        `key`; None where it is not."""
        file = PurePosixPath(path)
        tried = (path, str(file.with_suffix("")), file.name, file.stem, key, key and key + file.suffix)
        return next((one for one in tried if one and one in self.by_name), None)


def read(path: Path, *, video: str, prompt: str) -> Prompts:
    """The prompts of a file; `video` and `prompt` name the columns of a table, or the keys of records.

    Raises `ProblemsError` with everything that is wrong: another form than its name says, an empty prompt, a
    video that stands twice with two prompts, a name that leads out of the folder.
    """
    form = FORMS.get(path.suffix.lower())
    if form is None:
        problem = f"its name ends in {path.suffix!r}, expected one of {', '.join(FORMS)}"
        raise ProblemsError(where=path, problems=[problem], next_step=NEXT_STEP)
    if form == "csv":
        texts = {"video": Column(video, "--video-column"), "prompt": Column(prompt, "--prompt-column")}
        rows = score_tables.read_columns(path, texts=texts, numbers={})
        listed = zip(rows["line"].tolist(), rows["video"].tolist(), rows["prompt"].tolist(), strict=True)
        return _by_name([(f"line {line}", name, asked) for line, name, asked in listed], path)
    text, problems = read_text(path, next_step=NEXT_STEP, json_too=True)
    if not problems and form == "text" and (looks := looks_like_json(text)):
        problems = [f"the file looks like {looks}: name it .json or .jsonl"]
    if problems:
        raise ProblemsError(where=path, problems=problems, next_step=NEXT_STEP)
    if form == "text":
        lines = [line.removesuffix("\r") for line in text.split("\n")]
        return Prompts({}, [line for line in lines if line.strip()])
    found = _lines(text, path) if form == "JSON lines" else _whole(text, path)
    if isinstance(found, dict):
        return _by_name([(f"key {name!r}", name, asked) for name, asked in found.items()], path)
    if found and isinstance(found, list):
        if all(isinstance(one, str) and one.strip() for one in found):
            return Prompts({}, found)
        if all(isinstance(one, dict) for one in found):
            unit = "line" if form == "JSON lines" else "record"
            return _by_name(_of_records(found, path, video=video, prompt=prompt, unit=unit), path)
    problem = f"expected {{file: prompt}} or a list of records with {video!r} and {prompt!r}"
    raise ProblemsError(where=path, problems=[problem], next_step=NEXT_STEP)


def _whole(text: str, path: Path) -> Any:
    """What a JSON file holds."""
    twice: list[str] = []

    def checked(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        twice.extend(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        return dict(pairs)

    try:
        found = json.loads(text, object_pairs_hook=checked)
    except (ValueError, RecursionError) as error:
        problem = "the file looks like JSON lines: name it .jsonl"
        if looks_like_json(text) != "JSON lines":
            problem = f"no JSON: {error}"
        raise ProblemsError(where=path, problems=[problem], next_step=NEXT_STEP) from None
    if twice:
        problems = [f"key {key!r} stands more than once" for key in dict.fromkeys(twice)]
        raise ProblemsError(where=path, problems=problems, next_step=NEXT_STEP)
    return found


def _lines(text: str, path: Path) -> list[Any]:
    """What JSON lines hold, blank ones left out."""
    found, problems = [], []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            found.append(json.loads(line))
        except (ValueError, RecursionError):
            problems.append(f"line {number}: no JSON")
    if problems:
        raise ProblemsError(where=path, problems=problems, next_step=NEXT_STEP)
    return found


def _of_records(
    records: Sequence[dict[str, Any]], path: Path, *, video: str, prompt: str, unit: str
) -> list[tuple[str, str, Any]]:
    """(where, name, prompt) of each record; raises `ProblemsError` for those that lack one."""
    known = list(dict.fromkeys(key for record in records for key in record))
    asked = [("--video-column", video), ("--prompt-column", prompt)]
    problems = [
        f"no key {name!r} ({option}{nearest(name, known)})" for option, name in asked if name not in known
    ]
    if problems:
        problems[-1] += f"; the keys are {', '.join(map(repr, known))}"
        raise ProblemsError(where=path, problems=problems, next_step=NEXT_STEP)
    return [
        (f"{unit} {number}", str(record.get(video) or ""), record.get(prompt))
        for number, record in enumerate(records, start=1)
    ]


def _by_name(rows: Iterable[tuple[str, str, Any]], path: Path) -> Prompts:
    """Raises `ProblemsError` for names and prompts that cannot be."""
    found: dict[str, str] = {}
    problems = []
    for where, name, asked in rows:
        plain = posixpath.normpath(name) if name.strip() else ""
        if not plain:
            problems.append(f"{where}: no name of a video")
        elif ".." in re.split(r"[/\\]", name) or name.startswith("/"):
            problems.append(f"{where}: {name!r} leads out of the folder")
        elif not isinstance(asked, str) or not asked.strip():
            problems.append(f"{where}: no prompt of {name!r}")
        elif found.setdefault(plain, asked) != asked:
            problems.append(f"{where}: {name!r} stands above already, with another prompt")
    if problems:
        raise ProblemsError(where=path, problems=problems, next_step=NEXT_STEP)
    return Prompts(found, [])
