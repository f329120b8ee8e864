"""What does a video gain that is looked at in several views at test time? By trained branches.

    python -m benchmarks.views [--run sample] [--views 5] [--repeat 0] [--branch video ...] [--videos N]

A branch's trunk is run once more over the test videos' stored frames in `--views` views: the fixed one, and
crops, flips and starts as training draws them. The trained branch scores each view; scores are averaged over
the first 1, 2, ... of them. Prints one JSON object, by branch: `srcc` (list, by number of views averaged),
`sd_of_views` (of one video's scores over its views, in standard deviations of all scores), `seen` (share of
a square picture's pixels in the crop) and `cpu_s` (CPU seconds a video and view of the trunk). Trunks with
cut `pooled` alone.
"""

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import yaml

from msavqa.evaluation import metrics
from msavqa.learning import fit, folds, saved
from msavqa.learning.folds import FINAL, Job
from msavqa.store import read as store
from msavqa.trunks.run import named
from msavqa.trunks.run.network import Video

CHUNK = 16
"""Videos whose views are in memory at once."""


def main(argv: Sequence[str] | None = None) -> int:
    """Prints one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--run", default="sample")
    parser.add_argument("--views", type=int, default=5)
    parser.add_argument("--repeat", type=int, default=0)
    parser.add_argument("--branch", nargs="+", help="all of them if not given")
    parser.add_argument("--videos", type=int, help="all test videos if not given")
    given = parser.parse_args(argv)
    data = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))
    found = {}
    for name in given.branch or list(data["branches"]):
        scores, facts = looked_at(
            data, given.run, name, views=given.views, repeat=given.repeat, videos=given.videos
        )
        found[name] = figures(scores) | facts
        print(f"{name}: {found[name]}", file=sys.stderr, flush=True)
    print(json.dumps({"views": given.views, "repeat": given.repeat, "branches": found}))
    return 0


def looked_at(
    data: Mapping[str, Any], run: str, name: str, *, views: int, repeat: int, videos: int | None
) -> tuple[pd.DataFrame, dict[str, float]]:
    """Test videos (video_id, mos) with a column of the branch's scores for each view, from 0; and `seen`,
    `cpu_s`."""
    work = folds.work_of(data, run, name, kept=Path(), live=None)
    opened = folds.open_work(work)
    rows = opened.asked(Job(repeat, FINAL))
    rows = rows[rows["role"] == "test"].merge(work.manifest[["video_id", "mos"]], on="video_id").dropna()
    rows = rows[["video_id", "mos"]].head(videos or len(rows))
    model = opened.model()
    saved.load(model, Path("runs") / run / "branches" / name / "weights" / f"repeat{repeat}.safetensors")
    trunk = work.settings.reads.trunk
    block = data["trunks"][trunk]
    if block["cut"] != "pooled":
        sys.exit(f"trunks.{trunk}.cut: got {block['cut']!r}, expected 'pooled'")
    kind: Any = named.module(block["kind"])
    settings = kind.TrunkSettings.model_validate({**block, "views": views})
    weights = Path(data["weights"]) / f"{trunk}.safetensors"
    network = kind.load(settings, weights=weights, device="cpu", batch=64)
    frames = store.open(Path("features") / run / "frames.zarr")
    ids, scores, seconds = list(rows["video_id"]), [], 0.0
    for start in range(0, len(ids), CHUNK):
        part = ids[start : start + CHUNK]
        shown = list(read(frames, part))
        began = time.process_time()
        seen = network(shown)["pooled"].astype(block["dtype"])
        seconds += time.process_time() - began
        batch = opened.inputs.batch(opened.inputs.index(part))
        with fit.asking(model, inputs=opened.inputs, settings=work.train):
            outputs = [model({**batch, "features": torch.from_numpy(seen[:, view])}) for view in range(views)]
        scores.append(np.stack([one.score.double().numpy() for one in outputs], axis=1))
    share = {"seen": (settings.crop / settings.resize) ** 2, "cpu_s": seconds / len(ids) / views}
    found = pd.DataFrame(np.concatenate(scores), columns=list(range(views)))
    return pd.concat([rows.reset_index(drop=True), found], axis=1), {
        key: round(value, 4) for key, value in share.items()
    }


def figures(scores: pd.DataFrame) -> dict[str, Any]:
    """SRCC by the number of views averaged, and how far a video's views differ."""
    found = scores.drop(columns=["video_id", "mos"]).to_numpy()
    counts = np.arange(1, found.shape[1] + 1)
    means, mos = np.cumsum(found, axis=1) / counts, scores["mos"].to_numpy()
    return {
        "srcc": [round(metrics.srcc(score=mean, mos=mos), 4) for mean in means.T],
        "sd_of_views": round(float(found.std(axis=1).mean() / found[:, 0].std()), 4),
    }


def read(frames: store.Store, ids: Sequence[str]) -> list[Video]:
    """Stored frames without their padding."""
    found = []
    for row, video in zip(frames.index(list(ids)).tolist(), ids, strict=True):
        height, width = (int(frames.rows[side].iloc[row]) for side in ("height", "width"))
        found.append(Video(video, frames.read("frames", [row])[0, :, :height, :width]))
    return found


if __name__ == "__main__":
    raise SystemExit(main())
