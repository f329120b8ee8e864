"""Video branch: the whole video at once, trained to correlate (Eq. 7)."""

from typing import Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from msavqa.ground.params import Settings
from msavqa.learning import branch, losses
from msavqa.learning.layers import compressed
from msavqa.learning.output import Output


class TechnicalSettings(Settings):
    """`technical` of a video branch."""

    pooling: list[Literal["mean", "root", "sd", "min", "max"]] = Field(min_length=1)
    """How the features of all times become one vector; `root` is the mean of signed square roots. PSS
    features are averaged over frames."""


class LossSettings(Settings):
    """`loss` of a video branch."""

    epsilon: float = Field(gt=0)
    """Added to the variances in 1 - PLCC, so that a constant score has a gradient."""


class BranchSettings(branch.BranchSettings):
    """`branches.<branch>` of kind video."""

    kind: Literal["video"]
    technical: TechnicalSettings
    loss: LossSettings


def reads_motion(settings: TechnicalSettings) -> bool:
    """The trunk itself sees motion."""
    return False


def technical(
    settings: TechnicalSettings, *, features: Float[Tensor, "video time width"], motion: Tensor | None
) -> Float[Tensor, "video technical"]:
    """What the video looks like over time."""
    return torch.cat([_pooled(features, how) for how in settings.pooling], dim=-1)


def of_video(scores: Float[Tensor, "video"]) -> Float[Tensor, "video"]:
    """The video's score itself."""
    return scores


def loss(
    settings: LossSettings, *, output: Output, mos: Float[Tensor, "video"], weight: Float[Tensor, "video"]
) -> Float[Tensor, ""]:
    """Eq. 7: 1 - PLCC over the batch."""
    return losses.plcc_loss(score=output.score, mos=mos, weight=weight, epsilon=settings.epsilon)


def sd_of(settings: LossSettings, score: Float[Tensor, "video"]) -> Float[Tensor, ""]:
    """The scores' own deviation: the loss leaves their scale open."""
    return (score.detach().float().var(correction=0) + settings.epsilon).sqrt()


def _pooled(features: Float[Tensor, "video time width"], how: str) -> Float[Tensor, "video width"]:
    if how == "mean":
        return features.mean(dim=1)
    if how == "root":
        return compressed(features).mean(dim=1)
    if how == "sd":
        return (features.var(dim=1, correction=0) + 1e-8).sqrt()  # smooth where nothing moves
    return features.amin(dim=1) if how == "min" else features.amax(dim=1)
