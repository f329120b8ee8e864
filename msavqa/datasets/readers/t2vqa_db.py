"""T2VQA-DB: `info.txt`, one line per video, `file|prompt|mos` (an older copy has a field before the mos).

The file is no csv: quotes and double spaces belong to the prompts (260 of 10,000 lines have double spaces)
and are kept. The generator is the second number of a name such as `00012_07.mp4`; files with other names need
the pattern `names`. From arXiv 2403.11956; MOS on 0-100.
"""

import math
import re
from typing import Literal

from msavqa.datasets.names import GENERATOR
from msavqa.datasets.rows import LabelSettings, PathSetting, Row, Rows, checked
from msavqa.datasets.text import number, read_lines


class ReaderSettings(LabelSettings):
    """A dataset block with `reader: t2vqa_db`."""

    reader: Literal["t2vqa_db"]
    labels: PathSetting  # info.txt


def read(settings: ReaderSettings, *, check_files: bool, given: bool = False) -> Rows:
    """Every line of info.txt in file order; raises `ProblemsError` with all that is wrong."""
    rows = []
    lines, problems = read_lines(settings.labels)
    for line_number, line in lines:
        where = f"line {line_number}"
        fields = line.split("|")
        if len(fields) not in (3, 4):
            problems.append(
                f"{where}: {len(fields)} fields between '|', expected file|prompt|mos: {line[:60]!r}"
            )
            continue
        video_id, prompt = fields[:2]
        if not prompt.strip():
            problems.append(f"{where}: the prompt is empty")
        try:
            mos = number(fields[-1], name="mos")
        except ValueError as error:
            problems.append(f"{where}: {error}")
            mos = math.nan  # the row stays: more may be wrong with it
        rows.append(
            Row(
                where=where,
                labels=settings.labels,
                video_id=video_id,
                prompt=prompt,
                mos=mos,
                generator="" if settings.in_names(GENERATOR) else _generator(video_id),
            )
        )
    return checked(
        rows,
        problems=problems,
        where=settings.labels,
        settings=settings,
        check_files=check_files,
        given=given,
    )


def _generator(video_id: str) -> str:
    """`00` to `09` of `00012_07.mp4`; empty where the name has another form, of which no number is sure."""
    match = re.search(r"(?:^|/)\d+_(\d+)\.\w+$", video_id)
    return match.group(1) if match else ""
