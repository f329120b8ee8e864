"""Frame branch: every single frame is scored against its video's MOS (Eq. 4), the video is their mean."""

from typing import Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from msavqa.ground.params import Settings
from msavqa.learning import branch, losses
from msavqa.learning.output import Output


class TechnicalSettings(Settings):
    """`technical` of a frame branch: there is nothing to choose."""


class LossSettings(Settings):
    """`loss` of a frame branch."""

    beta: float = Field(gt=0)
    """Where smooth-L1 turns from square to straight, in standard deviations of MOS."""


class BranchSettings(branch.BranchSettings):
    """`branches.<branch>` of kind frame."""

    kind: Literal["frame"]
    technical: TechnicalSettings
    loss: LossSettings


def reads_motion(settings: TechnicalSettings) -> bool:
    """Single frames do not move."""
    return False


def technical(
    settings: TechnicalSettings, *, features: Float[Tensor, "video frame width"], motion: Tensor | None
) -> Float[Tensor, "video frame width"]:
    """What the frames look like."""
    return features


def of_video(scores: Float[Tensor, "video frame"]) -> Float[Tensor, "video"]:
    """The mean over frames."""
    return scores.mean(dim=1)


def loss(
    settings: LossSettings, *, output: Output, mos: Float[Tensor, "video"], weight: Float[Tensor, "video"]
) -> Float[Tensor, ""]:
    """Eq. 4: smooth-L1 on every frame."""
    assert output.frame_scores is not None
    return losses.frame_loss(frame_scores=output.frame_scores, mos=mos, weight=weight, beta=settings.beta)


def sd_of(settings: LossSettings, score: Float[Tensor, "video"]) -> Float[Tensor, ""]:
    """One: the loss compares scores with standardised MOS."""
    return torch.ones((), device=score.device)
