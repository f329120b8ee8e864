"""Whether the intervals and verdicts of `msavqa rank` hold what they promise, where the truth is known.

    python -m benchmarks.verdicts [--dataset sample] [--draws 1000] [--seed 0] [--people FOLDER]

The sample world knows every video's true quality. A run's scores of all its videos (out of fold, validation
and test) are the world: its prompts are drawn with replacement, 20, 50 and 200 of them, and raters are drawn
anew for the rated ones, with the error that the set's MOS has. Said for each number of prompts:

- `mean`, `difference`, `wins`: share of draws in which a 95% interval holds the value of the whole world,
mean over
  generators or pairs. These three are of scores: what they say of the generators as people see them is
  `rated`'s.
- `rated`, `rated_difference`: the same of prediction-powered intervals against the true mean quality, with
  `--rated` of the prompts rated; `width` and `width_of_ratings_alone` are their mean widths in MOS.
- `raw_bias`: the largest error of a generator's mean score against its true mean, over the whole world. -
`false_verdicts`: share of draws with any decided pair where generators are equal: each prompt's videos are
dealt
  out to the generators by lot.

`--people` names Video-Bench's human ratings (`videobench/*.json`): how many of the 21 pairs of its generators
are decided with 20, 50 and all prompts, mean over draws. Needs a run of the data set. Prints JSON.
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from msavqa.datasets import tables
from msavqa.evaluation import ranking
from msavqa.evaluation.rated import rated_mean

SIZES = (20, 50, 200)
RATED = {20: 10, 50: 15, 200: 30}
"""Rated prompts of so many."""
ALPHA, RESAMPLES = 0.05, 400
Floats = NDArray[np.float64]


def main(argv: Sequence[str] | None = None) -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dataset", default="sample")
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--people", type=Path)
    asked = parser.parse_args(argv)
    score, truth, error = world(asked.dataset)
    found: dict[str, Any] = {
        "prompts_in_the_world": len(score),
        "generators": score.shape[1],
        "raw_bias": round(float(np.abs(score.mean(axis=0) - truth.mean(axis=0)).max()), 2),
    }
    for size in SIZES:
        found[f"prompts_{size}"] = of_draws(
            score, truth, error, size=size, draws=asked.draws, seed=asked.seed
        )
    if asked.people is not None:
        found["people"] = dict(of_people(asked.people, draws=max(20, asked.draws // 10), seed=asked.seed))
    print(json.dumps(found, indent=2))


def world(dataset: str) -> tuple[Floats, Floats, float]:
    """Scores and true quality, (prompt, generator), both on the MOS scale, and a rating's standard error."""
    manifest = tables.read_manifest(Path("data") / dataset / "manifest.parquet")
    scores = tables.read_predictions(Path("runs") / dataset / "ensemble" / "predictions.parquet")
    rows = manifest.merge(scores[scores["repeat"] == 0], on="video_id")
    columns = {
        "generator": rows["generator"].to_numpy(dtype=str),
        "prompt": rows["group"].to_numpy(dtype=str),
    }
    # One line over all videos, as a calibration would draw it: the ranking is asked, not the scale.
    slope, level = np.polyfit(rows["score"], rows["mos"], 1)
    score, _, _ = ranking.by_prompt(score=level + slope * rows["score"], **columns)
    truth, _, _ = ranking.by_prompt(score=rows["quality_true"], **columns)
    return score, truth, float(rows["mos_se"].mean())


def of_draws(
    score: Floats, truth: Floats, error: float, *, size: int, draws: int, seed: int
) -> dict[str, float]:
    """Coverages, widths and false verdicts with so many prompts."""
    random = np.random.default_rng([seed, size])
    columns = score.shape[1]
    first, second = np.triu_indices(columns, k=1)
    gaps, true_gaps = score[:, first] - score[:, second], truth[:, first] - truth[:, second]
    wins = (gaps > 0).mean(axis=0) + 0.5 * (gaps == 0).mean(axis=0)
    held: dict[str, list[float]] = {
        name: [] for name in ("mean", "difference", "wins", "rated", "rated_difference")
    }
    widths: list[tuple[float, float]] = []
    wrong = 0
    for draw in range(draws):
        rows = random.integers(0, len(score), size)
        found = ranking.means(score[rows], resamples=RESAMPLES, seed=draw)
        held["mean"] += [
            one.low <= value <= one.high for one, value in zip(found, score.mean(axis=0), strict=True)
        ]
        pairs = ranking.pairs(score[rows], resamples=RESAMPLES, seed=draw)
        for place, pair in enumerate(pairs):
            held["difference"].append(pair.difference.low <= gaps[:, place].mean() <= pair.difference.high)
            held["wins"].append(pair.wins.low <= wins[place] <= pair.wins.high)
        known, others = rows[: RATED[size]], rows[RATED[size] :]
        people = truth[known] + random.normal(0, error, (len(known), columns))
        for column in range(columns):
            one = rated_mean(
                rating=people[:, column], predicted=score[known, column], score=score[others, column]
            )
            held["rated"].append(one.mean.low <= truth[:, column].mean() <= one.mean.high)
            widths.append((one.mean.high - one.mean.low, one.alone.high - one.alone.low))
        for place in range(len(first)):
            one = rated_mean(
                rating=people[:, first[place]] - people[:, second[place]],
                predicted=gaps[known, place],
                score=gaps[others, place],
            )
            held["rated_difference"].append(one.mean.low <= true_gaps[:, place].mean() <= one.mean.high)
        equal = random.permuted(score[rows], axis=1)
        wrong += any(pair.decided(alpha=ALPHA) for pair in ranking.pairs(equal, resamples=100, seed=draw))
    width, alone = np.mean(widths, axis=0)
    return {name: round(float(np.mean(values)), 3) for name, values in held.items()} | {
        "rated_prompts": RATED[size],
        "width": round(float(width), 2),
        "width_of_ratings_alone": round(float(alone), 2),
        "false_verdicts": round(wrong / draws, 3),
    }


def of_people(folder: Path, *, draws: int, seed: int) -> Iterator[tuple[str, dict[str, float]]]:
    """Per file of Video-Bench: decided pairs of 21 with 20, 50 and all prompts."""
    for file in sorted(folder.glob("*.json")):
        table = peoples_table(json.loads(file.read_text(encoding="utf-8")))
        random = np.random.default_rng(seed)
        decided = {}
        for size in (20, 50, len(table)):
            counts = []
            for _ in range(draws if size < len(table) else 1):
                rows = random.choice(len(table), size=size, replace=False)
                pairs = ranking.pairs(table[rows], resamples=100, seed=seed)
                counts.append(sum(pair.decided(alpha=ALPHA) for pair in pairs))
            decided[f"of_{size}_prompts"] = round(float(np.mean(counts)), 1)
        yield file.stem, decided


def peoples_table(listed: Sequence[dict[str, Any]]) -> Floats:
    """Mean rating (prompt, generator) of one of Video-Bench's files; a rating of 0 is a missing one."""
    rows = [
        (generator, one["prompt_en"], float(np.mean([value for value in given if value])))
        for one in listed
        for generator, given in one["human_anno"].items()
        if any(given)
    ]
    generator, prompt, value = zip(*rows, strict=True)
    return ranking.by_prompt(generator=generator, prompt=prompt, score=value)[0]


if __name__ == "__main__":
    main()
