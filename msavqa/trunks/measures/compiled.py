"""Loops over pixels as machine code: what compiles them, and where the code is kept.

The modules `loops`, `fine_loops` and `time_loops` are compiled when they are first imported. The code is kept
in `__pycache__` beside them, or in the user's cache where that folder cannot be written; where neither can,
every process compiles again, for some seconds. It is made anew when the file with the loop changes, and not
when another file does: so a loop calls nothing of other files, and constants come as arguments.

This module imports numba, which takes most of a second: import loops where something is measured, not above.
"""

import inspect
from collections.abc import Callable
from typing import Any, TypeVar

import numba
import numpy as np
import numpy.typing as npt
from numba import types

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int32]
Bytes = npt.NDArray[np.uint8]
Function = TypeVar("Function", bound=Callable[..., Any])

FLOAT, DOUBLE, BYTE, INTEGER, WHOLE, TRUTH = (
    types.float32, types.float64, types.uint8, types.int32, types.intp, types.boolean,
)  # fmt: skip
"""Types of values; `WHOLE` is that of a place or a number of pixels."""


def reads(kind: Any, axes: int) -> Any:
    """The type of an array that is only read: it may lie in a file."""
    return types.Array(kind, axes, "C", readonly=True)


def writes(kind: Any, axes: int) -> Any:
    """The type of an array that is written."""
    return types.Array(kind, axes, "C")


def compiled(
    *given: Any, returns: Any = types.void, any_order: bool = False
) -> Callable[[Function], Function]:
    """Compiles a function for arguments of these types; it does not hold Python's lock.

    What is computed keeps the order of the source, so that a flat picture gives zeros and not rounding.
    `any_order` is for sums along a row: a core then adds eight numbers at once.
    """

    def decorate(function: Function) -> Function:
        plain = inspect.unwrap(function)  # tests wrap functions, to check the types of what they get
        options: dict[str, Any] = {
            "nogil": True,
            "error_model": "numpy",
            "fastmath": {"reassoc"} if any_order else False,
        }
        made: Any
        try:
            made = numba.njit(returns(*given), cache=True, **options)(plain)
        except (RuntimeError, OSError) as error:
            if isinstance(error, RuntimeError) and "cannot cache function" not in str(error):
                raise
            made = numba.njit(returns(*given), **options)(plain)  # no place to keep it
        found: Function = made
        return found

    return decorate
