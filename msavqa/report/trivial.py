"""What a trivial video would score: copies of test videos, and videos that show nothing, in their place."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd
from markupsafe import Markup, escape

from msavqa.datasets.copies import FOREIGN, PRAISE
from msavqa.report.results import Results

PREFIX = "trivial_"
"""How the figures' names in metrics.json begin: `trivial_<kind>_<figure>`."""
SHOWN = {
    "still": "one of its frames, all the time",
    "coded_still": "the same behind a codec",
    "shuffled": "its frames in any order",
    "backwards": "its frames backwards",
    "replaced": "half of it from another video",
    "recoloured": "a part that changes its colours",
    "blurred": "blurred",
    "compressed": "compressed until blocks show",
    "pixelated": "pixelated",
    "flickering": "every other frame dark",
    "black": "black",
    "white": "white",
    "flat": "one colour",
    "noise": "noise",
    "frozen_noise": "one picture of noise",
    "stripes": "stripes or squares",
    "flashing": "another colour in every frame",
    FOREIGN: "itself with another video's prompt",
    PRAISE: "itself, words of praise behind its prompt",
}
"""Kinds as a reader is told of them, in the order of the table."""


@dataclass(frozen=True)
class Line:
    """One kind, over all test videos that have a copy of it, all repeats."""

    kind: str
    learned: bool
    """Whether branches learned to put copies of this kind, of other videos, below their originals."""
    videos: int
    above: float
    """Share of the copies that score higher than their originals, 0..1."""
    change: float
    """Mean of copy - original, on the scale of MOS."""
    moved: float
    """Mean size of that."""
    percentile: float
    """Mean share of the training videos, scored out of fold, that score lower than the copy, 0..100."""
    highest_percentile: float
    """Of the copy that scores highest."""


def lines(results: Results, scores: pd.DataFrame, predictions: pd.DataFrame) -> list[Line]:
    """A line a kind; `scores` are the ensemble's of trivial videos (`datasets.copies.SCORES`), `predictions`
    its own, whose out-of-fold rows say how training videos score."""
    own = results.tested[["repeat", "video_id", "raw", "score"]].rename(columns={"score": "own"})
    rows = scores[scores["role"] == "test"].merge(own, on=["repeat", "video_id"])
    for repeat, part in rows.groupby("repeat"):
        held_out = predictions[(predictions["repeat"] == repeat) & (predictions["role"] == "oof")]
        known = np.sort(held_out["score"].to_numpy())
        rows.loc[part.index, "place"] = 100 * np.searchsorted(known, part["score"]) / max(1, len(known))
        rows.loc[part.index, "mos"] = results.calibrations[int(str(repeat))].mos(part["score"])
    order = [kind for kind in SHOWN if kind in set(rows["kind"])]
    return [_line(kind, rows[rows["kind"] == kind]) for kind in order]


def flat(found: Sequence[Line]) -> dict[str, float | int]:
    """The lines' figures by name, such as `trivial_still_above`."""
    figures: dict[str, float | int] = {}
    for line in found:
        for name, value in asdict(line).items():
            if isinstance(value, bool | int | float) and math.isfinite(value):
                shown = round(value, 6) if isinstance(value, float) else int(value)
                figures[f"{PREFIX}{line.kind}_{name}"] = shown
    return figures


def section(found: Sequence[Line], *, half_width: float) -> Markup:
    """What stands below the section's title; `half_width` is the interval's, in units of MOS."""
    if not found:
        none = "No copies were made (<code>copies.videos: 0</code>), so nothing is known of it."
        return Markup(f'<p class="quiet">{none}</p>')
    rows = Markup("\n").join(_row(line) for line in found)
    about = (
        "Test videos, spoilt, and videos that show nothing: nobody would rate them as high as the originals, "
        "so a score that does can be fooled by them. <em>Learned</em>: branches were shown copies of that "
        "kind of training videos. <em>Left out</em>: they were not, which tells whether it helps against "
        "what nobody thought of. The percentile is among the training videos' scores: 0 is below all of "
        f"them. Words of praise should move nothing; half an interval is {half_width:.1f}."
    )
    return Markup(
        f'<p class="quiet">{about}</p>\n<div class="wide"><table id="trivial-table">\n'
        "<thead><tr><th>in the place of a test video</th><th>videos</th><th>above the original</th>"
        "<th>mean change</th><th>percentile</th><th>in training</th></tr></thead><tbody>\n"
        "{}\n</tbody></table></div>"
    ).format(rows)


def _line(kind: str, rows: pd.DataFrame) -> Line:
    change = (rows["mos"] - rows["own"]).to_numpy(dtype=np.float64)
    return Line(
        kind=kind,
        learned=bool(rows["learned"].max()),
        videos=len(rows),
        above=float((rows["score"] > rows["raw"]).mean()),
        change=float(change.mean()),
        moved=float(np.abs(change).mean()),
        percentile=float(rows["place"].mean()),
        highest_percentile=float(rows["place"].max()),
    )


def _row(line: Line) -> Markup:
    cells = (
        str(line.videos), f"{line.above:.0%}", f"{line.change:+.1f}", f"{line.percentile:.0f}",
        "learned" if line.learned else "left out",
    )  # fmt: skip
    first = Markup('<td class="text">{}<small class="note">{}</small></td>').format(
        escape(line.kind.replace("_", " ")), escape(SHOWN[line.kind])
    )
    return Markup("<tr>{}{}</tr>").format(
        first, Markup("").join(Markup("<td>{}</td>").format(c) for c in cells)
    )
