"""Single test videos as a reader should see them: frames side by side, scores, and where the content changes.

Frames come from frames.zarr and go into the page as one JPEG a video. The timeline is drawn from what the
cache holds: how far CLIP's class token moves from each sampled frame to the next, and, where the branches
kept it, how much the semantic-mutation module attends to each frame.
"""

import base64
import io
import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from msavqa.evaluation.metrics import frame_change
from msavqa.report.results import Results
from msavqa.store.read import Store

THUMBNAIL_PIXELS = 96
JPEG_QUALITY = 82
GAP_PIXELS = 2


@dataclass(frozen=True)
class Moment:
    """One sampled frame on a timeline."""

    seconds: float
    change: float
    """Cosine distance of CLIP's frame embedding to the frame before, 0..2; 0 for the first frame."""
    attention: float | None
    """Share of the semantic-mutation query's attention, 0..1; None where it was not kept."""


@dataclass(frozen=True)
class Strip:
    """One video of the report."""

    video_id: str
    prompt: str
    generator: str
    mos: float
    score: float
    low: float
    high: float
    scores: Mapping[str, float]
    """Each branch's own score, on or near the MOS scale."""
    branches: Mapping[str, float]
    """Each branch's place: the share of the other test videos that it scores lower, 0..1."""
    image: str | None
    """A data URI of the frames side by side; None where the store keeps no frames."""
    timeline: tuple[Moment, ...]


def chosen(results: Results, *, count: int) -> dict[str, pd.DataFrame]:
    """Rows of the first repeat's test videos: highest scores, lowest, and furthest from their MOS."""
    rows = results.tested[results.tested["repeat"] == results.repeats[0]]
    rows = rows.assign(error=(rows["score"] - rows["mos"]).abs())
    by_raw = rows.sort_values(["raw", "video_id"], kind="stable")
    return {
        "best": by_raw.iloc[::-1].head(count),
        "worst": by_raw.head(count),
        "disagreed": rows.sort_values("error", ascending=False, kind="stable").head(count),
    }


def strips(
    results: Results,
    rows: pd.DataFrame,
    *,
    frames: Store,
    clip: Store | None,
    attention: Mapping[str, NDArray[np.floating]],
    count: int,
) -> list[Strip]:
    """The chosen rows with their pictures; `attention` is (frame,) by video id, as far as it was kept."""
    first = results.tested[results.tested["repeat"] == results.repeats[0]]
    others = max(len(first) - 1, 1)
    ranks = {name: (first[name].rank() - 1) / others for name in results.branches}
    found = []
    for index, (_, row) in zip(rows.index.tolist(), rows.iterrows(), strict=True):
        video_id = str(row["video_id"])
        shown = _evenly(frames.spec("times_seconds").shape[0], count)
        found.append(
            Strip(
                video_id=video_id,
                prompt=str(row["prompt"]),
                generator=str(row["generator"]),
                mos=float(row["mos"]),
                score=float(row["score"]),
                low=float(row["low"]),
                high=float(row["high"]),
                scores={name: float(row[name]) for name in results.branches},
                branches={name: float(rank[index]) for name, rank in ranks.items()},
                image=_picture(frames, video_id, shown),
                timeline=timeline(frames, clip, video_id, attention=attention.get(video_id)),
            )
        )
    return found


def timeline(
    frames: Store, clip: Store | None, video_id: str, *, attention: NDArray[np.floating] | None
) -> tuple[Moment, ...]:
    """Every sampled frame of one video with its change and attention."""
    seconds = frames.read("times_seconds", frames.index([video_id]))[0]
    change = np.zeros(len(seconds))
    if clip is not None:
        change = frame_change(clip.read("cls", clip.index([video_id]))[0])
    return tuple(
        Moment(
            seconds=float(seconds[place]),
            change=float(change[place]),
            attention=None if attention is None else float(attention[place]),
        )
        for place in range(len(seconds))
    )


def height(distance: float) -> float:
    """Where a cosine distance, or a share of attention, stands on a timeline, 0..1: its square root, so that
    small changes show too. All timelines have this scale, here and on the page of `msavqa ui`."""
    return math.sqrt(min(max(distance, 0.0), 1.0))


def film(frames: NDArray[np.uint8], *, height: int) -> str:
    """Frames (frame, height, width, 3) side by side as one JPEG data URI, each `height` pixels high."""
    width = max(1, round(frames.shape[2] * height / frames.shape[1]))
    strip = Image.new("RGB", ((width + GAP_PIXELS) * len(frames) - GAP_PIXELS, height), "white")
    for place, frame in enumerate(frames):
        picture = Image.fromarray(frame).resize((width, height), Image.Resampling.LANCZOS)
        strip.paste(picture, (place * (width + GAP_PIXELS), 0))
    buffer = io.BytesIO()
    strip.save(buffer, format="JPEG", quality=JPEG_QUALITY, optimize=True)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _picture(frames: Store, video_id: str, shown: NDArray[np.int64]) -> str | None:
    if "frames" not in frames.specs:
        return None
    row = frames.index([video_id])
    facts = frames.rows.iloc[int(row[0])]
    pixels = frames.read("frames", row)[0][shown, : int(facts["height"]), : int(facts["width"])]
    return film(pixels, height=THUMBNAIL_PIXELS)


def _evenly(frames: int, count: int) -> NDArray[np.int64]:
    shown = min(count, frames)  # the middles of equal parts: each picture stands over its own bars
    return (2 * np.arange(shown, dtype=np.int64) + 1) * frames // (2 * shown)
