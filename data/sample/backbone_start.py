"""Where a small backbone's training starts from, so that it sees fine texture within a minute.

Two things keep a fresh network blind to blur and noise for hundreds of steps: a patch's mean drowns its fine
detail, and weights so small that every layer is nearly linear cannot tell energy from sign. So the first
layer starts as a whitening of real patches, and the others at unit gain.
"""

from typing import Any

import torch
from torch import Tensor, nn

WHITENING_FLOOR = 1e-2  # of the median variance: directions with less are noise of the decoder


def scale(network: nn.Module, *, gain: float) -> None:
    """Draws the weights of all linear and 2-d convolutional layers with sd `gain / sqrt(inputs)`."""
    for module in network.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            nn.init.normal_(module.weight, std=gain / module.weight[0].numel() ** 0.5)


@torch.no_grad()
def whiten(layer: Any, inputs: Tensor) -> None:
    """Sets a patch embedding (kernel = stride) to the whitened principal directions of the inputs' patches.

    `inputs` are (n, 3, h, w) or (n, 3, frame, h, w), as the layer has two or three dimensions. A layer with
    fewer channels than a patch has numbers takes directions evenly from strong to weak.
    """
    patches = inputs
    for axis, size in enumerate(layer.kernel_size, start=2):
        patches = patches.unfold(axis, size, size)
    dimensions = len(layer.kernel_size)
    order = (0, *range(2, 2 + dimensions), 1, *range(2 + dimensions, 2 + 2 * dimensions))
    flat = patches.permute(order).reshape(-1, layer.weight[0].numel())
    variances, directions = torch.linalg.eigh(torch.cov(flat.T))
    chosen = torch.linspace(len(variances) - 1, 0, layer.out_channels).round().long()
    floor = WHITENING_FLOOR * variances.median()
    weight = (directions / (variances.clamp(min=0) + floor).sqrt()).T[chosen]
    layer.weight.copy_(weight.view_as(layer.weight))
    layer.bias.copy_(-weight @ flat.mean(0))
