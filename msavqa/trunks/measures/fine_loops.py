"""Loops over the pixels of one frame: fine detail, its ranks, how much a blur takes; see `compiled`."""

from typing import Any

import numpy as np
import numpy.typing as npt

from msavqa.trunks.measures.compiled import (
    DOUBLE,
    FLOAT,
    INTEGER,
    TRUTH,
    WHOLE,
    Doubles,
    Floats,
    Integers,
    compiled,
    reads,
    writes,
)

SHIFT = 18
"""Lower bits of a float32 by which values are not told apart when they are counted."""


@compiled(reads(FLOAT, 1), returns=DOUBLE, any_order=True)
def _total(row: Floats) -> Any:
    found = np.float32(0)
    for x in range(row.size):
        found += row[x]
    return found


@compiled(reads(FLOAT, 2), WHOLE, writes(FLOAT, 1))
def detail(padded: Floats, margin: int, out: Floats) -> None:
    """Magnitude of the Laplacian of every pixel of a padded frame."""
    height, width = padded.shape[0] - 2 * margin, padded.shape[1] - 2 * margin
    for y in range(height):
        above = padded[margin + y - 1, margin : margin + width]
        below = padded[margin + y + 1, margin : margin + width]
        row, to = padded[margin + y, margin - 1 : margin + width + 1], out[y * width : (y + 1) * width]
        for x in range(width):
            to[x] = abs(row[x + 2] + row[x] + below[x] + above[x] - np.float32(4) * row[x + 1])


@compiled(reads(INTEGER, 1), writes(INTEGER, 1))
def tally(bits: Integers, counts: Integers) -> None:
    """Counts values, by the upper bits of each: they rise with the value where none is negative."""
    for x in range(bits.size):
        counts[bits[x] >> SHIFT] += 1


@compiled(reads(INTEGER, 1), reads(TRUTH, 1), writes(INTEGER, 1), WHOLE, returns=WHOLE)
def pick(bits: Integers, wanted: npt.NDArray[np.bool_], out: Integers, already: int) -> Any:
    """Puts the values whose upper bits are wanted behind those already there; how many there are then."""
    for x in range(bits.size):
        if wanted[bits[x] >> SHIFT]:
            out[already] = bits[x]
            already += 1
    return already


@compiled(reads(FLOAT, 2), reads(FLOAT, 2), reads(FLOAT, 2), FLOAT, writes(FLOAT, 2), writes(DOUBLE, 1))
def transform(
    frame: Floats, rows: Floats, columns: Floats, least: float, deviations: Floats, sums: Doubles
) -> None:  # fmt: skip
    """Standard deviation of every block; sums of the magnitudes of its cosine transform, by band.

    `rows` and `columns` are the transform's matrices (frequency, place), orthonormal. The bands are of
    frequencies whose sum is 1, 2 to 3, 4 and more; small are those of the last two below `least`.
    """
    tall, wide, count = rows.shape[0], columns.shape[0], deviations.shape[1]
    one, two = np.empty(wide * count, np.float32), np.empty((wide, count), np.float32)
    found, size, power = np.empty(count, np.float32), np.empty(count, np.float32), np.empty(count, np.float32)
    for block in range(deviations.shape[0]):
        for place in range(count):
            power[place] = 0
        for down in range(tall):
            for x in range(one.size):
                one[x] = 0
            for y in range(tall):
                weight, row = rows[down, y], frame[block * tall + y]
                for x in range(one.size):
                    one[x] += weight * row[x]
            for x in range(wide):
                for place in range(count):
                    two[x, place] = one[place * wide + x]
            for across in range(wide):
                if down + across == 0:
                    continue
                for place in range(count):
                    found[place] = 0
                for x in range(wide):
                    weight, part = columns[across, x], two[x]
                    for place in range(count):
                        found[place] += weight * part[place]
                for place in range(count):
                    power[place] += found[place] * found[place]
                    size[place] = abs(found[place])
                band = min((down + across) // 2, 2)
                sums[band] += _total(size)
                if band > 0:
                    small = 0
                    for place in range(count):
                        small += size[place] < least
                    sums[3] += small
        for place in range(count):
            deviations[block, place] = np.sqrt(power[place] / np.float32(tall * wide))


@compiled(reads(FLOAT, 2), WHOLE, writes(FLOAT, 3))
def smoothed(padded: Floats, reach: int, out: Floats) -> None:
    """Means of 2 `reach` + 1 pixels, down (0) and across (1), of a frame padded by `reach`."""
    height, width = out.shape[1:]
    share = np.float32(2 * reach + 1)
    for y in range(height):
        down, across, row = out[0, y], out[1, y], padded[y + reach]
        for x in range(width):
            down[x], across[x] = 0, 0
        for step in range(2 * reach + 1):
            other, moved = padded[y + step, reach : reach + width], row[step : step + width]
            for x in range(width):
                down[x] += other[x]
            for x in range(width):
                across[x] += moved[x]
        for x in range(width):
            down[x] /= share
            across[x] /= share


@compiled(reads(FLOAT, 2), reads(FLOAT, 3), writes(DOUBLE, 2))
def lost(frame: Floats, smooth: Floats, sums: Doubles) -> None:
    """Per axis: sums of Sobel's differences, and of what a picture smoothed along that axis lacks of them.

    Borders are left out as in scikit-image: two pixels above and to the left, one below and to the right.
    """
    height, width = frame.shape
    rows = np.empty((2, width - 3), np.float32)
    for y in range(2, height - 1):
        for axis in range(2):
            for picture in range(2):
                plane, to = frame if picture == 0 else smooth[axis], rows[picture]
                above, row, below = plane[y - 1, 1:width], plane[y, 1:width], plane[y + 1, 1:width]
                if axis == 0:
                    for x in range(to.size):
                        upper = above[x] + np.float32(2) * above[x + 1] + above[x + 2]
                        lower = below[x] + np.float32(2) * below[x + 1] + below[x + 2]
                        to[x] = abs(upper - lower)
                else:
                    for x in range(to.size):
                        left = above[x] + np.float32(2) * row[x] + below[x]
                        right = above[x + 2] + np.float32(2) * row[x + 2] + below[x + 2]
                        to[x] = abs(left - right)
            sharp, blurred = rows[0], rows[1]
            for x in range(sharp.size):
                blurred[x] = max(sharp[x] - blurred[x], np.float32(0))
            sums[axis, 0] += _total(sharp)
            sums[axis, 1] += _total(blurred)
