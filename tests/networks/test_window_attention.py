"""The faster attention of Video Swin against torchvision's own: values, gradients, windows of every kind."""

import copy
from typing import Any

import pytest
import torch
from torchvision.models.video.swin_transformer import ShiftedWindowAttention3d

from msavqa.networks import window_attention

SIZES = {
    "as many windows as fit": ((4, 8, 8), (2, 4, 4), (1, 2, 2)),
    "padding on every side": ((3, 7, 9), (2, 4, 4), (1, 2, 2)),
    "a video shorter than the window": ((2, 9, 7), (8, 4, 4), (4, 2, 2)),
    "nothing larger than the window": ((2, 3, 4), (8, 7, 7), (4, 3, 3)),
    "no shift": ((4, 8, 8), (2, 4, 4), (0, 0, 0)),
    "one window and a bit": ((2, 5, 4), (2, 4, 4), (1, 3, 1)),
}
"""Tokens, window, shift: all (time, height, width)."""


def plain(window: tuple[int, ...], shift: tuple[int, ...], **options: Any) -> ShiftedWindowAttention3d:
    """torchvision's own, its position bias as large as a trained one's."""
    torch.manual_seed(0)
    found = ShiftedWindowAttention3d(24, list(window), list(shift), num_heads=3, **options).double()
    torch.nn.init.normal_(found.relative_position_bias_table)
    return found.eval()


def faster(module: ShiftedWindowAttention3d) -> ShiftedWindowAttention3d:
    return window_attention.faster(torch.nn.Sequential(copy.deepcopy(module)))[0]


@pytest.mark.parametrize(("size", "window", "shift"), SIZES.values(), ids=SIZES)
def test_it_gives_what_torchvision_gives(
    size: tuple[int, ...], window: tuple[int, ...], shift: tuple[int, ...]
) -> None:
    module = plain(window, shift)
    tokens = torch.randn(2, *size, 24, dtype=torch.float64)
    ours = faster(module)
    assert type(ours) is not ShiftedWindowAttention3d
    with torch.inference_mode():
        expected = module(tokens)
        for _ in range(2):  # bias and masks made, and kept
            torch.testing.assert_close(ours(tokens), expected, rtol=0, atol=1e-12)


def test_windows_have_a_kind_of_mask_for_each_edge_and_corner() -> None:
    found = window_attention.windows((8, 56, 56), (8, 7, 7), (0, 3, 3))
    assert found.taken.shape == (64, 392)
    assert sorted(found.count) == [1, 7, 7, 49]  # the corner, two edges, and all the others
    assert len(found.masks) == 4


def test_gradients_are_torchvisions_after_inference_with_the_same_windows() -> None:
    module = plain((2, 4, 4), (1, 2, 2))
    tokens = torch.randn(1, 3, 7, 9, 24, dtype=torch.float64)
    ours = faster(module)
    with torch.inference_mode():
        ours(tokens)
    for one in (module, ours):
        one(tokens).square().sum().backward()
    for (name, expected), found in zip(module.named_parameters(), ours.parameters(), strict=True):
        torch.testing.assert_close(found.grad, expected.grad, rtol=0, atol=1e-9, msg=name)


def test_weights_that_change_are_seen_behind_what_was_kept() -> None:
    module = plain((2, 4, 4), (1, 2, 2))
    tokens = torch.randn(1, 4, 8, 8, 24, dtype=torch.float64)
    ours = faster(module)
    with torch.no_grad():
        ours(tokens)
        for one in (module, ours):
            one.relative_position_bias_table.mul_(2)
        torch.testing.assert_close(ours(tokens), module(tokens), rtol=0, atol=1e-12)


def test_bfloat16_is_as_near_to_float32_as_torchvisions() -> None:
    module = plain((2, 4, 4), (1, 2, 2)).float()
    tokens = torch.randn(8, 4, 8, 8, 24)
    with torch.inference_mode():
        exact = module(tokens)
        with torch.autocast("cpu", torch.bfloat16):
            theirs, ours = (one(tokens).float() - exact for one in (module, faster(module)))
    assert ours.square().mean() <= 1.1 * theirs.square().mean()


def test_where_dropout_draws_torchvisions_own_runs() -> None:
    module = plain((2, 4, 4), (1, 2, 2), attention_dropout=0.5)
    ours = faster(module).train()
    tokens = torch.randn(1, 4, 8, 8, 24, dtype=torch.float64)
    found = []
    for one in (module.train(), ours):
        torch.manual_seed(1)
        found.append(one(tokens))
    assert torch.equal(*found)
