"""Trivial videos of kinds that nothing in `msavqa` makes: what a score, or its warning, says of them.

    python -m benchmarks.odd_videos [--dataset sample] [--model runs/sample/bundle] [--videos 20] [--seed 0]

Random test videos of the first split. `OF_VIDEO` is made of a video's frames, `OF_NOTHING` in its size. All
pass the bundle as frames, with the video's own prompt; `same` are the video's own frames. It prints for every
kind: the share that scores above the original, mean and highest percentile among the training videos' scores
out of fold, the share that is called unlike the training videos, and the share that deceives: above the
original, and not called unlike. `half_frozen`, `looped` and `mirrored` are hardly worse in a calm video.
"""

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw

from benchmarks.fooled import tested
from msavqa.frames.spoil import Pixels
from msavqa.ground import params, progress
from msavqa.score import scorer as score
from msavqa.score.scorer import Scorer

Make = Callable[[Pixels, np.random.Generator], Pixels]


def clipped(values: np.ndarray) -> Pixels:
    """Any numbers as uint8."""
    return np.asarray(values.round().clip(0, 255), dtype=np.uint8)


def still(frames: Pixels) -> Pixels:
    """The first frame all the time."""
    return np.repeat(frames[:1], len(frames), axis=0)


def salted(frames: Pixels, random: np.random.Generator) -> Pixels:
    """Salt and pepper over a still, other in every frame."""
    found = still(frames).copy()
    drawn = random.uniform(size=found.shape[:3])
    found[drawn < 0.03], found[drawn > 0.97] = 0, 255
    return found


def grained(frames: Pixels, random: np.random.Generator) -> Pixels:
    """Grain over a still, other in every frame."""
    return clipped(still(frames) + random.normal(0, 6, size=frames.shape))


def zoomed(frames: Pixels, random: np.random.Generator) -> Pixels:
    """A slow zoom into a still."""
    height, width = frames.shape[1:3]
    first, found = Image.fromarray(frames[0]), []
    for number in range(len(frames)):
        cut = 0.2 * number / max(1, len(frames) - 1) / 2
        box = (cut * width, cut * height, (1 - cut) * width, (1 - cut) * height)
        found.append(np.asarray(first.resize((width, height), Image.Resampling.BILINEAR, box=box)))
    return np.stack(found)


def panned(frames: Pixels, random: np.random.Generator) -> Pixels:
    """A slow pan over a still."""
    height, width = frames.shape[1:3]
    first, found = Image.fromarray(frames[0]), []
    for number in range(len(frames)):
        left = 0.2 * width * number / max(1, len(frames) - 1)
        box = (left, 0.1 * height, left + 0.8 * width, 0.9 * height)
        found.append(np.asarray(first.resize((width, height), Image.Resampling.BILINEAR, box=box)))
    return np.stack(found)


def shaken(frames: Pixels, random: np.random.Generator) -> Pixels:
    """A still that jumps by a pixel or two."""
    moves = random.integers(-2, 3, size=(len(frames), 2))
    return np.stack([np.roll(frames[0], tuple(move), axis=(0, 1)) for move in moves])


def pulsing(frames: Pixels, random: np.random.Generator) -> Pixels:
    """A still that slowly grows darker and lighter."""
    light = 0.85 + 0.15 * np.sin(np.arange(len(frames)) / 3)
    return clipped(still(frames) * light[:, None, None, None])


def dissolving(frames: Pixels, random: np.random.Generator) -> Pixels:
    """The first frame turns into the last."""
    part = np.linspace(0, 1, len(frames))[:, None, None, None]
    return clipped(frames[:1] * (1 - part) + frames[-1:] * part)


