"""What the training videos were like: where a new value lies among theirs, and when it lies outside."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

POINTS = 101
"""Quantiles kept of each measure: every percent."""


def of_branch(name: str) -> str:
    """Under which name a branch's scores stand, apart from the measures whatever the branch is called."""
    return f"branches/{name}"


@dataclass(frozen=True)
class Reference:
    """Quantiles, lowest first, of each measure over the training videos."""

    quantiles: Mapping[str, list[float]]

    @classmethod
    def of(cls, measures: Mapping[str, ArrayLike]) -> "Reference":
        """From each measure's values, (video,); those that are not finite do not count."""
        kept = {name: np.asarray(values, dtype=np.float64) for name, values in measures.items()}
        kept = {name: values[np.isfinite(values)] for name, values in kept.items()}
        points = np.linspace(0, 1, POINTS)
        return cls(
            {name: np.quantile(values, points).tolist() for name, values in kept.items() if len(values)}
        )

    def share_below(self, name: str, value: float) -> float | None:
        """Share of the training videos that lie below, 0..1; None where the measure is not known."""
        points = self._points(name)
        if points is None:
            return None
        below, upto = np.searchsorted(points, value, "left"), np.searchsorted(points, value, "right")
        if below < upto or upto in (0, len(points)):  # on a step or outside: interpolation says nothing
            return float((below + upto) / 2 / len(points))
        return float(np.interp(value, points, np.linspace(0, 1, len(points))))

    def range(self, name: str) -> tuple[float, float] | None:
        """Lowest and highest value of the training videos; None where the measure is not known."""
        points = self._points(name)
        return None if points is None else (float(points[0]), float(points[-1]))

    def outside(self, name: str, value: float, *, slack: float = 0.0) -> bool:
        """Whether a value lies beyond the training videos' range by more than `slack` of its end."""
        ends = self.range(name)
        if ends is None:
            return False
        low, high = ends
        return value < low - slack * abs(low) or value > high + slack * abs(high)

    def _points(self, name: str) -> NDArray[np.float64] | None:
        return np.asarray(self.quantiles[name]) if name in self.quantiles else None
