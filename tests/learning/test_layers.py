"""Layers against hand-written sums and by property."""

import pytest
import torch
from torch import Tensor, nn

from msavqa.learning import layers
from msavqa.learning.head import ScoreHead
from msavqa.learning.layers import Adapter, AdapterWidth, Dropout, MutationAttention, Standardise


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def units(*shape: int, seed: int = 0) -> Tensor:
    return nn.functional.normalize(numbers(*shape, seed=seed), dim=-1)


@pytest.mark.parametrize("width", [3, "linear"])
def test_an_untrained_adapter_changes_nothing_and_can_be_trained_at_once(width: AdapterWidth) -> None:
    adapter = Adapter(dim=6, width=width, ratio=0.5)
    x = numbers(4, 6)
    assert torch.equal(adapter(x), x)
    torch.autograd.backward(adapter(x).square().sum())
    assert adapter.up.weight.grad is not None
    assert float(adapter.up.weight.grad.abs().sum()) > 0


def test_a_trained_adapter_adds_its_ratio_of_a_bottleneck() -> None:
    adapter = Adapter(dim=6, width=3, ratio=0.25)
    nn.init.normal_(adapter.up.weight)
    x = numbers(4, 6)
    inner = nn.functional.gelu(x @ adapter.down.weight.T + adapter.down.bias)
    expected = x + 0.25 * (inner @ adapter.up.weight.T + adapter.up.bias)
    torch.testing.assert_close(adapter(x), expected)


def test_a_trained_linear_adapter_adds_its_ratio_of_one_layer() -> None:
    adapter = Adapter(dim=6, width="linear", ratio=0.25)
    nn.init.normal_(adapter.up.weight)
    x = numbers(4, 6)
    expected = x + 0.25 * (x @ adapter.up.weight.T + adapter.up.bias)
    torch.testing.assert_close(adapter(x), expected)


def test_mutation_attention_equals_a_loop_of_equation_3() -> None:
    attention = MutationAttention(token_dim=6, width=8, heads=2, queries=3)
    nn.init.normal_(attention.query)
    tokens = numbers(2, 5, 6)
    found, weights = attention(tokens)
    for video in range(2):
        shares = torch.zeros(5)
        for query in range(3):
            heads = []
            for head in range(2):
                part = slice(4 * head, 4 * head + 4)
                logits = []
                for frame in range(5):
                    logits.append(
                        attention.query[query, part] @ attention.key(tokens[video, frame])[part] / 4**0.5
                    )
                share = torch.stack(logits).softmax(0)
                heads.append(sum(share[f] * attention.value(tokens[video, f])[part] for f in range(5)))
                shares += share / 6
            expected = attention.out(torch.cat(heads))
            torch.testing.assert_close(found[video, 8 * query : 8 * query + 8], expected)
        torch.testing.assert_close(weights[video], shares)


def test_attention_over_frames_sums_to_one_and_is_nowhere_negative() -> None:
    _, weights = MutationAttention(token_dim=6, width=8, heads=4, queries=2)(numbers(3, 7, 6))
    assert weights.shape == (3, 7)
    assert bool((weights >= 0).all())
    torch.testing.assert_close(weights.sum(1), torch.ones(3))


def test_attention_follows_frames_that_change_places_and_videos_do_not_touch_each_other() -> None:
    attention = MutationAttention(token_dim=6, width=8, heads=2, queries=1)
    tokens, order = numbers(3, 7, 6), torch.tensor([3, 1, 0, 6, 5, 2, 4])
    found, weights = attention(tokens)
    permuted, permuted_weights = attention(tokens[:, order])
    torch.testing.assert_close(permuted, found)
    torch.testing.assert_close(permuted_weights, weights[:, order])
    torch.testing.assert_close(attention(tokens[1:2])[0], found[1:2])


def test_differences_let_the_attention_see_when_the_content_changed() -> None:
    still = units(1, 1, 6).expand(1, 8, 6)
    changed = torch.cat([still[:, :4], units(1, 1, 6, seed=1).expand(1, 4, 6)], dim=1)
    parts: list[layers.MutationPart] = ["difference", "drift"]
    tokens = layers.mutation_tokens(frames=changed, similarity=None, parts=parts)
    difference, drift = tokens[0].norm(dim=-1), tokens[0, :, 6:].norm(dim=-1)
    assert bool((difference[:4] == 0).all())
    assert torch.nonzero(tokens[0, :, :6].norm(dim=-1)).flatten().tolist() == [4]
    assert torch.nonzero(drift).flatten().tolist() == [4, 5, 6, 7]
    nothing = layers.mutation_tokens(frames=still, similarity=None, parts=parts)
    assert not bool(nothing.any())


def test_change_is_the_length_of_difference_and_drift() -> None:
    frames = units(2, 4, 6)
    parts: list[layers.MutationPart] = ["change", "difference", "drift"]
    tokens = layers.mutation_tokens(frames=frames, similarity=None, parts=parts)
    assert tokens.shape == (2, 4, layers.mutation_dim(dim=6, parts=parts))
    torch.testing.assert_close(tokens[..., 0], tokens[..., 2:8].norm(dim=-1))
    torch.testing.assert_close(tokens[..., 1], tokens[..., 8:14].norm(dim=-1))


