"""Stage `pretrain`: the segment branch on a set without prompts (LSVQ) -> weights to continue from."""

import os
import time
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

import pandas as pd

from msavqa.branches import segment
from msavqa.datasets import tables
from msavqa.evaluation import metrics
from msavqa.ground.progress import Progress
from msavqa.learning import branch as model
from msavqa.learning import fit, folds
from msavqa.learning.fit import TrainSettings
from msavqa.learning.folds import PretrainSettings
from msavqa.learning.gradients import Ranks
from msavqa.machine import files, params
from pipeline import stage

OUT = Path("runs/pretrain/segment")
SECONDS = Path("runs/pretrain/seconds/pretrain.json")


def main(argv: Sequence[str] | None = None) -> None:
    """Trains on all training rows of the first repeat, PSS and SMA off; says how it does on the others."""
    began = time.monotonic()
    stage.coordinates(argv, description=__doc__)
    data = params.read()
    dataset = data["pretrain_dataset"]
    settings = params.block(data, "pretrain", PretrainSettings)
    branch = params.block(data, "branches.segment", segment.BranchSettings)
    train = params.block(data, "train", TrainSettings)
    work = folds.Work(
        branch="segment",
        settings=segment.without_prompts(branch).model_copy(update={"optimiser": settings.optimiser}),
        train=train.model_copy(update={"epochs": settings.epochs}),
        manifest=tables.read_manifest(Path("data") / dataset / "manifest.parquet"),
        splits=tables.read_splits(Path("data") / dataset / "splits.parquet"),
        features=Path("features") / dataset,
        weights=folds.weights_of(data["trunks"]),
        start=None,
        checkpoints=Path(os.environ.get("DVC_ROOT", ".")) / ".msavqa" / "train",
        live=stage.live_folder("pretrain"),
        asked=data,
    )
    ranks = Ranks.join(fit.device_of(work.train))
    job = folds.Job(repeat=0, fold=folds.FINAL)
    epochs = Progress("pretrain segment", total=settings.epochs, unit="epochs")
    with epochs if ranks.leads else nullcontext():
        tell = epochs.advance if ranks.leads else lambda: None
        done = folds.run_job(folds.open_work(work), job, ranks=ranks, epoch=tell)
    if ranks.leads:
        model.save(done.weights, OUT / "weights.safetensors")
        history = pd.DataFrame(done.history)
        history.to_csv(files.fresh(OUT / "history.csv"), index=False, float_format="%.6g")
        labelled = done.scores.merge(work.manifest[["video_id", "mos"]], on="video_id").dropna()
        test = labelled[labelled["role"] == "test"]
        found = metrics.srcc(score=test["score"], mos=test["mos"]) if len(test) > 2 else float("nan")
        print(f"{dataset}: SRCC {found:.3f} on {len(test)} test videos after {settings.epochs} epochs")
        stage.write_seconds(SECONDS, since=began)


if __name__ == "__main__":
    stage.run(main)
