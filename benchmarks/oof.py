"""What a variant is worth out of fold: a preset and what it changes -> SRCC on training rows it never saw.

    python -m benchmarks.oof [--preset sample] [--set 'branches.*.sma.enabled=false' ...]
        [--branch frame ...] [--seeds 0 1 2 3] [--dataset sample] [--test]

Trains the folds' models alone, from the features that lie in features/<data set>, by the code of the stage
`train`. No test row is scored, nothing is kept, params.yaml stays as it is. `--test` trains the final models
alone in their place and scores test rows: for figures to stand beside a report's, never to choose by. `*` in
a key stands for every branch. `--seeds` are `split.seeds`, a repeat each. Features that the settings do not
ask for are refused. A branch with a `start` goes on from the weights in runs/start, which must have been
pre-trained with the same branch.

Prints one JSON object: `branches` (by name) and, of two branches or more, `ensemble`, each with `srcc` and
`plcc` (means over repeats), `each` (SRCC by repeat), `low` and `high` (95% of the SRCC: a bootstrap over
prompts and groups, the trained models held fixed). The ensemble's weights are fitted on these very rows,
which flatters it. `rows` counts training rows of a repeat, `scored` says of which rows the figures are.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from benchmarks import presets
from msavqa.datasets import splits, tables
from msavqa.datasets.splits import SplitSettings, groups_of
from msavqa.evaluation import ensemble, metrics
from msavqa.evaluation.ensemble import EnsembleSettings
from msavqa.ground import params
from msavqa.learning import folds, side_by_side
from msavqa.learning.folds import FINAL
from msavqa.learning.gradients import Ranks

RESAMPLES = 1000


def main(argv: Sequence[str] | None = None) -> int:
    """Prints one JSON object; how far it is to stderr."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--preset", default="sample", help="a preset's name, or a params file")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="of params.yaml")
    parser.add_argument("--branch", nargs="+", help="all of them if not given")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0], help="split.seeds")
    parser.add_argument("--dataset", help="the first of train_on if not given")
    parser.add_argument("--test", action="store_true", help="final models on test rows; chooses nothing")
    given = parser.parse_args(argv)
    data = changed(presets.read(given.preset), given.set)
    dataset = given.dataset or data["train_on"][0]
    names = given.branch or list(data["branches"])
    if unknown := sorted(set(names) - set(data["branches"])):
        sys.exit(f"--branch: got {', '.join(unknown)}, expected some of {', '.join(data['branches'])}")
    manifest = tables.read_manifest(Path("data") / dataset / "manifest.parquet")
    block = {**data["split"], "seeds": given.seeds}
    parted = splits.split(manifest, params.block({"split": block}, "split", SplitSettings))
    predictions = {name: scored(data, dataset, name, parted, test=given.test) for name in names}
    known = manifest[["video_id", "mos"]].assign(group=groups_of(manifest))
    found: dict[str, Any] = {
        "preset": given.preset, "set": given.set, "seeds": given.seeds,
        "scored": "test" if given.test else "oof", "rows": rows_of(parted),
        "branches": {name: figures(scores, known) for name, scores in predictions.items()},
    }  # fmt: skip
    if len(names) > 1 and not given.test:
        joined = together(predictions, manifest, parted, block=data["ensemble"])
        found["ensemble"] = figures(joined, known)
    print(json.dumps(found))
    return 0


def changed(data: dict[str, Any], words: Sequence[str]) -> dict[str, Any]:
    """The settings with each `KEY=VALUE` in them; a key that they lack ends the program."""
    for one in words:
        dotted, _, value = one.partition("=")
        for branch in data["branches"] if "*" in dotted else ("",):
            *above, last = dotted.replace("*", branch).split(".")
            block: Any = data
            for key in above:
                block = block.get(key) if isinstance(block, dict) else None
            if not isinstance(block, dict) or last not in block:
                sys.exit(f"--set: the preset has no {dotted.replace('*', branch)}")
            block[last] = yaml.safe_load(value)
    return data


def scored(
    data: Mapping[str, Any], dataset: str, branch: str, parted: pd.DataFrame, *, test: bool
) -> pd.DataFrame:
    """Scores of every training row by the fold's model that never saw it, `tables.PREDICTIONS`; or those of
    the test rows by the final models."""
    work = replace(folds.work_of(data, dataset, branch, kept=Path(), live=None), splits=parted, kept=None)
    jobs = [job for job in folds.jobs(parted) if (job.fold == FINAL) == test]
    scores = []
    for done in side_by_side.run(folds.open_work(work), jobs, ranks=Ranks(rank=0, count=1)):
        scores.append(done.scores[done.scores["role"] == ("test" if test else "oof")])
        print(f"{branch}: {len(scores)} of {len(jobs)} models", file=sys.stderr, flush=True)
    return pd.concat(scores, ignore_index=True).sort_values(["repeat", "video_id"], ignore_index=True)


def together(
    predictions: Mapping[str, pd.DataFrame], manifest: pd.DataFrame, parted: pd.DataFrame, *, block: Any
) -> pd.DataFrame:
    """The ensemble's scores of the same rows."""
    settings = params.block({"ensemble": {**block, "branches": "all"}}, "ensemble", EnsembleSettings)
    return pd.concat(
        [
            ensemble.join(
                predictions,
                tables.learning_labels(manifest, parted, repeat=int(repeat)),
                settings=settings,
                repeat=int(repeat),
            )[1]
            for repeat in sorted(parted["repeat"].unique())
        ],
        ignore_index=True,
    )


def figures(scores: pd.DataFrame, known: pd.DataFrame) -> dict[str, Any]:
    """SRCC and PLCC of out-of-fold scores; `known` has mos and group of every video."""
    rows = scores.merge(known, on="video_id")
    rows = rows[rows["mos"].notna()]
    repeats = [
        (part["score"].to_numpy(), part["mos"].to_numpy(), part["group"].to_numpy())
        for _, part in rows.groupby("repeat")
    ]
    each = [metrics.srcc(score=score, mos=mos) for score, mos, _ in repeats]
    plcc = [metrics.plcc(score=score, mos=mos) for score, mos, _ in repeats]
    names = rows["group"].unique()
    places = [[np.flatnonzero(group == name) for name in names] for _, _, group in repeats]
    drawn, random = [], np.random.default_rng(0)
    for _ in range(RESAMPLES):
        chosen = random.integers(len(names), size=len(names))
        taken = [np.concatenate([of_name[name] for name in chosen]) for of_name in places]
        pairs = zip(repeats, taken, strict=True)
        drawn.append(np.mean([metrics.srcc(score=one[0][those], mos=one[1][those]) for one, those in pairs]))
    low, high = np.quantile(drawn, [0.025, 0.975])
    return {
        "srcc": round(float(np.mean(each)), 4), "low": round(float(low), 4), "high": round(float(high), 4),
        "plcc": round(float(np.mean(plcc)), 4), "each": [round(float(one), 4) for one in each],
    }  # fmt: skip


def rows_of(parted: pd.DataFrame) -> int:
    """Training rows of the first repeat."""
    return int(((parted["role"] == "train") & (parted["repeat"] == parted["repeat"].min())).sum())


if __name__ == "__main__":
    raise SystemExit(main())
