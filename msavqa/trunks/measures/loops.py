"""Loops over the pixels of one frame: colours, gradients, contrast; see `compiled`."""

from typing import Any

import numpy as np
from numba import types

from msavqa.trunks.measures.compiled import (
    BYTE,
    DOUBLE,
    FLOAT,
    INTEGER,
    WHOLE,
    Bytes,
    Doubles,
    Floats,
    Integers,
    compiled,
    reads,
    writes,
)

MIDDLE = np.float32(128)
"""Level that is taken off before squares are averaged, so that their small differences are exact enough."""


@compiled(reads(FLOAT, 1), returns=DOUBLE, any_order=True)
def _total(row: Floats) -> Any:
    found = np.float32(0)
    for x in range(row.size):
        found += row[x]
    return found


@compiled(reads(FLOAT, 1), returns=types.UniTuple(DOUBLE, 2), any_order=True)
def _moments(row: Floats) -> Any:
    """Sum and sum of squares, in double precision: a variance may be made of them."""
    one, two = 0.0, 0.0
    for x in range(row.size):
        value = np.float64(row[x])
        one += value
        two += value * value
    return one, two


@compiled(reads(FLOAT, 1), returns=types.UniTuple(DOUBLE, 4), any_order=True)
def _powers(row: Floats) -> Any:
    one, two, three, four = np.float32(0), np.float32(0), np.float32(0), np.float32(0)
    for x in range(row.size):
        value = row[x]
        square = value * value
        one += value
        two += square
        three += square * value
        four += square * square
    return one, two, three, four


@compiled(reads(FLOAT, 1), reads(FLOAT, 1), returns=DOUBLE, any_order=True)
def _product(row: Floats, other: Floats) -> Any:
    found = np.float32(0)
    for x in range(row.size):
        found += row[x] * other[x]
    return found


@compiled(reads(BYTE, 3), writes(FLOAT, 2))
def luminance(frame: Bytes, out: Floats) -> None:
    """Rec. 601 of (height, width, 3), in 0..255."""
    for y in range(frame.shape[0]):
        row, to = frame[y], out[y]
        for x in range(to.size):
            red, green, blue = np.float32(row[x, 0]), np.float32(row[x, 1]), np.float32(row[x, 2])
            to[x] = np.float32(0.299) * red + np.float32(0.587) * green + np.float32(0.114) * blue


@compiled(reads(BYTE, 3), reads(INTEGER, 2), writes(INTEGER, 1), writes(DOUBLE, 1))
def colours(frame: Bytes, places: Integers, counts: Integers, sums: Doubles) -> None:
    """Counts of colours, by the sum of a place per level (channel, 256); and sums over pixels.

    Of red, green, blue; of r - g and (r + g) / 2 - b, each with its square; of saturation, with its square.
    """
    rows = np.empty((6, frame.shape[1]), np.float32)
    red, green, blue, one, other, saturation = rows[0], rows[1], rows[2], rows[3], rows[4], rows[5]
    for y in range(frame.shape[0]):
        row = frame[y]
        for x in range(red.size):
            red[x], green[x], blue[x] = row[x, 0], row[x, 1], row[x, 2]
        for x in range(red.size):
            one[x] = red[x] - green[x]
            other[x] = (red[x] + green[x]) * np.float32(0.5) - blue[x]
        for x in range(red.size):
            most = max(max(red[x], green[x]), blue[x])
            least = min(min(red[x], green[x]), blue[x])
            saturation[x] = (most - least) / max(most, np.float32(1))
        for place in range(3):
            sums[place] += _total(rows[place])
            first, second = _moments(rows[3 + place])
            sums[3 + 2 * place] += first
            sums[4 + 2 * place] += second
        for x in range(red.size):
            counts[places[0, row[x, 0]] + places[1, row[x, 1]] + places[2, row[x, 2]]] += 1


