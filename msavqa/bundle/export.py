"""A finished run becomes a model bundle: one repeat's networks, branches, ensemble and calibration.

The reference (where a new value lies among the training videos') comes from out-of-fold predictions and the
cached CLIP embeddings of training rows: no network is run and no test row is read.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from msavqa.bundle import bundle, card
from msavqa.bundle.bundle import Bundle
from msavqa.bundle.contents import MEASURES
from msavqa.bundle.reference import Reference, of_branch
from msavqa.datasets import dimensions, tables
from msavqa.datasets.splits import groups_of
from msavqa.evaluation import calibration, familiarity, generator_error, prompt_pieces, verdict
from msavqa.evaluation.calibration import CalibrationSettings
from msavqa.evaluation.controls import ControlSettings
from msavqa.evaluation.ensemble import Ensemble
from msavqa.ground import params
from msavqa.ground.errors import MsavqaError
from msavqa.networks import weights
from msavqa.store import prompt_rows
from msavqa.store import read as store
from msavqa.store.read import Store

OF_A_BRANCH = ("settings", "shapes", "architectures")
"""What of a branch's settings.json scoring needs; fingerprints stand in the bundle once."""


def export(root: Path, dataset: str, data: Mapping[str, Any], *, repeat: int, out: Path) -> Bundle:
    """Makes the bundle of one repeat at `out`, from the folders under the project's root.

    `data` is the whole params file. Raises `MsavqaError` where the run is not there or has no such repeat.
    """
    runs, tabled, features = (root / folder / dataset for folder in ("runs", "data", "features"))
    fitted = _json(runs / "ensemble" / "ensemble.json")
    if f"repeat{repeat}" not in fitted:
        raise MsavqaError(
            what="Repeat",
            where=runs / "ensemble" / "ensemble.json",
            got=repeat,
            expected=", ".join(name.removeprefix("repeat") for name in fitted),
            next_step="choose one of these with --repeat",
        )
    ensemble = Ensemble(**fitted[f"repeat{repeat}"])
    trained = {name: runs / "branches" / name for name in ensemble.branches}
    facts = {name: _json(folder / "settings.json") for name, folder in trained.items()}
    manifest = tables.read_manifest(tabled / "manifest.parquet")
    predictions = tables.read_predictions(runs / "ensemble" / "predictions.parquet")
    low, high = (float(end) for end in _block(data, "datasets", dataset)["mos_range"])
    asked = params.block(data, "calibration", CalibrationSettings)
    distances = tables.read_predictions(runs / "ensemble" / "distances.parquet")
    own = distances[distances["repeat"] == repeat]
    fitted_calibration = calibration.fit_predictions(
        predictions[predictions["repeat"] == repeat],
        manifest,
        settings=asked,
        mos_range=(low, high),
        distances=dict(zip(own["video_id"], own["score"], strict=True)),
        groups=groups_of(manifest),
    )
    further = dimensions.further(manifest)
    joined = _json(runs / "ensemble" / "dimensions.json")[f"repeat{repeat}"] if further else {}
    of_dimensions = [
        (
            name,
            Ensemble(**joined[name]),
            calibration.fit_predictions(
                dimensions.of(predictions[predictions["repeat"] == repeat], name),
                dimensions.of(manifest, name),
                settings=asked,
                mos_range=(low, high),
                distances=dict(zip(own["video_id"], own["score"], strict=True)),
                groups=groups_of(manifest),
            ),
        )
        for name in further
    ]
    splits = tables.read_splits(tabled / "splits.parquet")
    controls = params.block(data, "controls", ControlSettings)
    clip = controls.text, controls.image
    # The handcrafted measures too: familiarity reads them, whatever the branches read.
    made_by: dict[str, Any] = {
        name: dict(store.open(features / f"{name}.zarr").fingerprint) for name in (*clip, MEASURES)
    }
    for one in facts.values():
        made_by |= one["fingerprints"]
    texts, trunks = _networks(data, made_by)
    files = {name: root / data["weights"] / f"{name}.safetensors" for name in (*texts, *trunks)}
    _refuse_another(data["decode"], texts, trunks, files, made_by=made_by)
    figures = figures_of(root / "reports" / dataset / "metrics.json", manifest=manifest, splits=splits)
    learned = verdict.trained_on(manifest, splits, weights=str(data["weights"]), fetch=data["fetch"])
    said = verdict.of({**learned, **figures})
    return bundle.write(
        out,
        dataset=dataset,
        frames=data["decode"]["frames"],
        box=data["decode"]["box"],
        texts={name: _placed(root, settings) for name, settings in texts.items()},
        trunks={name: _placed(root, settings) for name, settings in trunks.items()},
        weights=files,
        clip=clip,
        cosine_spread=cosine_spread(manifest, splits, repeat=repeat, features=features, clip=clip),
        branches={name: _of_a_branch(one) for name, one in facts.items()},
        branch_weights={
            name: folder / "weights" / f"repeat{repeat}.safetensors" for name, folder in trained.items()
        },
        fingerprints=made_by,
        ensemble=ensemble,
        calibration=fitted_calibration,
        reference=reference(
            manifest, splits, repeat=repeat, features=features, clip=clip,
            branches={
                name: tables.read_predictions(folder / "predictions.parquet")
                for name, folder in trained.items()
            },
        ),
        verdict=said,
        familiarity=(
            familiarity.load(runs / "ensemble" / "familiarity" / f"repeat{repeat}.safetensors"),
            asked.familiarity_bound,
        ),
        generator_error=generator_error.known(figures),
        change_threshold=_json(runs / "ensemble" / "change.json")[f"repeat{repeat}"],
        dimensions=of_dimensions,
        dimension=next(iter(dimensions.named(data, dataset)), None),
        card=card.render(
            verdict=said, dataset=dataset, data=data, repeat=repeat, manifest=manifest, splits=splits,
            ensemble=ensemble, calibration=fitted_calibration, figures=figures,
        ),
    )  # fmt: skip


