"""What of labels that are right may still not be meant so: a sentence each, for people to look at."""

import math
from collections.abc import Iterator, Sequence

from msavqa.datasets import score_tables
from msavqa.datasets.rows import Row

SHOWN = 3
"""Of spellings, as many are shown."""


def of(rows: Sequence[Row], *, scale: tuple[float, float]) -> list[str]:
    """Sentences on near-equal prompts, and on ratings that sit exactly on an end of the scale."""
    return [*_spellings(rows), *_ends(rows, scale)]


def _spellings(rows: Sequence[Row]) -> Iterator[str]:
    alike = score_tables.spelled_twice({row.prompt for row in rows if row.prompt})
    if alike:
        count = sum(map(len, alike))
        shown = "; ".join(" and ".join(map(repr, one)) for one in alike[:SHOWN])
        more = f"; and {len(alike) - SHOWN} more" if len(alike) > SHOWN else ""
        yield (
            f"{count} prompts are {len(alike)} but for case, spaces and punctuation, and a split may part "
            f"them: {shown}{more}"
        )


def _ends(rows: Sequence[Row], scale: tuple[float, float]) -> Iterator[str]:
    ratings = [one for row in rows for one in (row.ratings or (row.mos,)) if math.isfinite(one)]
    at_ends = {end: sum(one == end for one in ratings) for end in scale}
    if any(at_ends.values()):
        said = " and ".join(
            f"{count} {'is' if count == 1 else 'are'} exactly {end:g}"
            for end, count in at_ends.items()
            if count
        )
        yield (
            f"of {len(ratings)} ratings {said}, where the scale ends; if that means that somebody did not "
            "rate, `missing` of a csv leaves it out"
        )
