"""What bfloat16 costs in features and in test SRCC: trained branches read both, nothing is trained again.

    python -m benchmarks.precision [--repeat 0] [--device cpu]

Run in a project whose pipeline has finished (the sample world after `make repro`), it reads params.yaml,
features/ and runs/. Every network of `trunks` runs over the test videos in float32 and in bfloat16; the
precision that the project has already is taken from its stores.
`rms` is the root mean square of a trunk's bf16 differences over that of its fp32 features, `max` the largest
difference over the same. Then the finished branches score the test videos from both, and the finished
ensemble joins them: `srcc_fp32`, `srcc_bf16`, and `score_rms`, what a score moved in standard deviations of
the fp32 scores. `srcc_run` is that of runs/<dataset>/<branch>/predictions.parquet, to compare with.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from msavqa.datasets import tables
from msavqa.evaluation import metrics
from msavqa.evaluation.ensemble import Ensemble
from msavqa.frames import read as frames
from msavqa.frames.read import DecodeSettings
from msavqa.learning import branch, fit, folds
from msavqa.learning.fit import TrainSettings
from msavqa.machine import params
from msavqa.store import read as store
from msavqa.store import shards
from msavqa.trunks.run import extract, feature_rows
from msavqa.trunks.run.feature_rows import ExtractSettings

PRECISIONS = ("fp32", "bf16")


def main(argv: Sequence[str] | None = None) -> int:
    """Prints one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--repeat", type=int, default=0)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    given = parser.parse_args(argv)
    data = params.read()
    dataset = data["dataset"]
    manifest = tables.read_manifest(Path("data") / dataset / "manifest.parquet")
    splits = tables.read_splits(Path("data") / dataset / "splits.parquet")
    tested = splits[(splits["repeat"] == given.repeat) & (splits["role"] == "test")]
    rows = manifest[manifest["video_id"].isin(tested["video_id"]) & manifest["mos"].notna()]
    found: dict[str, Any] = {"videos": len(rows), "trunks": {}, "branches": {}}
    with tempfile.TemporaryDirectory(prefix="precision-") as folder:
        places = {precision: Path(folder) / precision for precision in PRECISIONS}
        for name in data["trunks"]:
            found["trunks"] |= run_both(data, name, rows, places, device=given.device)
        scores = {
            precision: score(data, rows, tested, place, repeat=given.repeat)
            for precision, place in places.items()
        }
    mos = rows["mos"].to_numpy()
    for name in scores["fp32"]:
        kept = tables.read_predictions(Path("runs") / dataset / name / "predictions.parquet")
        ran = kept[kept["repeat"] == given.repeat].set_index("video_id").loc[list(rows["video_id"]), "score"]
        exact, rough = (scores[precision][name] for precision in PRECISIONS)
        found["branches"][name] = {
            "srcc_run": round(metrics.srcc(score=ran, mos=mos), 4),
            "srcc_fp32": round(metrics.srcc(score=exact, mos=mos), 4),
            "srcc_bf16": round(metrics.srcc(score=rough, mos=mos), 4),
            "score_rms": round(float(np.sqrt(np.mean((rough - exact) ** 2)) / exact.std()), 5),
        }
    print(json.dumps(found | {"device": given.device}))
    return 0


def run_both(
    data: dict[str, Any], name: str, rows: pd.DataFrame, places: dict[str, Path], *, device: str
) -> dict[str, dict[str, float]]:
    """One trunk over the videos in both precisions, stored in both places; how far they are apart."""
    settings = feature_rows.settings_of(data, name)
    taken = {}
    for precision, place in places.items():
        other = {"precision": precision} if hasattr(settings, "precision") else {}
        started = time.perf_counter()
        if not link_finished(data, name, settings.model_copy(update=other), place):
            store_rows(data, name, settings.model_copy(update=other), rows, place, device=device)
            taken[f"{precision}_s"] = round(time.perf_counter() - started, 1)
    if not hasattr(settings, "precision"):
        return {}
    opened = {precision: store.open(place / f"{name}.zarr") for precision, place in places.items()}
    ids = min((one.ids for one in opened.values()), key=len)
    apart = {}
    for array in [one for one, spec in opened["fp32"].specs.items() if spec.dtype.startswith("float")]:
        exact, rough = (one.read(array, one.index(ids)).astype(np.float32) for one in opened.values())
        difference, size = rough - exact, float(np.sqrt(np.mean(exact**2)))
        apart[f"{name}.{array}"] = {
            "rms": round(float(np.sqrt(np.mean(difference**2))) / size, 5),
            "max": round(float(np.abs(difference).max()) / size, 4),
            **taken,
        }
    return apart


