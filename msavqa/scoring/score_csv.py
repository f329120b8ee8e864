"""Scores every row of a csv: checked before it starts, resumable, one bad row costs nothing but itself.

While it runs, finished rows are appended to `<out>.partial`, one line each, flushed; a killed run loses the
rows under way at most. At the end the whole table takes its place in the order of the input.
"""

import csv
import hashlib
import io
import json
import os
from collections.abc import Sequence
from pathlib import Path

from msavqa.errors import MsavqaError, ProblemsError
from msavqa.progress import Progress
from msavqa.scoring import score
from msavqa.scoring.score import Asked
from msavqa.scoring.scored import Score

COLUMNS = (
    "video", "prompt", "score", "low", "high", "frame", "segment", "video_branch", "alignment", "consistency",
    "mutation_seconds", "warnings", "error", "model", "sha256",
)  # fmt: skip
Row = dict[str, str]
HEADER: Row = dict(zip(COLUMNS, COLUMNS, strict=True))


class CsvError(ProblemsError):
    """A csv that cannot be scored."""


def run(
    path: Path,
    *,
    out: Path,
    root: Path | None,
    video_column: str,
    prompt_column: str,
    model: Path,
    workers: int,
    decode_seconds: float,
) -> tuple[int, int]:
    """Scores all rows of a csv into `out` (UTF-8, one row each, in the csv's order).

    Gives how many rows were scored and how many failed. Rows that `out` or an interrupted run holds a score
    of, by the same model and of a file with the same content, are not computed again. Raises `CsvError` for
    a csv without the columns and for an `out` that is something else, before anything starts.
    """
    asked = read(path, video_column=video_column, prompt_column=prompt_column)
    _check_out(out, path)
    folder = path.parent if root is None else root
    partial = out.with_name(f"{out.name}.partial")
    with score.load(model, workers=workers, decode_seconds=decode_seconds) as scorer:
        digest = scorer.bundle.digest[:12]
        found = {
            key: row
            for key, row in _known(out, partial).items()
            if row["model"] == digest and row["sha256"] == _sha256(folder / row["video"])
        }
        todo = [key for key in dict.fromkeys(asked) if key not in found]
        _write(partial, [*found.values()])
        failed = 0
        with (
            partial.open("a", encoding="utf-8", newline="") as file,
            Progress("score", total=len(todo)) as bar,
        ):
            verdicts = scorer.scores(Asked(folder / video, prompt) for video, prompt in todo)
            for key, verdict in zip(todo, verdicts, strict=True):
                found[key] = _row(key, verdict, model=digest, sha256=_sha256(folder / key[0]))
                failed += isinstance(verdict, MsavqaError)
                file.write(_line(found[key]))
                file.flush()
                bar.advance(1, failed=failed)
    rows = [found[key] for key in asked]
    _write(partial, rows)
    os.replace(partial, out)
    bad = sum(bool(row["error"]) for row in rows)
    return len(rows) - bad, bad


def read(path: Path, *, video_column: str, prompt_column: str) -> list[tuple[str, str]]:
    """(video, prompt) of every row, as written; a BOM, CRLF and any delimiter-free column order are fine."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise _refused(path, "no such file") from None
    except UnicodeDecodeError as error:
        raise _refused(path, f"byte {error.start} is not UTF-8: save it as UTF-8") from error
    except OSError as error:
        raise _refused(path, f"{error.strerror}") from error
    lines = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        rows = list(lines)
    except csv.Error as error:
        raise _refused(path, f"line {lines.line_num}: {error}") from error
    names = list(lines.fieldnames or [])
    missing = [name for name in (video_column, prompt_column) if name not in names]
    if missing:
        have = ", ".join(repr(name) for name in names) or "none"
        raise _refused(path, *(f"column {name!r} is missing; the columns are {have}" for name in missing))
    problems = []
    for number, row in enumerate(rows, start=2):
        if not row[video_column]:
            problems.append(f"row {number}: no video")
        elif row[prompt_column] is None:
            problems.append(f"row {number}: ends before column {prompt_column!r}")
        elif None in row:  # where csv puts what follows the last column
            problems.append(f"row {number}: more fields than columns; a prompt with a comma needs quotes")
    if problems or not rows:
        raise _refused(path, *(problems or ["no rows"]))
    return [(row[video_column], row[prompt_column]) for row in rows]


def _check_out(out: Path, path: Path) -> None:
    """Raises `CsvError` where `out` is the csv itself or anything else than a table of scores."""
    problem = ""
    if out.exists() and out.samefile(path):
        problem = "it is the csv that is to be scored"
    elif out.is_dir():
        problem = "it is a folder"
    elif out.is_file() and out.stat().st_size > 0:
        with out.open("rb") as file:
            if file.readline() != _line(HEADER).encode():
                problem = f"it holds something else than scores: its first line is not {','.join(COLUMNS)!r}"
    if problem:
        raise CsvError(where=out, problems=[problem], next_step="choose another --out")


def _sha256(video: Path) -> str:
    """SHA-256 of a file's content; empty where it cannot be read."""
    try:
        with video.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except (OSError, ValueError):  # a NUL byte in a name is a ValueError
        return ""


def _row(key: tuple[str, str], verdict: Score | MsavqaError, *, model: str, sha256: str) -> Row:
    video, prompt = key
    facts = {"video": video, "prompt": prompt, "model": model, "sha256": sha256}
    row = dict.fromkeys(COLUMNS, "") | facts
    if isinstance(verdict, MsavqaError):
        return row | {"error": str(verdict)}
    branches = {
        ("video_branch" if name == "video" else name): one.value for name, one in verdict.branches.items()
    }
    numbers = {
        "score": verdict.score,
        "low": verdict.low,
        "high": verdict.high,
        "alignment": None if verdict.alignment is None else verdict.alignment.value,
        "consistency": None if verdict.consistency is None else verdict.consistency.value,
        "mutation_seconds": verdict.mutation_seconds,
    } | branches
    row |= {name: repr(value) for name, value in numbers.items() if value is not None}
    return row | {
        "warnings": json.dumps(list(verdict.warnings), ensure_ascii=False) if verdict.warnings else ""
    }


def _known(*files: Path) -> dict[tuple[str, str], Row]:
    """Scored rows of an earlier run; what a kill left half-written is not among them."""
    found: dict[tuple[str, str], Row] = {}
    for file in files:
        if not file.is_file():
            continue
        text = file.read_text(encoding="utf-8", errors="replace")
        whole = text[: text.rfind("\n") + 1]
        for row in csv.DictReader(io.StringIO(whole, newline="")):
            if set(row) == set(COLUMNS) and row["score"] and not row["error"]:
                found[row["video"], row["prompt"]] = row
    return found


def _write(file: Path, rows: Sequence[Row]) -> None:
    new = file.with_name(f"{file.name}.new")
    text = _line(HEADER) + "".join(_line(row) for row in rows)
    try:
        new.write_text(text, encoding="utf-8", newline="")
    except OSError as error:
        raise CsvError(
            where=file, problems=[f"cannot be written: {error.strerror}"], next_step="choose another --out"
        ) from error
    os.replace(new, file)


def _line(row: Row) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerow([row[name] for name in COLUMNS])
    return buffer.getvalue()


def _refused(path: Path, *problems: str) -> CsvError:
    return CsvError(where=path, problems=problems, next_step="mend them or name the columns, and run again")
