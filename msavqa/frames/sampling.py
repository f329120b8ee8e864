"""Which frames of a video are taken, and how a large one is shrunk."""

import numpy as np
import numpy.typing as npt
from PIL import Image

Pixels = npt.NDArray[np.uint8]


def sample_indices(*, frame_count: int, frames: int) -> npt.NDArray[np.int64]:
    """Presentation indices of `frames` frames, the middles of equal parts: floor((i + 0.5) * n / N)."""
    if frame_count < 1 or frames < 1:
        raise ValueError(f"frame_count {frame_count} and frames {frames}: both at least 1")
    return (2 * np.arange(frames, dtype=np.int64) + 1) * frame_count // (2 * frames)


def shrink(frame: Pixels, *, box: int | None) -> Pixels:
    """A frame (height, width, 3) that fits box x box, aspect kept; one that fits already is returned as is.

    Antialiased bilinear, the filter of torchvision's own resize, by Pillow: the same bytes everywhere.
    """
    height, width = frame.shape[:2]
    if box is None or max(height, width) <= box:
        return frame
    scale = box / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(Image.fromarray(frame).resize(size, Image.Resampling.BILINEAR))
