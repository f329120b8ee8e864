"""A GPU that is not there: torch's fake tensors, which have a shape and a device and no values.

Operations on them follow torch's own rules of devices, so that code which mixes tensors of a GPU with those
of the CPU fails here as it would on a GPU. What needs a driver or values (gradients, `.item()`) is not had.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

GPU = torch.device("cuda")


@contextmanager
def pretended(patch: Any) -> Iterator[None]:
    """Within, "cuda" is a device; real tensors may be moved to it, and so may modules, by `Module.to`."""
    with FakeTensorMode(allow_non_fake_inputs=True), patch.context() as patched:
        patched.setattr(nn.Module, "to", moved)
        yield


@contextmanager
def later(patch: Any) -> Iterator[Callable[[], None]]:
    """Within, `Module.to` only notes where to; what it gives does the moves, once a GPU is pretended.

    For networks whose making needs values.
    """
    moves: list[tuple[Any, ...]] = []

    def note(module: nn.Module, *where: Any) -> nn.Module:
        moves.append((module, *where))
        return module

    with patch.context() as patched:
        patched.setattr(nn.Module, "to", note)
        yield lambda: [moved(*move) for move in moves] and None


def moved(module: nn.Module, device: Any, *args: Any) -> nn.Module:
    """`Module.to` for real parameters and a fake device, where torch's own would change a tensor's kind."""
    for part in module.modules():
        for name, parameter in part._parameters.items():
            if parameter is not None:
                values = parameter.detach().to(device, *args)
                part._parameters[name] = nn.Parameter(values, requires_grad=parameter.requires_grad)
        for name, buffer in part._buffers.items():
            if buffer is not None:
                # Only floating ones change their kind, as in torch.
                part._buffers[name] = buffer.to(device, *(args if buffer.is_floating_point() else ()))
    return module
