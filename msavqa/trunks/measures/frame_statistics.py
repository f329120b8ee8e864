"""Handcrafted measures of a video without a reference: how sharp, noisy, blocky, colourful, steady it is.

Every measure is a plain function of pixels, named in `NAMES`, with its unit. Luminance is Rec. 601 in 0..255.
"""

import functools
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from scipy import fft

from msavqa.trunks.measures.motion_statistics import MOTION, motion
from msavqa.trunks.measures.pictures import at_ranks, block_means, grid, steps
from msavqa.trunks.measures.texture_statistics import TEXTURE, texture

Frames = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]

EDGE_LEVELS = 20.0
"""Gradient, in levels a pixel, from which a pixel counts as an edge."""
FROZEN_LEVELS = 0.3
"""Mean absolute change, in levels, below which a frame counts as a repetition of the one before."""
HISTOGRAM_BINS = 8
"""Of each of red, green and blue."""
MSCN_SIGMA = 7 / 6
"""Pixels: standard deviation of Mittal's Gaussian window, which is 9 pixels wide."""
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
    from msavqa.trunks.measures import loops  # imports numba, which only who measures needs

    frames = np.ascontiguousarray(frames)
    luminance = np.empty(frames.shape[:3], np.float32)
    for frame, out in zip(frames, luminance, strict=True):
        loops.luminance(frame, out)
    histograms, colours = _colours(frames)
    by_frame = _spatial(luminance, colours)
    columns = list(SPATIAL)
    spread = by_frame.std(axis=0)
    values = [*by_frame.mean(axis=0), *(spread[columns.index(name)] for name in OVER_TIME)]
    sharpness = by_frame[:, columns.index("sharpness_log")]
    brightness = by_frame[:, columns.index("brightness")]
    values += [
        float(sharpness.min() - sharpness.mean()),
        *_temporal(luminance, brightness, histograms=histograms, chroma=colours[:, [3, 5]]),
    ]
    return np.array([*values, *texture(luminance).mean(axis=0), *motion(luminance)], dtype=np.float32)


def _colours(frames: Frames) -> tuple[Doubles, Doubles]:
    """Shares of 8 x 8 x 8 colours (frame, colour); means over pixels (frame, 9), see `loops.colours`."""
    from msavqa.trunks.measures import loops

    level = np.arange(256) // (256 // HISTOGRAM_BINS)
    places = np.outer([HISTOGRAM_BINS**2, HISTOGRAM_BINS, 1], level).astype(np.int32)
    counts, sums = np.zeros((len(frames), HISTOGRAM_BINS**3), np.int32), np.zeros((len(frames), 9))
    for frame, of_colour, of_all in zip(frames, counts, sums, strict=True):
        loops.colours(frame, places, of_colour, of_all)
    pixels = frames[0, ..., 0].size
    return counts / pixels, sums / pixels


def _spatial(luminance: Floats, colours: Doubles) -> Doubles:
    """The measures of `SPATIAL` (frame, measure) of frames (frame, height, width) and their `_colours`."""
    from msavqa.trunks.measures import loops

    count, (height, width) = len(luminance), luminance.shape[1:]
    levels, sums, mscn = np.zeros((count, 256), np.int32), np.zeros((count, 8)), np.zeros((count, 5))
    padded = np.empty((height + 8, width + 8), np.float32)
    gradient, high = np.empty((2, height, width), np.float32)
    activity, magnitude = [], []
    window = np.exp(-0.5 * (np.arange(5) / MSCN_SIGMA) ** 2)
    window = (window / (2 * window.sum() - window[0])).astype(np.float32)
    for place, frame in enumerate(luminance):
        loops.pad(frame, padded, 4)
        loops.spatial(padded, 4, EDGE_LEVELS, gradient, high, levels[place], sums[place])
        loops.normalised(padded, window, mscn[place])
        activity.append(block_means(gradient, BLOCK))
        magnitude.append(block_means(high, BLOCK))
    sums, pixels = sums / (height * width), height * width
    mean, two, three, four = (mscn[:, power] / pixels for power in range(4))
    variance = np.maximum(two - mean**2, 0)
    fourth = four - 4 * mean * three + 6 * mean**2 * two - 3 * mean**4
    saturation = colours[:, 7]
    found = [
        np.log1p(_variance(sums[:, 2], sums[:, 3])),
        sums[:, 4],
        sums[:, 5],
        [_high_frequency(frame, mean) for frame, mean in zip(luminance, sums[:, 0], strict=True)],
        sums[:, 6] * np.sqrt(np.pi / 2) / 6,
        _noise_flat(np.stack(activity), np.stack(magnitude)),
        1 + grid(steps(luminance), BLOCK),
        variance,
        fourth / np.maximum(variance, 1e-6) ** 2 - 3,
        mscn[:, 4] / (height * max(width - 1, 1)),
        np.sqrt(_variance(sums[:, 0], sums[:, 1])),
        sums[:, 0],
        sums[:, 7],
        _entropy(levels),
        _colourfulness(colours),
        saturation,
        np.sqrt(_variance(saturation, colours[:, 8])),
    ]
    return np.stack(found, axis=1)