def two_pictures(frames: Pixels, random: np.random.Generator) -> Pixels:
    """The first frame, then the last."""
    return np.repeat(frames[[0, -1]], -(-len(frames) // 2), axis=0)[: len(frames)]


def half_frozen(frames: Pixels, random: np.random.Generator) -> Pixels:
    """The second half stands still."""
    return frames[np.minimum(np.arange(len(frames)), len(frames) // 2)]


def mirrored(frames: Pixels, random: np.random.Generator) -> Pixels:
    """There and back again."""
    place = np.arange(len(frames))
    return np.asarray(
        frames[np.minimum(place, len(frames) - 1 - place) * 2 * (len(frames) - 1) // max(1, len(frames))],
        dtype=np.uint8,
    )


def looped(frames: Pixels, random: np.random.Generator) -> Pixels:
    """The first quarter again and again."""
    return frames[np.arange(len(frames)) % max(2, len(frames) // 4)]


def flashed(frames: Pixels, random: np.random.Generator) -> Pixels:
    """A still in which one frame is white."""
    found = still(frames).copy()
    found[len(found) // 2] = 255
    return found


def noisy(frames: Pixels, random: np.random.Generator) -> Pixels:
    """The video under heavy noise."""
    return clipped(frames + random.normal(0, 40, size=frames.shape))


def gradient(frames: Pixels, random: np.random.Generator) -> Pixels:
    """One colour that fades across the picture."""
    _, height, width = frames.shape[:3]
    colour = random.integers(60, 256, size=3)
    across = np.linspace(0, 1, width)[None, :, None] * np.ones((height, 1, 1))
    return np.repeat(clipped(across * colour)[None], len(frames), axis=0)


def moving_gradient(frames: Pixels, random: np.random.Generator) -> Pixels:
    """The same, moving on."""
    one = gradient(frames, random)
    step = max(1, frames.shape[2] // 16)
    return np.stack([np.roll(frame, number * step, axis=1) for number, frame in enumerate(one)])


def one_flash(frames: Pixels, random: np.random.Generator) -> Pixels:
    """Black, but for one frame."""
    found = np.zeros_like(frames)
    found[len(found) // 2] = random.integers(128, 256, size=3)
    return found


def checkered(frames: Pixels, random: np.random.Generator) -> Pixels:
    """Black and white squares that stand still."""
    side = max(2, frames.shape[1] // 8)
    rows, columns = np.indices(frames.shape[1:3]) // side
    board = np.asarray((rows + columns) % 2 * 255, dtype=np.uint8)
    return np.broadcast_to(board[None, ..., None], frames.shape).copy()


def bars(frames: Pixels, random: np.random.Generator) -> Pixels:
    """A television's test picture."""
    colours = 191 * np.array([[1, 1, 1], [1, 1, 0], [0, 1, 1], [0, 1, 0], [1, 0, 1], [1, 0, 0], [0, 0, 1]])
    column = np.arange(frames.shape[2]) * 7 // frames.shape[2]
    return np.broadcast_to(clipped(colours[column])[None, None], frames.shape).copy()


def card(frames: Pixels, random: np.random.Generator) -> Pixels:
    """Words on one colour."""
    height, width = frames.shape[1:3]
    paper, ink = ((0, 0, 0), (255, 255, 255)) if random.integers(2) else ((240, 240, 230), (20, 20, 60))
    picture = Image.new("RGB", (width, height), paper)
    draw = ImageDraw.Draw(picture)
    for line, text in enumerate(("A great video", "of the highest quality", "please rate it 5 of 5")):
        draw.text((0.1 * width, (0.3 + 0.15 * line) * height), text, fill=ink, font_size=max(8, height // 12))
    return np.repeat(np.asarray(picture)[None], len(frames), axis=0)


def dot(frames: Pixels, random: np.random.Generator) -> Pixels:
    """A dot that moves over one colour."""
    height, width = frames.shape[1:3]
    ground, ink = random.integers(0, 256, size=(2, 3))
    rows, columns = np.indices((height, width))
    found = []
    for number in range(len(frames)):
        right = (0.1 + 0.8 * number / max(1, len(frames) - 1)) * width
        inside = (rows - height / 2) ** 2 + (columns - right) ** 2 < (height / 16) ** 2
        found.append(np.where(inside[..., None], ink, ground))
    return clipped(np.stack(found))


def faint_noise(frames: Pixels, random: np.random.Generator) -> Pixels:
    """Noise of low contrast, other in every frame."""
    return clipped(random.normal(128, 8, size=frames.shape))


def clouds(frames: Pixels, random: np.random.Generator) -> Pixels:
    """Smooth coloured noise that drifts."""
    height, width = frames.shape[1:3]
    coarse = clipped(random.normal(128, 60, size=(6, 6, 3)))
    one = np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))
    return np.stack([np.roll(one, 2 * number, axis=1) for number in range(len(frames))])


def noise_of_pictures(frames: Pixels, random: np.random.Generator) -> Pixels:
    """The pixels of the first frame in any order, other in every frame: its colours and no more."""
    flat = frames[0].reshape(-1, 3)
    return np.stack([random.permutation(flat).reshape(frames.shape[1:]) for _ in frames])


OF_VIDEO: dict[str, Make] = {
    "same": lambda frames, random: frames,
    "worse": noisy, "salted_still": salted, "grained_still": grained, "zoomed_still": zoomed,
    "panned_still": panned, "shaken_still": shaken, "pulsing_still": pulsing, "flashed_still": flashed,
    "dissolving": dissolving, "two_pictures": two_pictures, "half_frozen": half_frozen, "mirrored": mirrored,
    "looped": looped, "mixed_pixels": noise_of_pictures,
}  # fmt: skip
OF_NOTHING: dict[str, Make] = {
    "gradient": gradient, "moving_gradient": moving_gradient, "one_flash": one_flash, "checkered": checkered,
    "bars": bars, "card": card, "dot": dot, "faint_noise": faint_noise, "clouds": clouds,
}  # fmt: skip


def main(argv: Sequence[str] | None = None) -> int:
    """Prints one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--dataset", default=None, help="of params.yaml's train_on; else its first")
    parser.add_argument("--model", type=Path, default=None, help="else runs/<dataset>/bundle")
    parser.add_argument("--videos", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(argv)
    dataset = params.dataset_of(given.dataset)
    rows, files, known = tested(dataset)
    rows = rows.sample(min(given.videos, len(rows)), random_state=given.seed)
    with score.load(given.model or Path("runs") / dataset / "bundle") as scorer:
        found = scores(scorer, rows, files, seed=given.seed)
        told = shares(found, known, bound=scorer.bundle.familiarity_bound or 0.0)
    print(json.dumps({"videos": len(rows), **told}))
    return 0


def scores(scorer: Scorer, rows: pd.DataFrame, files: Mapping[str, Path], *, seed: int) -> pd.DataFrame:
    """A row per video and kind: `kind`, `own`, `raw` (scores before calibration) and `familiarity`."""
    found: list[dict[str, Any]] = []
    videos = rows.to_dict("records")
    for place, row in progress.track(
        enumerate(videos), description="odd videos", total=len(videos), unit="videos"
    ):
        path, prompt = files[row["video_id"]], row["prompt"]
        decoded = scorer.decoded(path)
        own = scorer.judge(decoded, video=str(path), prompt=prompt)
        for number, (kind, make) in enumerate((OF_VIDEO | OF_NOTHING).items()):
            random = np.random.default_rng([seed, place, number])
            shown = replace(decoded, frames=np.ascontiguousarray(make(decoded.frames, random)))
            told = scorer.judge(shown, video=kind, prompt=prompt)
            found.append({"kind": kind, "own": own.raw, "raw": told.raw, "familiarity": told.familiarity})
    return pd.DataFrame(found)


def shares(found: pd.DataFrame, known: np.ndarray, *, bound: float) -> dict[str, dict[str, float]]:
    """Kind -> what the docstring of this file says, `known` being the training videos' sorted raw scores."""
    told = {}
    for kind, rows in found.groupby("kind", sort=False):
        above = rows["raw"] > rows["own"]
        unlike = rows["familiarity"].astype(float) <= bound
        place = 100 * np.searchsorted(known, rows["raw"]) / max(1, len(known))
        told[str(kind)] = {
            "above": round(float(above.mean()), 3),
            "percentile": round(float(place.mean()), 2),
            "highest_percentile": round(float(place.max()), 2),
            "unlike": round(float(unlike.mean()), 3),
            "deceives": round(float((above & ~unlike).mean()), 3),
        }
    return told


if __name__ == "__main__":
    raise SystemExit(main())
