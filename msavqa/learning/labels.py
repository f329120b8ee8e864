"""What a model learns from: numbers of videos, their MOS and weights, and the line from scores to MOS."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from msavqa.evaluation import metrics
from msavqa.learning.pixels import Rows

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Labels:
    """What is learned from: video numbers of `Inputs`, mos on the dataset's scale, weights; all (video,)."""

    videos: Rows
    mos: Floats
    weight: Floats


def standardised(labels: Labels, device: torch.device) -> tuple[Tensor, Tensor]:
    """Labels with weighted mean 0 and standard deviation 1, and weights, both (video,), float32."""
    mean = float(np.average(labels.mos, weights=labels.weight))
    sd = float(np.sqrt(np.average((labels.mos - mean) ** 2, weights=labels.weight))) or 1.0
    target = torch.tensor((labels.mos - mean) / sd, dtype=torch.float32, device=device)
    return target, torch.tensor(labels.weight, dtype=torch.float32, device=device)


def line(*, score: Floats, mos: Floats, weight: Floats) -> tuple[float, float]:
    """Weighted least-squares line (slope, offset) from scores to mos, all (video,).

    1 - PLCC leaves a branch's scale open, so that the models of two folds would not agree on it. Where scores
    do not rise with mos the line keeps their order: its slope is the mos' standard deviation.
    """
    middle, centre = np.average(mos, weights=weight), np.average(score, weights=weight)
    sd = float(np.sqrt(np.average((mos - middle) ** 2, weights=weight))) or 1.0
    spread = np.average((score - centre) ** 2, weights=weight)
    together = np.average((score - centre) * (mos - middle), weights=weight)
    rises = len(score) > 1 and together > 0 and np.isfinite(metrics.plcc(score=score, mos=mos))
    slope = float(together / spread) if rises else sd
    return slope, float(middle - slope * centre)
