"""Do intervals hold what they say, everywhere on the scale? Many partings of a run's held-out predictions.

    python -m benchmarks.intervals [--run sample] [--splits 60]

All predictions of a run are of models that never saw the video. Of each repeat, prompts are parted at random
`--splits` times: three quarters calibrate map and interval, a quarter is tested. Prints one JSON object: for
`constant` (one width, single videos as units: as it was until 2026-11-30), `grouped` (one width, prompts as
units) and `normalised` the means of `coverage`, of `fifths` (coverage in each fifth of the tested videos by
score), of `width` (cut at the scale's ends) and of `winkler` (the interval score, lower is better).
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import yaml
from numpy.typing import NDArray

from msavqa.datasets import tables
from msavqa.datasets.splits import groups_of
from msavqa.evaluation import calibration

Floats = NDArray[np.float64]
COVERAGE, FIFTHS = 0.9, 5
KINDS = ("constant", "grouped", "normalised")


def main(argv: Sequence[str] | None = None) -> int:
    """Prints one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--run", default="sample")
    parser.add_argument("--splits", type=int, default=60)
    given = parser.parse_args(argv)
    data = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))
    low, high = (float(end) for end in data["datasets"][given.run]["mos_range"])
    manifest = tables.read_manifest(Path("data") / given.run / "manifest.parquet")
    out = Path("runs") / given.run / "ensemble"
    scores, distances = (
        tables.read_predictions(out / f"{name}.parquet") for name in ("predictions", "distances")
    )
    rows = scores.merge(
        distances.rename(columns={"score": "distance"})[["repeat", "video_id", "distance"]], how="left"
    ).merge(manifest[["video_id", "mos"]].assign(group=groups_of(manifest)), on="video_id")
    rows = rows[rows["mos"].notna()]
    told: dict[str, list[list[float]]] = {kind: [] for kind in KINDS}
    for _, one in rows.groupby("repeat"):
        for seed in range(given.splits):
            names = np.random.default_rng(seed).permutation(one["group"].unique())
            tested = one["group"].isin(names[: len(names) // 4]).to_numpy()
            for kind in KINDS:
                told[kind].append(judged(one[~tested], one[tested], kind=kind, mos_range=(low, high)))
    print(json.dumps({kind: mean(values) for kind, values in told.items()}))
    return 0


def judged(
    held: pd.DataFrame, tested: pd.DataFrame, *, kind: str, mos_range: tuple[float, float]
) -> list[float]:
    """Coverage, mean width, interval score and coverage by fifth of tested rows."""
    fitted = calibration.fit(
        map_score=held["score"], map_mos=held["mos"], interval_score=held["score"], interval_mos=held["mos"],
        interval_distance=held["distance"], interval_groups=None if kind == "constant" else held["group"],
        normalised_from=10 if kind == "normalised" else None, coverage=COVERAGE, mos_range=mos_range,
    )  # fmt: skip
    low, high = fitted.interval(tested["score"].to_numpy(), distance=tested["distance"].to_numpy())
    mos = tested["mos"].to_numpy()
    inside = (low <= mos) & (mos <= high)
    beyond = np.maximum(low - mos, 0) + np.maximum(mos - high, 0)
    order = np.array_split(np.argsort(tested["score"].to_numpy(), kind="stable"), FIFTHS)
    winkler = high - low + 2 / (1 - COVERAGE) * beyond
    fifths = [float(inside[part].mean()) for part in order]
    return [float(inside.mean()), float((high - low).mean()), float(winkler.mean()), *fifths]


def mean(values: Sequence[Sequence[float]]) -> dict[str, float | list[float]]:
    """By name, over partings."""
    coverage, width, winkler, *fifths = np.mean(values, axis=0).tolist()
    return {
        "coverage": round(coverage, 4),
        "fifths": [round(one, 3) for one in fifths],
        "width": round(width, 2),
        "winkler": round(winkler, 2),
    }


if __name__ == "__main__":
    raise SystemExit(main())