@compiled(reads(FLOAT, 2), writes(FLOAT, 2), WHOLE)
def pad(frame: Floats, out: Floats, margin: int) -> None:
    """A frame with its mirror image around it, edges doubled, as scipy's `reflect` has it."""
    height, width = frame.shape
    for y in range(out.shape[0]):
        down = (y - margin) % (2 * height)
        row, to = frame[min(down, 2 * height - 1 - down)], out[y]
        for x in range(width):
            to[margin + x] = row[x]
        for x in range(margin):
            left, right = (x - margin) % (2 * width), (width + x) % (2 * width)
            to[x] = row[min(left, 2 * width - 1 - left)]
            to[margin + width + x] = row[min(right, 2 * width - 1 - right)]


@compiled(reads(FLOAT, 2), WHOLE, WHOLE, writes(FLOAT, 2))
def blocks(picture: Floats, tall: int, wide: int, means: Floats) -> None:
    """Means of a picture's whole blocks."""
    kept = np.empty(means.shape[1] * wide, np.float32)
    size = np.float32(tall * wide)
    for row in range(means.shape[0]):
        for x in range(kept.size):
            kept[x] = 0
        for y in range(row * tall, (row + 1) * tall):
            line = picture[y]
            for x in range(kept.size):
                kept[x] += line[x]
        for column in range(means.shape[1]):
            found = np.float32(0)
            for x in range(column * wide, (column + 1) * wide):
                found += kept[x]
            means[row, column] = found / size


@compiled(
    reads(FLOAT, 2), WHOLE, FLOAT, writes(FLOAT, 2), writes(FLOAT, 2), writes(INTEGER, 1), writes(DOUBLE, 1)
)
def spatial(
    padded: Floats, margin: int, edge: float, gradient: Floats, high: Floats, levels: Integers, sums: Doubles
) -> None:  # fmt: skip
    """Gradient and high-pass magnitude of every pixel of a padded frame; counts of whole levels; sums.

    The sums are of luminance and of the Laplacian, each with its square; of the gradient; of pixels where
    that is at least `edge`; of the absolute response of Immerkaer's operator; of pixels up to 5 or from 250.
    """
    height, width = gradient.shape
    rows = np.empty((8, width), np.float32)
    laplacian, response, three, two = rows[0], rows[1], rows[2:5], rows[5:8]
    for y in range(-1, height + 1):
        row = padded[margin + y, margin - 1 : margin + width + 1]
        mean, bend = three[(y + 1) % 3], two[(y + 1) % 3]
        for x in range(width):
            bend[x] = row[x + 2] + row[x] - np.float32(2) * row[x + 1]
            mean[x] = row[x + 2] + row[x] + row[x + 1]
        if y < 1:
            continue
        # From here on of the row in the middle of the last three.
        above, below = (
            padded[margin + y - 2, margin : margin + width],
            padded[margin + y, margin : margin + width],
        )
        row = padded[margin + y - 1, margin - 1 : margin + width + 1]
        centre, slope, rough = row[1 : width + 1], gradient[y - 1], high[y - 1]
        for x in range(width):
            across, down = row[x + 2] - row[x], below[x] - above[x]
            slope[x] = np.sqrt(across * across + down * down) * np.float32(0.5)
        first, middle, last = two[(y - 1) % 3], two[y % 3], two[(y + 1) % 3]
        for x in range(width):
            laplacian[x] = middle[x] + below[x] + above[x] - np.float32(2) * centre[x]
        for x in range(width):
            response[x] = abs(last[x] + first[x] - np.float32(2) * middle[x])
        first, middle, last = three[(y - 1) % 3], three[y % 3], three[(y + 1) % 3]
        for x in range(width):
            rough[x] = abs(centre[x] - (first[x] + middle[x] + last[x]) / np.float32(9))
        edges, clipped = 0, 0
        for x in range(width):
            edges += slope[x] >= edge
            clipped += (centre[x] <= np.float32(5)) | (centre[x] >= np.float32(250))
        for x in range(width):
            levels[int(centre[x])] += 1
        value, square = _moments(centre)
        sums[0] += value
        sums[1] += square
        value, square = _moments(laplacian)
        sums[2] += value
        sums[3] += square
        sums[4] += _total(slope)
        sums[5] += edges
        sums[6] += _total(response)
        sums[7] += clipped


