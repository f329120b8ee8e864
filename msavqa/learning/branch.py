"""A branch: its settings, what it reads, and the one network that branches of all kinds are.

A kind is a file in `msavqa/branches`. It says what the technical half sees, how the scores of times become
the video's, and the loss. Everything else is here and the same for all.
"""

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol, cast, runtime_checkable

import torch
from jaxtyping import Float
from pydantic import Field, field_validator
from pydantic_core import PydanticCustomError
from torch import Tensor, nn

from msavqa.ground import params
from msavqa.ground.errors import MsavqaError
from msavqa.ground.params import Settings
from msavqa.learning.head import ScoreHead
from msavqa.learning.layers import Standardise, compressed
from msavqa.learning.optimise import OptimiserSettings
from msavqa.learning.output import Output
from msavqa.learning.semantic_settings import STATISTICS, Plan, PssSettings, SmaSettings
from msavqa.learning.semantics import NOTHING, Batch, ClipShapes, Semantics

Statistics = Literal["spatial", "temporal", "change"]
"""A group of handcrafted measures: of single frames, of how steady time is, of content that changes."""
Standardised = list[tuple[Standardise, Callable[[Batch], Tensor]]]
"""Constants to be frozen, and what of a batch they standardise."""


INDEX = "frame_index"
"""The array of a trunk over key frames that says which frames they are, and its key in a batch: prompt and
frame meet where the branch looks."""
KINDS = f"{__name__.split('.')[0]}.branches"
"""The room above this one in which kinds are found by name, when they are asked for."""


class Reads(Settings):
    """`branches.<branch>.reads`: whose features it reads, by names under `trunks` and `texts`."""

    trunk: str
    """The branch's own trunk: what it sees of frames, key frames or times."""
    motion: str | None
    """Motion beside it, for a kind that reads one."""
    text: str
    """CLIP's text tower, for PSS."""
    image: str
    """CLIP's image tower, for PSS and SMA."""


class HeadSettings(Settings):
    """`branches.<branch>.head`: the network behind the features, see `head.ScoreHead`."""

    width: int = Field(gt=0)
    dropout: float = Field(ge=0, lt=1)


class BranchSettings(Settings):
    """`branches.<branch>`; a kind fills in its name and what its `technical` and `loss` hold."""

    kind: str
    reads: Reads
    start: str | None
    """The branch under `pretrain` whose weights it continues from."""
    technical: Settings
    pss: PssSettings
    sma: SmaSettings
    statistics: list[Statistics]
    """Handcrafted measures of the video beside what the technical half sees."""
    head: HeadSettings
    loss: Settings
    optimiser: OptimiserSettings

    @field_validator("sma")
    @classmethod
    def _sees_something(cls, sma: SmaSettings, info: Any) -> SmaSettings:
        pss = info.data.get("pss")
        if pss is not None and not Plan.of(pss=pss, sma=sma).tokens and sma.enabled:
            raise PydanticCustomError(
                "sma", "expected a token beside `alignment`, which needs PSS, or sma.enabled: false"
            )
        return sma


@runtime_checkable
class Kind(Protocol):
    """What every module of `msavqa.branches` offers."""

    BranchSettings: type[BranchSettings]

    def reads_motion(self, settings: Any) -> bool:
        """Whether it reads the features of `reads.motion`."""

    def technical(self, settings: Any, *, features: Tensor, motion: Tensor | None) -> Tensor:
        """What the technical half sees: (video, time, width), or (video, width) for the video at once."""

    def of_video(self, scores: Tensor) -> Float[Tensor, "video"]:
        """The video's score of those of its times, (video, time), or of the video itself."""

    def loss(self, settings: Any, *, output: Output, mos: Tensor, weight: Tensor) -> Tensor:
        """Loss of one batch, mos standardised; `settings` is the block `loss`."""

    def sd_of(self, settings: Any, score: Tensor) -> Tensor:
        """How much one standard deviation of MOS is in scores, by a batch's; without a gradient."""


@dataclass(frozen=True)
class Shapes:
    """Sizes of a branch's inputs, read from the stores; saved beside the weights to build it again."""

    features: int
    """Width of the branch's trunk."""
    motion: int
    """Width of the motion trunk; 0 where there is none."""
    statistics: int
    """Number of handcrafted measures beside the trunk's features; 0 where the branch reads none."""
    changes: int
    """Number of handcrafted measures that SMA reads; 0 where it reads none."""
    clip: ClipShapes | None
    """None where PSS and SMA are both off."""

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Shapes":
        """From plain data as `dataclasses.asdict` gives it."""
        clip = data["clip"]
        return cls(**{**data, "clip": None if clip is None else ClipShapes(**clip)})


