"""The optimiser: what is decayed, what learns at which rate, and how the rate goes over the steps."""

import math
from typing import Literal

import torch
from pydantic import Field
from torch import nn

from msavqa.ground.params import Settings


class OptimiserSettings(Settings):
    """`branches.<branch>.optimiser` and `pretrain.optimiser`; the paper's rates are those of its Table I."""

    name: Literal["adamw", "adam"]
    rate: float = Field(gt=0)
    """Learning rate after warm-up."""
    weight_decay: float = Field(ge=0)
    """Of what has two axes or more (weights, SMA's queries); biases, norms, other vectors are not decayed."""
    backbone_rate: float = Field(ge=0)
    """Factor on `rate` for a backbone that is trained along (cut last_stage or pixels)."""
    batch: int = Field(ge=2)
    """Videos per step. 1 - PLCC and the rank loss compare the videos of one batch."""


def optimiser(model: nn.Module, settings: OptimiserSettings) -> torch.optim.Optimizer:
    """An optimiser over the model's trainable parameters; those under `backbone.` learn at their own rate."""
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            key = (name.startswith("backbone."), parameter.ndim >= 2)
            groups.setdefault(key, []).append(parameter)
    options = [
        {
            "params": parameters,
            "lr": settings.rate * (settings.backbone_rate if backbone else 1.0),
            "weight_decay": settings.weight_decay if decays else 0.0,
        }
        for (backbone, decays), parameters in groups.items()
    ]
    kind = torch.optim.AdamW if settings.name == "adamw" else torch.optim.Adam
    return kind(options, lr=settings.rate)


def cosine_with_warmup(step: int, *, steps: int, warmup: int) -> float:
    """Factor on the learning rate at a step (0-based): linear up to 1 in `warmup` steps, cosine down to 0."""
    if step < warmup:
        return (step + 1) / (warmup + 1)
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))
