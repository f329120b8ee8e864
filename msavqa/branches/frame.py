"""Frame branch: every single frame is scored against its video's MOS (Eq. 4), the video is their mean."""

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
from msavqa.learning.layers import Standardise
from msavqa.learning.semantics import Batch, Plan, SemanticSettings
from msavqa.machine.params import Settings


class LossSettings(Settings):
    """`branches.frame.loss`."""

    beta: float = Field(gt=0)
    """Where smooth-L1 turns from square to straight, in standard deviations of MOS."""


class BranchSettings(SemanticSettings):
    """`branches.frame`."""

    trunk: str
    """Whose features it reads: a key of `trunks`."""
    statistics: list[Statistics]
    """Handcrafted measures of the video beside each frame's features."""
    head: HeadSettings
    loss: LossSettings
    optimiser: OptimiserSettings


class Branch(nn.Module):
    """Features of each frame, PSS of that frame and SMA of the video -> a score a frame."""

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
        self.backbone = backbone
        self.statistics = list(settings.statistics)
        technical = shapes.features + shapes.statistics
        self.standardise = Standardise(technical)
        self.semantics = semantics_of(
            pss=settings.pss, sma=settings.sma, shapes=shapes, text_tail=text_tail, image_tail=image_tail
        )
        self.head = head_of(settings.head, technical=technical, semantics=self.semantics)

    def technical(self, batch: Batch) -> Float[Tensor, "video frame technical"]:
        """What the frames look like, before standardisation."""
        return beside(self.backbone(batch["features"]), statistics_in(batch, self.statistics))

    def forward(self, batch: Batch) -> Output:
        """Scores of a batch; `backbone` and the batch's keys are as `branches` says."""
        technical = self.standardise(self.technical(batch))
        meaning = meaning_of(self.semantics, batch)
        frame_scores = self.head(technical, meaning.at(technical.shape[1]), meaning.added)
        return Output(
            score=frame_scores.mean(dim=1),
            frame_scores=frame_scores,
            attention=meaning.attention,
        )


def inputs(settings: BranchSettings) -> dict[str, tuple[str, ...]]:
    """Batch key -> (trunk, arrays of which its store holds one)."""
    technical = technical_reads(trunk=settings.trunk, statistics=settings.statistics)
    return technical | Plan.of(pss=settings.pss, sma=settings.sma).reads()


def loss(
    settings: BranchSettings, *, output: Output, mos: Float[Tensor, "video"], weight: Float[Tensor, "video"]
) -> Float[Tensor, ""]:
    """Eq. 4: smooth-L1 on every frame."""
    assert output.frame_scores is not None
    return losses.frame_loss(
        frame_scores=output.frame_scores, mos=mos, weight=weight, beta=settings.loss.beta
    )
