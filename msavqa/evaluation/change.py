"""When a video's meaning changes: a step of CLIP's frame embeddings that training videos do not have.

No label of a change is needed. A change of meaning comes, and at most goes again: it makes one large step or
two. The third largest step of a video is therefore one of its ordinary steps (motion, flicker, noise) even
where its meaning does change, and a high percentile of it over training videos is what ordinary steps reach.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import Field

from msavqa.ground.params import Settings

Floats = NDArray[np.float64]
SAME = 0.02
"""Cosine distance up to which neighbouring frames mean the same, however calm the training videos are."""


class ChangeSettings(Settings):
    """Block `calibration.change`: above which step between frames a change is named."""

    percentile: float = Field(gt=0, lt=100)
    """Of training videos whose ordinary steps lie below the threshold."""
    rank: int = Field(ge=1)
    """Which of a video's steps counts as ordinary: 3 is the third largest."""


def steps(cls: NDArray[np.floating]) -> Floats:
    """Cosine distances, 0..2, of neighbouring frames' embeddings (video, frame, dim): (video, frame - 1)."""
    vectors = cls.astype(np.float64)
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)
    return np.asarray(np.clip(1 - np.sum(unit[:, 1:] * unit[:, :-1], axis=-1), 0, 2))


def threshold(found: ArrayLike, settings: ChangeSettings) -> float | None:
    """The step above which a change is named, from training videos' `steps` (video, step), at least `SAME`.

    Videos of fewer steps than `rank` count by their smallest. None where there is no video or no step.
    """
    each = np.asarray(found, dtype=np.float64)
    if not each.size:
        return None
    place = min(settings.rank, each.shape[1])
    ordinary = np.sort(each, axis=1)[:, -place]
    return max(SAME, float(np.percentile(ordinary, settings.percentile)))


def first(change: ArrayLike, *, threshold: float) -> int | None:
    """The first frame whose step from the frame before, of (frame,), is above the threshold; None: none is.

    The first, not the largest: where what has changed goes back again, the second step is as large.
    """
    above = np.flatnonzero(np.asarray(change, dtype=np.float64) > threshold)
    return int(above[0]) if len(above) else None
