"""Handcrafted measures of a video without a reference: how sharp, noisy, blocky, colourful, steady it is.

Every measure is a plain function of pixels, named in `NAMES`, with its unit. Luminance is Rec. 601 in 0..255.
"""

import itertools

import numpy as np
import numpy.typing as npt
from scipy import fft, ndimage

from msavqa.trunks.measures.motion_statistics import MOTION, motion
from msavqa.trunks.measures.texture_statistics import TEXTURE, texture

Frames = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]

EDGE_LEVELS = 20.0
"""Gradient, in levels a pixel, from which a pixel counts as an edge."""
FROZEN_LEVELS = 0.3
"""Mean absolute change, in levels, below which a frame counts as a repetition of the one before."""
HISTOGRAM_BINS = 8
PIXELS_AT_ONCE = 1 << 17
"""So that what is computed of some frames stays in a core's cache."""
BLOCK = 8
"""Pixels: of the codecs' transform blocks, and of the blocks that local changes are measured in."""

SPATIAL = {
    "sharpness_log": "natural log of 1 + variance of the Laplacian",
    "gradient": "mean gradient magnitude by central differences, levels a pixel",
    "edge_density": "share of pixels with a gradient of at least 20 levels a pixel",
    "high_frequency": "share of the spectrum's energy (without the mean) above half the Nyquist frequency",
    "noise_sigma": "standard deviation of noise by Immerkaer's operator, levels",
    "noise_flat": "median high-pass magnitude in the flattest tenth of the 8 x 8 blocks, levels",
    "blockiness": "mean step across 8-pixel block borders over mean step inside blocks",
    "mscn_variance": "variance of mean-subtracted contrast-normalised luminance",
    "mscn_kurtosis": "excess kurtosis of the same",
    "mscn_neighbours": "mean product of horizontally neighbouring values of the same",
    "contrast": "standard deviation of luminance, levels",
    "brightness": "mean luminance, levels",
    "clipped": "share of pixels with luminance of at most 5 or at least 250",
    "entropy": "entropy of the luminance histogram, bits",
    "colourfulness": "Hasler and Suesstrunk's measure, levels",
    "saturation": "mean of (max - min) / max of red, green and blue",
    "saturation_sd": "standard deviation of the same over pixels",
}
"""One value per frame; the video's is their mean (`<name>`)."""

OVER_TIME = (
    "sharpness_log",
    "gradient",
    "noise_sigma",
    "blockiness",
    "contrast",
    "colourfulness",
    "saturation",
)
"""Whose standard deviation over frames is a measure too (`<name>_over_time`): a steady video keeps them."""

TEMPORAL = {
    "sharpness_lowest": "lowest sharpness_log of any frame minus the mean",
    "flicker": "mean absolute second difference of the frames' brightness, levels",
    "brightness_change": "mean absolute change of brightness from frame to frame, levels",
    "difference": "mean absolute change of luminance from frame to frame, levels",
    "difference_sd": "standard deviation over time of the same",
    "difference_peak": "largest of the same over their median, natural log of 1 + ratio",
    "difference_block": "99th percentile over 8 x 8 blocks and time of the mean absolute change, levels",
    "difference_second": "mean absolute second difference of luminance over the mean first one",
    "noise_temporal": "median absolute second difference of luminance, levels",
    "frozen": "share of frames that repeat the one before (mean absolute change below 0.3 levels)",
    "judder": "mean absolute change of the frame difference from step to step, over its mean",
    "histogram_jump": "largest total variation between colour histograms of neighbouring frames, 0..1",
    "histogram_step": "mean of the same",
    "histogram_drift": "total variation between colour histograms of first and last frame, 0..1",
    "chroma_jump": "largest change of the mean chroma (two channels) between neighbouring frames, levels",
    "structure_lowest": "lowest correlation of neighbouring frames' luminance, -1..1",
}
"""One value per video; videos of one frame have zeros (structure_lowest: one)."""

NAMES = (*SPATIAL, *(f"{name}_over_time" for name in OVER_TIME), *TEMPORAL, *TEXTURE, *MOTION)
"""Of all measures, in the order of `measure`."""

CHANGE = (
    "difference_peak",
    "difference_block",
    "histogram_jump",
    "histogram_step",
    "histogram_drift",
    "chroma_jump",
    "structure_lowest",
    "residual",
    "residual_peak",
    "residual_cell",
    "residual_cell_peak",
    "residual_cell_second",
    "residual_spread",
    "return_change",
)
"""Measures of frame differences that answer to content that is no longer the same: what SMA looks for."""

GROUPS = {
    "spatial": (*SPATIAL, *TEXTURE),
    "temporal": tuple(name for name in NAMES if name not in {*SPATIAL, *TEXTURE, *CHANGE}),
    "change": CHANGE,
}
"""Which measures are of single frames, of how steadily time goes on, and of content that changes."""


