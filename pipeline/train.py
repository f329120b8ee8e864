"""Stage `train DATASET BRANCH`: cached features and splits -> one branch's weights, predictions, history."""

import json
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pandas as pd

from msavqa.datasets import tables
from msavqa.ground import params, stage
from msavqa.ground.progress import Progress
from msavqa.learning import finished, fit, folds, saved, side_by_side, training
from msavqa.learning.folds import FINAL, Outcome
from msavqa.learning.gradients import Ranks
from msavqa.machine import files


def main(argv: Sequence[str] | None = None) -> None:
    """Trains a model for each fold and a final one in every repeat; scores what each has not learned from."""
    began = time.monotonic()
    dataset, branch = stage.coordinates(argv, "dataset", "branch", description=__doc__)
    kept, live = stage.kept_folder(), stage.live_folder(branch)
    work = folds.work_of(params.read(), dataset, branch, kept=kept, live=live)
    ranks = Ranks.join(fit.device_of(work.train))
    opened = folds.open_work(work)
    jobs = folds.jobs(work.splits)
    done = finished.take(opened, jobs, ranks=ranks)
    before = {outcome.job for outcome in done}
    todo = [job for job in jobs if job not in before]
    epochs = Progress(
        f"train {branch}", total=sum(training.epochs(opened, job) for job in todo), unit="epochs"
    )
    with epochs if ranks.leads else nullcontext():
        tell = epochs.advance if ranks.leads else lambda: None
        done += side_by_side.run(opened, todo, ranks=ranks, epoch=tell, workers=epochs.workers)
    if ranks.leads:
        write(done, opened.facts(), Path("runs") / dataset / "branches" / branch)
        print(f"{dataset} {branch}: {len(jobs)} models, {len(before)} of them trained before")
        stage.write_seconds(Path("runs") / dataset / "seconds" / f"train_{branch}.json", since=began)
    ranks.leave()


def write(done: Sequence[Outcome], facts: Mapping[str, Any], out: Path) -> None:
    """Final models' weights and history, predictions of all, and what builds the branch again."""
    done = sorted(done, key=lambda outcome: (outcome.job.repeat, outcome.job.fold))
    final = [outcome for outcome in done if outcome.job.fold == FINAL]
    for outcome in final:
        saved.save(outcome.weights, out / "weights" / f"repeat{outcome.job.repeat}.safetensors")
    scores = pd.concat([outcome.scores for outcome in done], ignore_index=True)
    tables.write_predictions(scores, out / "predictions.parquet")
    history = [{"repeat": outcome.job.repeat, **record} for outcome in final for record in outcome.history]
    tables.write_history(history, out / "history.csv")
    text = json.dumps(facts, indent=2, sort_keys=True) + "\n"
    files.fresh(out / "settings.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    stage.run(main)
