"""What the prompt meant and how the content mutates: PSS (Eqs. 1-2) and SMA (Eq. 3) of one video batch.

Both read CLIP features from the cache: tokens at the input of the last block where the adapters stand inside
CLIP (`tail`), or the final class token where they stand behind it (`cls`, cheaper).
"""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import torch
from jaxtyping import Float
from pydantic import Field, field_validator
from pydantic_core import PydanticCustomError
from torch import Tensor, nn
from torch.nn import functional

from msavqa.learning.layers import (
    Adapter,
    FusionPart,
    MutationAttention,
    MutationPart,
    Standardise,
    at_times,
    compressed,
    fused,
    fused_dim,
    moments,
    mutation_dim,
    mutation_tokens,
)
from msavqa.machine.params import Settings

STATISTICS_TRUNK = "statistics"
"""Whose store holds the handcrafted measures, an array a group."""


class PssSettings(Settings):
    """Prompt Semantic Supervision, `branches.<branch>.pss`."""

    enabled: bool
    fusion: list[FusionPart] = Field(min_length=1)
    """What joins the branch's features: `text` is P_c, all the paper asks for; see `layers.fused`."""
    adapters: Literal["tail", "cls"]
    """Where the adapters of both encoders stand: around CLIP's last block, or behind its final token."""
    last_adapter: Literal["embedding", "token"]
    """Where g2 stands with adapters `tail`: behind CLIP's projection, or before its final norm (Eq. 2 to the
    letter)."""
    adapter_width: Annotated[int, Field(gt=0)] | Literal["linear"]
    """The adapters' form: a bottleneck of this width, or one linear layer."""
    adapter_ratio: float = Field(gt=0, le=1)
    frames: Literal["all"] | Annotated[int, Field(gt=0)]
    """Frames that are adapted and compared with the prompt, evenly spaced: with adapters `tail` most of a
    step is spent on them."""


class SmaSettings(Settings):
    """Semantic Mutation-aware module, `branches.<branch>.sma`."""

    enabled: bool
    tokens: list[MutationPart] = Field(min_length=1)
    """What the query sees of a frame: `cls` is all the paper asks for; `alignment` needs PSS and is left out
    without it; see `layers.mutation_tokens`."""
    frames: Literal["adapted", "cached"]
    """Class tokens after PSS's image adapters, or CLIP's own; without PSS always CLIP's own."""
    measures: bool
    """Handcrafted measures of frame differences that tell of changed content (`change` of the statistics)
    beside what the query saw; the paper has none."""
    feeds: Literal["head", "score"]
    """Where what SMA found goes: into the head beside the branch's features, or straight to the score, as a
    linear term of its own that starts at zero. The paper does not say."""
    width: int = Field(gt=0)
    heads: int = Field(gt=0)
    """Of the query's attention; they divide `width`."""
    queries: int = Field(gt=0)

    @field_validator("heads")
    @classmethod
    def _divide(cls, heads: int, info: Any) -> int:
        width = info.data.get("width", heads)
        if width % heads:
            raise PydanticCustomError("heads", "expected a divisor of width {width}", {"width": width})
        return heads


class SemanticSettings(Settings):
    """What the settings of all branches share: PSS and SMA, which depend on each other."""

    pss: PssSettings
    sma: SmaSettings

    @field_validator("sma")
    @classmethod
    def _sees_something(cls, sma: SmaSettings, info: Any) -> SmaSettings:
        pss = info.data.get("pss")
        if pss is not None and not Plan.of(pss=pss, sma=sma).tokens and sma.enabled:
            raise PydanticCustomError(
                "sma", "expected a token beside `alignment`, which needs PSS, or sma.enabled: false"
            )
        return sma


