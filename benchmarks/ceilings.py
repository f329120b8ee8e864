"""How reliable people's ratings of real sets are, and what SRCC they leave within reach.

    python -m benchmarks.ceilings FOLDER [--resamples 500] [--seed 0]

FOLDER holds real ratings: `fetv/ratings.csv` (three raters, three aspects) and `videobench/*.json` (four
people, nine dimensions, a 0 is missing); what is not there is left out. Said of each dimension: videos,
missing ratings, how many raters ITU-R BT.500's screening leaves out, split-half reliability stepped up to the
whole panel with its 95% interval (prompts are drawn), the same from the spread of each video's ratings alone,
and the noise ceiling. Prints JSON.
"""

import argparse
import csv
import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from msavqa.datasets import raters
from msavqa.evaluation import metrics, reliability

Floats = NDArray[np.float64]


def main(argv: Sequence[str] | None = None) -> None:
    """Measures every dimension that is there."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--resamples", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args(argv)
    found = {
        name: measured(ratings, prompts, resamples=asked.resamples, seed=asked.seed)
        for name, ratings, prompts in sets(asked.folder)
    }
    print(json.dumps(found, indent=2))


def measured(ratings: Floats, prompts: Sequence[str], *, resamples: int, seed: int) -> dict[str, object]:
    """All figures of one dimension's ratings, (video, rater)."""
    value = reliability.split_half(ratings=ratings)
    drawn = [
        reliability.split_half(ratings=ratings[rows])
        for rows in metrics.draws(len(ratings), prompts, resamples=resamples, seed=seed)
    ]
    known = np.isfinite(ratings)
    two = known.sum(axis=1) > 1
    error = np.nanvar(ratings[two], axis=1, ddof=1) / known[two].sum(axis=1)
    spread = 1 - np.mean(error) / np.var(np.nanmean(ratings[two], axis=1), ddof=1)
    return {
        "videos": len(ratings),
        "missing": int((~known).sum()),
        "left_out": int(raters.screen(ratings=ratings).left_out.sum()),
        "reliability": round(value, 3),
        "interval": [round(end, 3) for end in metrics.percentiles(drawn, 0.95)],
        "from_spread": round(float(spread), 3),
        "ceiling": round(reliability.best_srcc(reliability=value), 3),
    }


def sets(folder: Path) -> Iterator[tuple[str, Floats, list[str]]]:
    """Name, ratings (video, rater) and prompts of each dimension."""
    if (file := folder / "fetv" / "ratings.csv").is_file():
        with file.open(encoding="utf-8", newline="") as stream:
            rows = list(csv.DictReader(stream))
        for aspect in ("static_quality", "temporal_quality", "alignment"):
            given = [[float(row[f"{aspect}_r{rater}"]) for rater in range(3)] for row in rows]
            yield f"fetv/{aspect}", np.array(given), [row["prompt"] for row in rows]
    for file in sorted((folder / "videobench").glob("*.json")):
        entries = json.loads(file.read_text(encoding="utf-8"))
        listed = [(entry["prompt_en"], one) for entry in entries for one in entry["human_anno"].values()]
        given = [[float(value) or math.nan for value in one] for _, one in listed]
        yield f"videobench/{file.stem}", np.array(given), [prompt for prompt, _ in listed]


if __name__ == "__main__":
    main()