def _temporal(luminance: Floats, brightness: Doubles, *, histograms: Doubles, chroma: Doubles) -> list[float]:
    """The measures of `TEMPORAL` behind the first."""
    from msavqa.trunks.measures import time_loops

    count, (height, width) = len(luminance), luminance.shape[1:]
    if count < 2:
        return [0.0] * (len(TEMPORAL) - 2) + [1.0]
    picture, changes, sums = np.empty((height, width), np.float32), [], np.zeros((count - 1, 4))
    levels = brightness.astype(np.float32)
    for place in range(count - 1):
        before, after = luminance[place : place + 2]
        time_loops.change(before, after, levels[place], levels[place + 1], picture, sums[place])
        changes.append(block_means(picture, BLOCK))
    difference = sums[:, 0] / (height * width)
    size = np.sqrt(sums[:, 1] * sums[:, 2])
    correlation = np.where(size > 1e-6, sums[:, 3] / np.maximum(size, 1e-6), 1.0)
    second, noise = _second(luminance)
    mean = max(float(difference.mean()), 1e-3)
    jumps = np.abs(np.diff(histograms, axis=0)).sum(axis=1) / 2
    return [
        float(np.abs(np.diff(brightness, n=2)).mean()) if count > 2 else 0.0,
        float(np.abs(np.diff(brightness)).mean()),
        float(difference.mean()),
        float(difference.std()),
        float(np.log1p(difference.max() / max(float(np.median(difference)), 1e-2))),
        float(np.percentile(changes, 99)),
        second / mean,
        noise,
        float((difference < FROZEN_LEVELS).mean()),
        float(np.abs(np.diff(difference)).mean()) / mean if count > 2 else 0.0,
        float(jumps.max()),
        float(jumps.mean()),
        float(np.abs(histograms[-1] - histograms[0]).sum() / 2),
        float(np.abs(np.diff(chroma, axis=0)).sum(axis=1).max()),
        float(correlation.min()),
    ]


def _second(luminance: Floats) -> tuple[float, float]:
    """Mean and median of all pixels' absolute second differences over time."""
    from msavqa.trunks.measures import time_loops

    count = len(luminance) - 2
    if count < 1:
        return 0.0, 0.0
    flat = luminance.reshape(len(luminance), -1)
    sums: list[float] = []

    def parts(out: Floats) -> Iterator[None]:
        for place in range(count):
            sums.append(time_loops.bend(flat[place], flat[place + 1], flat[place + 2], out))
            yield

    size = count * flat.shape[1]
    middle = at_ranks(parts, size=flat.shape[1], ranks=[(size - 1) // 2, size // 2])
    return sum(sums[:count]) / size, float(middle.mean())


def _variance(mean: Doubles, square: Doubles) -> Doubles:
    found: Doubles = np.maximum(square - mean**2, 0)
    return found


def _noise_flat(activity: Floats, magnitude: Floats) -> Doubles:
    """High-pass magnitude where the picture has the least gradient: texture is not taken for noise."""
    flattest = activity <= np.quantile(activity, 0.1, axis=1, keepdims=True)
    return np.array([np.median(one[flat]) for one, flat in zip(magnitude, flattest, strict=True)], np.float64)


def _high_frequency(frame: Floats, mean: float) -> float:
    from msavqa.trunks.measures import loops

    spectrum = fft.rfft2(frame - np.float32(mean))
    sums = np.zeros(2)
    loops.energy(spectrum.view(np.float32).reshape(*spectrum.shape, 2), *_weights(*frame.shape), sums)
    return float(sums[1] / max(sums[0], 1e-6))


@functools.lru_cache(maxsize=4)
def _weights(height: int, width: int) -> tuple[Floats, Floats]:
    """How often each place of `rfft2` counts: in all, and above half the Nyquist frequency."""
    radius = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None, :])
    every = np.ones(radius.shape, np.float32)
    every[:, 1 : (width + 1) // 2] = 2  # the half of the spectrum that rfft2 leaves out
    return every, every * (radius > 0.25).astype(np.float32)


def _entropy(counts: npt.NDArray[np.int32]) -> Doubles:
    share = counts / counts.sum(axis=1, keepdims=True)
    found: Doubles = -(share * np.log2(np.where(counts > 0, share, 1))).sum(axis=1)
    return found


def _colourfulness(colours: Doubles) -> Doubles:
    """Hasler and Suesstrunk 2003: spread of the opponent colours plus 0.3 of their distance from grey."""
    one, one_square, other, other_square = colours[:, 3:7].T
    spread = np.hypot(np.sqrt(_variance(one, one_square)), np.sqrt(_variance(other, other_square)))
    found: Doubles = spread + 0.3 * np.hypot(one, other)
    return found