@dataclass(frozen=True)
class Plan:
    """What the settings come to: switched-off parts are gone, and so is what only they would need."""

    fusion: list[FusionPart]
    tokens: list[MutationPart]
    adapts_text: bool
    adapts_image: bool
    mutates_adapted: bool
    inside: bool
    """Adapters stand inside CLIP, around its last block."""
    measures: bool

    @classmethod
    def of(cls, *, pss: PssSettings, sma: SmaSettings) -> "Plan":
        """The plan of one branch's settings."""
        tokens = [part for part in sma.tokens if pss.enabled or part != "alignment"] if sma.enabled else []
        compares = "alignment" in tokens or set(pss.fusion) != {"text"}
        mutates_adapted = pss.enabled and bool(tokens) and sma.frames == "adapted"
        return cls(
            fusion=list(pss.fusion) if pss.enabled else [],
            tokens=tokens,
            adapts_text=pss.enabled,
            adapts_image=pss.enabled and (compares or mutates_adapted),
            mutates_adapted=mutates_adapted,
            inside=pss.enabled and pss.adapters == "tail",
            measures=bool(tokens) and sma.measures,
        )

    def reads(self) -> dict[str, tuple[str, str]]:
        """Which cached arrays the plan needs: batch key -> (trunk, array)."""
        found = {}
        if self.fusion or self.tokens:
            found["frames_cls"] = ("clip_image", "cls")
        if self.measures:
            found["change"] = (STATISTICS_TRUNK, "change")
        if self.adapts_text and not self.inside:
            found["text_cls"] = ("clip_text", "cls")
        if self.adapts_text and self.inside:
            found |= {"text_tokens": ("clip_text", "tokens"), "text_length": ("clip_text", "length")}
        if self.adapts_image and self.inside:
            found["image_tokens"] = ("clip_image", "tokens")
        return found


Batch = dict[str, Tensor]


@dataclass(frozen=True)
class ClipShapes:
    """Sizes of the cached CLIP features."""

    dim: int
    """Of the joint space."""
    text_width: int
    """Of the text transformer's tokens."""
    image_width: int
    """Of the vision transformer's tokens."""


@dataclass(frozen=True)
class Meaning:
    """What `Semantics` found in a batch; None where the module is off."""

    prompt: Float[Tensor, "video moment p"] | None
    """PSS features of each frame that PSS looks at."""
    mutation: Float[Tensor, "video m"] | None
    """SMA features a video, for the head."""
    added: Float[Tensor, "video"] | None
    """What SMA adds to the score, where it does not feed the head."""
    similarity: Float[Tensor, "video moment"] | None
    """Cosine of the adapted prompt and each of those frames, adapted, -1..1."""
    attention: Float[Tensor, "video frame"] | None
    """Where SMA looked; sums to one."""

    def at(self, times: int) -> Float[Tensor, "video time s"] | None:
        """PSS features at so many evenly spaced times with the video's SMA features beside them."""
        parts = [] if self.prompt is None else [at_times(self.prompt, times)]
        if self.mutation is not None:
            parts.append(self.mutation[:, None].expand(-1, times, -1))
        return torch.cat(parts, dim=-1) if parts else None


NOTHING = Meaning(prompt=None, mutation=None, added=None, similarity=None, attention=None)
"""Where both modules are off."""


