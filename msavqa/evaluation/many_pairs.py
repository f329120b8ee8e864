"""Verdicts over many pairs at once: Holm's correction, groups that cannot be told apart, spans of ranks."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


def holm(p_values: ArrayLike) -> Floats:
    """Holm's step-down correction, (pair,): the chance of any false verdict is held whatever depends on what.

    The smallest p is multiplied by the number of tests m, the next by m - 1, and so on; none falls below the
    one before it; at most 1. NaN stays NaN and is no test. (Holm 1979, Scandinavian Journal of Statistics 6.)
    """
    values = np.asarray(p_values, dtype=np.float64)
    tested = np.flatnonzero(np.isfinite(values))
    order = tested[np.argsort(values[tested], kind="stable")]
    found = np.full(len(values), np.nan)
    found[order] = np.minimum(1.0, np.maximum.accumulate(values[order] * np.arange(len(order), 0, -1)))
    return found


def groups(mean: ArrayLike, decided: Sequence[tuple[int, int]]) -> list[list[int]]:
    """Groups of generators that cannot be told apart, best first; a generator may stand in several.

    `decided` are pairs of columns of which one is better. A group is as large as it can be: every two in it
    are undecided, and no other generator could join it. (The cliques of the graph of undecided pairs, which
    statistics calls a compact letter display.)
    """
    values = np.asarray(mean, dtype=np.float64)
    count = len(values)
    alike = np.ones((count, count), dtype=bool)
    for one, other in decided:
        alike[one, other] = alike[other, one] = False
    found: list[list[int]] = []

    def grow(members: list[int], candidates: list[int], past: list[int]) -> None:
        if not candidates and not past:
            found.append(members)
            return
        pivot = max(candidates + past, key=lambda one: int(alike[one, candidates].sum()) if candidates else 0)
        for one in [each for each in candidates if each == pivot or not alike[pivot, each]]:
            grow(
                [*members, one],
                [each for each in candidates if each != one and alike[one, each]],
                [each for each in past if alike[one, each]],
            )
            candidates = [each for each in candidates if each != one]
            past = [*past, one]

    grow([], list(range(count)), [])
    place = {int(one): rank for rank, one in enumerate(np.argsort(-values, kind="stable"))}
    return sorted(
        (sorted(one, key=place.__getitem__) for one in found), key=lambda one: [place[each] for each in one]
    )


def ranks(count: int, better: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """The best and the worst rank, from 1, that each of `count` generators may have.

    `better` are pairs of columns (the better, the worse). Undecided pairs may be either way.
    """
    above, below = np.zeros(count, dtype=int), np.zeros(count, dtype=int)
    for winner, loser in better:
        above[loser] += 1
        below[winner] += 1
    return [(int(1 + up), int(count - down)) for up, down in zip(above, below, strict=True)]


def steps(p_values: Floats) -> Floats:
    """How many tests Holm's correction counts at each p-value's step; 1 where there is no test."""
    tested = np.flatnonzero(np.isfinite(p_values))
    order = tested[np.argsort(p_values[tested], kind="stable")]
    found = np.ones(len(p_values))
    found[order] = np.arange(len(order), 0, -1)
    return found
