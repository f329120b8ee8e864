"""Several vectors of one long prompt -> one, by what the frames of its video are like.

A long prompt is read in pieces, each a unit vector of CLIP's joint space. A mean over them would drown what
is asked for in words of style; so each video weighs them by a softmax of their mean cosine with its frames.
The trained branches do the same with adapted vectors (`learning.layers.joined`).
"""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def cosines(*, pieces: npt.NDArray[np.floating], frames: npt.NDArray[np.floating]) -> Floats:
    """Mean cosine (video, piece) of pieces (video, piece, dim) with frames (video, frame, dim)."""
    mean = np.asarray(frames, dtype=np.float64).mean(axis=1)
    found: Floats = np.einsum("vpd,vd->vp", np.asarray(pieces, dtype=np.float64), mean)
    return found


def spread(
    *, pieces: npt.NDArray[np.floating], held: npt.NDArray[np.bool_], frames: npt.NDArray[np.floating]
) -> float:
    """Standard deviation of the cosines of all pieces with their videos, the unit of `joined`'s sharpness.

    1 where they do not vary. `held` (video, piece) is false behind a prompt's last piece.
    """
    found = float(cosines(pieces=pieces, frames=frames)[held].std()) if held.any() else 0.0
    return found if found > 1e-6 else 1.0


def joined(
    *,
    pieces: npt.NDArray[np.floating],
    held: npt.NDArray[np.bool_],
    frames: npt.NDArray[np.floating],
    sharpness: float,
    spread: float,
) -> npt.NDArray[np.floating]:
    """One vector per video, (video, dim): the sum of w_p piece_p, w = softmax(sharpness cosine_p / spread).

    Where there is one piece it is given back as it is. A sum of several is shorter than one: its cosine with
    a frame is the weighted mean of theirs.
    """
    if pieces.shape[1] == 1:
        return pieces[:, 0]
    logits = np.where(held, cosines(pieces=pieces, frames=frames) * sharpness / spread, -np.inf)
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    weights /= weights.sum(axis=1, keepdims=True)
    found: Floats = np.einsum("vp,vpd->vd", weights, np.asarray(pieces, dtype=np.float64))
    return found
