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
REACH = 5
"""Pixels on either side that the blur averages, itself between them."""
SMALLEST_SIDE = 4
"""Pixels: the metric leaves a border of two on one side and one on the other out, below this all there is."""


def sharpness(frames: Frames) -> float:
    """1 - mean blur of up to four evenly spaced frames of (frame, height, width, 3).

    A flat picture has no difference to lose: it is wholly blurred, 0. So is one with a side below 4 pixels.
    """
    if min(frames.shape[1:3]) < SMALLEST_SIDE:
        return 0.0
    blurs = [_blur(np.ascontiguousarray(frames[place])) for place in places(len(frames))]
    return 1.0 - sum(blurs) / len(blurs)


def places(frames: int) -> npt.NDArray[np.int64]:
    """Which of `frames` frames are looked at: the middles of equal parts, floor((i + 0.5) n / N)."""
    count = min(FRAMES, frames)
    return np.floor((np.arange(count) + 0.5) * frames / count).astype(np.int64)


def _blur(frame: Frames) -> float:
    """The share of neighbouring pixels' differences that a picture keeps when it is blurred, 0..1.

    The larger one of both axes.
    """
    from msavqa.trunks.measures import fine_loops, loops

    height, width = frame.shape[:2]
    luminance = np.empty((height, width), np.float32)
    loops.luminance(frame, luminance)
    padded = np.empty((height + 2 * REACH, width + 2 * REACH), np.float32)
    loops.pad(luminance, padded, REACH)
    smooth, sums = np.empty((2, height, width), np.float32), np.zeros((2, 2))
    fine_loops.smoothed(padded, REACH, smooth)
    fine_loops.lost(luminance, smooth, sums)
    return max(1 - missing / found if found > 0 else 1.0 for found, missing in sums.tolist())
