"""Rows of scores by generator and prompt -> who is better than whom, as text, JSON and a page."""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from msavqa.evaluation import many_pairs, ranking, rated, wins
from msavqa.evaluation.generator_error import GeneratorError
from msavqa.evaluation.metrics import Interval
from msavqa.evaluation.ranking import Pair
from msavqa.evaluation.rated import Rated
from msavqa.ground.errors import MsavqaError
from msavqa.report import leaderboard_notes
from msavqa.report.leaderboard_notes import Failed

ALPHA = 0.05
"""The chance of any false verdict over all pairs."""


@dataclass(frozen=True)
class Generator:
    """One row of the leaderboard."""

    name: str
    mean: Interval
    """Of the scores, or of the ratings where some are given; each prompt counts once."""
    prompts: int
    videos: int
    """With a score, those included that count as worst."""
    failed: int
    missing: int
    """Prompts that others have videos of and this one has none."""
    rank: tuple[int, int]
    """The best and the worst that it may have."""
    groups: str
    """A letter per group of generators that cannot be told apart; sharing one means: undecided."""
    rated: Rated | None


@dataclass(frozen=True)
class Leaderboard:
    """Generators, the best first, and every pair of them."""

    source: str
    generators: Sequence[Generator]
    pairs: Sequence[Pair]
    """`first` and `second` are places in `generators`."""
    notes: Sequence[str]
    """What a reader must know, a sentence each."""

    def to_json(self) -> str:
        """Everything as JSON; what is not a number is null."""
        pairs = [
            {
                **asdict(one),
                "first": self.generators[one.first].name,
                "second": self.generators[one.second].name,
                "decided": one.decided(alpha=ALPHA),
            }
            for one in self.pairs
        ]
        whole = {
            "source": self.source, "generators": [asdict(one) for one in self.generators], "pairs": pairs,
            "notes": list(self.notes),
        }  # fmt: skip
        return json.dumps(_plain(whole), indent=2, allow_nan=False)


def build(
    rows: pd.DataFrame,
    *,
    ratings: pd.DataFrame | None,
    failed: Failed,
    tie: float,
    model_error: float | GeneratorError | None,
    resamples: int,
    seed: int,
    source: str,
) -> Leaderboard:
    """The leaderboard of rows as `score_tables.read` gives them.

    `model_error` is a standard deviation in scores, or what a bundle says of itself.
    With `ratings` means and pairs are of ratings, by prediction-powered inference. Raises `MsavqaError` where
    there is nothing to compare: one prompt, no score at all.
    """
    notes = leaderboard_notes.on_tables(rows, ratings)
    values = rows["value"].to_numpy(dtype=np.float64)
    bad = ~np.isfinite(values)
    if bad.all() or rows["prompt"].nunique() < 2:
        raise MsavqaError(
            what="Scores",
            where=source,
            got="none" if bad.all() else "1 prompt",
            expected="scores of at least 2 prompts",
            next_step="score more videos: an interval is over prompts",
        )
    counted = np.where(bad, np.nanmin(values), values) if failed == "worst" else values
    if bad.any():
        notes.append(leaderboard_notes.on_failures(rows[bad], failed=failed, worst=float(np.nanmin(values))))
    columns = {
        "generator": rows["generator"].to_numpy(dtype=str),
        "prompt": rows["prompt"].to_numpy(dtype=str),
        "score": counted,
    }
    table, prompts, names = ranking.by_prompt(**columns)
    notes += leaderboard_notes.on_gaps(table, prompts, names)
    shares = wins.win_shares(**columns, tie=tie)
    error = model_error.careful() if isinstance(model_error, GeneratorError) else model_error or 0.0
    means = ranking.means(table, resamples=resamples, seed=seed, model_error=error)
    pairs = ranking.pairs(
        table, wins=shares, tie=tie, alpha=ALPHA, resamples=resamples, seed=seed, model_error=error
    )
    of_people: list[Rated | None] = [None] * len(names)
    if ratings is not None:
        people = _people(rows.assign(value=counted), ratings, prompts=prompts, names=names)
        of_people = [_rated(people, table, column) for column in range(len(names))]
        means = [one.mean for one in of_people if one is not None]
        pairs = _rated_pairs(pairs, people, table)
        notes += leaderboard_notes.on_ratings(of_people, names)
    else:
        notes += leaderboard_notes.on_model(model_error)
    return _ordered(
        names, means=means, pairs=pairs, of_people=of_people, rows=rows, counted=counted, table=table,
        notes=notes, source=source,
    )  # fmt: skip


@dataclass(frozen=True)
class _People:
    """Tables (prompt, generator), NaN where there is no rating: what people said, and the scores of the same
    videos."""

    rating: NDArray[np.float64]
    predicted: NDArray[np.float64]


