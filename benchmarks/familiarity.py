"""Does a score say when it does not know? Shares of videos that a bundle calls unlike its training videos.

    python -m benchmarks.familiarity [--model runs/sample/bundle] [--test runs/sample/ensemble] \\
        [--videos NAME=FOLDER ...] [--copies FOLDER] [--each 60] [--seed 0] [--scale]

Prints one JSON object: kind -> `videos` and the shares at 1% and 5% of the training videos. `false_alarms`
are the test videos of the first repeat, as the stage `ensemble` left them. Each `--videos` are all readable
files of a folder, as they are and `<name>_96`: shrunk to 96 x 96 pixels and encoded again. Of `--each` random
files of `--copies` it makes stills (first frame, by an encoder at crf 18 and at crf 1), and, of their size,
black, flat (a random colour) and noise. `--scale` tells instead how large the arrays are and how long a video
takes for 10,000 training videos of the sample's and of the paper's widths.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from PIL import Image

from data.sample import mp4
from msavqa.bundle import bundle
from msavqa.evaluation import familiarity
from msavqa.evaluation.familiarity import Familiarity
from msavqa.frames import decode
from msavqa.ground import progress
from msavqa.ground.errors import MsavqaError
from msavqa.score import likeness
from msavqa.score.perception import Perception

Pictures = NDArray[np.uint8]
FPS, CRF, SIDE, FRAMES = 8, 18.0, 96, 16
BOUNDS = {"at_1_percent": 0.01, "at_5_percent": 0.05}
WIDTHS = {"sample": (128, 72, 160), "paper": (512, 72, 768)}


def main(argv: Sequence[str] | None = None) -> int:
    """Prints one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", type=Path, default=Path("runs/sample/bundle"))
    parser.add_argument("--test", type=Path, default=None)
    parser.add_argument("--videos", action="append", default=[], metavar="NAME=FOLDER")
    parser.add_argument("--copies", type=Path, default=None)
    parser.add_argument("--each", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--scale", action="store_true")
    given = parser.parse_args(argv)
    if given.scale:
        print(json.dumps({name: scale(widths) for name, widths in WIDTHS.items()}))
        return 0
    found = bundle.load(given.model)
    told: dict[str, dict[str, float]] = {
        "bundle": {"rows": found.familiarity.rows if found.familiarity else 0}
    }
    if given.test is not None and found.familiarity is not None:
        table = pd.read_parquet(given.test / "distances.parquet")
        tested = table[(table["repeat"] == 0) & (table["role"] == "test")]
        told["false_alarms"] = shares(found.familiarity.share(tested["score"].to_numpy()))
    kinds: dict[str, list[float]] = {}
    torch.set_num_threads(1)
    perception = Perception.load(found, device="cpu")
    for kind, frames in made(found.frames, found.box, given):
        with torch.inference_mode():
            share = likeness.of(found, perception.see(frames, video_id=""))[1]
        kinds.setdefault(kind, []).append(float("nan") if share is None else share)
    print(json.dumps(told | {kind: shares(np.array(values)) for kind, values in kinds.items()}))
    return 0


def shares(found: NDArray[np.float64]) -> dict[str, float]:
    """`videos`, and the share of them at or below each bound."""
    return {"videos": len(found)} | {
        name: round(float(np.mean(found <= bound)), 4) for name, bound in BOUNDS.items()
    }


def made(frames: int, box: int | None, given: argparse.Namespace) -> Iterator[tuple[str, Pictures]]:
    """Kind and sampled frames of every video that is asked about."""

    def read(path: Path, *, box: int | None) -> Pictures:
        return decode.decode(path, frames=frames, box=box, backend="pyav").frames

    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "copy.mp4"

        def copied(pictures: Pictures, crf: float = CRF) -> Pictures:
            even = pictures[:, : pictures.shape[1] // 2 * 2, : pictures.shape[2] // 2 * 2]
            copy.write_bytes(mp4.encode(np.ascontiguousarray(even), fps=FPS, crf=crf))
            return read(copy, box=box)

        for asked in given.videos:
            name, _, place = str(asked).partition("=")
            files = sorted(path for path in Path(place).iterdir() if path.is_file())
            for path in progress.track(files, description=name, total=len(files), unit="videos"):
                try:
                    whole = read(path, box=None)
                    yield name, read(path, box=box)
                except MsavqaError:
                    continue
                yield f"{name}_{SIDE}", copied(small(whole))
        if given.copies is None:
            return
        files = sorted(path for path in given.copies.rglob("*") if path.suffix in (".mp4", ".gif"))
        random = np.random.default_rng(given.seed)
        chosen = [files[place] for place in random.permutation(len(files))[: given.each]]
        for path in progress.track(chosen, description="copies", total=len(chosen), unit="videos"):
            own = read(path, box=box)
            still = np.repeat(own[:1], FRAMES, axis=0)
            noise = random.integers(0, 256, still.shape, dtype=np.uint8)
            colour = random.integers(0, 256, 3, dtype=np.uint8)
            yield "still", copied(still)
            yield "still_crf1", copied(still, crf=1.0)
            yield "black", copied(np.zeros_like(still))
            yield "flat", copied(np.broadcast_to(colour, still.shape).astype(np.uint8))
            yield "noise", copied(noise)


def small(frames: Pictures) -> Pictures:
    """The frames as squares of `SIDE` pixels."""
    return np.stack([np.asarray(Image.fromarray(frame).resize((SIDE, SIDE))) for frame in frames])


def scale(widths: tuple[int, int, int], *, rows: int = 10_000) -> dict[str, float]:
    """Megabytes of the arrays and median CPU milliseconds of one video's share, of random training videos."""
    random = np.random.default_rng(0)
    sets = {
        name: random.normal(size=(rows, width))
        for name, width in zip(("clip", "statistics", "trunk"), widths, strict=True)
    }
    block = familiarity.joined_block(sets)
    own = np.sort(block.log_distance(sets))
    like = Familiarity(rows=rows, trunk="frame", blocks=(block,), distances=own)
    asked = {name: columns[:1] for name, columns in sets.items()}
    spent = []
    for _ in range(51):
        start = time.process_time()
        like.share(like.distance(asked))
        spent.append(time.process_time() - start)
    with tempfile.TemporaryDirectory() as folder:
        familiarity.save(like, Path(folder) / "it")
        size = (Path(folder) / "it").stat().st_size
    return {"megabytes": round(size / 1e6, 2), "milliseconds": round(1e3 * float(np.median(spent)), 3)}


if __name__ == "__main__":
    raise SystemExit(main())
