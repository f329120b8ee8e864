"""Handcrafted measures of fine detail: what blur takes everywhere, and compression where it is weak.

A blur lowers strong and weak detail alike; a codec keeps edges and wipes out weak texture, block by block.
So the distribution of local detail tells them apart, where a mean does not.
"""

import functools
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from msavqa.trunks.measures.pictures import at_ranks, grid, steps

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]

QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9, 0.99)
BLOCK = 4
"""Pixels: the smallest transform block of H.264."""
FLAT_LEVELS = 0.75
"""Standard deviation in levels below which a block counts as wiped out."""
NOTHING_LEVELS = 0.49995
"""Magnitude below which a coefficient counts as none. Of whole levels, many are half a level but for
rounding: these do not count."""

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
    from msavqa.trunks.measures import fine_loops, loops

    luminance = np.ascontiguousarray(luminance)
    count, height, width = luminance.shape
    tall, wide = min(BLOCK, height), min(BLOCK, width)
    rows, columns, least = _cosines(tall), _cosines(wide), NOTHING_LEVELS
    deviation, sums = np.empty((count, height // tall, width // wide), np.float32), np.zeros((count, 4))
    padded = np.empty((height + 2, width + 2), np.float32)
    detail = np.empty((count, len(QUANTILES)), np.float32)
    for place, frame in enumerate(luminance):
        fine_loops.transform(frame, rows, columns, least, deviation[place], sums[place])
        loops.pad(frame, padded, 1)
        fill = functools.partial(_laplacian, padded)
        detail[place] = at_ranks(fill, size=frame.size, ranks=_ranks(frame.size))
    deviation = deviation.reshape(count, -1)
    ranks = _ranks(deviation.shape[1])
    bands = np.minimum(np.add.outer(np.arange(tall), np.arange(wide)) // 2, 2)
    places = [deviation.shape[1] * int((bands == band).sum()) for band in range(3)]
    places[0] -= deviation.shape[1]  # the mean is in no band
    between = steps(luminance)
    found = [
        *np.log1p(detail).T,
        *np.log1p(np.partition(deviation, ranks, axis=1)[:, ranks]).T,
        (deviation < FLAT_LEVELS).mean(axis=1),
        *np.log1p(sums[:, :3] / np.maximum(places, 1)).T,
        sums[:, 3] / max(places[1] + places[2], 1),
        grid(between, 4),
        grid(between, 16),
    ]
    return np.stack(found, axis=1).astype(np.float32)


def _laplacian(padded: Floats, out: Floats) -> Iterator[None]:
    from msavqa.trunks.measures import fine_loops

    fine_loops.detail(padded, 1, out)
    yield


def _ranks(count: int) -> list[int]:
    """Of the nearest-rank quantiles."""
    return [round(q * (count - 1)) for q in QUANTILES]


def _cosines(size: int) -> Floats:
    """The matrix (frequency, place) of the orthonormal cosine transform."""
    frequency, place = np.ogrid[:size, :size]
    found = np.cos(np.pi * frequency * (2 * place + 1) / (2 * size)) * np.sqrt(2 / size)
    found[0] = np.sqrt(1 / size)
    single: Floats = found.astype(np.float32)
    return single
