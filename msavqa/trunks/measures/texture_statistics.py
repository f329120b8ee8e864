"""Handcrafted measures of fine detail: what blur takes everywhere, and compression where it is weak.

A blur lowers strong and weak detail alike; a codec keeps edges and wipes out weak texture, block by block.
So the distribution of local detail tells them apart, where a mean does not.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import fft

Floats = npt.NDArray[np.float32]

QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9, 0.99)
BLOCK = 4
"""Pixels: the smallest transform block of H.264."""
FLAT_LEVELS = 0.75
"""Standard deviation in levels below which a block counts as wiped out."""

TEXTURE = {
    **{
        f"detail_{q:g}": f"{q:g} quantile of the Laplacian's magnitude, natural log of 1 + levels"
        for q in QUANTILES
    },
    **{
        f"activity_{q:g}": f"{q:g} quantile of the 4 x 4 blocks' deviation, natural log of 1 + levels"
        for q in QUANTILES
    },
    "flat": "share of 4 x 4 blocks with a deviation below 0.75 levels",
    "band_low": "mean magnitude of the 4 x 4 cosine transform's low band, natural log of 1 + levels",
    "band_middle": "the same of the middle band",
    "band_high": "the same of the high band",
    "band_zero": "share of middle and high coefficients below half a level",
    "grid_4": "mean step across 4-pixel borders over that inside blocks, less one",
    "grid_16": "the same across 16-pixel borders",
}
"""One value per frame."""


def texture(luminance: Floats) -> Floats:
    """The measures of `TEXTURE` of luminance (frame, height, width) in 0..255, shape (frame, measure)."""
    padded = np.pad(luminance, ((0, 0), (1, 1), (1, 1)), mode="edge")
    laplacian = np.abs(
        padded[:, 1:-1, 2:]
        + padded[:, 1:-1, :-2]
        + padded[:, 2:, 1:-1]
        + padded[:, :-2, 1:-1]
        - 4 * luminance
    ).reshape(len(luminance), -1)
    blocks = _blocks(luminance)
    deviation = blocks.std(axis=(2, 3))
    bands = np.abs(fft.dctn(blocks, axes=(2, 3), norm="ortho"))
    order = np.add.outer(np.arange(bands.shape[2]), np.arange(bands.shape[3]))
    low, middle, high = (order > 0) & (order < 2), (order >= 2) & (order < 4), order >= 4
    detail, activity = _quantiles(laplacian), _quantiles(deviation)
    columns = [
        *detail,
        *activity,
        (deviation < FLAT_LEVELS).mean(axis=1),
        *(np.log1p(_mean_of(bands, band)) for band in (low, middle, high)),
        _mean_of(bands < 0.5, middle | high),
        _grid(luminance, 4),
        _grid(luminance, 16),
    ]
    return np.stack(columns, axis=1).astype(np.float32)


def _quantiles(values: Floats) -> Floats:
    """Nearest-rank quantiles (quantile, frame) of each row, natural log of 1 + levels."""
    ranks = [round(q * (values.shape[1] - 1)) for q in QUANTILES]
    found: Floats = np.log1p(np.partition(values, ranks, axis=1)[:, ranks].T)
    return found


def _blocks(luminance: Floats) -> Floats:
    """The whole 4 x 4 blocks, (frame, block, 4, 4); smaller pictures are one block."""
    count, height, width = luminance.shape
    tall, wide = min(BLOCK, height), min(BLOCK, width)
    rows, columns = height // tall, width // wide
    whole = luminance[:, : rows * tall, : columns * wide].reshape(count, rows, tall, columns, wide)
    found: Floats = whole.transpose(0, 1, 3, 2, 4).reshape(count, rows * columns, tall, wide)
    return found


def _mean_of(bands: npt.NDArray[Any], chosen: npt.NDArray[np.bool_]) -> Floats:
    """Mean (frame,) over blocks and the chosen coefficients; zero where a picture has none of them."""
    if not chosen.any():
        return np.zeros(len(bands), dtype=np.float32)
    found: Floats = bands[:, :, chosen].mean(axis=(1, 2), dtype=np.float32)
    return found


def _grid(luminance: Floats, side: int) -> Floats:
    ratios = []
    for axis in (1, 2):
        steps = np.abs(np.diff(luminance, axis=axis)).mean(axis=3 - axis)
        border = (np.arange(steps.shape[1]) + 1) % side == 0
        if border.any() and not border.all():
            ratios.append((steps[:, border].mean(axis=1) + 0.1) / (steps[:, ~border].mean(axis=1) + 0.1) - 1)
    found: Floats = np.mean(ratios, axis=0) if ratios else np.zeros(len(luminance), dtype=np.float32)
    return found
