"""Handcrafted measures of motion: how steadily the picture moves, and which changes motion cannot explain.

The motion of the whole picture between neighbouring frames is found by phase correlation (Kuglin and Hines
1975) in whole pixels; what is left of a frame's change after that motion, and after a change of brightness,
is the residual. A judder shakes the motion, a mutation leaves a residual in one place at one time.
"""

import numpy as np
import numpy.typing as npt
from scipy import fft

Floats = npt.NDArray[np.float32]

REACH = 12
"""Largest motion in pixels along either axis that is looked for."""
CELL = 8
"""Pixels a side of the cells that residuals are averaged over."""
LEAST_LEVELS = 0.5
"""Grey levels below which a residual counts as none, so that ratios of still videos stay finite."""

MOTION = {
    "shift": "mean length of the motion from frame to frame, pixels",
    "shift_sd": "standard deviation over time of the motion (root of the sum over both axes), pixels",
    "shift_jerk": "mean length of the motion's change from step to step, pixels",
    "shift_back": "share of steps that move against the mean motion, 0..1",
    "shift_still": "share of steps without motion, 0..1",
    "shift_certainty": "mean height of the phase correlation's peak, 0..1",
    "residual": "mean over time of the residual, natural log of 1 + levels",
    "residual_peak": "natural log of the largest residual over the median one in time",
    "residual_cell": "natural log of 1 + levels of the largest residual of any cell at any time",
    "residual_cell_peak": "natural log of the largest over the median in time of each step's largest cell",
    "residual_cell_second": "the same with the second largest step for the largest",
    "residual_spread": "mean over time of the residual's standard deviation over cells, over its mean",
    "return_change": "natural log of 1 + levels: largest cell change, first frame to last, motion undone",
}
"""One value per video, in this order in `motion`; zeros for videos of one frame."""


def motion(luminance: Floats) -> list[float]:
    """The measures of `MOTION` of luminance (frame, height, width) in 0..255."""
    if len(luminance) < 2:
        return [0.0] * len(MOTION)
    shifts, heights = _shifts(luminance)
    pairs = zip(luminance[:-1], luminance[1:], shifts, strict=True)
    cells = [_residual(before, after, shift) for before, after, shift in pairs]
    steps = shifts.astype(np.float64)
    mean_step = steps.mean(axis=0)
    jerk = np.linalg.norm(np.diff(steps, axis=0), axis=1) if len(steps) > 1 else np.zeros(1)
    by_time = np.array([step.mean() for step in cells], np.float64)
    largest = np.sort(np.array([step.max() for step in cells], np.float64))
    spread = np.array([step.std() for step in cells])
    most = np.maximum(np.array(luminance.shape[1:]) // 2 - 1, 0)
    whole = np.clip(shifts.sum(axis=0), -most, most)
    return [
        float(np.linalg.norm(steps, axis=1).mean()),
        float(np.sqrt(steps.var(axis=0).sum())),
        float(jerk.mean()),
        float((steps @ mean_step < 0).mean()),
        float((np.abs(steps).sum(axis=1) == 0).mean()),
        float(heights.mean()),
        float(np.log1p(by_time.mean())),
        _log_ratio(by_time.max(), np.median(by_time)),
        float(np.log1p(largest[-1])),
        _log_ratio(largest[-1], np.median(largest)),
        _log_ratio(largest[max(len(largest) - 2, 0)], np.median(largest)),
        float((spread / (by_time + LEAST_LEVELS)).mean()),
        float(np.log1p(_residual(luminance[0], luminance[-1], whole).max())),
    ]


def _shifts(luminance: Floats) -> tuple[npt.NDArray[np.int64], Floats]:
    """Motion (step, 2) down and across between neighbours, and the height (step,) of each one's peak."""
    height, width = luminance.shape[1:]
    window = np.outer(np.hanning(height + 2)[1:-1], np.hanning(width + 2)[1:-1]).astype(np.float32)
    centred = luminance - luminance.mean(axis=(1, 2), keepdims=True)
    spectrum = fft.rfft2(centred * window)
    cross = spectrum[1:] * spectrum[:-1].conj()
    surface = fft.irfft2(cross / np.maximum(np.abs(cross), 1e-3), s=(height, width))
    down, across = min(REACH, (height - 1) // 2), min(REACH, (width - 1) // 2)
    rows, columns = np.arange(-down, down + 1), np.arange(-across, across + 1)
    near = surface[:, rows][:, :, columns].reshape(len(surface), -1)
    best = near.argmax(axis=1)
    found = np.stack([rows[best // len(columns)], columns[best % len(columns)]], axis=1)
    return found, near.max(axis=1).astype(np.float32)


def _residual(before: Floats, after: Floats, shift: npt.NDArray[np.int64]) -> Floats:
    """Mean absolute change (cell,) of the part both frames show, motion and brightness undone, levels."""
    (down, across), (height, width) = shift, before.shape
    one = before[max(0, -down) : height - max(0, down), max(0, -across) : width - max(0, across)]
    other = after[max(0, down) : height - max(0, -down), max(0, across) : width - max(0, -across)]
    gain = (float(one.mean()) + 1) / (float(other.mean()) + 1)
    change = np.abs(other * np.float32(gain) - one)
    rows, columns = max(change.shape[0] // CELL, 1), max(change.shape[1] // CELL, 1)
    tall, wide = min(CELL, change.shape[0]), min(CELL, change.shape[1])
    whole = change[: rows * tall, : columns * wide].reshape(rows, tall, columns, wide)
    found: Floats = whole.mean(axis=(1, 3)).ravel()
    return found


def _log_ratio(largest: float, usual: float) -> float:
    return float(np.log((largest + LEAST_LEVELS) / (usual + LEAST_LEVELS)))