def measure(frames: Frames) -> Floats:
    """All measures of a video's frames (frame, height, width, 3), one for each of `NAMES`, float32."""
    red, green, blue = (frames[..., channel].astype(np.float32) for channel in range(3))
    luminance = 0.299 * red + 0.587 * green + 0.114 * blue
    together = max(1, PIXELS_AT_ONCE // luminance[0].size)
    parts = [slice(start, start + together) for start in range(0, len(frames), together)]
    by_frame = np.concatenate(
        [_spatial(luminance[part], red[part], green[part], blue[part]) for part in parts]
    ).astype(np.float64)
    columns = list(SPATIAL)
    spread = by_frame.std(axis=0)
    values = [*by_frame.mean(axis=0), *(spread[columns.index(name)] for name in OVER_TIME)]
    sharpness = by_frame[:, columns.index("sharpness_log")]
    brightness = by_frame[:, columns.index("brightness")]
    values += [float(sharpness.min() - sharpness.mean()), *_temporal(frames, luminance, brightness)]
    fine = np.concatenate([texture(luminance[part]) for part in parts]).mean(axis=0)
    return np.array([*values, *fine, *motion(luminance)], dtype=np.float32)


def _spatial(luminance: Floats, red: Floats, green: Floats, blue: Floats) -> Floats:
    """The measures of `SPATIAL` of some frames (frame, height, width), shape (frame, measure)."""
    padded = np.pad(luminance, ((0, 0), (1, 1), (1, 1)), mode="edge")
    across = padded[:, 1:-1, 2:] - padded[:, 1:-1, :-2]
    down = padded[:, 2:, 1:-1] - padded[:, :-2, 1:-1]
    gradient = np.hypot(across, down) / np.float32(2)
    second = padded[..., 2:] + padded[..., :-2] - 2 * padded[..., 1:-1]  # across, for all padded rows
    laplacian = second[:, 1:-1] + padded[:, 2:, 1:-1] + padded[:, :-2, 1:-1] - 2 * luminance
    mscn = _mscn(luminance)
    variance = mscn.var(axis=(1, 2))
    centred = (mscn - mscn.mean(axis=(1, 2), keepdims=True)) ** 2
    largest = np.maximum(np.maximum(red, green), blue)
    smallest = np.minimum(np.minimum(red, green), blue)
    saturation = (largest - smallest) / np.maximum(largest, 1)
    wide = mscn.shape[2] > 1
    neighbours = (mscn[..., 1:] * mscn[..., :-1]).mean(axis=(1, 2)) if wide else np.zeros_like(variance)
    columns = [
        np.log1p(laplacian.var(axis=(1, 2))),
        gradient.mean(axis=(1, 2)),
        (gradient >= EDGE_LEVELS).mean(axis=(1, 2)),
        _high_frequency(luminance),
        _immerkaer(second),
        _noise_flat(luminance, gradient),
        _blockiness(luminance),
        variance,
        (centred**2).mean(axis=(1, 2)) / np.maximum(variance, 1e-6) ** 2 - 3,
        neighbours,
        luminance.std(axis=(1, 2)),
        luminance.mean(axis=(1, 2)),
        ((luminance <= 5) | (luminance >= 250)).mean(axis=(1, 2)),
        np.array([_entropy(one) for one in luminance]),
        _colourfulness(red, green, blue),
        saturation.mean(axis=(1, 2)),
        saturation.std(axis=(1, 2)),
    ]
    return np.stack(columns, axis=1).astype(np.float32)


def _temporal(frames: Frames, luminance: Floats, brightness: npt.NDArray[np.float64]) -> list[float]:
    """The measures of `TEMPORAL` behind the first."""
    if len(frames) < 2:
        return [0.0] * (len(TEMPORAL) - 2) + [1.0]
    change = np.diff(luminance, axis=0)
    difference = np.abs(change).mean(axis=(1, 2))
    second = np.abs(np.diff(change, axis=0)) if len(change) > 1 else np.zeros_like(change)
    mean = max(float(difference.mean()), 1e-3)
    histograms = np.stack([_colour_histogram(frame) for frame in frames])
    steps = np.abs(np.diff(histograms, axis=0)).sum(axis=1) / 2
    chroma = np.stack([_mean_chroma(frame) for frame in frames])
    return [
        float(np.abs(np.diff(brightness, n=2)).mean()) if len(brightness) > 2 else 0.0,
        float(np.abs(np.diff(brightness)).mean()),
        float(difference.mean()),
        float(difference.std()),
        float(np.log1p(difference.max() / max(float(np.median(difference)), 1e-2))),
        float(np.percentile(_blocks(np.abs(change)), 99)),
        float(second.mean()) / mean,
        float(np.median(second)),
        float((difference < FROZEN_LEVELS).mean()),
        float(np.abs(np.diff(difference)).mean()) / mean if len(difference) > 1 else 0.0,
        float(steps.max()),
        float(steps.mean()),
        float(np.abs(histograms[-1] - histograms[0]).sum() / 2),
        float(np.abs(np.diff(chroma, axis=0)).sum(axis=1).max()),
        min(_correlation(a, b) for a, b in itertools.pairwise(luminance)),
    ]


def _mscn(luminance: Floats) -> Floats:
    """Mittal's mean-subtracted contrast-normalised coefficients: natural pictures have them near Gaussian."""
    mean = ndimage.gaussian_filter(luminance, 7 / 6, truncate=3.0, axes=(1, 2))
    square = ndimage.gaussian_filter(luminance**2, 7 / 6, truncate=3.0, axes=(1, 2))
    found: Floats = (luminance - mean) / (np.sqrt(np.maximum(square - mean**2, 0)) + 1)
    return found


def _immerkaer(second: Floats) -> Floats:
    """Immerkaer 1996: the mean response to second differences down of those across, scaled to a sigma.

    That operator answers to noise and ignores planes and straight edges.
    """
    response = second[:, 2:] + second[:, :-2] - 2 * second[:, 1:-1]
    found: Floats = np.abs(response).mean(axis=(1, 2)) * np.float32(np.sqrt(np.pi / 2) / 6)
    return found


def _noise_flat(luminance: Floats, gradient: Floats) -> Floats:
    """High-pass magnitude where the picture has the least gradient: texture is not taken for noise."""
    high = np.abs(luminance - ndimage.uniform_filter(luminance, 3, axes=(1, 2)))
    activity, magnitude = _blocks(gradient), _blocks(high)
    flattest = activity <= np.quantile(activity, 0.1, axis=1, keepdims=True)
    return np.array([np.median(one[flat]) for one, flat in zip(magnitude, flattest, strict=True)])


def _blockiness(luminance: Floats) -> Floats:
    ratios = []
    for axis in (1, 2):
        steps = np.abs(np.diff(luminance, axis=axis)).mean(axis=3 - axis)
        border = (np.arange(steps.shape[1]) + 1) % BLOCK == 0
        if border.any():
            ratios.append((steps[:, border].mean(axis=1) + 0.1) / (steps[:, ~border].mean(axis=1) + 0.1))
    return np.mean(ratios, axis=0) if ratios else np.ones(len(luminance), dtype=np.float32)


def _high_frequency(luminance: Floats) -> Floats:
    energy = np.abs(fft.rfft2(luminance - luminance.mean(axis=(1, 2), keepdims=True))) ** 2
    width = luminance.shape[2]
    energy[..., 1 : (width + 1) // 2] *= 2  # the half of the spectrum that rfft2 leaves out
    radius = np.hypot(np.fft.fftfreq(luminance.shape[1])[:, None], np.fft.rfftfreq(width)[None, :])
    found: Floats = energy[:, radius > 0.25].sum(axis=1) / np.maximum(energy.sum(axis=(1, 2)), 1e-6)
    return found


def _entropy(luminance: Floats) -> float:
    counts = np.bincount(luminance.astype(np.uint8).ravel(), minlength=256)
    share = counts[counts > 0] / counts.sum()
    return float(-(share * np.log2(share)).sum())


def _colourfulness(red: Floats, green: Floats, blue: Floats) -> Floats:
    """Hasler and Suesstrunk 2003: spread of the opponent colours plus 0.3 of their distance from grey."""
    one, other = red - green, (red + green) / 2 - blue
    spread = np.hypot(one.std(axis=(1, 2)), other.std(axis=(1, 2)))
    found: Floats = spread + 0.3 * np.hypot(one.mean(axis=(1, 2)), other.mean(axis=(1, 2)))
    return found


def _colour_histogram(frame: Frames) -> npt.NDArray[np.float64]:
    """Shares of 8 x 8 x 8 colours."""
    level = (frame // (256 // HISTOGRAM_BINS)).reshape(-1, 3).astype(np.int64)
    place = (level[:, 0] * HISTOGRAM_BINS + level[:, 1]) * HISTOGRAM_BINS + level[:, 2]
    counts = np.bincount(place, minlength=HISTOGRAM_BINS**3)
    share: npt.NDArray[np.float64] = counts / counts.sum()
    return share


def _mean_chroma(frame: Frames) -> npt.NDArray[np.float64]:
    """Mean of red - green and of (red + green) / 2 - blue, levels."""
    red, green, blue = (float(frame[..., channel].mean()) for channel in range(3))
    return np.array([red - green, (red + green) / 2 - blue])


def _blocks(pictures: Floats) -> Floats:
    """Means of the whole 8 x 8 blocks of (picture, height, width), flattened to (picture, block)."""
    count, height, width = pictures.shape
    rows, columns = max(height // BLOCK, 1), max(width // BLOCK, 1)
    tall, wide = min(BLOCK, height), min(BLOCK, width)
    whole = pictures[:, : rows * tall, : columns * wide].reshape(count, rows, tall, columns, wide)
    found: Floats = whole.mean(axis=(2, 4)).reshape(count, -1)
    return found


def _correlation(a: Floats, b: Floats) -> float:
    """Pearson correlation of two pictures; one where either is flat."""
    a, b = a - a.mean(), b - b.mean()
    size = float(np.sqrt((a**2).sum() * (b**2).sum()))
    return float((a * b).sum() / size) if size > 1e-6 else 1.0
