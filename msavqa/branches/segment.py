"""Segment branch: key frames with the motion around them are scored (Eqs. 5-6), the video is their mean."""

from typing import Any, Literal

import torch
from jaxtyping import Float
from pydantic import Field, field_validator
from pydantic_core import PydanticCustomError
from torch import Tensor

from msavqa.ground.params import Settings
from msavqa.learning import branch, losses
from msavqa.learning.layers import at_times, before
from msavqa.learning.output import Output


class TechnicalSettings(Settings):
    """`technical` of a segment branch."""

    motion: Literal["trunk", "difference", "none"]
    """Motion beside each key frame: of `reads.motion` at the same time (SimpleVQA's design), the absolute
    change of the key frame's own features since the one before, or none."""


class LossSettings(Settings):
    """`loss` of a segment branch: MAE + rank_weight x rank loss."""

    rank_weight: float = Field(ge=0)
    rank_margin: float = Field(ge=0)
    """Factor on the gap in MOS that two scores must keep: 1 as in Eq. 6, 0 asks for the order alone."""


class BranchSettings(branch.BranchSettings):
    """`branches.<branch>` of kind segment."""

    kind: Literal["segment"]
    technical: TechnicalSettings
    loss: LossSettings

    @field_validator("technical")
    @classmethod
    def _moves(cls, technical: TechnicalSettings, info: Any) -> TechnicalSettings:
        reads = info.data.get("reads")
        if technical.motion == "trunk" and reads is not None and reads.motion is None:
            raise PydanticCustomError("motion", "expected a trunk in reads.motion, or another motion")
        return technical


def reads_motion(settings: TechnicalSettings) -> bool:
    """Only where motion comes from a trunk of its own."""
    return settings.motion == "trunk"


def technical(
    settings: TechnicalSettings,
    *,
    features: Float[Tensor, "video segment width"],
    motion: Float[Tensor, "video time motion"] | None,
) -> Float[Tensor, "video segment technical"]:
    """What the segments look like and how they move."""
    if settings.motion == "none":
        return features
    if settings.motion == "difference":
        return torch.cat([features, (features - before(features)).abs()], dim=-1)
    assert motion is not None
    return torch.cat([features, at_times(motion, features.shape[1])], dim=-1)


def of_video(scores: Float[Tensor, "video segment"]) -> Float[Tensor, "video"]:
    """The mean over segments."""
    return scores.mean(dim=1)


def loss(
    settings: LossSettings, *, output: Output, mos: Float[Tensor, "video"], weight: Float[Tensor, "video"]
) -> Float[Tensor, ""]:
    """Eqs. 5 and 6 of the video's score."""
    return losses.segment_loss(
        score=output.score,
        mos=mos,
        weight=weight,
        margin=settings.rank_margin,
        rank_weight=settings.rank_weight,
    )


def sd_of(settings: LossSettings, score: Float[Tensor, "video"]) -> Float[Tensor, ""]:
    """One: the loss compares scores with standardised MOS."""
    return torch.ones((), device=score.device)
