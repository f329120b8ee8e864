"""How far the meaning of a video moves from each frame to the next, by embeddings of its frames."""

import numpy as np
from numpy.typing import NDArray


def frame_change(cls: NDArray[np.floating]) -> NDArray[np.float64]:
    """Cosine distance, 0..2, of each frame's embedding (frame, dim) to the one before: (frame,), first 0."""
    vectors = cls.astype(np.float64)
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    return np.append(0.0, np.clip(1 - np.sum(unit[1:] * unit[:-1], axis=1), 0, 2))
