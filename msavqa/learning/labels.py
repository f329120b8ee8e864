"""What a model learns from: numbers of videos, their MOS and weights, and the line from scores to MOS."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import Tensor

from msavqa.datasets import dimensions
from msavqa.evaluation import metrics
from msavqa.learning.pixels import Rows

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Labels:
    """What is learned from: video numbers of `Inputs`, mos on the dataset's scale, weights; all (video,)."""

    videos: Rows
    mos: Floats
    weight: Floats
    more: tuple[Floats, ...] = ()
    """MOS of each further dimension of quality; there, and in `mos` beside them, NaN is a missing one."""

    @classmethod
    def of(cls, rows: pd.DataFrame, *, videos: Rows) -> "Labels":
        """Of rows as `tables.learning_labels` has them; `videos` are their numbers."""
        mos, *more = (rows[name].to_numpy(dtype=np.float64) for name in _columns(rows))
        return cls(videos=videos, mos=mos, weight=rows["weight"].to_numpy(dtype=np.float64), more=tuple(more))

    def dimension(self, number: int) -> "Labels":
        """What is known of one dimension, 0 the first: the rows that have a label of it."""
        mos = (self.mos, *self.more)[number]
        known = ~np.isnan(mos)
        return Labels(videos=self.videos[known], mos=mos[known], weight=self.weight[known])


def having_some(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows that have a MOS of some dimension of quality."""
    return rows[rows[_columns(rows)].notna().any(axis=1)]


def _columns(rows: pd.DataFrame) -> list[str]:
    return ["mos", *(f"mos_{name}" for name in dimensions.further(rows))]


def standardised(labels: Labels, device: torch.device) -> list[tuple[Tensor, Tensor]]:
    """Of each dimension: labels of weighted mean 0 and standard deviation 1, weights; (video,), float32.

    A row without a label of a dimension has the label 0 and the weight 0 there.
    """
    found = []
    for mos in (labels.mos, *labels.more):
        known = ~np.isnan(mos)
        weight = np.where(known, labels.weight, 0.0)
        mean = float(np.average(mos[known], weights=weight[known]))
        sd = float(np.sqrt(np.average((mos[known] - mean) ** 2, weights=weight[known]))) or 1.0
        target = torch.tensor(np.where(known, (mos - mean) / sd, 0.0), dtype=torch.float32, device=device)
        found.append((target, torch.tensor(weight, dtype=torch.float32, device=device)))
    return found


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
