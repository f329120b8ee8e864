"""Several processes that compute one batch together (torchrun), or one process alone."""

import os
from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import nn

T = TypeVar("T")


@dataclass(frozen=True)
class Ranks:
    """This process among those of one training run."""

    rank: int
    count: int

    @classmethod
    def join(cls, device: torch.device) -> "Ranks":
        """Joins the processes that torchrun started (gloo on a CPU, nccl on GPUs); alone otherwise.

        From then on "cuda" means this process's own GPU: nccl refuses two processes on one.
        """
        count = int(os.environ.get("WORLD_SIZE", "1"))
        if count == 1:
            return cls(rank=0, count=1)
        if device.type == "cuda":
            torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        if not dist.is_initialized():
            dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
        return cls(rank=dist.get_rank(), count=count)

    @property
    def leads(self) -> bool:
        """The one process that writes files and shows progress."""
        return self.rank == 0

    def gather(self, mine: T) -> list[T]:
        """Everyone's object in rank order; a short list of small tensors, copied to the CPU by the caller."""
        if self.count == 1:
            return [mine]
        everyone: list[T | None] = [None] * self.count
        dist.all_gather_object(everyone, mine)
        return everyone  # type: ignore[return-value]

    def sum_gradients(self, model: nn.Module) -> None:
        """Adds up the processes' gradients in place; a parameter without one counts as zero."""
        if self.count == 1:
            return
        for parameter in model.parameters():
            if parameter.requires_grad:
                if parameter.grad is None:
                    parameter.grad = torch.zeros_like(parameter)
                dist.all_reduce(parameter.grad)