class Semantics(nn.Module):
    """PSS and SMA of a batch: frames_cls, image_tokens, text_cls, text_tokens, text_length, change.

    `text_tail` and `image_tail` are CLIP's frozen last blocks (`tail.ClipTail`), for adapters `tail`.
    """

    def __init__(
        self,
        *,
        pss: PssSettings,
        sma: SmaSettings,
        shapes: ClipShapes,
        changes: int,
        text_tail: nn.Module | None,
        image_tail: nn.Module | None,
    ) -> None:
        super().__init__()
        self.plan = plan = Plan.of(pss=pss, sma=sma)
        self.last_adapter, self.looks = pss.last_adapter, pss.frames
        if plan.adapts_text:
            self.text_tail = text_tail if plan.inside else None
            self.text_adapters = _pair(shapes.text_width, shapes.dim, pss)
        if plan.adapts_image:
            self.image_tail = image_tail if plan.inside else None
            self.image_adapters = _pair(shapes.image_width, shapes.dim, pss)
        if plan.tokens:
            token_dim = mutation_dim(dim=shapes.dim, parts=plan.tokens)
            self.attention = MutationAttention(
                token_dim=token_dim, width=sma.width, heads=sma.heads, queries=sma.queries
            )
        found = sma.queries * sma.width if plan.tokens else 0
        self.standardise = Standardise(changes) if plan.measures else None
        found += changes if plan.measures else 0
        self.to_score = None
        if found and sma.feeds == "score":
            self.to_score = nn.Linear(found, 1, bias=False)
            nn.init.zeros_(self.to_score.weight)
        self.dim = fused_dim(dim=shapes.dim, parts=plan.fusion) + (found if self.to_score is None else 0)
        """Length of `Meaning.at`'s last axis; 0 where nothing feeds the head."""

    def forward(self, batch: Batch) -> Meaning:
        """PSS and SMA features of the batch."""
        plan = self.plan
        if not plan.fusion and not plan.tokens:
            return NOTHING
        cached = functional.normalize(batch["frames_cls"].float(), dim=-1)
        frames = self._frames(batch) if plan.adapts_image else cached[:, self._moments(cached)]
        prompt = similarity = mutation = attention = added = None
        if plan.adapts_text:
            text = self._text(batch)
            prompt = fused(text=text, frames=frames, parts=plan.fusion)
            similarity = (frames * text[:, None]).sum(-1)
        if plan.tokens:
            seen = frames if plan.mutates_adapted else cached
            aligned = None if similarity is None else at_times(similarity, seen.shape[1])
            tokens = mutation_tokens(frames=seen, similarity=aligned, parts=plan.tokens)
            mutation, attention = self.attention(tokens)
            attention = _of_all(attention, cached.shape[1])
            if self.standardise is not None:
                mutation = torch.cat([mutation, self.standardise(self.measures(batch))], dim=-1)
        if mutation is not None and self.to_score is not None:
            added, mutation = self.to_score(mutation).squeeze(-1), None
        return Meaning(prompt, mutation, added, similarity, attention)

    def measures(self, batch: Batch) -> Float[Tensor, "video measure"]:
        """The measures of changed content, before standardisation."""
        return compressed(batch["change"])

    def _text(self, batch: Batch) -> Float[Tensor, "video dim"]:
        """P_c: P_c1 = g1(CLS) (Eq. 1), P_c = g2(Encoder([P_c1, F])) (Eq. 2), a unit vector."""
        first, last = self.text_adapters
        if self.text_tail is None:
            found = last(first(batch["text_cls"].float()))
        else:
            found = self.text_tail(
                batch["text_tokens"],
                batch["text_length"],
                first_adapter=first,
                last_adapter=last,
                last_adapter_at=self.last_adapter,
            )
        return functional.normalize(found.float(), dim=-1)  # differences of unit vectors need their bits

    def _moments(self, frames: Tensor) -> Tensor:
        """Which of a video's frames PSS looks at, (moment,)."""
        count = frames.shape[1] if self.looks == "all" else min(self.looks, frames.shape[1])
        return moments(frames.shape[1], count, device=frames.device)

    def _frames(self, batch: Batch) -> Float[Tensor, "video moment dim"]:
        """Class tokens of the frames through adapters of the same form, unit vectors."""
        first, last = self.image_adapters
        if self.image_tail is None:
            cls = batch["frames_cls"]
            found = last(first(cls[:, self._moments(cls)].float()))
        else:
            tokens = batch["image_tokens"]
            found = self.image_tail(
                tokens[:, self._moments(tokens)],
                None,
                first_adapter=first,
                last_adapter=last,
                last_adapter_at=self.last_adapter,
            )
        return functional.normalize(found.float(), dim=-1)  # differences of unit vectors need their bits


def _of_all(attention: Float[Tensor, "video moment"], frames: int) -> Float[Tensor, "video frame"]:
    """Attention to some frames as attention to all: each has a share of what its nearest seen one has."""
    if attention.shape[1] == frames:
        return attention
    spread = at_times(attention, frames)
    return spread / spread.sum(dim=1, keepdim=True)


def _pair(width: int, dim: int, settings: PssSettings) -> nn.ModuleList:
    """g1 and g2; inside CLIP g1 works on tokens and g2 where `last_adapter` says, else both on embeddings."""
    inside = settings.adapters == "tail"
    sizes = (width if inside else dim, width if inside and settings.last_adapter == "token" else dim)
    return nn.ModuleList(
        [Adapter(dim=size, width=settings.adapter_width, ratio=settings.adapter_ratio) for size in sizes]
    )
