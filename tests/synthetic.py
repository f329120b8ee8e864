"""A finished project made of synthetic predictions: all that the report reads, without a network."""

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from msavqa.datasets import copies, tables
from msavqa.evaluation import familiarity
from msavqa.evaluation.change import ChangeSettings
from msavqa.store import shards
from msavqa.store.format import prompt_id
from msavqa.store.prompt_rows import piece_id
from msavqa.store.read import ArraySpec
from msavqa.store.shards import RowResult, ShardResult
from pipeline import ensemble

DATASET = "made"
GENERATORS = ("alpha", "beta", "gamma")
HOSTILE = "<script>alert(1)</script> & \"two\" 'quotes' {{ 7 * 7 }}"
FRAMES, SIDE = 8, 24
MEASURES = ("spatial", "temporal", "change", "no_reference")
WEIGHTS = {"frame": 0.5, "segment": 0.3, "video": 0.2}
BRANCH: dict[str, Any] = {"reads": {"trunk": "clip_image"}}
PARAMS: dict[str, Any] = {
    "train_on": [DATASET],
    "pretrain_on": [],
    "weights": "weights",
    "fetch": {},
    "datasets": {DATASET: {"reader": "csv", "mos_range": [0, 100]}},
    "branches": {name: BRANCH for name in WEIGHTS},
    "controls": {
        "text": "clip_text", "image": "clip_image", "trees": 10, "min_leaf": 2, "features": 0.5, "seed": 0,
        "shrinkage": 0.0,
    },
    "ensemble": {"branches": "all", "shrinkage": 0.25, "seed": 0},
    "calibration": {
        "coverage": 0.9, "interval_roles": ["val"], "interval": "constant", "interval_rows": 10,
        "familiarity_bound": 0.01, "change": {"percentile": 97, "rank": 3},
    },
    "report": {"bootstrap": {"resamples": 200, "seed": 0}, "films": 2, "frames": 6},
}  # fmt: skip


def params_of(branches: Mapping[str, float]) -> dict[str, Any]:
    """params.yaml, as far as it is read here, of a run with these branches."""
    return {**PARAMS, "branches": {name: BRANCH for name in branches}}


