"""By how much the model misjudges generators, and how many pairs of one prompt it orders rightly."""

import math

import numpy as np
import pandas as pd

from msavqa.evaluation import generator_error, pair_accuracy
from msavqa.evaluation.generator_error import GeneratorError
from msavqa.evaluation.pair_accuracy import Pairs
from msavqa.report.numbers import BootstrapSettings
from msavqa.report.results import Results


def figures(results: Results, splits: pd.DataFrame, settings: BootstrapSettings) -> dict[str, int | float]:
    """Both as flat numbers; what cannot be told is left out. `splits` are those of the results."""
    found: dict[str, int | float] = {}
    misjudged = error(results, splits)
    if misjudged is not None:
        found[generator_error.UNSEEN if misjudged.unseen else generator_error.SEEN] = round(
            misjudged.value, 6
        )
        found[generator_error.COUNT] = misjudged.generators
    pairs = _pairs(results)
    if pairs is not None:
        plain = pair_accuracy.without_ties(pairs, resamples=settings.resamples, seed=settings.seed)
        named = {"": plain.value, "_ci95_low": plain.low, "_ci95_high": plain.high}
        found |= {
            f"pair_accuracy{end}": round(value, 6) for end, value in named.items() if math.isfinite(value)
        }
        found["pairs_test"] = int(np.sum(pairs.people != 0))
    return found


def error(results: Results, splits: pd.DataFrame) -> GeneratorError | None:
    """By how much generators are misjudged; a video's score is its mean over the repeats that test it."""
    rows = results.tested[results.tested["generator"] != ""]
    if rows.empty:
        return None
    mean = rows.groupby("video_id", as_index=False)[["score", "mos"]].mean()
    mean = mean.merge(results.once[["video_id", "generator", "prompt"]], on="video_id")
    columns = {name: mean[name].to_numpy() for name in ("score", "mos", "generator", "prompt")}
    return generator_error.of(generator_error.deviations(**columns), unseen=_unseen(results, rows, splits))


def _unseen(results: Results, rows: pd.DataFrame, splits: pd.DataFrame) -> bool:
    """Whether no tested generator has a training video in the repeat that tests it."""
    learned = splits[splits["role"] == "train"].merge(
        results.manifest[["video_id", "generator"]], on="video_id"
    )
    both = rows[["repeat", "generator"]].merge(learned[["repeat", "generator"]], on=["repeat", "generator"])
    return both.empty


def _pairs(results: Results) -> Pairs | None:
    """Pairs of one prompt and one repeat; a prompt keeps its number in all repeats."""
    rows = results.tested[results.tested["prompt"] != ""]
    numbers = {name: number for number, name in enumerate(sorted(rows["prompt"].unique()))}
    found = []
    for _, part in rows.groupby("repeat"):
        pairs = pair_accuracy.of_ratings(
            score=part["raw"].to_numpy(),
            mos=part["mos"].to_numpy(),
            prompt=part["prompt"].to_numpy(dtype=str),
        )
        own = np.array(
            [numbers[name] for name in np.unique(part["prompt"].to_numpy(dtype=str))], dtype=np.int64
        )
        found.append(Pairs(pairs.people, pairs.gap, own[pairs.prompt]))
    if not sum(np.count_nonzero(one.people) for one in found):
        return None
    return Pairs(
        *(np.concatenate([getattr(one, name) for one in found]) for name in ("people", "gap", "prompt"))
    )
