"""Handcrafted measures of motion: how steadily the picture moves, and which changes motion cannot explain.

The motion of the whole picture between neighbouring frames is found by phase correlation (Kuglin and Hines
1975) in whole pixels; what is left of a frame's change after that motion, and after a change of brightness,
is the residual. A judder shakes the motion, a mutation leaves a residual in one place at one time.
"""

import numpy as np
import numpy.typing as npt
from scipy import fft

from msavqa.trunks.measures.pictures import block_means

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
    luminance = np.ascontiguousarray(luminance)
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
    from msavqa.trunks.measures import time_loops

    height, width = luminance.shape[1:]
    window = np.outer(np.hanning(height + 2)[1:-1], np.hanning(width + 2)[1:-1]).astype(np.float32)
    down, across = min(REACH, (height - 1) // 2), min(REACH, (width - 1) // 2)
    rows, columns = np.arange(-down, down + 1), np.arange(-across, across + 1)
    found, heights, before = [], [], None
    for frame in luminance:
        after = fft.rfft2((frame - frame.mean()) * window)
        if before is not None:
            cross = np.empty_like(after)
            time_loops.phases(_parts(after), _parts(before), 1e-3, _parts(cross))
            # The same as irfft2, without the rows that nobody looks at.
            near = fft.irfft(fft.ifft(cross, axis=0)[rows], n=width, axis=1)[:, columns]
            best = int(near.argmax())
            found.append((rows[best // len(columns)], columns[best % len(columns)]))
            heights.append(near.flat[best])
        before = after
    return np.array(found), np.array(heights, dtype=np.float32)


def _parts(spectrum: npt.NDArray[np.complex64]) -> Floats:
    """The same numbers with an axis of real and imaginary part behind the others."""
    return spectrum.view(np.float32).reshape(*spectrum.shape, 2)


def _residual(before: Floats, after: Floats, shift: npt.NDArray[np.int64]) -> Floats:
    """Mean absolute change (cell,) of the part both frames show, motion and brightness undone, levels."""
    from msavqa.trunks.measures import time_loops

    (down, across), (height, width) = (int(step) for step in shift), before.shape
    change = np.empty((height - abs(down), width - abs(across)), np.float32)
    time_loops.residual(before, after, down, across, change)
    return block_means(change, CELL)


def _log_ratio(largest: float, usual: float) -> float:
    return float(np.log((largest + LEAST_LEVELS) / (usual + LEAST_LEVELS)))
