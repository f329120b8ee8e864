"""Trainable blocks that branches share: adapter, mutation-aware attention, prompt fusion.

All are plain modules with explicit sizes. Axis words are those of the stores: video, frame, dim.
"""

from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

AdapterWidth = int | Literal["linear"]
"""Of an adapter's bottleneck; `linear`: one layer of full width, and no bottleneck."""
FusionPart = Literal["text", "image", "product", "cosine"]
MutationPart = Literal["cls", "difference", "drift", "change", "alignment"]


class Adapter(nn.Module):
    """g of Eqs. 1-2: a residual bottleneck, x + ratio x up(GELU(down(x))), or one layer, x + ratio x up(x).

    `up` starts at zero, so an untrained adapter is the identity and the adapted encoder is CLIP itself;
    `down` starts at random, so the first step already has a gradient for `up`. The paper gives neither form
    nor width; a residual ratio is how CLIP-Adapter keeps what CLIP knows.
    """

    def __init__(self, *, dim: int, width: AdapterWidth, ratio: float) -> None:
        super().__init__()
        self.ratio = ratio
        self.down = None if width == "linear" else nn.Linear(dim, width)
        self.up = nn.Linear(dim if width == "linear" else width, dim)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, x: Float[Tensor, "*rows dim"]) -> Float[Tensor, "*rows dim"]:
        """The adapted vectors, same shape."""
        inner = x if self.down is None else functional.gelu(self.down(x))
        change: Tensor = self.up(inner)
        return x + self.ratio * change


