"""Loops over the pixels of two or three frames: changes, and motion; see `compiled`."""

from typing import Any

import numpy as np

from msavqa.trunks.measures.compiled import DOUBLE, FLOAT, WHOLE, Doubles, Floats, compiled, reads, writes


@compiled(reads(FLOAT, 1), returns=DOUBLE, any_order=True)
def _total(row: Floats) -> Any:
    found = np.float32(0)
    for x in range(row.size):
        found += row[x]
    return found


@compiled(reads(FLOAT, 1), reads(FLOAT, 1), returns=DOUBLE, any_order=True)
def _product(row: Floats, other: Floats) -> Any:
    found = np.float32(0)
    for x in range(row.size):
        found += row[x] * other[x]
    return found


@compiled(reads(FLOAT, 2), reads(FLOAT, 2), FLOAT, FLOAT, writes(FLOAT, 2), writes(DOUBLE, 1))
def change(
    before: Floats, after: Floats, mean: float, other_mean: float, out: Floats, sums: Doubles
) -> None:  # fmt: skip
    """Absolute change of every pixel; its sum, and those of both frames' products about these means."""
    height, width = before.shape
    rows = np.empty((2, width), np.float32)
    one, other = rows[0], rows[1]
    for y in range(height):
        first, second, to = before[y], after[y], out[y]
        for x in range(width):
            to[x] = abs(second[x] - first[x])
        for x in range(width):
            one[x] = first[x] - mean
        for x in range(width):
            other[x] = second[x] - other_mean
        sums[0] += _total(to)
        sums[1] += _product(one, one)
        sums[2] += _product(other, other)
        sums[3] += _product(one, other)


@compiled(reads(FLOAT, 1), reads(FLOAT, 1), reads(FLOAT, 1), writes(FLOAT, 1), returns=DOUBLE)
def bend(before: Floats, now: Floats, after: Floats, out: Floats) -> Any:
    """Magnitude of every pixel's second difference over time; their sum."""
    for x in range(now.size):
        out[x] = abs((after[x] - now[x]) - (now[x] - before[x]))
    found = 0.0
    for start in range(0, now.size, 1024):
        found += _total(out[start : start + 1024])
    return found


@compiled(reads(FLOAT, 3), reads(FLOAT, 3), FLOAT, writes(FLOAT, 3))
def phases(after: Floats, before: Floats, least: float, out: Floats) -> None:
    """After times the conjugate of before, divided by its magnitude, or by `least` where that is more."""
    for y in range(out.shape[0]):
        one, other, to = after[y], before[y], out[y]
        for x in range(out.shape[1]):
            real = one[x, 0] * other[x, 0] + one[x, 1] * other[x, 1]
            imaginary = one[x, 1] * other[x, 0] - one[x, 0] * other[x, 1]
            size = max(np.sqrt(real * real + imaginary * imaginary), least)
            to[x, 0], to[x, 1] = real / size, imaginary / size


@compiled(reads(FLOAT, 2), reads(FLOAT, 2), WHOLE, WHOLE, writes(FLOAT, 2))
def residual(before: Floats, after: Floats, down: int, across: int, out: Floats) -> None:
    """Absolute change of every pixel that both frames show, motion and brightness undone."""
    height, width = out.shape
    up, left, low, right = max(0, -down), max(0, -across), max(0, down), max(0, across)
    mean, other_mean = 0.0, 0.0
    for y in range(height):
        mean += _total(before[up + y, left : left + width])
        other_mean += _total(after[low + y, right : right + width])
    size = height * width
    gain = np.float32((mean / size + 1) / (other_mean / size + 1))
    for y in range(height):
        one, other = before[up + y, left : left + width], after[low + y, right : right + width]
        to = out[y]
        for x in range(width):
            to[x] = abs(other[x] * gain - one[x])
