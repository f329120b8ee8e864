"""Scores every row of a csv: checked before it starts, resumable, one bad row costs nothing but itself.

While it runs, finished rows are appended to `<out>.partial`, one line each, flushed; a killed run loses the
rows under way at most. At the end the whole table takes its place in the order of the input.
"""

import csv
import hashlib
import io
import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from msavqa.ground.errors import MsavqaError, ProblemsError
from msavqa.ground.progress import Progress
from msavqa.machine.device import Device
from msavqa.score import listed, spread
from msavqa.score import scorer as score
from msavqa.score.listed import Line
from msavqa.score.result import Score
from msavqa.score.scorer import Asked
from msavqa.score.spread import Scoring

FIRST = ("video", "prompt", "score", "low", "high")
ALWAYS = ("error", "model", "sha256")
"""How the header of every msavqa's table ends."""
LAST = (
    "alignment", "consistency", "familiarity", "mutation_seconds", "change_threshold", "prompt_pieces",
    "warnings", *ALWAYS,
)  # fmt: skip
Row = dict[str, str]


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
    device: Device = "auto",
) -> tuple[int, int]:
    """Scores all rows of a csv into `out`, as `run_all`; raises `ProblemsError` for a csv without the columns
    or the rows, too."""
    asked = listed.of_csv(path, root=root, video_column=video_column, prompt_column=prompt_column)
    return run_all(asked, out=out, model=model, workers=workers, decode_seconds=decode_seconds, device=device)


def run_all(
    asked: listed.Listed,
    *,
    out: Path,
    model: Path,
    workers: int,
    decode_seconds: float,
    device: Device = "auto",
) -> tuple[int, int]:
    """Scores all rows into `out` (UTF-8, one row each, in their order; `columns_of`).

    Gives how many rows were scored and how many failed. Rows that `out` or an interrupted run holds a score
    of, by the same model and of a file with the same content, are not computed again. Raises `ProblemsError`
    for an `out` that is something else or holds the scores of other rows, before anything starts.
    """
    lines, folder, names = asked.lines, asked.folder, asked.fields
    check_out(out, asked.table)
    out = out.resolve() if out.is_symlink() else out
    partial = partial_of(out)
    known = _known(out, partial)
    _check_kept(known, lines, out, source="folder" if asked.table is None else "csv")
    with score.load(model, workers=workers, decode_seconds=decode_seconds, device=device) as scorer:
        columns = columns_of(
            scorer.bundle.ensemble.branches, names, dimensions=list(scorer.bundle.dimensions)
        )
        digest = scorer.bundle.digest[:12]
        found = {
            key: row
            for key, row in known.items()
            if {*columns} - {*names} <= row.keys()  # else of before: it lacks what rows say now
            and row["model"] == digest
            and row["sha256"] == _sha256(folder / row["video"])
        }
        wanted = dict.fromkeys(line.key for line in lines if line.error is None)
        todo = [key for key in wanted if key not in found]
        _write(partial, [*found.values()], columns, out=out)
        failed = 0
        with (
            partial.open("a", encoding="utf-8", newline="") as file,
            Progress("score", total=len(todo)) as bar,
        ):
            verdicts = spread.verdicts(
                scorer,
                [Asked(folder / video, prompt) for video, prompt in todo],
                elsewhere=Scoring(model=model, workers=workers, decode_seconds=decode_seconds, device=device),
                tell=bar.workers,
            )
            for place, verdict in verdicts:
                key = todo[place]
                found[key] = _row(key, verdict, names=names, model=digest, sha256=_sha256(folder / key[0]))
                failed += isinstance(verdict, MsavqaError)
                file.write(_line(found[key], columns))
                file.flush()
                bar.advance(1, failed=failed)
    rows = [
        (found[line.key] if line.error is None else _row(line.key, line.error, model=digest, sha256=""))
        | dict(line.fields)
        for line in lines
    ]
    _write(partial, rows, columns, out=out)
    os.replace(partial, out)
    bad = sum(bool(row["error"]) for row in rows)
    return len(rows) - bad, bad


def partial_of(out: Path) -> Path:
    """Where finished rows stand while the others are under way."""
    return out.with_name(f"{out.name}.partial")


def columns_of(
    branches: Sequence[str], fields: Sequence[str] = (), *, dimensions: Sequence[str] = ()
) -> list[str]:
    """Columns of a model's table of scores: `fields` are what names of videos said; each branch has one of
    its name, each further dimension three."""
    further = [f"{value}_{name}" for name in dimensions for value in ("score", "low", "high")]
    return [*FIRST, *fields, *further, *(_column(name, fields) for name in branches), *LAST]


