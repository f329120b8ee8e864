"""Where training stands, on disk between epochs: an interrupted run continues to the same weights."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

Record = dict[str, int | float]
"""What the history says of one epoch."""


def save(path: Path, epoch: int, history: list[Record], model: nn.Module, learner: Any, average: Any) -> None:
    """Writes all that the next epoch depends on, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    state = {
        "epoch": epoch,
        "history": history,
        "model": model.state_dict(),
        "optimiser": learner.state_dict(),
        "average": average,
    }
    unfinished = path.with_name(f"{path.name}.partial")
    torch.save(state, unfinished)
    unfinished.replace(path)


def resume(
    path: Path | None, model: nn.Module, learner: Any, average: dict[str, Tensor]
) -> tuple[int, list[Record]]:
    """Fills model, optimiser and average in place; epochs done and their history, (0, []) without a file."""
    if path is None or not path.is_file():
        return 0, []
    # On the CPU, where Adam counts its steps: on a GPU each step would wait for every count.
    state = torch.load(path, weights_only=True, map_location="cpu")
    model.load_state_dict(state["model"])
    learner.load_state_dict(state["optimiser"])
    for name, tensor in state["average"].items():
        average[name].copy_(tensor)
    return int(state["epoch"]), list(state["history"])
