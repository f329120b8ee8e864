"""Video branch: the whole video at once, trained to correlate (Eq. 7)."""

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
    head_of,
    meaning_of,
    semantics_of,
    statistics_in,
    technical_reads,
)
from msavqa.learning.fit import OptimiserSettings
from msavqa.learning.layers import Standardise
from msavqa.learning.semantics import Batch, Meaning, Plan, SemanticSettings
from msavqa.machine.params import Settings


class LossSettings(Settings):
    """`branches.video.loss`."""

    epsilon: float = Field(gt=0)
    """Added to the variances in 1 - PLCC, so that a constant score has a gradient."""


class BranchSettings(SemanticSettings):
    """`branches.video`."""

    trunk: str
    """Whose features of times it reads: a key of `trunks`."""
    pooling: list[Literal["mean", "sd", "min", "max"]] = Field(min_length=1)
    """How the features of all times become one vector; PSS features are averaged over frames."""
    statistics: list[Statistics]
    """Handcrafted measures of the video beside its features."""
    head: HeadSettings
    loss: LossSettings
    optimiser: OptimiserSettings


class Branch(nn.Module):
    """Features pooled over time, PSS averaged over frames and SMA -> one score."""

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
        self.pooling, self.statistics = list(settings.pooling), list(settings.statistics)
        self.backbone = backbone
        technical = shapes.features * len(self.pooling) + shapes.statistics
        self.standardise = Standardise(technical)
        self.semantics = semantics_of(
            pss=settings.pss, sma=settings.sma, shapes=shapes, text_tail=text_tail, image_tail=image_tail
        )
        self.head = head_of(settings.head, technical=technical, semantics=self.semantics)

    def technical(self, batch: Batch) -> Float[Tensor, "video technical"]:
        """What the video looks like over time, before standardisation."""
        pooled = [_pooled(self.backbone(batch["features"]).float(), how) for how in self.pooling]
        return torch.cat([*pooled, *statistics_in(batch, self.statistics)], dim=-1)

    def forward(self, batch: Batch) -> Output:
        """Scores of a batch, see `branches`."""
        technical = self.standardise(self.technical(batch))
        meaning = meaning_of(self.semantics, batch)
        return Output(
            score=self.head(technical, _per_video(meaning), meaning.added),
            frame_scores=None,
            attention=meaning.attention,
        )


def inputs(settings: BranchSettings) -> dict[str, tuple[str, ...]]:
    """Batch key -> (trunk, arrays of which its store holds one)."""
    technical = technical_reads(trunk=settings.trunk, statistics=settings.statistics)
    return technical | Plan.of(pss=settings.pss, sma=settings.sma).reads()


def loss(
    settings: BranchSettings, *, output: Output, mos: Float[Tensor, "video"], weight: Float[Tensor, "video"]
) -> Float[Tensor, ""]:
    """Eq. 7: 1 - PLCC over the batch."""
    return losses.plcc_loss(score=output.score, mos=mos, weight=weight, epsilon=settings.loss.epsilon)


def _per_video(meaning: Meaning) -> Float[Tensor, "video s"] | None:
    parts = [] if meaning.prompt is None else [meaning.prompt.mean(dim=1)]
    if meaning.mutation is not None:
        parts.append(meaning.mutation)
    return torch.cat(parts, dim=-1) if parts else None


def _pooled(features: Float[Tensor, "video time width"], how: str) -> Float[Tensor, "video width"]:
    if how == "mean":
        return features.mean(dim=1)
    if how == "sd":
        return (features.var(dim=1, correction=0) + 1e-8).sqrt()  # smooth where nothing moves
    return features.amin(dim=1) if how == "min" else features.amax(dim=1)
