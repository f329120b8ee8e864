"""Stage `pretrain DATASET BRANCH`: a branch on a set without prompts (LSVQ) -> weights to start from."""

import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

from msavqa.datasets import tables
from msavqa.evaluation import metrics
from msavqa.ground import params, stage
from msavqa.ground.progress import Progress
from msavqa.learning import finished, fit, folds, saved, side_by_side
from msavqa.learning.branch import without_prompts
from msavqa.learning.folds import FINAL, Job, PretrainSettings
from msavqa.learning.gradients import Ranks

OUT = Path("runs/start")
SECONDS = Path("runs/start_seconds")


def main(argv: Sequence[str] | None = None) -> None:
    """Trains on all training rows of the first repeat, PSS and SMA off; says how it does on the others."""
    began = time.monotonic()
    dataset, branch = stage.coordinates(argv, "dataset", "branch", description=__doc__)
    data = params.read()
    pretrain = params.block(data, "pretrain", PretrainSettings)
    live = stage.live_folder(f"pretrain_{branch}")
    work = folds.work_of(data, dataset, branch, kept=stage.kept_folder(), live=live)
    work = replace(
        work,
        settings=without_prompts(work.settings).model_copy(update={"optimiser": pretrain.optimiser}),
        train=work.train.model_copy(
            update={
                "epochs": pretrain.epochs,
                "least_steps": 0,
                "copies": work.train.copies.model_copy(update={"weight": 0.0}),  # none are made of this set
            }
        ),
        start=None,
    )
    ranks = Ranks.join(fit.device_of(work.train))
    opened = folds.open_work(work)
    jobs = [Job(repeat=0, fold=FINAL)]
    done = finished.take(opened, jobs, ranks=ranks)
    note = ", trained before" if done else ""
    todo = [] if done else jobs
    epochs = Progress(f"pretrain {branch}", total=len(todo) * pretrain.epochs, unit="epochs")
    with epochs if ranks.leads else nullcontext():
        tell = epochs.advance if ranks.leads else lambda: None
        done += side_by_side.run(opened, todo, ranks=ranks, epoch=tell, workers=epochs.workers)
    if ranks.leads:
        (outcome,) = done
        saved.save(outcome.weights, OUT / branch / "weights.safetensors")
        history = [{"repeat": outcome.job.repeat, **record} for record in outcome.history]
        tables.write_history(history, OUT / branch / "history.csv")
        labelled = outcome.scores.merge(work.manifest[["video_id", "mos"]], on="video_id").dropna()
        test = labelled[labelled["role"] == "test"]
        found = metrics.srcc(score=test["score"], mos=test["mos"]) if len(test) > 2 else float("nan")
        learned = f"after {pretrain.epochs} epochs{note}"
        print(f"{dataset} {branch}: SRCC {found:.3f} on {len(test)} test videos {learned}")
        stage.write_seconds(SECONDS / f"pretrain_{branch}.json", since=began)
    ranks.leave()


if __name__ == "__main__":
    stage.run(main)
