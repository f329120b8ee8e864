"""What would a trivial video score? Spoilt copies of a run's test videos, as files, beside their originals.

    python -m benchmarks.fooled [--dataset sample] [--model runs/sample/bundle] [--videos 60] [--seed 0]

Random test videos of the first split, of any data set that has a run. Each is written anew without loss
(`same`) and spoilt in every way of `msavqa.frames.spoil`. `still_first` is its first frame, all the time,
`still_crf1` and `still_crf18` are that behind H.264. Frames that show nothing are made in its size. Its own
file is asked with another test video's prompt, and with words of praise behind its own. All go through the
bundle's scorer. It prints for every kind: the share that scores above the original, the mean change and its
mean size on the scale of MOS, mean and highest percentile among the training videos' scores out of fold, and
how many, and of words of praise the share `within_a_third` of the half width of the video's own interval; and
`half_width`, of the interval on average.
"""

import argparse
import json
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np
import pandas as pd

from data.sample import mp4
from msavqa.datasets import copies, tables
from msavqa.datasets.copies import FOREIGN, PRAISE, CopySettings
from msavqa.frames.spoil import EMPTY, SPOILT, Pixels
from msavqa.ground import params, progress
from msavqa.ground.errors import MsavqaError
from msavqa.score import scorer as score
from msavqa.score.scorer import Scorer

FPS = 8
STILLS = {"still_crf1": 1.0, "still_crf18": 18.0}


def main(argv: Sequence[str] | None = None) -> int:
    """Prints one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--dataset", default=None, help="of params.yaml's train_on; else its first")
    parser.add_argument("--model", type=Path, default=None, help="else runs/<dataset>/bundle")
    parser.add_argument("--videos", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(argv)
    dataset = params.dataset_of(given.dataset)
    rows, files, known = tested(dataset)
    rows = rows.sample(min(given.videos, len(rows)), random_state=given.seed)
    words = params.block(params.read(), "copies", CopySettings).praise_left_out
    with score.load(given.model or Path("runs") / dataset / "bundle") as scorer:
        found = scores(scorer, rows, files, words=words, seed=given.seed)
        half_width = scorer.bundle.calibration.half_width
    print(json.dumps({"half_width": round(half_width, 2), "videos": len(rows), **shares(found, known)}))
    return 0


def tested(dataset: str) -> tuple[pd.DataFrame, dict[str, Path], np.ndarray]:
    """Test rows of the first split, every video's file, and training rows' sorted raw scores, out of fold."""
    folder = Path("data") / dataset
    manifest = tables.read_manifest(folder / "manifest.parquet")
    splits = tables.read_splits(folder / "splits.parquet")
    here = splits[(splits["repeat"] == 0) & (splits["role"] == "test")]
    root = Path(params.read()["datasets"][dataset]["root"])
    predictions = tables.read_predictions(Path("runs") / dataset / "ensemble" / "predictions.parquet")
    held_out = predictions[(predictions["repeat"] == 0) & (predictions["role"] == "oof")]
    rows = manifest[manifest["video_id"].isin(here["video_id"]) & (manifest["status"] == "ok")]
    return rows, tables.files_of(manifest, root=root), np.sort(held_out["score"].to_numpy())


def spoilt(frames: Pixels, other: Pixels, *, random: np.random.Generator) -> Iterator[tuple[str, Pixels]]:
    """Every kind with its frames, to be written without loss."""
    yield "same", frames
    yield "still_first", np.repeat(frames[:1], len(frames), axis=0)
    for kind, spoil in SPOILT.items():
        yield kind, spoil(frames=frames, other=other, random=random)
    for kind, make in EMPTY.items():
        count, height, width = frames.shape[:3]
        yield kind, make(frames=count, height=height, width=width, random=random)


def scores(
    scorer: Scorer, rows: pd.DataFrame, files: dict[str, Path], *, words: Sequence[str], seed: int
) -> pd.DataFrame:
    """A row per video and kind: `kind`; `own`, `own_raw` and `half`, half the interval's width, of the
    original; `score` and `raw`."""
    found: list[dict[str, Any]] = []
    videos = rows.to_dict("records")
    with tempfile.TemporaryDirectory() as folder:
        shown = progress.track(enumerate(videos), description="fooled", total=len(videos), unit="videos")
        for place, row in shown:
            random = np.random.default_rng([seed, place])
            path, prompt = files[row["video_id"]], row["prompt"]
            others = [one for one in videos if one["prompt"] != prompt] or videos
            other = others[int(random.integers(len(others)))]
            own = scorer.score(path, prompt)
            frames = even(mp4.decode(path))

            def add(kind: str, file: Path, asked: str, own: Any = own) -> None:
                try:
                    told = scorer.score(file, asked)
                except MsavqaError as error:
                    raise SystemExit(f"{kind}: {error}") from None
                both = {"score": told.score, "raw": told.raw, "own": own.score, "own_raw": own.raw}
                found.append({"kind": kind, **both, "half": (own.high - own.low) / 2})

            for kind, pixels in spoilt(frames, even(mp4.decode(files[other["video_id"]])), random=random):
                lossless(Path(folder) / "copy.mkv", pixels)
                add(kind, Path(folder) / "copy.mkv", prompt)
            for kind, crf in STILLS.items():
                still = np.repeat(frames[:1], len(frames), axis=0)
                (Path(folder) / "copy.mp4").write_bytes(mp4.encode(still, fps=FPS, crf=crf))
                add(kind, Path(folder) / "copy.mp4", prompt)
            add(FOREIGN, path, other["prompt"])
            add(PRAISE, path, copies.praised(prompt, words))
    return pd.DataFrame(found)


def shares(found: pd.DataFrame, known: np.ndarray) -> dict[str, dict[str, float]]:
    """Kind -> what the docstring of this file says, `known` being the training videos' sorted raw scores."""
    told = {}
    for kind, rows in found.groupby("kind", sort=False):
        change = rows["score"] - rows["own"]
        place = 100 * np.searchsorted(known, rows["raw"]) / max(1, len(known))
        told[str(kind)] = {
            "above": round(float((rows["raw"] > rows["own_raw"]).mean()), 3),
            "change": round(float(change.mean()), 2),
            "moved": round(float(change.abs().mean()), 2),
            "percentile": round(float(place.mean()), 2),
            "highest_percentile": round(float(place.max()), 2),
            "videos": len(rows),
        }
        if kind == PRAISE:
            within = (change.abs() < rows["half"] / 3).mean()
            told[str(kind)]["within_a_third"] = round(float(within), 3)
    return told


def even(frames: Pixels) -> Pixels:
    """Without the last row or column of an odd size, which 4:2:0 does not take."""
    return frames[:, : frames.shape[1] // 2 * 2, : frames.shape[2] // 2 * 2]


def lossless(path: Path, frames: Pixels) -> None:
    """Writes frames as FFV1 in RGB: what is read back are the same pixels."""
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("ffv1", rate=FPS)
        stream.pix_fmt, stream.height, stream.width = "bgr0", *frames.shape[1:3]
        for one in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(one, format="rgb24")))
        container.mux(stream.encode())


if __name__ == "__main__":
    raise SystemExit(main())
