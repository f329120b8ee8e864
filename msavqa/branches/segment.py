"""Segment branch: key frames with the motion around them (Eqs. 5-6), continued from pre-training on LSVQ."""

from typing import Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from msavqa.learning import losses
from msavqa.learning.branch import (
    HeadSettings,
    Output,
    Shapes,
    Statistics,
    beside,
    head_of,
    meaning_of,
    semantics_of,
    statistics_in,
    technical_reads,
)
from msavqa.learning.fit import OptimiserSettings
from msavqa.learning.layers import Standardise, at_times, before
from msavqa.learning.semantics import Batch, Plan, SemanticSettings
from msavqa.machine.params import Settings


class LossSettings(Settings):
    """`branches.segment.loss`: MAE + rank_weight x rank loss."""

    rank_weight: float = Field(ge=0)
    rank_margin: float = Field(ge=0)
    """Factor on the gap in MOS that two scores must keep: 1 as in Eq. 6, 0 asks for the order alone."""


class BranchSettings(SemanticSettings):
    """`branches.segment`."""

    trunk: str
    """Whose features of key frames it reads: a key of `trunks`."""
    motion: Literal["trunk", "difference", "none"]
    """Motion beside each key frame: of `motion_trunk` at the same time (SimpleVQA's design), the absolute
    change of the key frame's own features since the one before, or none."""
    motion_trunk: str
    statistics: list[Statistics]
    """Handcrafted measures of the video beside each segment's features."""
    head: HeadSettings
    loss: LossSettings
    optimiser: OptimiserSettings


class Branch(nn.Module):
    """Spatial and motion features of each segment, PSS and SMA -> a score each; the video is their mean."""

    def __init__(
        self,
        settings: BranchSettings,
        *,
        shapes: Shapes,
        backbone: nn.Module,
        text_tail: nn.Module | None,
        image_tail: nn.Module | None,
    ) -> None:
        super().__init__()
        self.motion, self.statistics = settings.motion, list(settings.statistics)
        self.backbone = backbone
        motion = {"trunk": shapes.motion, "difference": shapes.features, "none": 0}[settings.motion]
        technical = shapes.features + motion + shapes.statistics
        self.standardise = Standardise(technical)
        self.semantics = semantics_of(
            pss=settings.pss, sma=settings.sma, shapes=shapes, text_tail=text_tail, image_tail=image_tail
        )
        self.head = head_of(settings.head, technical=technical, semantics=self.semantics)

    def technical(self, batch: Batch) -> Float[Tensor, "video segment technical"]:
        """What the segments look like and how they move, before standardisation."""
        spatial = self.backbone(batch["features"]).float()
        parts = [spatial]
        if self.motion == "trunk":
            parts.append(at_times(batch["motion"].float(), spatial.shape[1]))
        elif self.motion == "difference":
            parts.append((spatial - before(spatial)).abs())
        return beside(torch.cat(parts, dim=-1), statistics_in(batch, self.statistics))

    def forward(self, batch: Batch) -> Output:
        """Scores of a batch, see `branches`."""
        technical = self.standardise(self.technical(batch))
        meaning = meaning_of(self.semantics, batch)
        segment_scores = self.head(technical, meaning.at(technical.shape[1]), meaning.added)
        return Output(
            score=segment_scores.mean(dim=1),
            frame_scores=segment_scores,
            attention=meaning.attention,
        )


def inputs(settings: BranchSettings) -> dict[str, tuple[str, ...]]:
    """Batch key -> (trunk, arrays of which its store holds one)."""
    found = technical_reads(trunk=settings.trunk, statistics=settings.statistics)
    if settings.motion == "trunk":
        found["motion"] = (settings.motion_trunk, "pooled")
    return found | Plan.of(pss=settings.pss, sma=settings.sma).reads()


def without_prompts(settings: BranchSettings) -> BranchSettings:
    """The same branch for pre-training on a dataset that has no prompts: PSS and SMA off."""
    return settings.model_copy(
        update={
            "pss": settings.pss.model_copy(update={"enabled": False}),
            "sma": settings.sma.model_copy(update={"enabled": False}),
        }
    )


def loss(
    settings: BranchSettings, *, output: Output, mos: Float[Tensor, "video"], weight: Float[Tensor, "video"]
) -> Float[Tensor, ""]:
    """Eqs. 5 and 6 of the video's score."""
    return losses.segment_loss(
        score=output.score,
        mos=mos,
        weight=weight,
        margin=settings.loss.rank_margin,
        rank_weight=settings.loss.rank_weight,
    )
