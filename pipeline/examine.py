"""Stage `examine DATASET BRANCH`: a branch's final models asked other things, and where SMA looks."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from msavqa.datasets import copies, tables
from msavqa.ground import params, stage
from msavqa.ground.progress import track
from msavqa.learning import examine, folds, saved
from msavqa.learning.folds import FINAL


def main(argv: Sequence[str] | None = None) -> None:
    """Writes every repeat's scores of validation and test rows, with one another's prompts and of trivial
    videos in their place; and attention."""
    dataset, branch = stage.coordinates(argv, "dataset", "branch", description=__doc__)
    trained = Path("runs") / dataset / "branches" / branch / "weights"
    out = Path("runs") / dataset / "examined" / branch
    work = folds.work_of(params.read(), dataset, branch, kept=stage.kept_folder(), live=None)
    opened = folds.open_work(work, with_copies=True)
    jobs = [job for job in folds.jobs(work.splits) if job.fold == FINAL]
    shuffled, trivial, attention = [], [], []
    for job in track(jobs, description=f"examine {branch}", total=len(jobs), unit="models"):
        model = opened.model()
        saved.load(model, trained / f"repeat{job.repeat}.safetensors")
        shuffled.append(examine.shuffled(opened, job, model))
        trivial.append(examine.trivial(opened, job, model))
        attention.append(examine.attention(opened, job, model))
    tables.write_predictions(pd.concat(shuffled, ignore_index=True), out / "shuffled.parquet")
    copies.write_scores(pd.concat(trivial, ignore_index=True), out / "copies.parquet")
    tables.write_attention(pd.concat(attention, ignore_index=True), out / "attention.parquet")


if __name__ == "__main__":
    stage.run(main)
