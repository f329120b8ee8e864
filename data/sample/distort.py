"""Technical and temporal causes made visible: what a strength from 0 to 1 does to a video's frames."""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from data.sample.quality import Causes

BLUR_SIGMA_PIXELS = 2.4
NOISE_SD_LEVELS = 26.0  # grey levels of 0-255
FLICKER_GAIN = 0.22
JUDDER_FRAMES = 2.2
FROZEN_FRAMES = 11
CRF_CLEAN, CRF_WORST = 17, 44  # H.264's constant rate factor


def distort(frames: NDArray[np.uint8], causes: Causes, *, rng: np.random.Generator) -> NDArray[np.uint8]:
    """The frames (frame, height, width, 3) with blur, noise, flicker, judder and frozen frames.

    Blocking is not made here: it comes from real compression at `crf(causes)`.
    """
    count = len(frames)
    shown = frames.astype(np.float32)
    if causes.blur > 0:
        sigma = BLUR_SIGMA_PIXELS * causes.blur
        shown = gaussian_filter(shown, sigma=(0, sigma, sigma, 0))
    shown += NOISE_SD_LEVELS * causes.noise * rng.standard_normal(shown.shape, dtype=np.float32)
    beat = np.clip(rng.standard_normal(count), -2, 2)
    shown *= (1 + FLICKER_GAIN * causes.flicker * beat)[:, None, None, None]
    levels: NDArray[np.uint8] = np.clip(shown + 0.5, 0, 255).astype(np.uint8)
    return levels[_timeline(count, causes, rng)]


def _timeline(count: int, causes: Causes, rng: np.random.Generator) -> NDArray[np.int64]:
    """Which rendered frame is shown at each instant: shaken by judder, then held where it freezes."""
    shake = JUDDER_FRAMES * causes.judder * rng.standard_normal(count)
    order = np.clip(np.round(np.arange(count) + shake), 0, count - 1).astype(np.int64)
    held = round(FROZEN_FRAMES * causes.frozen)
    start = int(rng.integers(0, count - held))
    order[start : start + held + 1] = order[start]
    return order


def crf(causes: Causes) -> float:
    """The constant rate factor that compresses a video as much as its blocking says."""
    return CRF_CLEAN + (CRF_WORST - CRF_CLEAN) * causes.blocking