def figures_of(file: Path, *, manifest: pd.DataFrame, splits: pd.DataFrame) -> dict[str, float]:
    """Figures of a data set's metrics.json, where it is of these videos and splits, else nothing."""
    said = _json(file) if file.is_file() else {}
    found = {name: value for name, value in said.items() if isinstance(value, int | float)}
    counts = {"videos": len(manifest), "repeats": splits["repeat"].nunique()}
    return found if counts.items() <= found.items() else {}


def cosine_spread(
    manifest: pd.DataFrame, splits: pd.DataFrame, *, repeat: int, features: Path, clip: tuple[str, str]
) -> float:
    """By which alignment joins the pieces of a long prompt, from a repeat's training videos."""
    text, image = (store.open(features / f"{name}.zarr") for name in clip)
    seen = _seen(manifest, splits, repeat=repeat, image=image)
    return _alignment(seen[seen["prompt"] != ""], text=text, image=image)[1]


def reference(
    manifest: pd.DataFrame,
    splits: pd.DataFrame,
    *,
    repeat: int,
    features: Path,
    clip: tuple[str, str],
    branches: Mapping[str, pd.DataFrame],
) -> Reference:
    """What a repeat's training videos were like: branch scores, alignment, consistency, length and size.

    `features` holds the stores of the data set, `clip` names those of its prompts' and frames' vectors.
    """
    text, image = (store.open(features / f"{name}.zarr") for name in clip)
    measures: dict[str, NDArray[np.float64]] = {}
    for name, table in branches.items():
        held_out = table[(table["repeat"] == repeat) & (table["role"] == "oof")]
        measures[of_branch(name)] = held_out["score"].to_numpy(dtype=np.float64)
    seen = _seen(manifest, splits, repeat=repeat, image=image)
    frames = image.read("cls", image.index(list(seen["video_id"]))).astype(np.float64)
    if frames.shape[1] > 1:
        measures["consistency"] = np.sum(frames[:, 1:] * frames[:, :-1], axis=-1).mean(axis=1)
    prompted = seen[seen["prompt"] != ""]
    if len(prompted):
        measures["alignment"] = _alignment(prompted, text=text, image=image)[0]
    measures["short_side"] = seen[["height", "width"]].min(axis=1).to_numpy(dtype=np.float64)
    measures["duration_seconds"] = seen["duration_seconds"].to_numpy(dtype=np.float64)
    return Reference.of(measures)


