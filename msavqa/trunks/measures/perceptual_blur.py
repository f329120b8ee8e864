"""How sharp frames look, without a reference and without opinions: scikit-image's perceptual blur metric.

Crete et al. 2007: a picture is blurred again; the less its neighbouring pixels' differences lose by that, the
more blurred it was. Nothing is fitted, to ratings or otherwise.
"""

import numpy as np
import numpy.typing as npt

Frames = npt.NDArray[np.uint8]

NAMES = ("perceptual_sharpness",)
"""1 - mean blur of the frames looked at: 0 blurred, 1 sharp. One value per video."""
FRAMES = 4
"""Most frames of a video that are looked at."""
SMALLEST_SIDE = 4
"""Pixels: the metric leaves a border of two on one side and one on the other out, below this all there is."""


def sharpness(frames: Frames) -> float:
    """1 - mean blur of up to four evenly spaced frames of (frame, height, width, 3).

    A flat picture has no difference to lose: it is wholly blurred, 0. So is one with a side below 4 pixels.
    """
    if min(frames.shape[1:3]) < SMALLEST_SIDE:
        return 0.0
    from skimage.measure import blur_effect

    blurs = [float(blur_effect(_luminance(frames[place]))) for place in places(len(frames))]
    return 1.0 - sum(blurs) / len(blurs)


def places(frames: int) -> npt.NDArray[np.int64]:
    """Which of `frames` frames are looked at: the middles of equal parts, floor((i + 0.5) n / N)."""
    count = min(FRAMES, frames)
    return np.floor((np.arange(count) + 0.5) * frames / count).astype(np.int64)


def _luminance(frame: Frames) -> npt.NDArray[np.float64]:
    """Rec. 601, as the other measures have it, in 0..1."""
    found: npt.NDArray[np.float64] = frame @ (np.array([0.299, 0.587, 0.114]) / 255)
    return found