def project(
    root: Path, *, videos: int = 240, repeats: int = 2, seed: int = 0, branches: Mapping[str, float] = WEIGHTS
) -> Path:
    """Writes params.yaml, data/, runs/ and features/ of one dataset under `root` and returns it.

    `branches` maps their names to their weights in the ensemble. Videos come three to a prompt, one a
    generator; two more cannot be read or decoded. The first prompt is hostile. Frames are plain colours that
    jump in the middle.
    """
    random = np.random.default_rng(seed)
    manifest = manifest_of(videos, random)
    usable = manifest[manifest["status"] == "ok"].head(videos)
    quality = usable["quality_true"].to_numpy()
    data = params_of(branches)
    (root / "params.yaml").write_text(yaml.safe_dump(data, sort_keys=False), encoding="utf-8")
    tables.write_manifest(manifest, root / "data" / DATASET / "manifest.parquet")
    splits, predicted = [], dict[str, list[pd.DataFrame]]()
    for repeat in range(repeats):
        roles = _roles(usable["prompt"], random)
        folds = np.where(roles == "train", np.arange(len(roles)) // 3 % 3, -1)
        ids = usable["video_id"].to_numpy()
        splits.append(pd.DataFrame({"repeat": repeat, "video_id": ids, "role": roles, "fold": folds}))
        noises = {name: 14 + 4 * place for place, name in enumerate(branches)}
        for name, noise in {**noises, "trees": 20, "no_pixel": 60}.items():
            score = quality + random.normal(0, noise, len(quality))
            rows = {"repeat": repeat, "video_id": ids, "role": np.where(roles == "train", "oof", roles)}
            predicted.setdefault(name, []).append(pd.DataFrame(rows | {"score": score}))
    tables.write_splits(pd.concat(splits, ignore_index=True), root / "data" / DATASET / "splits.parquet")
    runs = root / "runs" / DATASET
    joined = {name: pd.concat(parts, ignore_index=True) for name, parts in predicted.items()}
    for name in branches:
        tables.write_predictions(joined[name], runs / "branches" / name / "predictions.parquet")
        facts = json.dumps({"fingerprints": {name: {"made": name, "<b>": {"nested": 1}}}, "quarantined": []})
        (runs / "branches" / name / "settings.json").write_text(facts, encoding="utf-8")
        tested = joined[name][joined[name]["role"] == "test"].reset_index(drop=True)
        other = tested.assign(score=tested["score"].to_numpy()[::-1])
        tables.write_predictions(other, runs / "examined" / name / "shuffled.parquet")
        copies.write_scores(trivial(tested), runs / "examined" / name / "copies.parquet")
        looks = pd.Series([_look(FRAMES // 2)] * len(tested), index=tested.index)
        looked = tested[["repeat", "video_id"]].assign(attention=looks)
        tables.write_attention(looked, runs / "examined" / name / "attention.parquet")
    controls = pd.concat([joined[name].assign(control=name) for name in ("no_pixel", "trees")])
    tables.write_controls(controls.reset_index(drop=True), runs / "controls" / "predictions.parquet")
    tables.write_controls(controls.head(0), runs / "ensemble" / "controls.parquet")
    total = sum(
        weight / (1 + np.exp(-(joined[name]["score"] - 50) / 25)) for name, weight in branches.items()
    )
    tables.write_predictions(joined["trees"].assign(score=total), runs / "ensemble" / "predictions.parquet")
    weights = {"branches": list(branches), "weights": list(branches.values())}
    text = json.dumps({f"repeat{number}": weights for number in range(repeats)})
    (runs / "ensemble" / "ensemble.json").write_text(text, encoding="utf-8")
    tested = joined["trees"].assign(score=total)
    copies.write_scores(trivial(tested[tested["role"] == "test"]), runs / "ensemble" / "copies.parquet")
    write_stores(root / "features" / DATASET, manifest, random)
    write_trust(root, manifest, pd.concat(splits, ignore_index=True))
    return root


def write_trust(root: Path, manifest: pd.DataFrame, splits: pd.DataFrame) -> None:
    """What the stage `ensemble` says of the training videos."""
    out = root / "runs" / DATASET / "ensemble"
    known_by = ensemble.described(root / "features" / DATASET, image="clip_image", trunks=[])
    settings = ChangeSettings.model_validate(PARAMS["calibration"]["change"])
    own, above = [], {}
    (out / "familiarity").mkdir()
    for repeat in range(splits["repeat"].nunique()):
        like, table, step = ensemble.trusted(manifest, splits, known_by, repeat=repeat, settings=settings)
        familiarity.save(like, out / "familiarity" / f"repeat{repeat}.safetensors")
        own.append(table)
        above[f"repeat{repeat}"] = step
    tables.write_predictions(pd.concat(own, ignore_index=True), out / "distances.parquet")
    (out / "change.json").write_text(json.dumps(above), encoding="utf-8")


def trivial(tested: pd.DataFrame) -> pd.DataFrame:
    """Stills that score higher than their originals in half, black that scores below all, praise as ever."""
    moved = {"still": (1, 0.1), "black": (1, -1.0), "backwards": (0, 0.0), copies.PRAISE: (0, 0.01)}
    parts = []
    for kind, (learned, change) in moved.items():
        signs = np.where(np.arange(len(tested)) % 2, 1, -1) if kind == "still" else 1
        score = tested["score"].to_numpy() + change * signs
        parts.append(tested.assign(kind=kind, learned=learned, score=score))
    return pd.concat(parts, ignore_index=True)


def manifest_of(videos: int, random: np.random.Generator) -> pd.DataFrame:
    """A manifest of `videos` good rows, then one that cannot be read and one that cannot be decoded."""
    count = videos + 2
    quality = random.uniform(5, 95, count)
    prompts = [f"a scene of kind {number // 3}" for number in range(count)]
    prompts[:3] = [HOSTILE] * 3
    return pd.DataFrame(
        {
            "video_id": [f"v{number:04d}.mp4" for number in range(count)],
            "path": [f"v{number:04d}.mp4" for number in range(count)],
            "prompt": prompts,
            "mos": np.clip(quality + random.normal(0, 4, count), 0, 100),
            "mos_se": np.full(count, 4.0),
            "generator": [GENERATORS[number % 3] for number in range(count)],
            "group": "",
            "given_split": "",
            "weight": 1.0,
            "quality_true": quality,
            "sha256": [hashlib.sha256(str(number).encode()).hexdigest() for number in range(count)],
            "size_bytes": 1000,
            "container": "mp4",
            "codec": "h264",
            "fps": 8.0,
            "frame_count": 16,
            "width": SIDE,
            "height": SIDE,
            "duration_seconds": 2.0,
            "rotation_degrees": 0,
            "status": ["ok"] * videos + ["unreadable", "ok"],
            "error": [""] * videos + ["holds <b>no</b> video", ""],
        }
    )


def write_stores(folder: Path, manifest: pd.DataFrame, random: np.random.Generator) -> None:
    """frames.zarr, statistics.zarr, clip_image.zarr and clip_text.zarr, and `other_` of CLIP's two; the last
    row fails to decode."""
    ids, sha256s = manifest["video_id"].tolist(), manifest["sha256"].tolist()
    colours = random.integers(40, 215, size=(len(ids), 2, 3), dtype=np.uint8)

    def decode(rows: Sequence[int]) -> ShardResult:
        frames = np.repeat(colours[list(rows)], FRAMES // 2, axis=1)[:, :, None, None, :]
        times = np.tile(np.arange(FRAMES) / 4, (len(rows), 1))
        extra = {"height": SIDE, "width": SIDE, "fps": 8.0, "frame_count": 16}
        status = [
            RowResult(error="every packet is damaged", extra=extra)
            if row == len(ids) - 1
            else RowResult(frames=FRAMES, decoder="made", extra=extra)
            for row in rows
        ]
        pixels = np.broadcast_to(frames, (len(rows), FRAMES, SIDE, SIDE, 3)).copy()
        return ShardResult(arrays={"frames": pixels, "times_seconds": times}, rows=status)

    def embed(rows: Sequence[int]) -> ShardResult:
        cls = np.repeat(colours[list(rows)].astype(np.float32), FRAMES // 2, axis=1)
        return ShardResult(
            arrays={"cls": cls / np.linalg.norm(cls, axis=-1, keepdims=True)},
            rows=[RowResult(frames=FRAMES, decoder="made") for _ in rows],
        )

    def read(rows: Sequence[int]) -> ShardResult:
        results = []
        for row in rows:
            number = 2 if row == len(prompts) else 1  # of the first prompt, the last row
            prompt = row if number == 1 else 0
            facts = {"piece": number, "pieces": 2 if prompt == 0 else 1, "truncated": prompt == 0}
            facts |= {"prompt": prompts[prompt], "unknown_script": prompt == 1}
            results.append(RowResult(extra=facts))
        return ShardResult(arrays={"cls": np.ones((len(rows), 3), np.float32)}, rows=results)

    def measure(rows: Sequence[int]) -> ShardResult:
        near = manifest["quality_true"].to_numpy()[list(rows), None]
        noise = np.random.default_rng(rows[0]).normal(0, 20, (len(rows), 4))
        arrays = {name: (near + noise[:, [place]]).astype(np.float32) for place, name in enumerate(MEASURES)}
        return ShardResult(arrays=arrays, rows=[RowResult(frames=FRAMES, decoder="made") for _ in rows])

    prompts = sorted(set(manifest["prompt"]))
    keys = [*map(prompt_id, prompts), piece_id(prompts[0], 2)]
    axes = ("video", "frame")
    frame_specs = [
        ArraySpec("frames", (*axes, "height", "width", "channel"), (FRAMES, SIDE, SIDE, 3), "uint8", True),
        ArraySpec("times_seconds", axes, (FRAMES,), "float64", False),
    ]
    text_specs = [ArraySpec("cls", ("prompt", "dim"), (3,), "float32", False)]
    clip_specs = [ArraySpec("cls", (*axes, "dim"), (FRAMES, 3), "float32", False)]
    measure_specs = [ArraySpec(name, ("video", "statistic"), (1,), "float32", False) for name in MEASURES]
    stores: list[tuple[str, list[ArraySpec], Any]] = [
        ("frames", frame_specs, decode),
        ("clip_image", clip_specs, embed),
        ("other_image", clip_specs, lambda rows: _turned(embed(rows))),
        ("clip_text", text_specs, read),
        ("other_text", text_specs, lambda rows: _turned(read(rows))),
        ("statistics", measure_specs, measure),
    ]
    for name, specs, compute in stores:
        of_prompts = name.endswith("text")
        shards.write(
            folder / f"{name}.zarr", ids=keys if of_prompts else ids, sha256s=keys if of_prompts else sha256s,
            specs=specs, fingerprint={"made": name}, attributes={}, compute=compute, shard_mb=8,
            staging_root=folder.parent / ".staging",
        )  # fmt: skip


def _turned(found: ShardResult) -> ShardResult:
    """As another CLIP would say it, that weighs the first number otherwise and reads longer prompts."""
    rows = [
        dataclasses.replace(row, extra={**row.extra, "truncated": False}) if "truncated" in row.extra else row
        for row in found.rows
    ]
    return ShardResult(arrays={"cls": found.arrays["cls"] * np.float32([0.25, 1, 1])}, rows=rows)


def _look(place: int) -> list[float]:
    """Attention that stays on one frame."""
    return [0.65 if number == place else 0.05 for number in range(FRAMES)]


def _roles(prompts: pd.Series, random: np.random.Generator) -> np.ndarray:
    """A quarter of the prompts in test, a tenth in val, the rest in train."""
    names = prompts.unique()
    drawn = dict(zip(names, random.permutation(len(names)) / len(names), strict=True))
    place = prompts.map(drawn).to_numpy()
    return np.where(place < 0.25, "test", np.where(place < 0.4, "val", "train"))