def test_mutation_tokens_stand_in_the_order_asked_for_with_the_width_announced() -> None:
    parts: list[layers.MutationPart] = ["alignment", "cls"]
    frames, similarity = units(2, 4, 6), numbers(2, 4)
    tokens = layers.mutation_tokens(frames=frames, similarity=similarity, parts=parts)
    assert tokens.shape == (2, 4, layers.mutation_dim(dim=6, parts=parts))
    torch.testing.assert_close(tokens[..., 0], similarity * 6**0.5)
    assert not bool(tokens[:, 0, 1].any())
    torch.testing.assert_close(tokens[:, 2, 1], (similarity[:, 2] - similarity[:, 1]) * 6**0.5)
    torch.testing.assert_close(tokens[..., 2:], frames * 6**0.5)


def test_fused_features_hold_text_product_and_the_cosine_that_the_product_sums_to() -> None:
    parts: list[layers.FusionPart] = ["text", "image", "product", "cosine"]
    text, frames = units(2, 6), units(2, 4, 6, seed=1)
    found = layers.fused(text=text, frames=frames, parts=parts)
    assert found.shape == (2, 4, layers.fused_dim(dim=6, parts=parts))
    root = 6**0.5
    torch.testing.assert_close(found[:, 2, :6], text * root)
    torch.testing.assert_close(found[..., 6:12], frames * root)
    cosine = nn.functional.cosine_similarity(text[:, None], frames, dim=-1)
    torch.testing.assert_close(found[..., 12:18].sum(-1) / 6, cosine)
    torch.testing.assert_close(found[..., 18], cosine * root)


def test_dropout_drops_its_share_scales_the_rest_and_passes_the_same_share_of_the_gradient() -> None:
    layer, x = Dropout(0.3), torch.ones(400, 500, requires_grad=True)
    torch.manual_seed(0)
    found = layer(x)
    kept = found != 0
    torch.testing.assert_close(found[kept], torch.full_like(found[kept], 1 / 0.7))
    assert abs(float(kept.float().mean()) - 0.7) < 5 * (0.3 * 0.7 / x.numel()) ** 0.5
    torch.autograd.backward(found.sum())
    assert x.grad is not None
    assert torch.equal(x.grad, found.detach())
    torch.manual_seed(0)
    assert torch.equal(layer(x), found)


def test_dropout_drops_nothing_at_zero_and_nothing_where_nothing_is_learned() -> None:
    x = numbers(3, 4)
    assert torch.equal(Dropout(0.0)(x), x)
    assert torch.equal(Dropout(0.9).eval()(x), x)


def test_splitting_the_heads_first_layer_changes_nothing_of_a_concatenation() -> None:
    head = ScoreHead(technical=5, semantic=3, width=4, dropout=0.0)
    technical, semantic = numbers(2, 6, 5), numbers(2, 6, 3, seed=1)
    assert head.semantic is not None
    weight = torch.cat([head.technical.weight, head.semantic.weight], dim=1)
    hidden = nn.functional.gelu(torch.cat([technical, semantic], -1) @ weight.T + head.technical.bias)
    hidden = hidden + nn.functional.gelu(head.hidden(hidden))
    torch.testing.assert_close(head(technical, semantic), head.score(hidden)[..., 0])


def test_a_heads_scale_is_a_line_that_is_saved_with_it() -> None:
    head = ScoreHead(technical=5, semantic=0, width=4, dropout=0.0)
    before = head(numbers(3, 5), None)
    head.set_scale(slope=20.0, offset=50.0)
    torch.testing.assert_close(head(numbers(3, 5), None), before * 20 + 50)
    assert {"slope", "offset"} <= set(head.state_dict())


def test_standardised_training_rows_have_mean_zero_and_sd_one_but_for_constant_channels() -> None:
    standardise = Standardise(4, limit=50.0)
    rows = numbers(50, 3, 4) * torch.tensor([1e-3, 1.0, 1e3, 0.0]) + torch.tensor([1.0, 2.0, 3.0, 5.0])
    standardise.set_from(rows)
    found = standardise(rows).reshape(-1, 4)
    torch.testing.assert_close(found.mean(0), torch.zeros(4), atol=1e-3, rtol=0)
    torch.testing.assert_close(
        found.std(0, correction=0), torch.tensor([1.0, 1.0, 1.0, 0.0]), atol=1e-3, rtol=0
    )
    assert float(standardise(torch.full((1, 4), 1e9)).abs().max()) == standardise.limit


@pytest.mark.parametrize(("frames", "count"), [(16, 4), (8, 8), (5, 3), (4, 8)])
def test_features_of_another_length_are_read_at_the_same_times(frames: int, count: int) -> None:
    times = (torch.arange(frames) + 0.5) / frames
    found = layers.at_times(times[None, :, None], count)[0, :, 0]
    wanted = (torch.arange(count) + 0.5) / count
    assert float((found - wanted).abs().max()) <= 0.5 / frames + 1e-6
