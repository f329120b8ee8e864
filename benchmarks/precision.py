"""What bfloat16 costs in features and in test SRCC: trained branches read both, nothing is trained again.

    python -m benchmarks.precision [--repeat 0] [--device cpu]

Run in a project whose pipeline has finished (the sample world after `make repro`), it reads params.yaml,
features/ and runs/. Every network of `texts` and `trunks` runs over the test videos in float32 and in
bfloat16; the precision that the project has already is taken from its stores.
`rms` is the root mean square of a trunk's bf16 differences over that of its fp32 features, `max` the largest
difference over the same. Then the finished branches score the test videos from both, and the finished
ensemble joins them: `srcc_fp32`, `srcc_bf16`, and `score_rms`, what a score moved in standard deviations of
the fp32 scores. `srcc_run` is that of runs/<data set>/branches/<branch>/predictions.parquet, to compare with.
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

from msavqa.evaluation import metrics
from msavqa.evaluation.ensemble import Ensemble
from msavqa.frames import read as frames
from msavqa.frames.read import DecodeSettings
from msavqa.ground import params
from msavqa.learning import branch, fit, folds, saved
from msavqa.learning.train_settings import TrainSettings
from msavqa.machine import device as devices
from msavqa.store import read as store
from msavqa.store import shards
from msavqa.trunks.kinds import clip_text
from msavqa.trunks.measures import statistics
from msavqa.trunks.run import named, prompts, videos
from msavqa.trunks.run.feature_rows import ExtractSettings
from msavqa.trunks.run.network import Trunk

PRECISIONS = ("fp32", "bf16")


def main(argv: Sequence[str] | None = None) -> int:
    """Prints one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--repeat", type=int, default=0)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    given = parser.parse_args(argv)
    devices.keep_freed()  # as the stages do
    data = params.read()
    dataset = params.dataset_of(None)
    manifest = pd.read_parquet(Path("data") / dataset / "manifest.parquet")
    splits = pd.read_parquet(Path("data") / dataset / "splits.parquet")
    tested = splits[(splits["repeat"] == given.repeat) & (splits["role"] == "test")]
    rows = manifest[manifest["video_id"].isin(tested["video_id"]) & manifest["mos"].notna()]
    found: dict[str, Any] = {"videos": len(rows), "trunks": {}, "branches": {}}
    with tempfile.TemporaryDirectory(prefix="precision-") as folder:
        places = {precision: Path(folder) / precision for precision in PRECISIONS}
        for name in (*data["texts"], *data["trunks"], statistics.NAME):
            found["trunks"] |= run_both(data, name, rows, places, device=given.device)
        scores = {
            precision: score(data, rows, tested, place, repeat=given.repeat)
            for precision, place in places.items()
        }
    mos = rows["mos"].to_numpy()
    for name in scores["fp32"]:
        kept = pd.read_parquet(Path("runs") / dataset / "branches" / name / "predictions.parquet")
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
    """One network over the videos in both precisions, stored in both places; how far they are apart."""
    taken = {}
    for precision, place in places.items():
        started = time.perf_counter()
        trunk = trunk_of(data, name, list(rows["prompt"]), precision=precision)
        if not link_finished(data, name, trunk, place):
            store_rows(data, name, trunk, rows, place, device=device)
            taken[f"{precision}_s"] = round(time.perf_counter() - started, 1)
    if name == statistics.NAME:
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


def trunk_of(data: dict[str, Any], name: str, asked: Sequence[str], *, precision: str) -> Trunk:
    """A network of the project in that precision, or the handcrafted measures, which have only one."""
    place, other = named.weights(data, name), {"precision": precision}
    if name == statistics.NAME:
        return statistics.trunk()
    if name in data["texts"]:
        text = params.block(data, f"texts.{name}", clip_text.TextSettings).model_copy(update=other)
        return Trunk.of(clip_text, text, weights=place, tokens=clip_text.room(text, asked))
    kind, settings = named.trunk(data, name)
    frames_each = data["decode"]["frames"]
    return Trunk.of(kind, settings.model_copy(update=other), weights=place, frames=frames_each)


