"""What is to be scored, row by row: a csv's rows as written, or the videos of a folder."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from msavqa.datasets.folder import Folder
from msavqa.datasets.text import (
    Record,
    header_problems,
    looks_like_json,
    looks_like_utf_16,
    records,
    separator_of,
)
from msavqa.ground.errors import MsavqaError, ProblemsError


@dataclass(frozen=True)
class Line:
    """One row as written, and why it cannot be scored."""

    video: str
    prompt: str
    error: MsavqaError | None = None
    fields: Mapping[str, str] = field(default_factory=dict)
    """What else stands in its row of the scores."""

    @property
    def key(self) -> tuple[str, str]:
        """What a score depends on."""
        return self.video, self.prompt


@dataclass(frozen=True)
class Listed:
    """All that is to be scored."""

    lines: Sequence[Line]
    folder: Path
    """Where the paths of its videos begin."""
    fields: Sequence[str] = ()
    """Names of what else stands in a row."""
    table: Path | None = None
    """The csv that it came from."""


def of_csv(path: Path, *, root: Path | None, video_column: str, prompt_column: str) -> Listed:
    """The rows of a csv; raises `ProblemsError` as `read`."""
    lines = read(path, video_column=video_column, prompt_column=prompt_column)
    return Listed(lines, folder=path.parent if root is None else root, table=path)


def of_folder(found: Folder, folder: Path) -> Listed:
    """The videos of a folder, with what their names say."""
    lines = [Line(one.path, one.prompt, fields=one.fields) for one in found.videos]
    return Listed(lines, folder=folder, fields=found.fields)


def read(path: Path, *, video_column: str, prompt_column: str) -> list[Line]:
    """Every row, as written; a BOM, CRLF and columns in any order are fine, a bad row costs itself alone."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise _refused(path, "no such file") from None
    except OSError as error:
        raise _refused(path, f"{error.strerror}") from error
    if looks_like_utf_16(data):
        raise _refused(path, "the file looks like UTF-16: save it as UTF-8")
    # Bytes that are not UTF-8 are kept apart, so that they cost their own rows.
    text = data.decode("utf-8-sig", errors="surrogateescape")
    if form := looks_like_json(text):
        raise _refused(path, f"the file looks like {form}, expected a table: save it as a csv")
    listed = records(text, separator=separator_of(text, [video_column, prompt_column]))
    header = next(listed, Record(1, []))
    if not header.cells:
        raise _refused(path, f"line 1: {header.problem or 'no names of columns'}")
    wanted = [("--video-column", video_column), ("--prompt-column", prompt_column)]
    if problems := header_problems([_whole(name) for name in header.cells], wanted):
        raise _refused(path, *problems)
    places = header.cells.index(video_column), header.cells.index(prompt_column)
    rows = [
        _asked(record, where=path, places=places, columns=len(header.cells))
        for record in listed
        if record.cells or record.problem
    ]
    if not rows:
        raise _refused(path, "no rows")
    return rows


def _asked(record: Record, *, where: Path, places: tuple[int, int], columns: int) -> Line:
    cells = [*record.cells, *[""] * (columns - len(record.cells))]
    video, prompt = (_whole(cells[place]) for place in places)
    count = len(record.cells)
    fields = f"{count} field{'' if count == 1 else 's'}"
    refusal = None
    if record.problem:
        refusal = record.problem, "quotes as a spreadsheet writes them", "mend that line"
    elif count > columns:
        refusal = fields, f"{columns} as in the header", "put a prompt with a comma in quotes"
    elif count <= max(places):
        refusal = fields, f"{columns} as in the header", "add what is missing"
    elif not video.strip():
        refusal = "no video", "a file's name", "name it or leave the row out"
    elif (video, prompt) != tuple(cells[place] for place in places):
        refusal = "bytes that are not UTF-8", "UTF-8", "save the csv as UTF-8"
    if refusal is None:
        return Line(video, prompt)
    got, expected, next_step = refusal
    place = f"line {record.line} of {where}"
    return Line(
        video, prompt, MsavqaError(what="Row", where=place, got=got, expected=expected, next_step=next_step)
    )


def _whole(text: str) -> str:
    """The text with a replacement character for each byte that is not UTF-8."""
    return text.encode("utf-8", errors="surrogateescape").decode("utf-8", errors="replace")


def _refused(path: Path, *problems: str) -> ProblemsError:
    return ProblemsError(
        where=path, problems=problems, next_step="mend them or name the columns, and run again"
    )
