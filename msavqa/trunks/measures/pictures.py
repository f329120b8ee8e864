"""What several measures ask of pictures: means of blocks, steps between neighbours, values at given ranks."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]


def block_means(picture: Floats, side: int) -> Floats:
    """Means (block,) of the whole blocks of `side` pixels; a picture smaller than that is one."""
    from msavqa.trunks.measures import loops

    height, width = picture.shape
    means = np.empty((max(height // side, 1), max(width // side, 1)), np.float32)
    loops.blocks(picture, min(side, height), min(side, width), means)
    found: Floats = means.ravel()
    return found


def steps(luminance: Floats) -> tuple[Doubles, Doubles]:
    """Mean absolute steps from every column to the next (frame, width - 1), and from every row."""
    from msavqa.trunks.measures import loops

    count, height, width = luminance.shape
    across, down = np.zeros((count, width - 1)), np.zeros((count, height - 1))
    for place, frame in enumerate(luminance):
        loops.steps(frame, across[place], down[place])
    return across / height, down / width


def grid(between: tuple[Doubles, Doubles], side: int) -> Doubles:
    """Mean step across borders `side` pixels apart over that between others, less one: (frame,).

    Zeros for pictures without such borders.
    """
    ratios = []
    for axis in between:
        border = (np.arange(axis.shape[1]) + 1) % side == 0
        if border.any() and not border.all():
            ratios.append((axis[:, border].mean(axis=1) + 0.1) / (axis[:, ~border].mean(axis=1) + 0.1) - 1)
    found: Doubles = np.mean(ratios, axis=0) if ratios else np.zeros(len(between[0]))
    return found


def at_ranks(parts: Callable[[Floats], Iterator[None]], *, size: int, ranks: Sequence[int]) -> Floats:
    """The values that sorting would put at `ranks` (from 0, ascending), exactly.

    `parts(out)` fills `out`, `size` values of at least zero, once for every step of what it returns; it is
    called twice, and gives the same again. First all values are counted by their upper bits, then those are
    kept that share them with a value asked for: of millions some thousands.
    """
    from msavqa.trunks.measures import fine_loops

    out = np.empty(size, np.float32)
    bits = out.view(np.int32)
    counts = np.zeros(1 << 31 - fine_loops.SHIFT, np.int32)
    for _ in parts(out):
        fine_loops.tally(bits, counts)
    up_to = np.cumsum(counts)
    wanted = np.zeros(counts.size, np.bool_)
    places = np.searchsorted(up_to, ranks, side="right")
    wanted[places] = True
    left_out = np.cumsum(np.where(wanted, 0, counts))[places]
    kept, already = np.empty(int(counts[wanted].sum()), np.float32), 0
    for _ in parts(out):
        already = fine_loops.pick(bits, wanted, kept.view(np.int32), already)
    local = np.asarray(ranks) - left_out
    found: Floats = np.partition(kept, local)[local]
    return found