def _people(
    rows: pd.DataFrame, ratings: pd.DataFrame, *, prompts: Sequence[str], names: Sequence[str]
) -> _People:
    keys = ["generator", "prompt"]
    by_video = bool((ratings["video"] != "").all() and (rows["video"] != "").all())
    scored = rows[[*keys, "video", "value"]].rename(columns={"value": "score"})
    if by_video:
        joined = ratings.merge(scored, on=[*keys, "video"])
    else:  # a rating of a prompt stands beside the mean of its videos' scores
        joined = ratings.merge(scored.groupby(keys, as_index=False)["score"].mean(), on=keys)
    joined = joined[joined["value"].notna() & joined["score"].notna()]
    means = joined.groupby(keys)[["value", "score"]].mean()
    index = pd.MultiIndex.from_product([names, prompts], names=keys)
    whole = means.reindex(index)
    shape = len(names), len(prompts)
    return _People(
        rating=whole["value"].to_numpy(dtype=np.float64).reshape(shape).T,
        predicted=whole["score"].to_numpy(dtype=np.float64).reshape(shape).T,
    )


def _rated(people: _People, table: NDArray[np.float64], column: int) -> Rated:
    known = np.isfinite(people.rating[:, column])
    others = table[~known, column]
    return rated.rated_mean(
        rating=people.rating[known, column],
        predicted=people.predicted[known, column],
        score=others[np.isfinite(others)],
    )


def _rated_pairs(pairs: Sequence[Pair], people: _People, table: NDArray[np.float64]) -> list[Pair]:
    """Pairs with the difference that people would see, from the prompts that have ratings of both."""
    differences = [
        _rated(
            _People(
                people.rating[:, [pair.first]] - people.rating[:, [pair.second]],
                people.predicted[:, [pair.first]] - people.predicted[:, [pair.second]],
            ),
            table[:, [pair.first]] - table[:, [pair.second]],
            0,
        )
        for pair in pairs
    ]
    p_values = [one.p_value() for one in differences]
    corrected = many_pairs.holm(p_values)
    return [
        replace(
            pair, difference=one.mean, prompts=one.prompts, p_value=p_values[place],
            corrected=float(corrected[place]), more_prompts=0 if corrected[place] <= ALPHA else None,
        )
        for place, (pair, one) in enumerate(zip(pairs, differences, strict=True))
    ]  # fmt: skip


def _ordered(
    names: Sequence[str],
    *,
    means: Sequence[Interval],
    pairs: Sequence[Pair],
    of_people: Sequence[Rated | None],
    rows: pd.DataFrame,
    counted: NDArray[np.float64],
    table: NDArray[np.float64],
    notes: Sequence[str],
    source: str,
) -> Leaderboard:
    """The best first; pairs turned so that the better place stands first."""
    values = np.array([one.value for one in means])
    order = np.argsort(-np.where(np.isfinite(values), values, -np.inf), kind="stable").tolist()
    place = {column: at for at, column in enumerate(order)}
    turned = sorted((_turned(pair, place) for pair in pairs), key=lambda one: (one.first, one.second))
    decided = [one for one in turned if one.decided(alpha=ALPHA)]
    better = [
        (one.first, one.second) if one.difference.value > 0 else (one.second, one.first) for one in decided
    ]
    spans = many_pairs.ranks(len(names), better)
    alike = many_pairs.groups(values[order], [(one.first, one.second) for one in decided])
    generator = rows["generator"].to_numpy(dtype=str)
    videos = pd.Series(np.isfinite(counted)).groupby(generator).sum()
    failures = rows["value"].isna().groupby(generator).sum()
    some = np.isfinite(table).any(axis=1)
    found = [
        Generator(
            name=names[column],
            mean=means[column],
            prompts=int(np.isfinite(table[:, column]).sum()),
            videos=int(videos[names[column]]),
            failed=int(failures[names[column]]),
            missing=int((some & ~np.isfinite(table[:, column])).sum()),
            rank=spans[at],
            groups="".join(letter(number) for number, group in enumerate(alike) if at in group),
            rated=of_people[column],
        )
        for at, column in enumerate(order)
    ]
    return Leaderboard(source=source, generators=found, pairs=turned, notes=list(notes))


def letter(number: int) -> str:
    """a, b, ..., z, then a2, b2 and so on."""
    return f"{chr(ord('a') + number % 26)}{number // 26 + 1 if number >= 26 else ''}"


def _turned(pair: Pair, place: dict[int, int]) -> Pair:
    first, second = place[pair.first], place[pair.second]
    if first < second:
        return replace(pair, first=first, second=second)
    difference, wins = pair.difference, pair.wins
    return replace(
        pair,
        first=second,
        second=first,
        difference=Interval(-difference.value, -difference.high, -difference.low),
        wins=Interval(1 - wins.value, 1 - wins.high, 1 - wins.low),
    )


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
