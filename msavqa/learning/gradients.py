"""One batch's gradient: at once, in parts for want of memory, or by several processes; always the same step.

The losses of Eqs. 6-7 compare the videos of a batch, so scores are gathered before the loss.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch
import torch.distributed as dist
from torch import Tensor, nn

from msavqa.learning.output import Output

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

    def leave(self) -> None:
        """Waits for the other processes and parts from them: whoever ends earlier would tear them down."""
        if self.count > 1:
            dist.barrier()
            dist.destroy_process_group()

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


Places = npt.NDArray[np.int64]


def add(
    model: nn.Module,
    *,
    forward: Callable[[Places], Output],
    videos: int,
    loss: Callable[[Output], Tensor],
    parts: int,
    seed: Sequence[int],
    device: torch.device,
    ranks: Ranks,
) -> float:
    """Adds the gradient of one batch's loss to the parameters; gives the loss.

    `forward` scores the videos at some places of the batch, 0..`videos`-1; `parts` is of each process. In
    parts: scores of all parts first, without gradients; then each part again with them, its scores in their
    place among the others'. The parts' gradients sum up to the whole batch's exactly. Dropout of a part is
    drawn from `seed` and the part's number, so it is the same in both passes, whichever process computes it.
    """
    count = min(videos, ranks.count * parts)
    places = np.array_split(np.arange(videos), count)
    if count == 1:
        value = loss(forward(places[0]))
        torch.autograd.backward(value)
        return float(value.detach())

    def scores(number: int) -> list[tuple[Tensor, Tensor]]:
        torch.manual_seed(int(np.random.SeedSequence([*seed, number]).generate_state(1, np.uint64)[0] >> 1))
        found = forward(places[number]).dimensions
        # The second is empty where a branch does not score frames.
        return [
            (one.score, torch.zeros(0) if one.frame_scores is None else one.frame_scores) for one in found
        ]

    mine = list(range(count))[ranks.rank :: ranks.count]
    known: dict[int, list[tuple[Tensor, Tensor]]] = {}
    with torch.no_grad():
        for number in mine:
            known[number] = [(score.cpu(), frames.cpu()) for score, frames in scores(number)]
    for others in ranks.gather(known):
        known.update(others)
    value = torch.zeros(())
    for number in mine:
        live = {**known, number: scores(number)}
        first, *more = (
            _whole([live[one][dimension] for one in range(count)], device)
            for dimension in range(len(live[number]))
        )
        value = loss(replace(first, more=tuple(more)))
        torch.autograd.backward(value)
    ranks.sum_gradients(model)
    return float(ranks.gather(float(value.detach()))[0])


def _whole(parts: Sequence[tuple[Tensor, Tensor]], device: torch.device) -> Output:
    """One dimension's scores of all parts as the batch's."""
    score = torch.cat([score.to(device) for score, _ in parts])
    frames = torch.cat([frames.to(device) for _, frames in parts])
    return Output(score=score, frame_scores=frames if len(frames) else None, attention=None)
