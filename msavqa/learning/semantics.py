"""What the prompt meant and how the content mutates: PSS (Eqs. 1-2) and SMA (Eq. 3) of one video batch.

Both read CLIP features from the cache: tokens at the input of the last block where the adapters stand inside
CLIP (`tail`), or the final class token where they stand behind it (`cls`, cheaper).
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from msavqa.learning.layers import (
    Adapter,
    MutationAttention,
    Standardise,
    at_times,
    compressed,
    fused,
    fused_dim,
    joined,
    moments,
    mutation_dim,
    mutation_tokens,
)
from msavqa.learning.semantic_settings import Plan, PssSettings, SmaSettings

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
    sharpness: float = 0.0
    """By which pieces of a long prompt are joined, see `texts.<name>.pieces`; 0: no prompt is in pieces."""


@dataclass(frozen=True)
class Meaning:
    """What `Semantics` found in a batch; None where the module is off."""

    prompt: Float[Tensor, "video moment p"] | None
    """PSS features of each frame that PSS looks at."""
    mutation: Float[Tensor, "video m"] | None
    """SMA features per video, for the head."""
    added: Float[Tensor, "video"] | None
    """What SMA adds to the score, where it does not feed the head."""
    similarity: Float[Tensor, "video moment"] | None
    """Cosine of the adapted prompt and each of those frames, adapted, -1..1; of several pieces their mean."""
    attention: Float[Tensor, "video frame"] | None
    """Where SMA looked; sums to one."""

    def at(
        self, times: int, index: Int[Tensor, "video time"] | None = None
    ) -> Float[Tensor, "video time s"] | None:
        """PSS features at so many evenly spaced times with the video's SMA features beside them.

        `index` says at which of the frames each time is looked at, where PSS looks at all of them.
        """
        parts = []
        if self.prompt is not None and index is not None and self.prompt.shape[1] != times:
            parts.append(self.prompt[torch.arange(len(index), device=index.device)[:, None], index.long()])
        elif self.prompt is not None:
            parts.append(at_times(self.prompt, times))
        if self.mutation is not None:
            parts.append(self.mutation[:, None].expand(-1, times, -1))
        return torch.cat(parts, dim=-1) if parts else None

    def of_video(self) -> Float[Tensor, "video s"] | None:
        """PSS features averaged over frames with the video's SMA features beside them."""
        parts = [] if self.prompt is None else [self.prompt.mean(dim=1)]
        if self.mutation is not None:
            parts.append(self.mutation)
        return torch.cat(parts, dim=-1) if parts else None


NOTHING = Meaning(prompt=None, mutation=None, added=None, similarity=None, attention=None)
"""Where both modules are off."""


class Semantics(nn.Module):
    """PSS and SMA of a batch: frames_cls, image_tokens, change, text_cls, _tokens, _length, _pieces.

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
        self.sharpness = shapes.sharpness
        self.cosine = Standardise(1) if plan.adapts_text and shapes.sharpness else None
        """How prompts and their videos' frames agree in training: the unit of `sharpness`."""
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
            text = self._joined(self._text(batch), frames, batch)
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

    def cosines(self, batch: Batch) -> Float[Tensor, "piece 1"]:
        """Mean cosine of each prompt, or piece of one, with its video's frames."""
        cached = functional.normalize(batch["frames_cls"].float(), dim=-1)
        frames = self._frames(batch) if self.plan.adapts_image else cached[:, self._moments(cached)]
        text, mean = self._text(batch), frames.mean(dim=1)
        if "text_pieces" in batch:
            mean = mean.repeat_interleave(batch["text_pieces"], dim=0)
        return (text * mean).sum(-1, keepdim=True)

    def _joined(self, text: Tensor, frames: Tensor, batch: Batch) -> Float[Tensor, "video dim"]:
        """One vector per prompt of those of its pieces (piece, dim); nothing to do where each has one."""
        if "text_pieces" not in batch:
            return text
        sharpness = torch.zeros((), device=text.device)
        if self.cosine is not None:
            sharpness = self.sharpness / self.cosine.sd.squeeze()
        return joined(pieces=text, counts=batch["text_pieces"], frames=frames, sharpness=sharpness)

    def _text(self, batch: Batch) -> Float[Tensor, "piece dim"]:
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
