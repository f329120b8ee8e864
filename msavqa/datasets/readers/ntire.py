"""NTIRE 2024 AIGC video track: `name|prompt|mos` for training, `name|prompt` where the MOS is withheld.

The data are T2VQA-DB's videos under the challenge's own split (arXiv 2404.16687). Rows without a MOS get the
role `test` in every repeat: they are scored, never learned from; `msavqa.score.submission`
packs their scores.
"""

import math
import re
from pathlib import Path
from typing import Literal

from msavqa.datasets.rows import LabelSettings, PathOrPaths, Row, Rows, checked, read_files
from msavqa.datasets.text import number, read_lines
from msavqa.ground.errors import ProblemsError

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")


class ReaderSettings(LabelSettings):
    """A dataset block with `reader: ntire`."""

    reader: Literal["ntire"]
    # A file for each split, or a folder with one .txt whose name holds each split's word (train_info.txt).
    labels: PathOrPaths[Split]


def read(settings: ReaderSettings, *, check_files: bool, given: bool = False) -> Rows:
    """The rows of every split, each file's order kept; raises `ProblemsError` with all that is wrong."""
    files = settings.labels if isinstance(settings.labels, dict) else _files(settings.labels)
    rows, problems = read_files({split: files[split] for split in SPLITS if split in files}, _parse)
    read_from = ", ".join(map(str, files.values()))
    return checked(
        rows, problems=problems, where=read_from, settings=settings, check_files=check_files, given=given
    )


def _parse(file: Path, split: Split) -> tuple[list[Row], list[str]]:
    """The rows of one file. Only training rows must have a MOS; elsewhere it may be missing or no number."""
    wanted = "name|prompt|mos" if split == "train" else "name|prompt or name|prompt|mos"
    rows = []
    lines, unread = read_lines(file)
    problems = [f"{file.name} {problem}" for problem in unread]
    for line_number, line in lines:
        where, mos = f"{file.name} line {line_number}", math.nan
        fields = line.split("|")
        if len(fields) != 3 and (len(fields) != 2 or split == "train"):
            problems.append(f"{where}: {len(fields)} fields between '|', expected {wanted}: {line[:60]!r}")
        if len(fields) not in (2, 3):
            continue
        if not fields[1].strip():
            problems.append(f"{where}: the prompt is empty")
        if len(fields) == 3:
            try:
                mos = number(fields[2], name="mos")
            except ValueError as error:
                problems.append(f"{where}: {error}")
        rows.append(
            Row(where=where, labels=file, video_id=fields[0], prompt=fields[1], given_split=split, mos=mos)
        )
    return rows, problems


def _files(folder: Path) -> dict[Split, Path]:
    if not folder.is_dir():
        return {"train": folder}
    found: dict[Split, Path] = {}
    problems = []
    for file in sorted(folder.glob("*.txt")):
        words = re.split(r"[^a-z0-9]+", file.stem.lower())
        for split in SPLITS:
            if split in words and split in found:
                problems.append(f"both {found[split].name} and {file.name} could be {split}")
            elif split in words:
                found[split] = file
    if not found:
        problems.append("no .txt file with train, val or test in its name")
    if problems:
        step = "name the files of this folder so, one for each split"
        raise ProblemsError(where=folder, problems=problems, next_step=step)
    return found
