"""Stage `ensemble DATASET`: the branches' predictions -> weights fitted out of fold, joined scores.

And what tells later how far a score may be trusted, from cached features, without a label: each video's
distance to the training videos, and the step between frames above which a change of meaning is named.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from msavqa.datasets import copies, dimensions, tables
from msavqa.datasets.splits import groups_of
from msavqa.evaluation import change, ensemble, familiarity
from msavqa.evaluation.change import ChangeSettings
from msavqa.evaluation.controls import ControlSettings
from msavqa.evaluation.ensemble import EnsembleSettings
from msavqa.evaluation.familiarity import Familiarity, Floats
from msavqa.ground import params, stage
from msavqa.ground.progress import track
from msavqa.machine import files
from msavqa.store import read as store

CHUNK = 256
"""Videos whose features are read at once."""


def main(argv: Sequence[str] | None = None) -> None:
    """Fits constants and weights in every repeat and joins scores of all its rows; prompts shuffled too.

    Then what the repeat's training videos are like: see `trusted`.
    """
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
    scored = {name: copies.read_scores(runs / "examined" / name / "copies.parquet") for name in names}
    image = params.block(data, "controls", ControlSettings).image
    known_by = described(
        Path("features") / dataset,
        image=image,
        trunks=[data["branches"][name]["reads"]["trunk"] for name in names],
    )
    steps = params.block(data, "calibration.change", ChangeSettings)
    joined, controls, trivial, fitted, distances, changes = [], [], [], {}, [], {}
    out, further, of_dimensions = runs / "ensemble", dimensions.further(manifest), dict[str, dict[str, Any]]()
    repeats = sorted(int(one) for one in splits["repeat"].unique())
    for repeat in track(repeats, description="ensemble", total=len(repeats), unit="repeats"):
        known = tables.learning_labels(manifest, splits, repeat=repeat)
        found, scores = ensemble.join(predictions, known, settings=settings, repeat=repeat)
        fitted[f"repeat{repeat}"] = found.to_dict()
        for name in further:
            of_it = {branch: dimensions.of(table, name) for branch, table in predictions.items()}
            joint, more = ensemble.join(of_it, dimensions.of(known, name), settings=settings, repeat=repeat)
            of_dimensions.setdefault(f"repeat{repeat}", {})[name] = joint.to_dict()
            scores = scores.merge(more.rename(columns={"score": f"score_{name}"}), validate="one_to_one")
        joined.append(scores)
        controls.append(ensemble.with_other_prompts(found, predictions, shuffled, repeat=repeat))
        like, own, above = trusted(manifest, splits, known_by, repeat=repeat, settings=steps)
        distances.append(own)
        changes[f"repeat{repeat}"] = above
        familiarity.save(like, files.fresh(out / "familiarity" / f"repeat{repeat}.safetensors"))
        trivial.append(ensemble.of_copies(found, scored, repeat=repeat))
        shares = ", ".join(f"{b} {w:.2f}" for b, w in zip(found.branches, found.weights, strict=True))
        print(f"{dataset} repeat {repeat}: {shares}")
    tables.write_predictions(pd.concat(joined, ignore_index=True), out / "predictions.parquet")
    tables.write_predictions(pd.concat(distances, ignore_index=True), out / "distances.parquet")
    files.fresh(out / "change.json").write_text(json.dumps(changes, indent=2) + "\n", encoding="utf-8")
    tables.write_controls(pd.concat(controls, ignore_index=True), out / "controls.parquet")
    copies.write_scores(pd.concat(trivial, ignore_index=True), out / "copies.parquet")
    if further:
        text = json.dumps(of_dimensions, indent=2) + "\n"
        files.fresh(out / "dimensions.json").write_text(text, encoding="utf-8")
    files.fresh(out / "ensemble.json").write_text(json.dumps(fitted, indent=2) + "\n", encoding="utf-8")


@dataclass(frozen=True)
class Described:
    """Videos that have all features that a distance reads, and these."""

    place: dict[str, int]
    """Row by video_id."""
    sets: dict[str, Floats]
    steps: Floats
    """(video, step) between frames, see `change`."""
    trunk: str | None


def described(stores: Path, *, image: str, trunks: Sequence[str]) -> Described:
    """All videos by CLIP `image`, the handcrafted measures and the first of `trunks` that caches pooled
    features of single frames."""
    opened = {
        name: store.open(stores / f"{name}.zarr") for name in dict.fromkeys((image, "statistics", *trunks))
    }
    trunk = next((name for name in trunks if familiarity.usable(opened[name].fingerprint)), None)
    read = [opened[name] for name in (image, "statistics", trunk) if name is not None]
    held = [set(np.array(one.ids)[one.valid]) for one in read]
    ids = [str(video) for video in opened[image].ids if all(video in one for one in held)]
    sets, steps = [], []
    for start in range(0, len(ids), CHUNK):
        part = ids[start : start + CHUNK]

        def of(name: str, array: str, part: list[str] = part) -> np.ndarray[Any, Any]:
            return opened[name].read(array, opened[name].index(part))

        cls = of(image, "cls")
        steps.append(change.steps(cls))
        sets.append(
            familiarity.sets_of(
                cls=cls,
                statistics={group: of("statistics", group) for group in familiarity.ROOTS},
                pooled=None if trunk is None else of(trunk, familiarity.POOLED)[:, 0],  # the fixed view
            )
        )
    return Described(
        place={video: number for number, video in enumerate(ids)},
        sets={name: np.concatenate([part[name] for part in sets]) for name in sets[0]},
        steps=np.concatenate(steps),
        trunk=trunk,
    )


def trusted(
    manifest: pd.DataFrame,
    splits: pd.DataFrame,
    known_by: Described,
    *,
    repeat: int,
    settings: ChangeSettings,
) -> tuple[Familiarity, pd.DataFrame, float | None]:
    """What one repeat's training videos are like; the log distance of all its videos to them (rows of
    `tables.PREDICTIONS`, none where nothing can be told); the step above which a change is named."""
    group = dict(zip(manifest["video_id"], groups_of(manifest).tolist(), strict=True))
    rows = splits[(splits["repeat"] == repeat) & splits["video_id"].isin(known_by.place)]
    train, other = rows[rows["role"] == "train"], rows[rows["role"] != "train"]
    places, others = (
        part["video_id"].map(known_by.place).to_numpy(dtype=np.int64) for part in (train, other)
    )
    like, own = familiarity.fit(
        {name: columns[places] for name, columns in known_by.sets.items()},
        groups=train["video_id"].map(group).to_numpy(),
        trunk=known_by.trunk,
    )
    away = like.distance({name: columns[others] for name, columns in known_by.sets.items()})
    table = pd.concat(
        [
            train[["repeat", "video_id"]].assign(role="oof", score=own),
            other[["repeat", "video_id", "role"]].assign(score=away),
        ]
    )
    above = change.threshold(known_by.steps[places], settings)
    return like, table[table["score"].notna()], above


if __name__ == "__main__":
    stage.run(main)