def _column(branch: str, fields: Sequence[str]) -> str:
    return f"{branch}_branch" if branch in (*FIRST, *fields, *LAST) else branch


def check_out(out: Path, path: Path | None) -> None:
    """Raises `ProblemsError` where `out` is the csv itself or anything else than a table of scores."""
    problem = ""
    if not out.parent.is_dir():
        problem = f"there is no folder {str(out.parent)!r}"
    elif path is not None and out.exists() and out.samefile(path):
        problem = "it is the csv that is to be scored"
    elif out.is_dir():
        problem = "it is a folder"
    elif out.exists() and not out.is_file():
        problem = "it is no regular file"
    elif out.is_file() and out.stat().st_size > 0:
        with out.open(encoding="utf-8", errors="replace") as file:
            header = file.readline().rstrip("\n").split(",")
        if not _is_of_scores(header):
            problem = (
                f"it holds something else than scores: its first line does not start with {','.join(FIRST)!r}"
            )
    if problem:
        raise ProblemsError(where=out, problems=[problem], next_step="choose another --out")


def _check_kept(known: Iterable[tuple[str, str]], lines: Sequence[Line], out: Path, *, source: str) -> None:
    """Raises `ProblemsError` where `out` holds scores of rows that its source lacks and that would go."""
    lost = set(known) - {line.key for line in lines}
    if lost:
        rows = "1 row" if len(lost) == 1 else f"{len(lost)} rows"
        problem = f"it holds scores of {rows} that the {source} does not have, of {min(lost)[0]!r} for one"
        raise ProblemsError(
            where=out, problems=[problem], next_step="choose another --out, or remove this file"
        )


def _sha256(video: Path) -> str:
    """SHA-256 of a file's content; empty where it cannot be read, or is no file that has an end."""
    try:
        if not video.is_file():
            return ""
        with video.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except (OSError, ValueError):  # a NUL byte in a name is a ValueError
        return ""


def _is_of_scores(header: Sequence[str]) -> bool:
    """Whether a table with these columns is one of scores, by whatever model and earlier msavqa."""
    return tuple(header[: len(FIRST)]) == FIRST and tuple(header[-len(ALWAYS) :]) == ALWAYS


def _row(
    key: tuple[str, str],
    verdict: Score | MsavqaError,
    *,
    model: str,
    sha256: str,
    names: Sequence[str] = (),
) -> Row:
    video, prompt = key
    facts = {"video": video, "prompt": prompt, "model": model, "sha256": sha256}
    row = dict.fromkeys((*FIRST, *LAST), "") | facts
    if isinstance(verdict, MsavqaError):
        return row | {"error": str(verdict)}
    numbers = {
        "score": verdict.score,
        "low": verdict.low,
        "high": verdict.high,
        "alignment": None if verdict.alignment is None else verdict.alignment.value,
        "consistency": None if verdict.consistency is None else verdict.consistency.value,
        "familiarity": verdict.familiarity,
        "mutation_seconds": verdict.mutation_seconds,
        "prompt_pieces": verdict.prompt_pieces,
        "change_threshold": verdict.change_threshold,
    } | {_column(name, names): one.value for name, one in verdict.branches.items()}
    for name, one in list(verdict.dimensions.items())[1:]:
        numbers |= {f"score_{name}": one.score, f"low_{name}": one.low, f"high_{name}": one.high}
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
        whole = csv.DictReader(io.StringIO(text[: text.rfind("\n") + 1], newline=""))
        if not _is_of_scores(whole.fieldnames or ()):
            continue
        for row in whole:
            complete = None not in row and None not in row.values()
            if complete and row["score"] and not row["error"]:
                found[row["video"], row["prompt"]] = row
    return found


def _write(file: Path, rows: Sequence[Row], columns: Sequence[str], *, out: Path) -> None:
    new = file.with_name(f"{file.name}.new")
    text = "".join(_line(row, columns) for row in (dict(zip(columns, columns, strict=True)), *rows))
    try:
        new.write_text(text, encoding="utf-8", newline="")
    except OSError as error:
        raise ProblemsError(
            where=out, problems=[f"cannot be written: {error.strerror}"], next_step="choose another --out"
        ) from error
    os.replace(new, file)


def _line(row: Row, columns: Sequence[str]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerow([row.get(name, "") for name in columns])
    return buffer.getvalue()
