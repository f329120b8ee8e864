"""The attention of torchvision's Video Swin, faster: the same sums, by `scaled_dot_product_attention`.

torchvision pads, rolls and cuts the tokens into windows in three copies, and adds position bias and mask of
every window to every window's attention. Here one gather does the three; windows of one mask share a call,
whose bias and mask are added once and kept. Values differ by rounding (LOG.md, 2026-11-30).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

APART = -100.0
"""Added to the attention between tokens that the roll brought together; torchvision's number."""


@dataclass(frozen=True)
class Windows:
    """How tokens (time, height, width) of one size fall into shifted windows, those of one mask together."""

    taken: npt.NDArray[np.int64]
    """(window, place): which token stands there; one more than there are where it is padding."""
    place: npt.NDArray[np.int64]
    """(token,): where each token stands in `taken`, flattened."""
    masks: npt.NDArray[np.float32]
    """(kind, place, place): 0, or `APART`."""
    count: tuple[int, ...]
    """Windows of each kind, in the order of `masks`."""


@lru_cache(maxsize=64)
def windows(size: tuple[int, ...], window: tuple[int, ...], shift: tuple[int, ...]) -> Windows:
    """Windows over tokens of a size, all (time, height, width), as torchvision pads and rolls them."""
    padded = [-(-tokens // side) * side for tokens, side in zip(size, window, strict=True)]
    tokens = np.arange(math.prod(size)).reshape(size)
    filled = np.pad(
        tokens, [(0, full - own) for full, own in zip(padded, size, strict=True)], constant_values=tokens.size
    )
    # Along each axis that moves there are three parts, which the roll brings together and nothing else does.
    region = np.zeros(padded, dtype=np.int64)
    for axis, (side, moved, length) in enumerate(zip(window, shift, padded, strict=True)):
        along = np.arange(length)
        part = (along >= length - side).astype(int) + (along >= length - moved) if moved else 0 * along
        region = region * 3 + np.expand_dims(part, [one for one in range(3) if one != axis])
    taken = _cut(np.roll(filled, [-one for one in shift], axis=(0, 1, 2)), window)
    kinds, kind = np.unique(_cut(region, window), axis=0, return_inverse=True)
    order = np.argsort(kind, kind="stable")
    taken = taken[order]
    place = np.empty(tokens.size + 1, dtype=np.int64)
    place[taken.ravel()] = np.arange(taken.size)
    masks = np.where(kinds[:, :, None] == kinds[:, None, :], 0, APART).astype(np.float32)
    return Windows(taken, place[:-1], masks, tuple(np.bincount(kind).tolist()))


def _cut(values: npt.NDArray[np.int64], window: Sequence[int]) -> npt.NDArray[np.int64]:
    """(time, height, width) -> (window, place), in torchvision's order."""
    steps = [length // side for length, side in zip(values.shape, window, strict=True)]
    parts = values.reshape(steps[0], window[0], steps[1], window[1], steps[2], window[2])
    return parts.transpose(0, 2, 4, 1, 3, 5).reshape(math.prod(steps), -1)


@dataclass(frozen=True)
class Layout:
    """Windows on a device, with what one layer adds to the attention in each kind of them."""

    windows: Windows
    taken: Tensor
    place: Tensor
    biases: Sequence[Tensor]
    """(1, head, place, place) of each kind: position bias and mask."""


def attention(
    tokens: Float[Tensor, "video time height width channel"],
    *,
    qkv: nn.Linear,
    projection: nn.Linear,
    heads: int,
    layout: Layout,
) -> Float[Tensor, "video time height width channel"]:
    """Attention within windows, as torchvision's `shifted_window_attention_3d` without dropout."""
    videos, *size, width = tokens.shape
    flat = functional.pad(tokens.flatten(1, 3), (0, 0, 0, 1))  # the last token is padding
    inside = flat[:, layout.taken.flatten()].reshape(videos, *layout.taken.shape, width)
    query, key, value = qkv(inside).unflatten(-1, (3, heads, width // heads)).permute(3, 0, 1, 4, 2, 5)
    found, first = [], 0
    for bias, count in zip(layout.biases, layout.windows.count, strict=True):
        q, k, v = (part[:, first : first + count].flatten(0, 1) for part in (query, key, value))
        mixed = functional.scaled_dot_product_attention(q, k, v, attn_mask=bias.to(q.dtype))
        found.append(mixed.transpose(1, 2).reshape(videos, count, -1, width))
        first += count
    out = projection(torch.cat(found, dim=1)).flatten(1, 2)
    rolled_back: Tensor = out[:, layout.place].reshape(videos, *size, width)
    return rolled_back


def faster(network: Any) -> Any:
    """A Video Swin of torchvision whose attention runs as here; weights and their names stay."""
    from torchvision.models.video.swin_transformer import ShiftedWindowAttention3d

    class Faster(ShiftedWindowAttention3d):  # type: ignore[misc]
        """Keeps its layout while nothing learns; where something does it is made anew."""

        def forward(self, x: Tensor) -> Tensor:
            if self.training and (self.attention_dropout or self.dropout):
                plain: Tensor = super().forward(x)
                return plain
            size = tuple(x.shape[1:4])
            # A window larger than the video shrinks to it, and then does not move.
            fits = [tokens <= side for tokens, side in zip(size, self.window_size, strict=True)]
            window = tuple(t if fit else w for t, w, fit in zip(size, self.window_size, fits, strict=True))
            shift = tuple(0 if fit else moved for moved, fit in zip(self.shift_size, fits, strict=True))
            layout = self._layout(windows(size, window, shift), window, x.device)
            return attention(x, qkv=self.qkv, projection=self.proj, heads=self.num_heads, layout=layout)

        def _layout(self, cut: Windows, window: Sequence[int], device: torch.device) -> Layout:
            table = self.relative_position_bias_table
            # Of weights made in inference mode torch does not say when they change.
            fixed = not torch.is_grad_enabled() and not table.is_inference()
            made_of = (id(table), table._version, table.dtype, device) if fixed else ()
            kept: tuple[Any, Layout] | None = self.__dict__.get("_kept")
            if fixed and kept and kept[0] == made_of and kept[1].windows is cut:
                return kept[1]
            bias = self.get_relative_position_bias(list(window))
            taken, place, masks = (
                torch.from_numpy(one).to(device) for one in (cut.taken, cut.place, cut.masks)
            )
            found = Layout(cut, taken, place, [bias + mask.to(bias.dtype) for mask in masks])
            if fixed:
                self.__dict__["_kept"] = made_of, found
            return found

    for module in network.modules():
        if type(module) is ShiftedWindowAttention3d:
            module.__class__ = Faster
    return network
