"""Stage `controls DATASET`: predictors without pixels, without training, and without networks of ours."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from msavqa.datasets import tables
from msavqa.evaluation import controls, prompt_pieces
from msavqa.evaluation.controls import ControlSettings
from msavqa.ground import params, stage
from msavqa.ground.progress import track
from msavqa.store import prompt_rows
from msavqa.store import read as store

Floats = npt.NDArray[np.float64]


def main(argv: Sequence[str] | None = None) -> None:
    """Scores every repeat's rows by each control, as a branch's predictions are made."""
    (dataset,) = stage.coordinates(argv, "dataset", description=__doc__)
    settings = params.block(params.read(), "controls", ControlSettings)
    manifest = tables.read_manifest(Path("data") / dataset / "manifest.parquet")
    splits = tables.read_splits(Path("data") / dataset / "splits.parquet")
    rows, features, sharpness = usable(
        manifest, Path("features") / dataset, text=settings.text, image=settings.image
    )
    place = {video: number for number, video in enumerate(rows["video_id"])}

    def no_pixel(learned: pd.DataFrame, asked: pd.DataFrame) -> Floats:
        return controls.no_pixel(learned, asked, shrinkage=settings.shrinkage)

    def no_reference(learned: pd.DataFrame, asked: pd.DataFrame) -> Floats:
        return sharpness[asked["video_id"].map(place)]

    def clipsim(learned: pd.DataFrame, asked: pd.DataFrame) -> Floats:
        return features[asked["video_id"].map(place), controls.SCALARS.index("clipsim_mean")]

    def trees(learned: pd.DataFrame, asked: pd.DataFrame) -> Floats:
        known, wanted = features[learned["video_id"].map(place)], features[asked["video_id"].map(place)]
        return controls.trees(known, learned["mos"].to_numpy(), wanted, settings=settings)

    named = {"no_pixel": no_pixel, "no_reference": no_reference, "clipsim": clipsim, "trees": trees}
    facts = rows[["video_id", "prompt", "generator"]]
    todo = [
        (repeat, name, predict)
        for repeat in sorted(int(one) for one in splits["repeat"].unique())
        for name, predict in named.items()
    ]
    found = []
    for repeat, name, predict in track(todo, description="controls", total=len(todo), unit="controls"):
        known = tables.learning_labels(manifest, splits, repeat=repeat).merge(facts, on="video_id")
        tested = splits[(splits["repeat"] == repeat) & (splits["role"] == "test")].merge(facts, on="video_id")
        found.append(controls.predictions(known, tested, repeat=repeat, control=name, predict=predict))
    scores = pd.concat(found, ignore_index=True)
    tables.write_controls(scores, Path("runs") / dataset / "controls" / "predictions.parquet")
    print(f"{dataset}: {scores['control'].nunique()} controls on {len(rows)} videos")


def usable(
    manifest: pd.DataFrame, stores: Path, *, text: str, image: str
) -> tuple[pd.DataFrame, Floats, Floats]:
    """Videos of which the stores `image` and `statistics` hold a row, their features (video, feature), CLIP
    scalars first, and how sharp they look (video,), which is none of these features."""
    prompted, seen, measured = (store.open(stores / f"{name}.zarr") for name in (text, image, "statistics"))
    held = {row for one in (seen, measured) for row in np.array(one.ids)[~one.valid]}
    rows = manifest[manifest["video_id"].isin(set(seen.ids) & set(measured.ids) - held)]
    frames = seen.read("cls", seen.index(list(rows["video_id"])))
    at = prompt_rows.rows_of(prompted, list(rows["prompt"]))
    pieces, held = prompt_rows.vectors(prompted, "cls", at), at != prompt_rows.NO_PIECE
    prompts = prompt_pieces.joined(
        pieces=pieces,
        held=held,
        frames=frames,
        sharpness=prompt_rows.sharpness(prompted),
        spread=prompt_pieces.spread(pieces=pieces, held=held, frames=frames),
    )
    scalars = controls.clip_scalars(text=prompts, frames=frames)
    places = measured.index(list(rows["video_id"]))
    statistics = [measured.read(group, places) for group in ("spatial", "temporal", "change")]
    sharpness = measured.read("no_reference", places)[:, 0].astype(np.float64)
    return rows, np.concatenate([scalars, *statistics], axis=1), sharpness


if __name__ == "__main__":
    stage.run(main)
