"""By how much a model misjudges a generator as a whole.

Scores of one generator's videos share an error: the model likes or dislikes how that generator looks. No
number of prompts averages it away, so a comparison of generators has to know it. It is measured where people
have rated generators. For new ones it is honest only where training had left these out, as the protocol
`generator_disjoint` does.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

SEEN, UNSEEN = "generator_error_seen", "generator_error_unseen"
"""Names in metrics.json: of generators that training knew, and of generators that it had left out."""
COUNT = "generator_error_generators"
LEAST = 2
"""Generators, each of as many prompts, below which nothing can be told."""


@dataclass(frozen=True)
class GeneratorError:
    """A standard deviation over generators."""

    value: float
    """Root mean square of (mean score - mean MOS), in MOS, what the choice of videos adds taken off; 0 where
    that explains all of it."""
    generators: int
    """How many it was measured on."""
    unseen: bool
    """Whether training had left out each of these generators."""

    def careful(self, *, level: float = 0.95) -> float:
        """The same, enlarged so that a normal interval of it is as wide as Student's: few generators tell a
        deviation badly."""
        tail = (1 + level) / 2
        return self.value * float(stats.t.ppf(tail, self.generators) / stats.norm.ppf(tail))


def deviations(
    *, score: ArrayLike, mos: ArrayLike, generator: ArrayLike, prompt: ArrayLike
) -> dict[str, tuple[float, float]]:
    """By generator: mean score minus mean MOS, and that difference's own standard error.

    All are (video,), `score` on the scale of `mos`. The standard error is that of a mean of clusters, which
    the prompts are (Liang and Zeger 1986, Biometrika 73); NaN of one prompt.
    """
    residual = np.asarray(score, dtype=np.float64) - np.asarray(mos, dtype=np.float64)
    names = np.asarray(generator, dtype=object).astype(str)
    prompts = np.asarray(prompt, dtype=object).astype(str)
    found = {}
    for name in np.unique(names):
        own = residual[names == name]
        mean = float(own.mean())
        _, numbers = np.unique(prompts[names == name], return_inverse=True)
        sums = np.bincount(numbers, weights=own - mean)
        count = len(sums)
        error = float(np.sqrt(count / (count - 1) * np.sum(sums**2)) / len(own)) if count > 1 else np.nan
        found[str(name)] = (mean, error)
    return found


def of(found: Mapping[str, tuple[float, float]], *, unseen: bool) -> GeneratorError | None:
    """The error over generators of what `deviations` found; None below `LEAST` of them.

    value^2 = mean(deviation^2 - error^2), the method of moments, 0 where it is below that.
    """
    known = [(mean, error) for mean, error in found.values() if np.isfinite(error)]
    if len(known) < LEAST:
        return None
    square = float(np.mean([mean**2 - error**2 for mean, error in known]))
    return GeneratorError(value=max(0.0, square) ** 0.5, generators=len(known), unseen=unseen)


def known(figures: Mapping[str, int | float]) -> GeneratorError | None:
    """What metrics.json says of it; None where it says nothing."""
    for name in (UNSEEN, SEEN):
        if name in figures and COUNT in figures:
            return GeneratorError(float(figures[name]), int(figures[COUNT]), unseen=name == UNSEEN)
    return None
