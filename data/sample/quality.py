"""The sample world's truth: a formula from causes to quality, and simulated people who rate it.

    quality = 100 * product over the causes c of (1 - WEIGHT[c] * strength[c])        strength in [0, 1]

Every cause alone lowers quality, and a video with several is worse than with any one of them. The formula,
its weights and the raters were fixed before any model was tuned on them.
"""

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

RATERS_PANEL = 40  # people in all
RATINGS_PER_VIDEO = 16  # of them, for each video
RATER_BIAS_SD = 6.0  # a person's own level, MOS points
RATER_NOISE_SD = 19.0  # a person's unsteadiness from video to video


@dataclass(frozen=True)
class Causes:
    """What is wrong with a video, each strength from 0 (nothing) to 1."""

    blur: float = 0.0
    noise: float = 0.0
    blocking: float = 0.0
    flicker: float = 0.0
    judder: float = 0.0
    frozen: float = 0.0
    mutation: float = 0.0
    misalignment: float = 0.0


CAUSES = tuple(field.name for field in fields(Causes))
WEIGHT = {
    "blur": 0.60,
    "noise": 0.50,
    "blocking": 0.60,
    "flicker": 0.35,
    "judder": 0.35,
    "frozen": 0.35,
    "mutation": 0.50,
    "misalignment": 0.65,
}


def quality(causes: Causes) -> float:
    """True quality of a video, 0 to 100."""
    kept = [1 - WEIGHT[name] * getattr(causes, name) for name in CAUSES]
    return 100.0 * float(np.prod(kept))


@dataclass(frozen=True)
class Opinions:
    """What the raters made of a set of videos, one value per video."""

    mos: NDArray[np.float64]  # mean opinion score, 0 to 100
    standard_error: NDArray[np.float64]  # of that mean


def rate(true_quality: NDArray[np.float64], *, rng: np.random.Generator) -> Opinions:
    """Each video is rated by some of the panel: its quality, the rater's bias, and noise, within 0 to 100.

    Raters are drawn without repetition for a video; a rating is a whole number.
    """
    bias = RATER_BIAS_SD * rng.standard_normal(RATERS_PANEL)
    ratings = np.empty((len(true_quality), RATINGS_PER_VIDEO))
    for row, value in enumerate(true_quality):
        people = rng.choice(RATERS_PANEL, size=RATINGS_PER_VIDEO, replace=False)
        noise = RATER_NOISE_SD * rng.standard_normal(RATINGS_PER_VIDEO)
        ratings[row] = np.clip(np.round(value + bias[people] + noise), 0, 100)
    error = ratings.std(axis=1, ddof=1) / np.sqrt(RATINGS_PER_VIDEO)
    return Opinions(mos=ratings.mean(axis=1), standard_error=error)


def noise_ceiling(mos: NDArray[np.float64], true_quality: NDArray[np.float64]) -> float:
    """SRCC of MOS with true quality: what a perfect judge would reach."""
    from scipy.stats import spearmanr  # slow to import: workers that film need it not

    return float(spearmanr(mos, true_quality).statistic)
