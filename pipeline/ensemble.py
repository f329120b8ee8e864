"""Stage `ensemble DATASET`: the branches' predictions -> weights fitted out of fold, joined scores."""

import json
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from msavqa.datasets import tables
from msavqa.evaluation import ensemble
from msavqa.evaluation.ensemble import EnsembleSettings
from msavqa.ground import params, stage
from msavqa.ground.progress import track
from msavqa.machine import files


def main(argv: Sequence[str] | None = None) -> None:
    """Fits constants and weights in every repeat and joins scores of all its rows; prompts shuffled too."""
    (dataset,) = stage.coordinates(argv, "dataset", description=__doc__)
    data = params.read()
    settings = params.block(data, "ensemble", EnsembleSettings)
    names = settings.of(data["branches"])
    labels, runs = Path("data") / dataset, Path("runs") / dataset
    manifest = tables.read_manifest(labels / "manifest.parquet")
    splits = tables.read_splits(labels / "splits.parquet")
    predictions, shuffled = (
        {name: tables.read_predictions(runs / folder / name / file) for name in names}
        for folder, file in (("branches", "predictions.parquet"), ("examined", "shuffled.parquet"))
    )
    joined, controls, fitted = [], [], {}
    repeats = sorted(int(one) for one in splits["repeat"].unique())
    for repeat in track(repeats, description="ensemble", total=len(repeats), unit="repeats"):
        known = tables.learning_labels(manifest, splits, repeat=repeat)
        found, scores = ensemble.join(predictions, known, settings=settings, repeat=repeat)
        fitted[f"repeat{repeat}"] = found.to_dict()
        joined.append(scores)
        controls.append(ensemble.with_other_prompts(found, predictions, shuffled, repeat=repeat))
        shares = ", ".join(f"{b} {w:.2f}" for b, w in zip(found.branches, found.weights, strict=True))
        print(f"{dataset} repeat {repeat}: {shares}")
    out = runs / "ensemble"
    tables.write_predictions(pd.concat(joined, ignore_index=True), out / "predictions.parquet")
    tables.write_controls(pd.concat(controls, ignore_index=True), out / "controls.parquet")
    files.fresh(out / "ensemble.json").write_text(json.dumps(fitted, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    stage.run(main)