def _seen(manifest: pd.DataFrame, splits: pd.DataFrame, *, repeat: int, image: Store) -> pd.DataFrame:
    """Rows of a repeat's training videos of which the store holds frames' vectors."""
    train = splits[(splits["repeat"] == repeat) & (splits["role"] == "train")]
    rows = manifest[manifest["video_id"].isin(train["video_id"])]
    return rows[rows["video_id"].isin(np.array(image.ids)[image.valid])]


def _alignment(seen: pd.DataFrame, *, text: Store, image: Store) -> tuple[NDArray[np.float64], float]:
    """Alignment (video,) of videos with prompts, and the spread by which pieces of prompts were joined."""
    frames = image.read("cls", image.index(list(seen["video_id"]))).astype(np.float64)
    rows = prompt_rows.rows_of(text, [str(prompt) for prompt in seen["prompt"]])
    pieces, held = prompt_rows.vectors(text, "cls", rows), rows != prompt_rows.NO_PIECE
    spread = prompt_pieces.spread(pieces=pieces, held=held, frames=frames)
    joined = prompt_pieces.joined(
        pieces=pieces, held=held, frames=frames, sharpness=prompt_rows.sharpness(text), spread=spread
    )
    return np.einsum("vfd,vd->vf", frames, joined).mean(axis=1), spread


def _networks(
    data: Mapping[str, Any], made_by: Mapping[str, Mapping[str, Any]]
) -> tuple[dict[str, Mapping[str, Any]], dict[str, Mapping[str, Any]]]:
    """Blocks under `texts` and under `trunks` of all stores that were read, but the handcrafted measures'."""
    kinds = {name: made["kind"] for name, made in sorted(made_by.items()) if made["kind"] != "statistics"}
    texts = [name for name, kind in kinds.items() if kind == "clip_text"]
    return (
        {name: _block(data, "texts", name) for name in texts},
        {name: _block(data, "trunks", name) for name in kinds if name not in texts},
    )


def _refuse_another(
    decode: Mapping[str, Any],
    texts: Mapping[str, Mapping[str, Any]],
    trunks: Mapping[str, Mapping[str, Any]],
    files: Mapping[str, Path],
    *,
    made_by: Mapping[str, Mapping[str, Any]],
) -> None:
    """Raises `MsavqaError` where params.yaml has changed since the run: such a bundle could not score."""
    pairs = []
    for block, networks in (("texts", texts), ("trunks", trunks)):
        for name, settings in networks.items():
            now = {**settings, "weights_sha256": weights.sha256(files[name])}
            made = {**made_by[name], **made_by[name]["architecture"]}
            keys = sorted(now.keys() & made.keys())
            pairs += [(f"{block}.{name}.{key}", now[key], made[key]) for key in keys]
    for facts in made_by.values():
        decoded = facts.get("decoded", {})
        pairs += [(f"decode.{key}", decode[key], decoded[key]) for key in ("box", "frames") if key in decoded]
    for key, current, then in pairs:
        if current != then:
            raise MsavqaError(
                what="Settings of another run",
                where="params.yaml",
                got=f"{key} {current!r}",
                expected=f"{then!r}, as in the run",
                next_step="run `dvc repro` so that the run follows params.yaml, or put the setting back",
            )


def _block(data: Mapping[str, Any], name: str, entry: str) -> Mapping[str, Any]:
    found = (data.get(name) or {}).get(entry)
    if found is None:
        raise MsavqaError(
            what="Settings",
            where="params.yaml",
            got=f"no {name}.{entry}",
            expected="the block that the run was made with",
            next_step="put it back and run again",
        )
    return dict(found)


def _placed(root: Path, settings: Mapping[str, Any]) -> dict[str, Any]:
    """A network's settings with the file that its model may be as it lies under the root."""
    model = str(settings["model"])
    return {**settings, "model": str(root / model) if model.endswith(".json") else model}


def _of_a_branch(facts: Mapping[str, Any]) -> dict[str, Any]:
    """What scoring needs of its settings.json, and whether it was scored in more views than a bundle sees."""
    seen = {"test_views": "all"} if facts.get("train", {}).get("test_views") == "all" else {}
    return {key: facts[key] for key in OF_A_BRANCH} | seen


def _json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise MsavqaError(
            what="Trained run",
            where=path,
            got="no such file",
            expected="what `dvc repro` makes",
            next_step="run `dvc repro` first",
        )
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found
