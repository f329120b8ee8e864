"""Copies in the made-up feature world: stills, halves of two videos, and rows that show nothing."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from msavqa.datasets import copies
from msavqa.store import read as store
from msavqa.store.format import prompt_id
from tests import feature_world

KINDS = {"still": 1, "replaced": 1, "black": 1, "backwards": 0, "white": 0}
"""Kind -> whether it may be learned from."""
EMPTY = ("black", "white")
WORDS = (("8k", "masterpiece"), ("stunning",))
"""Of praise: those that are learned, and those left out."""
SETTINGS: dict[str, Any] = {
    "videos": 9, "learned": ["still", "replaced", "black"], "left_out_videos": 9,
    "left_out": ["backwards", "white"], "empty": 4, "noise": 4,
    "praise": list(WORDS[0]), "praise_left_out": list(WORDS[1]),
}  # fmt: skip
"""The block `copies` that the world follows."""
RANKED: dict[str, Any] = {
    "weight": 0.5, "pairs": 12, "margin": 0.5, "empty_margin": 1.0, "foreign_prompts": True, "praise": 0.3,
    "from_videos": 0,
}  # fmt: skip
"""The block `train.copies` where they are learned from."""


def add(features: Path, ids: Sequence[str], prompts: Sequence[str], *, broken: Sequence[str] = ()) -> None:
    """Writes features/copies for the stores of a world: every video has a copy of each kind.

    `broken` names copies that have no features.
    """
    plan = _plan(ids)
    copies.write(plan, features / "copies" / "plan.parquet")
    place = {video: number for number, video in enumerate(ids)}
    rows = plan.to_dict("records")
    for name in ("frame", "segment", "video", "statistics", "clip_image"):
        opened = store.open(features / f"{name}.zarr")
        arrays = {}
        for array, spec in opened.specs.items():
            known = opened.all(array)
            timed = [spec.axes.index(axis) for axis in ("frame", "time") if axis in spec.axes]
            values = np.stack([_copy(known, row, place, axis=timed[0] if timed else None) for row in rows])
            if "view" in spec.axes:
                values = values[:, :1]
            arrays[array] = (" ".join(spec.axes), values)
        feature_world.write_store(
            features / "copies" / f"{name}.zarr",
            list(plan["copy_id"]),
            broken=[number for number, row in enumerate(rows) if row["copy_id"] in broken],
            fingerprint=opened.fingerprint,
            attributes=opened.attributes,
            **arrays,
        )
    _say(features, [copies.praised(prompt, words) for words in WORDS for prompt in prompts])


def _say(features: Path, prompts: Sequence[str]) -> None:
    opened = store.open(features / "clip_text.zarr")
    unique, random = list(dict.fromkeys(prompts)), np.random.default_rng(5)
    arrays = {}
    for array, spec in opened.specs.items():
        shown = opened.all(array)[np.arange(len(unique)) % len(opened)]
        if spec.dtype.startswith("float"):
            shown = shown + random.normal(0, 0.05, shown.shape).astype(spec.dtype)
        arrays[array] = (" ".join(spec.axes), shown)
    feature_world.write_store(
        features / "copies" / "clip_text.zarr",
        [prompt_id(prompt) for prompt in unique],
        fingerprint=opened.fingerprint,
        attributes=opened.attributes,
        **arrays,
    )


def _plan(ids: Sequence[str]) -> pd.DataFrame:
    rows: list[dict[str, object]] = []
    for kind, learned in KINDS.items():
        for number in range(4) if kind in EMPTY else ():
            rows.append({"copy_id": f"{kind}/{number}", "video_id": "", "other_id": "", "number": number})
        for number, video in enumerate(ids if kind not in EMPTY else ()):
            other = ids[(number + 12) % len(ids)] if kind == "replaced" else ""
            rows.append({"copy_id": f"{kind}/{video}", "video_id": video, "other_id": other, "number": 0})
        for row in rows:
            row.setdefault("kind", kind)
            row.setdefault("learned", learned)
    return pd.DataFrame(rows).assign(width=0, height=0, sha256="0" * 64)[list(copies.PLAN.columns)]


def _copy(
    known: np.ndarray, row: Mapping[str, Any], place: Mapping[str, int], *, axis: int | None
) -> np.ndarray:
    """One array's row, of the features of what the row is a copy of; a still has a measure like no other."""
    if not row["video_id"]:
        return np.full_like(known[0], 0.1)
    own = known[place[row["video_id"]]]
    if axis is None:
        return own - 1 if row["kind"] == "still" else own
    times = own.shape[axis - 1]
    first = np.take(own, [0] * times, axis=axis - 1)
    if row["kind"] == "still":
        return first
    if row["kind"] == "backwards":
        return np.flip(own, axis=axis - 1).copy()
    other = known[place[row["other_id"]]]
    halves = [np.take(own, range(times // 2), axis - 1), np.take(other, range(times // 2, times), axis - 1)]
    return np.concatenate(halves, axis=axis - 1)
