"""Gradients that are added up in one order, whatever the threads of a CPU do: the same weights every time."""

import torch


def in_order(device: str = "cpu") -> None:
    """Makes this process add up in one order on a CPU; on a GPU ("cuda") torch is left to its own rules.

    Left alone, threads race for the entries of a table that is read at very many places (the positions of
    Swin and Video Swin), and the sum is rounded in the order in which they come: now and then a training
    ended in other weights.
    """
    # `use_deterministic_algorithms` sets the same and imports torch's compiler: a second, where others train.
    torch.set_deterministic_debug_mode("error" if device == "cpu" else "default")
    # Nothing here reads what it has not written; filling every new tensor would take its time.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