class Branch(nn.Module):
    """Features of a batch, see `msavqa.branches` -> scores: technical half, semantic half, head.

    `backbone` maps the batch's `features` to (video, time, width). The tails (`tail.ClipTail`) hold CLIP's
    frozen last blocks outside the state dict: they come with CLIP's own weights and are not saved again.
    """

    def __init__(
        self,
        settings: BranchSettings,
        *,
        shapes: Shapes,
        backbone: nn.Module,
        text_tail: nn.Module | None,
        image_tail: nn.Module | None,
        more: int = 0,
    ) -> None:
        super().__init__()
        self.settings = settings
        self.backbone = backbone
        technical = self._seen(torch.zeros(1, 2, shapes.features), torch.zeros(1, 2, shapes.motion)).shape[-1]
        technical += shapes.statistics
        self.standardise = Standardise(technical)
        self.semantics: Semantics | None = None
        if shapes.clip is not None:
            self.semantics = Semantics(
                pss=settings.pss, sma=settings.sma, shapes=shapes.clip, changes=shapes.changes,
                text_tail=text_tail, image_tail=image_tail,
            )  # fmt: skip
        semantic = 0 if self.semantics is None else self.semantics.dim
        head = settings.head
        self.head = ScoreHead(
            technical=technical, semantic=semantic, width=head.width, dropout=head.dropout, more=more
        )

    def forward(self, batch: Batch) -> Output:
        """Scores of a batch."""
        technical = self.standardise(self.technical(batch))
        meaning = NOTHING if self.semantics is None else self.semantics(batch)
        over_time = technical.ndim == 3
        index = batch.get(INDEX) if self.settings.pss.frames == "all" else None
        semantic = meaning.at(technical.shape[1], index) if over_time else meaning.of_video()
        of_video = branch(self.settings.kind).of_video
        first, *more = self.head.each(technical, semantic, meaning.added)
        return Output(
            score=of_video(first),
            frame_scores=first if over_time else None,
            attention=meaning.attention,
            more=tuple(Output(of_video(one), one if over_time else None, None) for one in more),
        )

    def technical(self, batch: Batch) -> Float[Tensor, "video *time technical"]:
        """What the technical half sees, measures beside it, before standardisation; float32."""
        seen = self._seen(self.backbone(batch["features"]).float(), batch.get("motion"))
        beside = [compressed(batch[group]) for group in self.settings.statistics]
        if seen.ndim == 3:
            beside = [one[:, None].expand(-1, seen.shape[1], -1) for one in beside]
        return torch.cat([seen, *beside], dim=-1)

    def standardised(self, *, technical: bool) -> Standardised:
        """What has constants; `technical`: of that half too."""
        found: Standardised = [(self.standardise, self.technical)] if technical else []
        semantics = self.semantics
        if semantics is not None and semantics.standardise is not None:
            found.append((semantics.standardise, semantics.measures))
        if semantics is not None and semantics.cosine is not None:
            found.append((semantics.cosine, semantics.cosines))
        return found

    def _seen(self, features: Tensor, motion: Tensor | None) -> Tensor:
        moving = None if motion is None else motion.float()
        kind, settings = branch(self.settings.kind), self.settings.technical
        return kind.technical(settings, features=features, motion=moving)


def kinds() -> list[str]:
    """The kinds of branch that there are: the files in `msavqa/branches`."""
    package = importlib.import_module(KINDS)
    return sorted(module.name for module in pkgutil.iter_modules(package.__path__))


def branch(kind: str) -> Kind:
    """The module `msavqa.branches.<kind>`; raises `MsavqaError` where there is none.

    Imported by name, so that one kind's file is no part of what another kind's models are made of.
    """
    try:
        return cast(Kind, importlib.import_module(f"{KINDS}.{kind}"))
    except ModuleNotFoundError as error:
        if error.name != f"{KINDS}.{kind}":
            raise
        raise MsavqaError(
            what="Kind of branch",
            where=KINDS.replace(".", "/"),
            got=kind,
            expected=f"one of {', '.join(kinds())}",
            next_step="name one of these in params.yaml, or write a file of that name",
        ) from None


def settings_of(kind: str) -> type[BranchSettings]:
    """What a block of that kind holds; raises `MsavqaError` where there is no such kind."""
    return branch(kind).BranchSettings


def of_params(data: Mapping[str, Any], name: str) -> BranchSettings:
    """The block `branches.<name>` of a whole params.yaml; raises `ProblemsError` with every mistake in it."""
    block = (data.get("branches") or {}).get(name)
    kind = block.get("kind") if isinstance(block, Mapping) else None
    return params.block(data, f"branches.{name}", BranchSettings if kind is None else settings_of(str(kind)))


def inputs(settings: BranchSettings) -> dict[str, tuple[str, ...]]:
    """What a branch reads: batch key -> (store, arrays of which it holds one).

    `pixels` stands for frames instead of features, where the trunk's cut is `pixels`.
    """
    reads = settings.reads
    found: dict[str, tuple[str, ...]] = {"features": (reads.trunk, "pixels", "stage", "pooled")}
    if reads.motion is not None and branch(settings.kind).reads_motion(settings.technical):
        found["motion"] = (reads.motion, "pooled")
    found |= {group: (STATISTICS, group) for group in settings.statistics}
    return found | Plan.of(pss=settings.pss, sma=settings.sma).reads(text=reads.text, image=reads.image)


def loss(settings: BranchSettings, *, output: Output, mos: Tensor, weight: Tensor) -> Float[Tensor, ""]:
    """Loss of one batch, mos standardised."""
    return branch(settings.kind).loss(settings.loss, output=output, mos=mos, weight=weight)


def sd_of(settings: BranchSettings, score: Float[Tensor, "video"]) -> Float[Tensor, ""]:
    """How much one standard deviation of MOS is in scores, of which these are a batch's."""
    return branch(settings.kind).sd_of(settings.loss, score)


def without_prompts(settings: BranchSettings) -> BranchSettings:
    """The same branch for pre-training on a data set that has no prompts: PSS and SMA off, from scratch."""
    off = {"enabled": False}
    pss, sma = settings.pss.model_copy(update=off), settings.sma.model_copy(update=off)
    return settings.model_copy(update={"pss": pss, "sma": sma, "start": None})


def assemble(
    settings: BranchSettings,
    *,
    shapes: Shapes,
    backbone: nn.Module | None = None,
    text_tail: nn.Module | None = None,
    image_tail: nn.Module | None = None,
    more: int = 0,
) -> Branch:
    """The untrained branch; no backbone means that the cached features are pooled already.

    `more`: dimensions of quality that it scores beside the first.
    """
    return Branch(
        settings,
        shapes=shapes,
        backbone=nn.Identity() if backbone is None else backbone,
        more=more,
        text_tail=text_tail,
        image_tail=image_tail,
    )
