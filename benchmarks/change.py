"""Is a named moment of change a change? Precision and recall on the sample world's truth, which knows them.

    python -m benchmarks.change [--run sample] [--splits 0]

Prints one JSON object: of the run's test videos, with the run's own threshold, and (`before`) as it was named
until 2026-11-30, by the largest step above 0.02: `named` (count), `precision` (share of named videos that
change), `recall` (share of videos that change that are named), `false_alarms` (share of the others),
`start_exact` (share of rightly named whose frame is the one at which the change starts). With `--splits N`
also the means over N random partings by prompt, a quarter of them tested.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import yaml
from numpy.typing import NDArray

from benchmarks.true_faults import recordings
from data.sample.film import Recording
from msavqa.evaluation import change
from msavqa.evaluation.change import SAME, ChangeSettings
from msavqa.store import read as store

Floats = NDArray[np.float64]


def main(argv: Sequence[str] | None = None) -> int:
    """Prints one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--run", default="sample")
    parser.add_argument("--splits", type=int, default=0)
    given = parser.parse_args(argv)
    rows = pd.read_parquet(f"data/{given.run}/splits.parquet")
    role = rows[rows["repeat"] == 0].set_index("video_id")["role"]
    clip = store.open(Path("features") / given.run / "clip_image.zarr")
    videos = [str(video) for video in role.index]
    steps = change.steps(clip.read("cls", clip.index(videos)))
    start = np.array([start_of(one) for one in recordings_of(videos)])
    tested = (role == "test").to_numpy()
    above = json.loads(Path(f"runs/{given.run}/ensemble/change.json").read_text(encoding="utf-8"))["repeat0"]
    told = {
        "threshold": above,
        "now": figures([named(row, above) for row in steps[tested]], start[tested]),
        "before": figures([largest(row) for row in steps[tested]], start[tested]),
    }
    if given.splits:
        settings = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))["calibration"]["change"]
        prompts = np.array([video.split("_")[0] for video in videos])
        told["splits"] = parted(steps, start, prompts, ChangeSettings(**settings), splits=given.splits)
    print(json.dumps(told))
    return 0


def recordings_of(videos: Sequence[str]) -> list[Recording]:
    """The sample world's recording of each video."""
    planned = recordings()
    return [planned[video] for video in videos]


def start_of(recording: Recording) -> int:
    """The frame (all are sampled) at which the scene changes first, -1 where it never does."""
    return min((one.start for one in recording.take.changes), default=-1)


def named(steps: Floats, above: float) -> int:
    """The frame that is named, -1: none."""
    found = change.first(np.append(0.0, steps), threshold=above)
    return -1 if found is None else found


def largest(steps: Floats) -> int:
    """The frame that was named before there was a threshold."""
    return int(np.argmax(steps)) + 1 if steps.max() > SAME else -1


def figures(found: Sequence[int], start: NDArray[np.int64]) -> dict[str, float]:
    """See the module."""
    place = np.array(found)
    says, true = place >= 0, start >= 0
    return {
        "videos": len(place),
        "named": int(says.sum()),
        "precision": round(float((says & true).sum() / max(1, says.sum())), 3),
        "recall": round(float((says & true).sum() / max(1, true.sum())), 3),
        "false_alarms": round(float((says & ~true).sum() / max(1, (~true).sum())), 3),
        "start_exact": round(float((place == start)[says & true].mean()), 3) if (says & true).any() else 0.0,
    }


def parted(
    steps: Floats,
    start: NDArray[np.int64],
    prompts: NDArray[np.str_],
    settings: ChangeSettings,
    *,
    splits: int,
) -> dict[str, float]:
    """Means over random partings by prompt."""
    names, told = np.unique(prompts), []
    for seed in range(splits):
        tested = np.isin(prompts, np.random.default_rng(seed).permutation(names)[: len(names) // 4])
        above = change.threshold(steps[~tested], settings)
        assert above is not None
        told.append(figures([named(row, above) for row in steps[tested]], start[tested]))
    return {name: round(float(np.mean([one[name] for one in told])), 3) for name in told[0]}


if __name__ == "__main__":
    raise SystemExit(main())
