"""Which rows of a text store are a prompt's: one where it fits the encoder, else one for each piece of it."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from msavqa.store.format import prompt_id
from msavqa.store.read import Array, Store

NO_PIECE = -1
"""A place behind a prompt's last piece."""


def piece_id(prompt: str, number: int) -> str:
    """The id of a prompt's row: of its first piece, number 1, the prompt's own."""
    return prompt_id(prompt) if number == 1 else f"{prompt_id(prompt)}/{number}"


def rows_of(found: Store, prompts: Sequence[str]) -> npt.NDArray[np.int64]:
    """Rows (prompt, piece) of a text store, in the pieces' order, `NO_PIECE` behind a prompt's last.

    Raises `StoreError` where the store lacks a prompt.
    """
    first = found.index([prompt_id(prompt) for prompt in prompts])
    counts = np.ones(len(prompts), dtype=np.int64)
    if "pieces" in found.rows:
        counts = found.rows["pieces"].to_numpy(dtype=np.int64)[first]
    rows = np.full((len(prompts), max([1, *counts.tolist()])), NO_PIECE, dtype=np.int64)
    rows[:, 0] = first
    for place in np.flatnonzero(counts > 1).tolist():
        others = range(2, int(counts[place]) + 1)
        rows[place, 1 : counts[place]] = found.index([piece_id(prompts[place], number) for number in others])
    return rows


def vectors(found: Store, array: str, rows: npt.NDArray[np.int64]) -> Array:
    """An array's rows as `rows_of` has them, (prompt, piece, *row shape), zeros where there is no piece."""
    read = found.read(array, np.maximum(rows, 0).reshape(-1))
    read = read.reshape(*rows.shape, *read.shape[1:])
    read[rows == NO_PIECE] = 0
    return read


def sharpness(found: Store) -> float:
    """Of the softmax that joins pieces of one prompt, see `texts.<name>.pieces`; 0 where there are none."""
    pieces = found.fingerprint.get("pieces")
    return 0.0 if pieces is None else float(pieces["sharpness"])
