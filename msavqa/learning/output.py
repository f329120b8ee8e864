"""What a branch says of a batch of videos, of each dimension of quality."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class Output:
    """What a branch says of a batch; parts that a branch does not have are None."""

    score: Float[Tensor, "video"]
    """In standard deviations of the training labels, unless the loss leaves the scale open."""
    frame_scores: Float[Tensor, "video time"] | None
    """Of each frame or segment of the branch's own trunk."""
    attention: Float[Tensor, "video frame"] | None
    """Where SMA looked."""
    more: "tuple[Output, ...]" = ()
    """The same of each further dimension of quality, without attention."""

    @property
    def dimensions(self) -> "tuple[Output, ...]":
        """Of each dimension, the first one first."""
        return self, *self.more

    def parted(self, videos: int, pairs: int) -> "tuple[Output, Output, Output]":
        """Of the first `videos`, and of the `pairs` originals and as many copies behind them."""
        sizes = [videos, pairs, pairs]
        parts = []
        for one in self.dimensions:
            frames = one.frame_scores
            of_frames = [None] * 3 if frames is None else list(torch.split(frames, sizes))
            parts.append(list(zip(torch.split(one.score, sizes), of_frames, strict=True)))
        own, original, copy = (
            Output(first[0], first[1], None, tuple(Output(score, frames, None) for score, frames in more))
            for first, *more in zip(*parts, strict=True)
        )
        return own, original, copy
