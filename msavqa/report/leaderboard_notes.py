"""What a reader of a leaderboard must know, a sentence each."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from msavqa.datasets import score_tables
from msavqa.evaluation import rated
from msavqa.evaluation.generator_error import GeneratorError
from msavqa.evaluation.rated import Rated
from msavqa.ground.errors import few

Failed = Literal["drop", "worst"]
"""What a video without a score counts as."""


def on_tables(rows: pd.DataFrame, ratings: pd.DataFrame | None) -> list[str]:
    """On spelling, a single generator, and ratings that do not fit the scores."""
    found = [
        f"{', '.join(map(repr, one))} count as {len(one)} prompts: spell them alike if they are one"
        for one in score_tables.spelled_twice(rows["prompt"].unique())
    ]
    if rows["generator"].nunique() == 1:
        found.append("one generator: there is nothing to compare it with")
    if ratings is not None:
        known = set(zip(rows["generator"].tolist(), rows["prompt"].tolist(), strict=True))
        given = zip(ratings["generator"].tolist(), ratings["prompt"].tolist(), strict=True)
        lost = [one for one in given if one not in known]
        if lost:
            found.append(
                f"{len(lost)} of {len(ratings)} ratings are of videos that have no row among the scores "
                f"and do not count: {few([f'{generator}: {prompt!r}' for generator, prompt in lost])}"
            )
        low, high = ratings["value"].min(), ratings["value"].max()
        least, most = rows["value"].min(), rows["value"].max()
        widths = sorted((high - low, most - least))
        if high < least or low > most or widths[0] * 4 < widths[1]:
            found.append(
                f"ratings run from {low:g} to {high:g} and scores from {least:g} to {most:g}: "
                "means and differences are on the ratings' scale"
            )
    return found


def on_model(error: float | GeneratorError | None) -> list[str]:
    """On how far the scores misjudge a generator as a whole."""
    if error is None:
        return [
            "how far the scores misjudge a generator as a whole is not in these intervals: "
            "--ratings measures it, --model knows it of a bundle, --model-error assumes it"
        ]
    if not isinstance(error, GeneratorError):
        return []
    told = (
        f"± {error.value:.3g} on {error.generators} generators, taken as ± {error.careful():.3g} for so few"
    )
    if error.unseen:
        return [f"the model misjudges a generator that it has not seen by {told}: all intervals take that in"]
    return [
        f"the model misjudges a generator that it has learned from by {told}: all intervals take that in; "
        "a new generator may be misjudged by more, which split.protocol generator_disjoint measures"
    ]


def on_failures(rows: pd.DataFrame, *, failed: Failed, worst: float) -> str:
    """Which videos have no score, and what they count as; `worst` is the lowest score."""
    counts = ", ".join(
        f"{name} {count}" for name, count in rows["generator"].value_counts().sort_index().items()
    )
    named = [str(video) or f"line {line}" for video, line in zip(rows["video"], rows["line"], strict=True)]
    said = f"they count as the lowest score, {worst:g}" if failed == "worst" else "no mean has them"
    verb = "video has" if len(rows) == 1 else "videos have"
    return f"{len(rows)} {verb} no score ({counts}), {said}: {few(named)}"


def on_gaps(table: NDArray[np.float64], prompts: Sequence[str], names: Sequence[str]) -> list[str]:
    """Who lacks which prompts; pairs are over the prompts that both have."""
    known = np.isfinite(table)
    found = []
    for column, name in enumerate(names):
        lacking = np.flatnonzero(known.any(axis=1) & ~known[:, column])
        if len(lacking):
            some = few([repr(prompts[row]) for row in lacking.tolist()])
            count = f"{len(lacking)} prompt{'' if len(lacking) == 1 else 's'}"
            found.append(
                f"{name} has no scored video of {count} that others have, pairs leave them out: {some}"
            )
    return found


def on_ratings(of_people: Sequence[Rated | None], names: Sequence[str]) -> list[str]:
    """What the ratings are worth, and where they are too few."""
    known = [one for one in of_people if one is not None]
    few = [name for name, one in zip(names, known, strict=True) if one.prompts < rated.LEAST]
    found = []
    if few:
        found.append(f"fewer than {rated.LEAST} rated prompts, so no interval: {', '.join(few)}")
    enough = [one for one in known if one.prompts >= rated.LEAST]
    if enough:
        given, worth = sum(one.prompts for one in enough), sum(one.worth for one in enough)
        found.append(f"means are of ratings: {given} rated prompts with scores are worth {worth:.0f} without")
    return found