@compiled(reads(FLOAT, 2), writes(DOUBLE, 1), writes(DOUBLE, 1))
def steps(frame: Floats, across: Doubles, down: Doubles) -> None:
    """Sums of the absolute steps from every column to the next, and from every row to the next."""
    height, width = frame.shape
    change = np.empty(width, np.float32)
    for y in range(height):
        row = frame[y]
        for x in range(width - 1):
            across[x] += np.float64(abs(row[x + 1] - row[x]))
        if y + 1 < height:
            below = frame[y + 1]
            for x in range(width):
                change[x] = abs(below[x] - row[x])
            down[y] = _total(change)


@compiled(reads(FLOAT, 2), reads(FLOAT, 1), writes(DOUBLE, 1))
def normalised(padded: Floats, weights: Floats, sums: Doubles) -> None:
    """Sums of the first four powers of Mittal's coefficients, and of the products of horizontal neighbours.

    `weights` are those of the Gaussian window, from its middle to 4 pixels away. The frame is padded by 4.
    """
    height, width = padded.shape[0] - 8, padded.shape[1] - 8
    w0, w1, w2, w3, w4 = weights[0], weights[1], weights[2], weights[3], weights[4]
    rows, found = np.empty((2, width + 8), np.float32), np.empty(width, np.float32)
    mean, square = rows[0], rows[1]
    for y in range(height):
        for x in range(width + 8):
            a, b, c = padded[y, x] - MIDDLE, padded[y + 1, x] - MIDDLE, padded[y + 2, x] - MIDDLE
            d, e, f = padded[y + 3, x] - MIDDLE, padded[y + 4, x] - MIDDLE, padded[y + 5, x] - MIDDLE
            g, h, i = padded[y + 6, x] - MIDDLE, padded[y + 7, x] - MIDDLE, padded[y + 8, x] - MIDDLE
            mean[x] = w0 * e + w1 * (d + f) + w2 * (c + g) + w3 * (b + h) + w4 * (a + i)
            square[x] = (
                w0 * (e * e)
                + w1 * (d * d + f * f)
                + w2 * (c * c + g * g)
                + w3 * (b * b + h * h)
                + w4 * (a * a + i * i)
            )
        centre = padded[y + 4, 4 : width + 4]
        for x in range(width):
            middle = w0 * mean[x + 4] + w1 * (mean[x + 3] + mean[x + 5]) + w2 * (mean[x + 2] + mean[x + 6])
            middle += w3 * (mean[x + 1] + mean[x + 7]) + w4 * (mean[x] + mean[x + 8])
            spread = (
                w0 * square[x + 4]
                + w1 * (square[x + 3] + square[x + 5])
                + w2 * (square[x + 2] + square[x + 6])
            )
            spread += w3 * (square[x + 1] + square[x + 7]) + w4 * (square[x] + square[x + 8])
            deviation = np.sqrt(max(spread - middle * middle, np.float32(0)))
            found[x] = (centre[x] - MIDDLE - middle) / (deviation + np.float32(1))
        one, two, three, four = _powers(found)
        sums[0] += one
        sums[1] += two
        sums[2] += three
        sums[3] += four
        sums[4] += _product(found[1:], found[: width - 1])


@compiled(reads(FLOAT, 3), reads(FLOAT, 2), reads(FLOAT, 2), writes(DOUBLE, 1))
def energy(spectrum: Floats, weights: Floats, others: Floats, sums: Doubles) -> None:
    """Sums of a spectrum's energy (row, column, real and imaginary part), by two tables of weights."""
    values = np.empty(spectrum.shape[1], np.float32)
    for y in range(spectrum.shape[0]):
        row = spectrum[y]
        for x in range(values.size):
            values[x] = row[x, 0] * row[x, 0] + row[x, 1] * row[x, 1]
        sums[0] += _product(values, weights[y])
        sums[1] += _product(values, others[y])
