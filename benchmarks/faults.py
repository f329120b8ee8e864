"""From which quality on a further fault lowers the score: spoilt copies of the sample world's test videos.

    python -m benchmarks.faults [--model runs/sample/bundle] [--videos 60] [--seed 0]

Random test videos of the first split and, of each, copies by the project's own H.264 encoder: `same` (the
same frames once more), Gaussian blurs of 1.5, 2 and 3 pixels, `recoloured` (the channels of the second half
turned), `replaced` (the second half of another video), and the own file with another video's `prompt`. It
prints the share of copies that score below the original file, for all videos and by the original's score.
"""

import argparse
import json
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from data.sample import mp4
from msavqa.ground import progress
from msavqa.score import scorer as score
from msavqa.score.scorer import Scorer

Pictures = NDArray[np.uint8]
Spoil = Callable[[Pictures, Pictures], Pictures]
DATA, VIDEOS = Path("data/sample"), Path("data/sample/videos/t2v")
FPS, CRF = 8, 18.0
BANDS = {"all": (0.0, 100.0), "below_30": (0.0, 30.0), "30_to_50": (30.0, 50.0), "from_50": (50.0, 100.0)}


def blur(pixels: float) -> Spoil:
    """A Gaussian blur of so many pixels, of every frame."""

    def spoil(frames: Pictures, other: Pictures) -> Pictures:
        soft = gaussian_filter(frames.astype(np.float32), (0, pixels, pixels, 0))
        return np.asarray(soft.round(), dtype=np.uint8)

    return spoil


def recolour(frames: Pictures, other: Pictures) -> Pictures:
    """Other colours from the middle on."""
    half = len(frames) // 2
    return np.concatenate([frames[:half], frames[half:, ..., [2, 0, 1]]])


def replace(frames: Pictures, other: Pictures) -> Pictures:
    """Another video from the middle on."""
    half = min(len(frames) // 2, len(other))
    return np.concatenate([frames[:-half], other[-half:]])


SPOILS: dict[str, Spoil] = {
    "same": lambda frames, other: frames,
    "blur_1.5": blur(1.5),
    "blur_2": blur(2.0),
    "blur_3": blur(3.0),
    "recoloured": recolour,
    "replaced": replace,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Prints one JSON object: fault -> band -> share of videos that it lowers."""
    given = arguments(argv, description=__doc__)
    rows = pd.read_parquet(DATA / "manifest.parquet").set_index("video_id")
    chosen = rows.loc[tested().sample(given.videos, random_state=given.seed)]
    with score.load(given.model) as scorer:
        found = scores(scorer, chosen)
    print(json.dumps({"videos": bands(found["own"]), **shares(found)}))
    return 0


def arguments(argv: Sequence[str] | None, *, description: str | None) -> argparse.Namespace:
    """`model`, `videos` and `seed`."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", type=Path, default=Path("runs/sample/bundle"))
    parser.add_argument("--videos", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args(argv)


def tested() -> pd.Series:
    """video_id of the test rows of the first split."""
    splits = pd.read_parquet(DATA / "splits.parquet")
    return splits.loc[(splits["repeat"] == 0) & (splits["role"] == "test"), "video_id"]


def scores(scorer: Scorer, rows: pd.DataFrame) -> dict[str, NDArray[np.float64]]:
    """`own`, each spoilt copy's and `prompt`'s scores, (video,) each."""
    found: dict[str, list[float]] = {name: [] for name in ("own", *SPOILS, "prompt")}
    others = np.roll(np.arange(len(rows)), 7)  # as good as any other
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "copy.mp4"
        pairs = enumerate(zip(rows.index, rows["prompt"], strict=True))
        for place, (video, prompt) in progress.track(
            pairs, description="faults", total=len(rows), unit="videos"
        ):
            other = rows.iloc[others[place]]
            own, another = VIDEOS / str(video), VIDEOS / str(other.name)
            frames = mp4.decode(own)
            found["own"].append(scorer.score(own, prompt).score)
            found["prompt"].append(scorer.score(own, other["prompt"]).score)
            for name, spoil in SPOILS.items():
                copy.write_bytes(mp4.encode(spoil(frames, mp4.decode(another)), fps=FPS, crf=CRF))
                found[name].append(scorer.score(copy, prompt).score)
    return {name: np.array(values) for name, values in found.items()}


def shares(found: dict[str, NDArray[np.float64]]) -> dict[str, dict[str, float]]:
    """For every fault the share of videos that it lowers, by band of the original's score."""
    own = found["own"]
    return {
        name: {
            band: round(float(np.mean((values < own)[inside])), 3)
            for band, (low, high) in BANDS.items()
            if (inside := (own >= low) & (own <= high)).any()
        }
        for name, values in found.items()
        if name != "own"
    }


def bands(own: NDArray[np.float64]) -> dict[str, int]:
    """How many videos are in each band."""
    return {band: int(((own >= low) & (own <= high)).sum()) for band, (low, high) in BANDS.items()}


if __name__ == "__main__":
    raise SystemExit(main())