def link_finished(data: dict[str, Any], name: str, trunk: Trunk, place: Path) -> bool:
    """Takes the project's own store, which holds all videos, where the network has made it."""
    finished = Path("features") / params.dataset_of(None) / f"{name}.zarr"
    found = dict(store.open(finished).fingerprint)
    found.pop("decoded", None)
    if found != json.loads(json.dumps(dict(trunk.fingerprint))):
        return False
    place.mkdir(parents=True, exist_ok=True)
    (place / finished.name).symlink_to(finished.resolve())
    return True


def store_rows(
    data: dict[str, Any], name: str, trunk: Trunk, rows: pd.DataFrame, place: Path, *, device: str
) -> None:
    """A network's store of these videos only, or of their prompts."""
    how: Any = params.block(data, "extract", ExtractSettings).model_copy(update={"device": device})
    path, shard_mb, staging = place / f"{name}.zarr", data["store"]["shard_mb"], place / "staging"
    if name in data["texts"]:
        read = clip_text.reader(params.block(data, f"texts.{name}", clip_text.TextSettings))
        pieces = prompts.pieces(list(rows["prompt"]), read=read)
        prompts.run(
            path, trunk=trunk, pieces=pieces, extract=how, shard_mb=shard_mb, staging_root=staging
        )  # fmt: skip
        return
    dataset = params.dataset_of(None)
    whole = store.open(Path("features") / dataset / "frames.zarr")
    at = whole.index(list(rows["video_id"]))
    root = Path(data["datasets"][dataset]["root"])
    paths = {video: root / file for video, file in zip(rows["video_id"], rows["path"], strict=True)}
    decode = params.block(data, "decode", DecodeSettings)
    with frames.source(whole, settings=decode, paths=paths) as read_frames:
        compute = videos.VideoRows(trunk=trunk, frames=whole, read_frames=read_frames, extract=how)
        shards.write(
            path,
            ids=list(rows["video_id"]),
            sha256s=list(rows["sha256"]),
            specs=trunk.specs,
            fingerprint=trunk.fingerprint,
            attributes=trunk.attributes,
            compute=lambda wanted: compute(at[list(wanted)].tolist()),
            shard_mb=shard_mb,
            staging_root=staging,
        )


def score(
    data: dict[str, Any], rows: pd.DataFrame, tested: pd.DataFrame, features: Path, *, repeat: int
) -> dict[str, npt.NDArray[np.float64]]:
    """Scores (video,), in the order of the rows, of every finished branch and of the ensemble."""
    runs = Path("runs") / params.dataset_of(None)
    fitted = json.loads((runs / "ensemble" / "ensemble.json").read_text(encoding="utf-8"))
    ensemble = Ensemble(**fitted[f"repeat{repeat}"])
    found: dict[str, npt.NDArray[np.float64]] = {}
    for name in ensemble.branches:
        facts = json.loads((runs / "branches" / name / "settings.json").read_text(encoding="utf-8"))
        train = TrainSettings.model_validate(facts["train"])
        opened = folds.open_work(
            folds.Work(
                branch=name,
                settings=branch.settings_of(facts["kind"]).model_validate(facts["settings"]),
                train=on_the_cpu(train),
                manifest=rows,
                splits=tested,
                features=features,
                weights=Path(data["weights"]),
                start=None,
                kept=None,
                live=None,
            )
        )
        network = opened.model()
        saved.load(network, runs / "branches" / name / "weights" / f"repeat{repeat}.safetensors")
        videos = opened.inputs.index(list(rows["video_id"]))
        found[name] = fit.predict(network, inputs=opened.inputs, videos=videos, settings=train)
    return found | {"ensemble": ensemble.combine(found)}


def on_the_cpu(train: TrainSettings) -> TrainSettings:
    """The same settings on the CPU: what is compared is the features."""
    return train.model_copy(update={"device": "cpu"})


if __name__ == "__main__":
    raise SystemExit(main())
