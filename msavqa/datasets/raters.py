"""Single people's ratings of the same videos: whose are left out, and what is said of each video by the rest.

    ratings (video, rater), NaN where a rater did not rate -> mean, its standard error, how much a row counts

Screening is that of ITU-R BT.500-15, Annex 1 (the kurtosis test of single-stimulus methods). It runs once, on
all videos of a table, before anything is averaged; it reads ratings alone.
"""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from msavqa.datasets.rows import Row, Rows

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]
Screening = Literal["bt500"]
FEWEST = 6
"""Ratings of a video below which none can lie 2 standard deviations from their mean: (n - 1) / sqrt(n) < 2;
with FEWEST of them one can."""


@dataclass(frozen=True)
class Screened:
    """How often each rater stood out, (rater,), and who did so too often, on both sides."""

    rated: Counts
    """Videos that the rater has rated."""
    above: Counts
    """P: videos that the rater puts far above the others."""
    below: Counts
    """Q: far below."""

    @property
    def left_out(self) -> NDArray[np.bool_]:
        """(P + Q) / rated > 0.05 and |P - Q| / (P + Q) < 0.3: on one side alone it is no carelessness."""
        far = self.above + self.below
        careless: NDArray[np.bool_] = (far > 0.05 * self.rated) & (
            np.abs(self.above - self.below) < 0.3 * far
        )
        return careless


def screen(*, ratings: Floats) -> Screened:
    """ITU-R BT.500-15's counts of ratings (video, rater); NaN: not rated.

    Far is 2 standard deviations (n - 1 in the divisor) from the video's mean, or sqrt(20) of them where the
    ratings' kurtosis m4 / m2^2 lies outside [2, 4]. Videos whose ratings are all alike count nobody.
    """
    known = np.isfinite(ratings)
    number = known.sum(axis=1, keepdims=True)
    mean = np.where(known, ratings, 0.0).sum(axis=1, keepdims=True) / np.maximum(number, 1)
    away = np.where(known, ratings - mean, 0.0)
    second, fourth = ((away**power).sum(axis=1, keepdims=True) / np.maximum(number, 1) for power in (2, 4))
    spread = second > 0
    kurtosis = np.divide(fourth, second**2, out=np.zeros_like(second), where=spread)
    sd = np.sqrt(second * number / np.maximum(number - 1, 1))
    far = np.where((kurtosis >= 2) & (kurtosis <= 4), 2.0, math.sqrt(20.0)) * sd
    return Screened(
        rated=known.sum(axis=0),
        above=(spread & (away >= far)).sum(axis=0),
        below=(spread & (away <= -far)).sum(axis=0),
    )


def settled(
    rows: Sequence[Row],
    *,
    names: Sequence[str],
    screening: Screening | None,
    mean: bool,
    error: bool,
    weigh: bool,
) -> Rows:
    """The rows by their raters' own ratings, `Row.ratings` in the order of `names`.

    `mean`: the MOS is their mean; `error`: its standard error is from their spread (NaN of fewer than two);
    `weigh`: a row counts by its number of ratings over the mean number, which is 1 without gaps. Screening
    takes whom it leaves out from every row, and adds a sentence to the notes. Raises `ValueError` where it
    would leave fewer than two.
    """
    notes: tuple[str, ...] = ()
    if screening is not None and rows:
        table = np.array([row.ratings for row in rows], dtype=np.float64)
        found = screen(ratings=table)
        kept = ~found.left_out
        if kept.sum() < 2:
            raise ValueError(f"screening leaves {kept.sum()} of {len(names)} raters, expected 2 or more")
        notes = (_said(found, names, most=int(np.isfinite(table).sum(axis=1).max())),)
        rows = [replace(row, ratings=tuple(np.array(row.ratings)[kept].tolist())) for row in rows]
    given = [[one for one in row.ratings if not math.isnan(one)] for row in rows]
    numbers = [len(ratings) for ratings in given if ratings]
    usual = sum(numbers) / len(numbers) if numbers else 1.0
    done = Rows(
        replace(
            row,
            mos=mean_of(ratings) if mean else row.mos,
            mos_se=error_of_mean(ratings) if error else row.mos_se,
            weight=len(ratings) / usual if weigh and ratings else row.weight,
        )
        for row, ratings in zip(rows, given, strict=True)
    )
    done.notes = notes
    return done


def mean_of(ratings: Sequence[float]) -> float:
    """Mean of the ratings that are there; NaN of none."""
    return math.fsum(ratings) / len(ratings) if ratings else math.nan


def error_of_mean(ratings: Sequence[float]) -> float:
    """Standard error of the mean of several raters, from their spread; NaN of fewer than two."""
    return statistics.stdev(ratings) / math.sqrt(len(ratings)) if len(ratings) > 1 else math.nan


def _said(found: Screened, names: Sequence[str], *, most: int) -> str:
    """Who was left out, and why; `most`: ratings of the video that has most."""
    out = [
        f"{name!r} ({above + below} of {rated} ratings far from the others, {above} above and {below} below)"
        for name, rated, above, below, left in zip(
            names, found.rated, found.above, found.below, found.left_out, strict=True
        )
        if left
    ]
    said = f"screening (ITU-R BT.500) leaves out {len(out)} of {len(names)} raters"
    if out:
        return f"{said}: {', '.join(out)}"
    return f"{said}; with fewer than {FEWEST} ratings a video nobody can stand out" if most < FEWEST else said