def link_finished(data: dict[str, Any], name: str, settings: Any, place: Path) -> bool:
    """Takes the project's own store, which holds all videos, where these settings have made it."""
    finished = Path("features") / data["dataset"] / f"{name}.zarr"
    found = dict(store.open(finished).fingerprint)
    found.pop("decoded", None)
    if found != json.loads(json.dumps(feature_rows.trunk(settings.kind).fingerprint(settings))):
        return False
    place.mkdir(parents=True, exist_ok=True)
    (place / finished.name).symlink_to(finished.resolve())
    return True


def store_rows(
    data: dict[str, Any], name: str, settings: Any, rows: pd.DataFrame, place: Path, *, device: str
) -> None:
    """A trunk's store of these videos only, or of their prompts."""
    how: Any = params.block(data, "extract", ExtractSettings).model_copy(update={"device": device})
    path, shard_mb, staging = place / f"{name}.zarr", data["store"]["shard_mb"], place / "staging"
    trunk: Any = feature_rows.trunk(settings.kind)
    if trunk.AXIS == "prompt":
        extract.prompts(
            path, settings=settings, prompts=list(rows["prompt"]), extract=how, shard_mb=shard_mb,
            staging_root=staging,
        )  # fmt: skip
        return
    dataset = data["dataset"]
    whole = store.open(Path("features") / dataset / "frames.zarr")
    at = whole.index(list(rows["video_id"]))
    root = Path(data["datasets"][dataset]["root"])
    paths = {video: root / file for video, file in zip(rows["video_id"], rows["path"], strict=True)}
    decode = params.block(data, "decode", DecodeSettings)
    specs = trunk.specs(settings, frames=whole.specs["times_seconds"].shape[0])
    with frames.source(whole, settings=decode, paths=paths) as read_frames:
        compute = feature_rows.VideoRows(
            settings=settings, specs=specs, frames=whole, read_frames=read_frames, extract=how
        )
        shards.write(
            path,
            ids=list(rows["video_id"]),
            sha256s=list(rows["sha256"]),
            specs=specs,
            fingerprint=trunk.fingerprint(settings),
            attributes=trunk.attributes(settings),
            compute=lambda wanted: compute(at[list(wanted)].tolist()),
            shard_mb=shard_mb,
            staging_root=staging,
        )


def score(
    data: dict[str, Any], rows: pd.DataFrame, tested: pd.DataFrame, features: Path, *, repeat: int
) -> dict[str, npt.NDArray[np.float64]]:
    """Scores (video,), in the order of the rows, of every finished branch and of the ensemble."""
    runs = Path("runs") / data["dataset"]
    fitted = json.loads((runs / "ensemble" / "ensemble.json").read_text(encoding="utf-8"))
    ensemble = Ensemble(**fitted[f"repeat{repeat}"])
    found: dict[str, npt.NDArray[np.float64]] = {}
    for name in ensemble.branches:
        facts = json.loads((runs / name / "settings.json").read_text(encoding="utf-8"))
        train = TrainSettings.model_validate(facts["train"])
        opened = folds.open_work(
            folds.Work(
                branch=name,
                settings=branch.branch(name).BranchSettings.model_validate(facts["settings"]),
                train=on_the_cpu(train),
                manifest=rows,
                splits=tested,
                features=features,
                weights=folds.weights_of(data["trunks"]),
                start=None,
                checkpoints=None,
                live=None,
            )
        )
        network = opened.model()
        branch.load(network, runs / name / "weights" / f"repeat{repeat}.safetensors")
        videos = opened.inputs.index(list(rows["video_id"]))
        found[name] = fit.predict(network, inputs=opened.inputs, videos=videos, settings=train)
    return found | {"ensemble": ensemble.combine(found)}


def on_the_cpu(train: TrainSettings) -> TrainSettings:
    """The same settings on the CPU: what is compared is the features."""
    return train.model_copy(update={"device": "cpu"})


if __name__ == "__main__":
    raise SystemExit(main())