class MutationAttention(nn.Module):
    """Eq. 3, the Semantic Mutation-aware module: learnable queries cross-attend over a video's frames.

    Multi-head attention softmax(q K^T / sqrt(d)) V, K and V projected from the frames' tokens; the queries
    are parameters, the same for every video. There is no layer norm before: how large a change is says more
    than its direction. Without positions the order of frames would be
    nothing to it, so what a frame's token holds about its neighbours (`mutation_tokens`) is what it can see.
    """

    def __init__(self, *, token_dim: int, width: int, heads: int, queries: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Parameter(torch.randn(queries, width) * 0.02)
        self.key = nn.Linear(token_dim, width)
        self.value = nn.Linear(token_dim, width)
        self.out = nn.Linear(width, width)

    def forward(
        self, tokens: Float[Tensor, "video frame token_dim"]
    ) -> tuple[Float[Tensor, "video out"], Float[Tensor, "video frame"]]:
        """What each query saw, (video, queries x width), and the attention on each frame, summing to one.

        The attention is the mean over heads and queries.
        """
        videos, frames, _ = tokens.shape
        queries, width = self.query.shape
        each = width // self.heads
        key = self.key(tokens).reshape(videos, frames, self.heads, each)
        value = self.value(tokens).reshape(videos, frames, self.heads, each)
        query = self.query.reshape(queries, self.heads, each)
        logits = torch.einsum("qhd,vfhd->vqhf", query, key) * each**-0.5
        attention = logits.softmax(dim=-1)
        seen = torch.einsum("vqhf,vfhd->vqhd", attention, value).reshape(videos, queries, width)
        out: Tensor = self.out(seen)
        return out.flatten(1), attention.mean(dim=(1, 2))


class Dropout(nn.Dropout):
    """torch's dropout, its mask drawn from uniform numbers on a CPU.

    torch's own mask takes two to four times as long there, and took a fifth of a branch's training (LOG.md).
    """

    def forward(self, input: Tensor) -> Tensor:
        """The input with a share `p` of its values zero and the others scaled by 1 / (1 - p), in training."""
        if not self.training or input.device.type != "cpu":
            return super().forward(input)
        kept = torch.rand_like(input) >= self.p
        return input * (kept / (1 - self.p))


class Standardise(nn.Module):
    """Features with mean 0 and standard deviation 1 by constants frozen from the rows first trained on.

    Where a branch starts from pre-training, its technical constants stay those of the pre-training rows.
    Frozen networks give channels of very different sizes; the constants are buffers, saved with the weights.
    Values beyond `limit` standard deviations are cut, so that one odd video cannot run away.
    """

    mean: Tensor
    sd: Tensor

    def __init__(self, dim: int, *, limit: float = 3.0) -> None:
        super().__init__()
        self.limit = limit
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("sd", torch.ones(dim))

    @torch.no_grad()
    def set_from(self, features: Float[Tensor, "*rows dim"]) -> None:
        """Freezes mean and standard deviation of these rows; a channel that does not vary is not scaled."""
        rows = features.reshape(-1, features.shape[-1]).double()
        sd = rows.var(dim=0, correction=0).sqrt()
        self.mean.copy_(rows.mean(dim=0))
        self.sd.copy_(torch.where(sd > 1e-12 + 1e-6 * rows.abs().amax(dim=0), sd, torch.ones_like(sd)))

    def forward(self, features: Float[Tensor, "*rows dim"]) -> Float[Tensor, "*rows dim"]:
        """The standardised features, float32."""
        return ((features.float() - self.mean) / self.sd).clamp(-self.limit, self.limit)


def compressed(measures: Float[Tensor, "*rows measure"]) -> Float[Tensor, "*rows measure"]:
    """Signed square roots of handcrafted measures, float32: their tails are long."""
    wide = measures.float()
    return wide.sign() * wide.abs().sqrt()


def fused(
    *,
    text: Float[Tensor, "video dim"],
    frames: Float[Tensor, "video frame dim"],
    parts: list[FusionPart],
) -> Float[Tensor, "video frame out"]:
    """Prompt Semantic Supervision as features per frame; both inputs are unit vectors of CLIP's joint space.

    text: P_c itself, repeated for every frame (all the paper asks for). image: the adapted frame. product:
    what agrees, channel by channel, whose sum is the similarity. cosine: the similarity itself.
    """
    # Unit vectors have entries of about dim^-1/2: all are scaled to about one, as standardised features are.
    root = text.shape[-1] ** 0.5
    beside = text[:, None, :].expand_as(frames)
    made = {
        "text": beside * root,
        "image": frames * root,
        "product": beside * frames * text.shape[-1],
        "cosine": (beside * frames).sum(-1, keepdim=True) * root,
    }
    return torch.cat([made[part] for part in parts], dim=-1)


def joined(
    *,
    pieces: Float[Tensor, "piece dim"],
    counts: Int[Tensor, "video"],
    frames: Float[Tensor, "video frame dim"],
    sharpness: Float[Tensor, ""],
) -> Float[Tensor, "video dim"]:
    """The pieces of each video's prompt as one vector, sum w_p piece_p, w = softmax(sharpness x cosine_p).

    `pieces` are unit vectors, those of each video's prompt behind one another, `counts` of them; the cosine
    is the mean over the video's frames. The sum's cosine with a frame is the weighted mean of theirs.
    """
    held = torch.arange(int(counts.max()), device=counts.device) < counts[:, None]
    each = pieces.new_zeros(*held.shape, pieces.shape[-1])
    each[held] = pieces
    # Products and sums stay float32 under autocast, as differences of unit vectors need.
    cosines = (each * frames.mean(dim=1, keepdim=True)).sum(-1)
    weights = (cosines * sharpness).masked_fill(~held, float("-inf")).softmax(dim=-1)
    return (each * weights[..., None]).sum(dim=1)


def fused_dim(*, dim: int, parts: list[FusionPart]) -> int:
    """Length of the last axis of `fused`."""
    return sum(1 if part == "cosine" else dim for part in parts)


def mutation_tokens(
    *,
    frames: Float[Tensor, "video frame dim"],
    similarity: Float[Tensor, "video frame"] | None,
    parts: list[MutationPart],
) -> Float[Tensor, "video frame out"]:
    """What the mutation-aware attention sees of each frame; frames are unit vectors.

    cls: the class token (all the paper asks for). difference: |frame - frame before|, zero for the first.
    drift: |frame - first frame|, which stays high after a change where `difference` is a spike. change: the
    lengths of both, two numbers. alignment: the frame's similarity to the prompt and its change since the
    frame before; it needs `similarity`.
    """
    root = frames.shape[-1] ** 0.5
    made: list[Tensor] = []
    for part in parts:
        if part == "cls":
            made.append(frames * root)
        elif part == "difference":
            made.append((frames - before(frames)).abs() * root)
        elif part == "drift":
            made.append((frames - frames[:, :1]).abs() * root)
        elif part == "change":
            away = (frames - before(frames)).norm(dim=-1), (frames - frames[:, :1]).norm(dim=-1)
            made.append(torch.stack(away, dim=-1) * root)
        elif similarity is not None:
            made += [similarity[..., None] * root, (similarity - before(similarity))[..., None] * root]
    return torch.cat(made, dim=-1)


def before(frames: Float[Tensor, "video frame *dim"]) -> Float[Tensor, "video frame *dim"]:
    """The frame before each; the first is its own."""
    return torch.cat([frames[:, :1], frames[:, :-1]], dim=1)


def mutation_dim(*, dim: int, parts: list[MutationPart]) -> int:
    """Length of the last axis of `mutation_tokens`."""
    return sum(2 if part in ("change", "alignment") else dim for part in parts)


def at_times(features: Float[Tensor, "video frame *rest"], count: int) -> Float[Tensor, "video time *rest"]:
    """Features of evenly spaced frames, read at the middles of `count` equal parts of the same video.

    The same rule that samples frames, floor((i + 0.5) n / N): features of another length are aligned in time.
    """
    frames = features.shape[1]
    return features if frames == count else features[:, moments(frames, count, device=features.device)]


def moments(frames: int, count: int, *, device: torch.device) -> Int[Tensor, "time"]:
    """Numbers of the frames at the middles of `count` equal parts: floor((i + 0.5) frames / count)."""
    return ((torch.arange(count, device=device) + 0.5) * frames / count).floor().long()
