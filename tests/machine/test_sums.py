"""Gradients of a table: the serial sum to the bit, with two threads too."""

import numpy as np
import pytest
import torch

from msavqa.machine import device as sums

PLACES, HEADS = 128 * 128, 3
"""Reads of a table by Video Swin's windows of 8 x 4 x 4 tokens: enough for torch to share them out."""


def test_the_gradient_of_a_table_is_the_serial_sum_to_the_bit() -> None:
    random = np.random.default_rng(0)
    places = random.integers(0, 700, PLACES)
    upper = random.standard_normal((PLACES, HEADS), dtype=np.float32)
    expected = np.zeros((700, HEADS), dtype=np.float32)
    np.add.at(expected, places, upper)
    sums.in_order()
    torch.set_num_threads(2)
    for _ in range(20):
        table = torch.zeros((700, HEADS), requires_grad=True)
        torch.autograd.backward(table[torch.from_numpy(places)], torch.from_numpy(upper))
        assert table.grad is not None
        np.testing.assert_array_equal(table.grad.numpy(), expected)


@pytest.mark.parametrize(("device", "ordered"), [("cpu", True), ("cuda", False)])
def test_only_a_cpu_is_told_and_new_tensors_are_not_filled(device: str, ordered: bool) -> None:
    sums.in_order(device)
    assert torch.are_deterministic_algorithms_enabled() == ordered
    assert not torch.utils.deterministic.fill_uninitialized_memory
