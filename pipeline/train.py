"""Stage `train DATASET BRANCH`: cached features and splits -> one branch's weights, predictions, history."""

import json
import os
import time
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

import pandas as pd

from msavqa.datasets import tables
from msavqa.ground.progress import Progress
from msavqa.learning import branch as model
from msavqa.learning import fit, folds
from msavqa.learning import folds as side_by_side
from msavqa.learning.fit import TrainSettings
from msavqa.learning.gradients import Ranks
from msavqa.machine import files, params
from pipeline import stage

PRETRAINED = {"segment": Path("runs/pretrain/segment/weights.safetensors")}
"""Branches that start from pre-training without prompts."""


def main(argv: Sequence[str] | None = None) -> None:
    """Trains a model for each fold and a final one in every repeat; scores what each has not learned from."""
    began = time.monotonic()
    dataset, branch = stage.coordinates(argv, "dataset", "branch", description=__doc__)
    data = params.read()
    labels, out = Path("data") / dataset, Path("runs") / dataset / branch
    work = folds.Work(
        branch=branch,
        settings=params.block(data, f"branches.{branch}", model.branch(branch).BranchSettings),
        train=params.block(data, "train", TrainSettings),
        manifest=tables.read_manifest(labels / "manifest.parquet"),
        splits=tables.read_splits(labels / "splits.parquet"),
        features=Path("features") / dataset,
        weights=folds.weights_of(data["trunks"]),
        start=PRETRAINED.get(branch),
        checkpoints=Path(os.environ.get("DVC_ROOT", ".")) / ".msavqa" / "train",
        live=stage.live_folder(branch),
        asked=data,
    )
    ranks = Ranks.join(fit.device_of(work.train))
    todo = folds.jobs(work.splits)
    epochs = Progress(f"train {branch}", total=len(todo) * work.train.epochs, unit="epochs")
    with epochs if ranks.leads else nullcontext():
        tell = epochs.advance if ranks.leads else lambda: None
        done = list(side_by_side.run(work, todo, ranks=ranks, epoch=tell))
    if ranks.leads:
        write(done, out)
        stage.write_seconds(Path("runs") / dataset / "seconds" / f"train_{branch}.json", since=began)


def write(done: Sequence[folds.Outcome], out: Path) -> None:
    """Final models' weights, history and attention, predictions of all, and what builds the branch again.

    shuffled.parquet has the final models' predictions with prompts shuffled: a control, see `other_prompts`.
    """
    done = sorted(done, key=lambda outcome: (outcome.job.repeat, outcome.job.fold))
    final = [outcome for outcome in done if outcome.job.fold == folds.FINAL]
    for outcome in final:
        model.save(outcome.weights, out / "weights" / f"repeat{outcome.job.repeat}.safetensors")
    scores = pd.concat([outcome.scores for outcome in done], ignore_index=True)
    tables.write_predictions(scores, out / "predictions.parquet")
    shuffled = pd.concat([outcome.shuffled for outcome in final], ignore_index=True)
    tables.write_predictions(shuffled, out / "shuffled.parquet")
    attention = pd.concat([outcome.attention for outcome in final], ignore_index=True)
    attention.to_parquet(files.fresh(out / "attention.parquet"), index=False)
    history = [{"repeat": outcome.job.repeat, **record} for outcome in final for record in outcome.history]
    pd.DataFrame(history).to_csv(files.fresh(out / "history.csv"), index=False, float_format="%.6g")
    facts = json.dumps(final[0].facts, indent=2, sort_keys=True) + "\n"
    files.fresh(out / "settings.json").write_text(facts, encoding="utf-8")


if __name__ == "__main__":
    stage.run(main)
