"""LSVQ (arXiv 2011.13544): user-made videos with MOS on 0-100 and no prompts, in three named splits.

Two layouts of the same labels are read, told apart by the file's suffix:

    .txt   yfcc-batch1/747.mp4, -1, -1, 67.75    FAST-VQA's: 28,056 train, 7,186 test, 3,573 test_1080p
    .csv   name,...,mos,...,is_test              the authors': `name` without .mp4, up to 38 columns

In a csv with the column `is_test` that column decides between train and test, whichever key names the file;
`is_valid` is ignored, as by everyone. `LSVQ/labels.txt` of the first layout is the two test sets joined: who
trains on it tests on his own training rows, so it is refused, known by its rows and not by its name.
"""

import math
from pathlib import Path
from typing import Literal

from msavqa.datasets.rows import LabelSettings, PathOrPaths, Row, Rows, checked, read_files
from msavqa.datasets.text import header_problems, number, read_lines, read_text, records
from msavqa.ground.errors import ProblemsError

Split = Literal["train", "test", "test_1080p"]
SPLITS: tuple[Split, ...] = ("train", "test", "test_1080p")

# Where the published folders keep each split, the first that exists is read. `labels_train_test.csv` and
# `LSVQ_whole_train.csv` are the authors' and SimpleVQA's names.
KNOWN_FILES: dict[Split, tuple[str, ...]] = {
    "train": ("train_labels.txt", "labels_train.txt", "labels_train_test.csv", "LSVQ_whole_train.csv"),
    "test": ("LSVQ/labels_test.txt", "labels_test.txt", "LSVQ_whole_test.csv"),
    "test_1080p": (
        "LSVQ/labels_1080p.txt",
        "labels_1080p.txt",
        "labels_test_1080p.csv",
        "LSVQ_whole_test_1080p.csv",
    ),
}

# Rows by which a file is known to hold a test set: the first and the last ones of each published list.
KNOWN_ROWS: dict[str, Split] = {
    "yfcc-batch1/747.mp4": "test",
    "yfcc-batch1/752.mp4": "test",
    "ia-batch4/Concert_In_the_Kitchen_February_24_2012.mp4": "test",
    "yfcc-batch1/722.mp4": "test_1080p",
    "yfcc-batch1/724.mp4": "test_1080p",
    "ia-batch24/youtube-_wgGiVhoD6s.mp4": "test_1080p",
}


class ReaderSettings(LabelSettings):
    """A dataset block with `reader: lsvq`."""

    reader: Literal["lsvq"]
    # A folder of published files, one file (the training rows), or a file for each split.
    labels: PathOrPaths[Split]


def read(settings: ReaderSettings, *, check_files: bool, given: bool = False) -> Rows:
    """The rows of every split, each file's order kept; raises `ProblemsError` with all that is wrong."""
    files = _files(settings.labels)
    rows, problems = read_files(files, _parse)
    where = ", ".join(map(str, files.values()))
    return checked(
        rows, problems=problems, where=where, settings=settings, check_files=check_files, given=given
    )


def _parse(file: Path, split: Split) -> tuple[list[Row], list[str]]:
    rows, problems = (_csv_rows if file.suffix.lower() == ".csv" else _text_rows)(file, split)
    return rows, problems + _trap(rows, split, file)


def _files(labels: Path | dict[Split, Path]) -> dict[Split, Path]:
    if isinstance(labels, dict):
        return {split: labels[split] for split in SPLITS if split in labels}
    if not labels.is_dir():
        return {"train": labels}
    found = {
        split: file
        for split in SPLITS
        if (file := next((labels / name for name in KNOWN_FILES[split] if (labels / name).is_file()), None))
    }
    if not found:
        names = ", ".join(name for split in SPLITS for name in KNOWN_FILES[split])
        raise ProblemsError(
            where=labels,
            problems=[f"none of {names}"],
            next_step="give the files of this folder these names",
        )
    return found


def _text_rows(file: Path, split: Split) -> tuple[list[Row], list[str]]:
    rows = []
    lines, unread = read_lines(file)
    problems = [f"{file.name} {problem}" for problem in unread]
    for line_number, line in lines:
        where = f"{file.name} line {line_number}"
        fields = line.rsplit(",", maxsplit=3)
        if len(fields) != 4:
            problems.append(f"{where}: {len(fields)} fields, expected 'name, -1, -1, mos': {line[:60]!r}")
            continue
        try:
            mos = number(fields[3], name="mos")
        except ValueError as error:
            problems.append(f"{where}: {error}")
            mos = math.nan  # the row stays: more may be wrong with it
        rows.append(Row(where=where, labels=file, video_id=fields[0], mos=mos, given_split=split))
    return rows, problems


def _csv_rows(file: Path, split: Split) -> tuple[list[Row], list[str]]:
    text, unread = read_text(file)
    problems = [f"{file.name} {problem}" for problem in unread]
    listed = records(text)
    header = next(listed).cells
    wrong = header_problems(header, [("as the authors' csv has it", name) for name in ("name", "mos")])
    if wrong or header.count("is_test") > 1:
        wrong = wrong or ["column 'is_test' stands twice"]
        return [], problems + [f"{file.name}: {problem}" for problem in wrong]
    rows: list[Row] = []
    for record in listed:
        where = f"{file.name} line {record.line}"
        if record.problem:
            problems.append(f"{where}: {record.problem}")
            continue
        if len(record.cells) != len(header):
            problems += [f"{where}: not {len(header)} fields as the header"] if record.cells else []
            continue
        cells = dict(zip(header, record.cells, strict=True))
        mos, given = math.nan, split
        try:
            given = _is_test(cells["is_test"]) if "is_test" in header else split
        except ValueError as error:
            problems.append(f"{where}: {error}")
        try:
            mos = number(cells["mos"], name="mos")
        except ValueError as error:
            problems.append(f"{where}: {error}")
        rows.append(
            Row(where=where, labels=file, video_id=f"{cells['name']}.mp4", mos=mos, given_split=given)
        )
    return rows, problems


def _is_test(cell: str) -> Split:
    roles: dict[str, Split] = {"true": "test", "1": "test", "false": "train", "0": "train"}
    if cell.strip().lower() not in roles:
        raise ValueError(f"is_test is {cell!r}, neither True nor False")
    return roles[cell.strip().lower()]


def _published(path: str) -> str:
    """A path as LSVQ's own files spell it: the last folder and the file."""
    return "/".join(path.split("/")[-2:])


def _trap(rows: list[Row], split: Split, file: Path) -> list[str]:
    """One sentence where a file holds rows that are published as another split's test rows."""
    known = [(KNOWN_ROWS.get(_published(row.path), row.given_split), row.given_split) for row in rows]
    strangers = {published for published, given in known if published != given}
    if not strangers:
        return []
    names = " and ".join(sorted(strangers))
    return [
        f"{file.name}: read as {split} but it holds the rows of {names} (LSVQ's labels.txt is test and "
        "test_1080p joined, not the training rows); give train_labels.txt as train, labels_test.txt as test "
        "and labels_1080p.txt as test_1080p"
    ]
