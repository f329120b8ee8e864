"""What a model is trained to make small on one batch: its loss in each dimension, and how copies rank."""

from collections.abc import Sequence

import torch
from torch import Tensor

from msavqa.learning import branch, losses
from msavqa.learning.branch import BranchSettings
from msavqa.learning.copies import Drawn
from msavqa.learning.output import Output
from msavqa.learning.train_settings import RankSettings

Targets = Sequence[tuple[Tensor, Tensor]]
"""Standardised labels and weights of each dimension, (video,); weight 0 where a video has no label of it."""


def loss(
    settings: BranchSettings, copies: RankSettings, output: Output, *, targets: Targets, drawn: Drawn | None
) -> Tensor:
    """The mean over dimensions of the branch's loss, and, of the first dimension alone, how copies rank."""
    if drawn is None:
        return of_labels(settings, output=output, targets=targets)
    mos, _ = targets[0]
    own, original, copy = output.parted(len(mos), len(drawn))
    ranked = losses.copy_loss(
        original=original.score,
        copy=copy.score,
        margin=drawn.margins.to(mos.device),
        sd=branch.sd_of(settings, own.score),
    )
    return of_labels(settings, output=own, targets=targets) + copies.weight * ranked


def of_labels(settings: BranchSettings, *, output: Output, targets: Targets) -> Tensor:
    """Mean over the dimensions that some video of the batch has a label of."""
    found = [
        branch.loss(settings, output=one, mos=mos, weight=weight)
        for one, (mos, weight) in zip(output.dimensions, targets, strict=True)
        if len(targets) == 1 or bool(weight.sum() > 0)
    ]
    return found[0] if len(found) == 1 else torch.stack(found).mean()
