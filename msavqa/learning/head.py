"""The scoring head: what a branch sees and means becomes a score of each dimension of quality."""

from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from msavqa.learning.layers import Dropout


class ScoreHead(nn.Module):
    """Technical and semantic features to one score: two hidden layers, the first one split in two.

    Linear(concat(a, b)) = A a + B b: the split changes nothing of the sum, but lets a head that was trained
    on technical features alone (pre-training without prompts) be continued with semantic ones.
    """

    slope: Tensor
    offset: Tensor

    def __init__(self, *, technical: int, semantic: int, width: int, dropout: float, more: int = 0) -> None:
        """`more`: dimensions of quality beside the first; their outputs are drawn last, so that a branch of
        one dimension starts from the same weights whatever others there could be."""
        super().__init__()
        self.technical = nn.Linear(technical, width)
        self.semantic = nn.Linear(semantic, width, bias=False) if semantic else None
        self.dropout = Dropout(dropout)
        self.hidden = nn.Linear(width, width)
        self.score = nn.Linear(width, 1)
        self.register_buffer("slope", torch.ones(()))
        self.register_buffer("offset", torch.zeros(()))
        self.more = nn.ModuleList(_Dimension(width) for _ in range(more))

    @torch.no_grad()
    def set_scale(self, *, slope: float, offset: float, dimension: int = 0) -> None:
        """From now on scores are slope x score + offset: how a trained branch is put on the scale of MOS."""
        scaled = self._outputs()[dimension]
        scaled.slope.fill_(slope)
        scaled.offset.fill_(offset)

    def _outputs(self) -> "list[ScoreHead | _Dimension]":
        return [self, *(cast(_Dimension, one) for one in self.more)]

    def forward(
        self,
        technical: Float[Tensor, "*rows t"],
        semantic: Float[Tensor, "*rows s"] | None,
        added: Float[Tensor, "video"] | None = None,
    ) -> Float[Tensor, "*rows"]:
        """One score per row, of the first dimension; see `each`."""
        return self.each(technical, semantic, added)[0]

    def each(
        self,
        technical: Float[Tensor, "*rows t"],
        semantic: Float[Tensor, "*rows s"] | None,
        added: Float[Tensor, "video"] | None = None,
    ) -> list[Float[Tensor, "*rows"]]:
        """One score per row and dimension; `semantic` is None exactly where the head has `semantic=0`.

        `added` is a term of each video's scores in the units before `set_scale`; rows are (video, ...).
        """
        # Never in bfloat16: its 8 bits would round the scores themselves, to 0.5 MOS above 64.
        with torch.autocast(technical.device.type, enabled=False):
            mixed: Tensor = self.technical(technical.float())
            if self.semantic is not None:
                assert semantic is not None
                mixed = mixed + self.semantic(semantic.float())
            hidden = self.dropout(functional.gelu(mixed))
            hidden = hidden + self.dropout(functional.gelu(self.hidden(hidden)))
            found = []
            for one in self._outputs():
                score: Tensor = one.score(hidden).squeeze(-1)
                if added is not None:
                    score = score + added.float().reshape(-1, *[1] * (score.ndim - 1))
                found.append(score * one.slope + one.offset)
            return found


class _Dimension(nn.Module):
    """The output of a further dimension of quality: a line out of the shared hidden layers, and its scale."""

    slope: Tensor
    offset: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.score = nn.Linear(width, 1)
        self.register_buffer("slope", torch.ones(()))
        self.register_buffer("offset", torch.zeros(()))
