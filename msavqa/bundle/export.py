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
from msavqa.bundle.reference import Reference
from msavqa.datasets import tables
from msavqa.evaluation import calibration
from msavqa.evaluation.calibration import CalibrationSettings
from msavqa.evaluation.ensemble import Ensemble
from msavqa.ground.errors import MsavqaError
from msavqa.machine import params
from msavqa.networks import weights
from msavqa.store import read as store
from msavqa.store.format import prompt_id

CLIP = ("clip_image", "clip_text")


def export(root: Path, dataset: str, data: Mapping[str, Any], *, repeat: int, out: Path) -> Bundle:
    """Makes the bundle of one repeat at `out`, from the folders under the project's root.

    `data` is the whole params file. Raises `MsavqaError` where the run is not there or has no such repeat.
    """
    runs, tabled = root / "runs" / dataset, root / "data" / dataset
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
    facts = {name: _json(runs / name / "settings.json") for name in ensemble.branches}
    manifest = tables.read_manifest(tabled / "manifest.parquet")
    predictions = tables.read_predictions(runs / "ensemble" / "predictions.parquet")
    low, high = (float(end) for end in _block(data, "datasets", dataset)["mos_range"])
    fitted_calibration = calibration.fit_predictions(
        predictions[predictions["repeat"] == repeat],
        manifest,
        settings=params.block(data, "calibration", CalibrationSettings),
        mos_range=(low, high),
    )
    splits = tables.read_splits(tabled / "splits.parquet")
    # CLIP's stores are read for the reference anyway; what else a branch reads is in its own facts.
    made_by: dict[str, Any] = {
        name: dict(store.open(root / "features" / dataset / f"{name}.zarr").fingerprint) for name in CLIP
    }
    for one in facts.values():
        made_by |= one["fingerprints"]
    used = sorted(made_by)
    trunks = {name: _placed(root, _block(data, "trunks", name)) for name in used}
    for name, settings in trunks.items():
        _refuse_another(name, settings, data["decode"], made_by=made_by[name])
    return bundle.write(
        out,
        dataset=dataset,
        frames=data["decode"]["frames"],
        box=data["decode"]["box"],
        trunks=trunks,
        branches=facts,
        fingerprints={name: made_by[name] for name in used},
        branch_weights={name: runs / name / "weights" / f"repeat{repeat}.safetensors" for name in facts},
        ensemble=ensemble,
        calibration=fitted_calibration,
        reference=reference(
            manifest, splits, repeat=repeat, features=root / "features" / dataset,
            branches={name: tables.read_predictions(runs / name / "predictions.parquet") for name in facts},
        ),
        card=card.render(
            dataset=dataset, data=data, repeat=repeat, manifest=manifest, splits=splits, ensemble=ensemble,
            calibration=fitted_calibration,
            figures=figures_of(root, dataset, reported=data["dataset"], manifest=manifest, splits=splits),
        ),
    )  # fmt: skip


def figures_of(
    root: Path, dataset: str, *, reported: str, manifest: pd.DataFrame, splits: pd.DataFrame
) -> dict[str, float]:
    """reports/metrics.json where it is of this dataset, else nothing; it is of params.yaml's `dataset`."""
    file = root / "reports" / "metrics.json"
    if reported != dataset or not file.is_file():
        return {}
    found = _json(file)
    counts = {"videos": len(manifest), "repeats": splits["repeat"].nunique()}
    return found if counts.items() <= found.items() else {}  # else of what params.yaml named before


def reference(
    manifest: pd.DataFrame,
    splits: pd.DataFrame,
    *,
    repeat: int,
    features: Path,
    branches: Mapping[str, pd.DataFrame],
) -> Reference:
    """What a repeat's training videos were like: branch scores, alignment, consistency, length and size."""
    train = splits[(splits["repeat"] == repeat) & (splits["role"] == "train")]
    rows = manifest[manifest["video_id"].isin(train["video_id"])]
    measures: dict[str, NDArray[np.float64]] = {}
    for name, table in branches.items():
        held_out = table[(table["repeat"] == repeat) & (table["role"] == "oof")]
        measures[name] = held_out["score"].to_numpy(dtype=np.float64)
    image = store.open(features / "clip_image.zarr")
    seen = rows[rows["video_id"].isin(np.array(image.ids)[image.valid])]
    frames = image.read("cls", image.index(list(seen["video_id"]))).astype(np.float64)
    if frames.shape[1] > 1:
        measures["consistency"] = np.sum(frames[:, 1:] * frames[:, :-1], axis=-1).mean(axis=1)
    prompted = (seen["prompt"] != "").to_numpy()
    if prompted.any():
        text = store.open(features / "clip_text.zarr")
        prompts = text.read(
            "cls", text.index([prompt_id(str(prompt)) for prompt in seen.loc[prompted, "prompt"]])
        )
        measures["alignment"] = np.einsum("vfd,vd->vf", frames[prompted], prompts).mean(axis=1)
    decoded = store.open(features / "frames.zarr").rows.set_index("id").loc[list(seen["video_id"])]
    measures["short_side"] = seen[["height", "width"]].min(axis=1).to_numpy(dtype=np.float64)
    measures["duration_seconds"] = (decoded["frame_count"] / decoded["fps"]).to_numpy(dtype=np.float64)
    return Reference.of(measures)


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


def _refuse_another(
    name: str, settings: Mapping[str, Any], decode: Mapping[str, Any], *, made_by: Mapping[str, Any]
) -> None:
    """Raises `MsavqaError` where params.yaml has changed since the run: such a bundle could not score."""
    now, made = dict(settings), {**made_by, **made_by.get("architecture", {})}
    if "weights_sha256" in made:
        now["weights_sha256"] = weights.sha256(settings["weights"])
    decoded = made_by.get("decoded", {})
    pairs = [(f"trunks.{name}.{key}", now[key], made[key]) for key in sorted(now.keys() & made.keys())]
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


def _placed(root: Path, settings: Mapping[str, Any]) -> dict[str, Any]:
    """A trunk's settings with its files as they lie under the root."""
    placed = dict(settings)
    if "weights" in placed:
        placed["weights"] = str(root / placed["weights"])
    if str(placed.get("model", "")).endswith(".json"):
        placed["model"] = str(root / placed["model"])
    return placed


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
