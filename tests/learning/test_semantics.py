"""PSS and SMA: what they read, what they are before training, and what each switch leaves out."""

import dataclasses
from typing import Any

import pytest
import torch

from msavqa.learning import tail
from msavqa.learning.semantic_settings import Plan, PssSettings, SmaSettings
from msavqa.learning.semantics import ClipShapes, Semantics
from tests import feature_world
from tests.feature_world import ARCHITECTURE, DIM, FRAMES, TOKENS, WIDTH

TOWERS = {"text": "clip_text", "image": "clip_image"}


def pss(**changes: Any) -> PssSettings:
    data = {
        "enabled": True, "fusion": ["cosine"], "adapters": "tail", "last_adapter": "embedding",
        "adapter_width": 4, "adapter_ratio": 0.5, "frames": "all",
    }  # fmt: skip
    return PssSettings.model_validate(data | changes)


def sma(**changes: Any) -> SmaSettings:
    data = {
        "enabled": True,
        "tokens": ["cls"],
        "frames": "cached",
        "measures": False,
        "feeds": "head",
        "width": 8,
        "heads": 2,
        "queries": 1,
    }
    return SmaSettings.model_validate(data | changes)


@pytest.fixture(scope="module")
def tails(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tail.ClipTail]:
    paths = feature_world._clip_weights(tmp_path_factory.mktemp("clip"))
    return {
        "text_tail": tail.clip_text_tail(paths["clip_text"], ARCHITECTURE),
        "image_tail": tail.clip_image_tail(paths["clip_image"], ARCHITECTURE),
    }


def batch(videos: int = 3) -> dict[str, torch.Tensor]:
    random = torch.Generator().manual_seed(0)
    return {
        "frames_cls": torch.randn((videos, FRAMES, DIM), generator=random),
        "image_tokens": torch.randn((videos, FRAMES, TOKENS, WIDTH), generator=random).half(),
        "text_cls": torch.randn((videos, DIM), generator=random),
        "text_tokens": torch.randn((videos, TOKENS, WIDTH), generator=random).half(),
        "text_length": torch.randint(2, TOKENS + 1, (videos,), generator=random),
    }


def build(tails: dict[str, tail.ClipTail], p: PssSettings, s: SmaSettings) -> Semantics:
    torch.manual_seed(0)
    return Semantics(pss=p, sma=s, shapes=ClipShapes(DIM, WIDTH, WIDTH), changes=3, **tails)


@pytest.mark.parametrize("adapters", ["tail", "cls"])
@pytest.mark.parametrize("frames", ["adapted", "own", "cached"])
@pytest.mark.parametrize("fusion", [["text"], ["text", "product", "cosine"], ["cosine", "image"]])
@pytest.mark.parametrize("tokens", [["cls"], ["difference", "alignment"]])
def test_a_batch_of_just_what_the_plan_reads_is_enough(
    tails: dict[str, tail.ClipTail], adapters: str, frames: str, fusion: list[str], tokens: list[str]
) -> None:
    p, s = pss(adapters=adapters, fusion=fusion), sma(frames=frames, tokens=tokens)
    wanted = Plan.of(pss=p, sma=s).reads(**TOWERS)
    module = build(tails, p, s)
    meaning = module({key: value for key, value in batch().items() if key in wanted})
    features = meaning.at(FRAMES)
    assert features is not None
    assert features.shape == (3, FRAMES, module.dim)
    torch.testing.assert_close(meaning.attention.sum(1), torch.ones(3))
    torch.autograd.backward(features.square().sum() + meaning.similarity.sum())
    unused = [name for name, one in module.named_parameters() if one.grad is None]
    assert unused == []


def test_measures_of_changed_content_stand_standardised_behind_what_the_query_saw(
    tails: dict[str, tail.ClipTail],
) -> None:
    p, with_measures = pss(), sma(measures=True)
    assert Plan.of(pss=p, sma=with_measures).reads(**TOWERS)["change"] == ("statistics", "change")
    assert "change" not in Plan.of(pss=p, sma=sma(measures=True, enabled=False)).reads(**TOWERS)
    module = build(tails, p, with_measures)
    change = torch.tensor([[4.0, -9.0, 0.0], [16.0, -1.0, 0.0], [0.0, 0.0, 25.0]])
    roots = torch.tensor([[2.0, -3.0, 0.0], [4.0, -1.0, 0.0], [0.0, 0.0, 5.0]])
    module.standardise.set_from(module.measures({"change": change}))
    meaning = module(batch() | {"change": change})
    assert meaning.mutation.shape == (3, 8 + 3)
    expected = (roots - roots.mean(0)) / roots.std(0, correction=0)
    torch.testing.assert_close(meaning.mutation[:, 8:], expected)
    torch.testing.assert_close(meaning.mutation[:, :8], build(tails, p, sma())(batch()).mutation)


def test_both_modules_off_read_nothing_and_give_nothing(tails: dict[str, tail.ClipTail]) -> None:
    p, s = pss(enabled=False), sma(enabled=False)
    assert Plan.of(pss=p, sma=s).reads(**TOWERS) == {}
    module = build(tails, p, s)
    assert (module.dim, list(module.parameters())) == (0, [])
    assert module({}).at(4) is None


def test_where_the_query_would_see_nothing_its_measures_are_not_read_either(
    tails: dict[str, tail.ClipTail],
) -> None:
    p, s = pss(enabled=False), sma(tokens=["alignment"], measures=True)
    assert Plan.of(pss=p, sma=s).reads(**TOWERS) == {}
    assert build(tails, p, s).dim == 0
    assert build(tails, p, s)({}).at(4) is None


def test_without_pss_the_mutation_module_reads_no_prompt_and_leaves_alignment_out(
    tails: dict[str, tail.ClipTail],
) -> None:
    p, s = pss(enabled=False), sma(tokens=["cls", "alignment"], frames="adapted")
    assert Plan.of(pss=p, sma=s).reads(**TOWERS) == {"frames_cls": ("clip_image", "cls")}
    meaning = build(tails, p, s)(batch())
    assert meaning.prompt is None
    assert meaning.similarity is None
    assert meaning.mutation.shape == (3, 8)


@pytest.mark.parametrize("adapters", ["tail", "cls"])
def test_adapters_of_its_own_stand_with_the_mutation_module_where_there_is_no_pss(
    tails: dict[str, tail.ClipTail], adapters: str
) -> None:
    p, s = pss(enabled=False, adapters=adapters), sma(frames="own")
    wanted = Plan.of(pss=p, sma=s).reads(**TOWERS)
    tokens = {"image_tokens": ("clip_image", "tokens")} if adapters == "tail" else {}
    assert wanted == {"frames_cls": ("clip_image", "cls"), **tokens}
    module = build(tails, p, s)
    meaning = module({key: value for key, value in batch().items() if key in wanted})
    assert (meaning.prompt, meaning.similarity) == (None, None)
    torch.autograd.backward(meaning.mutation.square().sum())
    learns = {name.split(".")[0] for name, one in module.named_parameters() if one.grad is not None}
    assert learns == {"image_adapters", "attention"}
    assert Plan.of(pss=p, sma=sma(frames="own", enabled=False)).reads(**TOWERS) == {}


def test_beside_pss_adapters_of_its_own_are_those_of_pss(tails: dict[str, tail.ClipTail]) -> None:
    own, adapted = (build(tails, pss(), sma(frames=frames))(batch()) for frames in ("own", "adapted"))
    assert torch.equal(own.mutation, adapted.mutation)


def test_prompt_and_frame_meet_where_a_view_looks(tails: dict[str, tail.ClipTail]) -> None:
    meaning = build(tails, pss(), sma(enabled=False))(batch())
    middles, starts = torch.arange(1, FRAMES, 2).repeat(3, 1), torch.arange(0, FRAMES, 2).repeat(3, 1)
    assert torch.equal(meaning.at(FRAMES // 2, middles), meaning.at(FRAMES // 2))
    assert torch.equal(meaning.at(FRAMES // 2, starts), meaning.prompt[:, ::2])
    assert not torch.equal(meaning.at(FRAMES // 2, starts), meaning.at(FRAMES // 2))
    assert torch.equal(meaning.at(FRAMES, torch.arange(FRAMES).repeat(3, 1)), meaning.prompt)


@pytest.mark.parametrize("frames", ["adapted", "cached"])
def test_attention_is_of_every_frame_also_where_pss_looks_at_some(
    tails: dict[str, tail.ClipTail], frames: str
) -> None:
    module = build(tails, pss(frames=3), sma(frames=frames))
    attention = module(batch()).attention
    assert attention.shape == (3, FRAMES)
    torch.testing.assert_close(attention.sum(1), torch.ones(3))
    if frames == "adapted":  # three frames were seen: each frame has a share of the one of its time
        assert all(len(row.unique()) == 3 for row in attention)


@pytest.mark.parametrize("last_adapter", ["embedding", "token"])
def test_untrained_adapters_leave_clips_own_similarity(
    tails: dict[str, tail.ClipTail], last_adapter: str
) -> None:
    module = build(tails, pss(last_adapter=last_adapter), sma(enabled=False))
    given = batch()
    same = torch.nn.Identity()
    text = tails["text_tail"](
        given["text_tokens"], given["text_length"], first_adapter=same, last_adapter=same
    )
    frames = tails["image_tail"](given["image_tokens"], None, first_adapter=same, last_adapter=same)
    expected = torch.nn.functional.cosine_similarity(frames, text[:, None], dim=-1)
    torch.testing.assert_close(module(given).similarity, expected)


def test_the_prompt_alone_needs_no_frame_tokens() -> None:
    wanted = Plan.of(pss=pss(fusion=["text"]), sma=sma()).reads(**TOWERS)
    assert set(wanted) == {"frames_cls", "text_tokens", "text_length"}


def test_clips_own_blocks_are_neither_trained_nor_saved(tails: dict[str, tail.ClipTail]) -> None:
    module = build(tails, pss(), sma())
    names = set(dict(module.named_parameters())) | set(module.state_dict())
    assert not any("tail" in name for name in names)


def test_another_prompt_changes_the_similarity_and_nothing_of_plain_mutation(
    tails: dict[str, tail.ClipTail],
) -> None:
    module = build(tails, pss(), sma())
    given = batch()
    other = given | {"text_tokens": given["text_tokens"].flip(0), "text_length": given["text_length"].flip(0)}
    first, second = module(given), module(other)
    assert not torch.allclose(first.similarity, second.similarity)
    torch.testing.assert_close(first.mutation, second.mutation)


SHARP = ClipShapes(DIM, WIDTH, WIDTH, sharpness=2.0)


def sharp(tails: dict[str, tail.ClipTail], adapters: str) -> Semantics:
    torch.manual_seed(0)
    found = Semantics(
        pss=pss(adapters=adapters, fusion=["text", "cosine"]), sma=sma(tokens=["cls", "alignment"]),
        shapes=SHARP if adapters == "tail" else dataclasses.replace(SHARP, text_width=0, image_width=0),
        changes=3, **tails,
    )  # fmt: skip
    with torch.no_grad():
        for parameter in found.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape))
    return found


@pytest.mark.parametrize("adapters", ["tail", "cls"])
def test_where_each_prompt_has_one_piece_nothing_changes_to_the_bit(
    tails: dict[str, tail.ClipTail], adapters: str
) -> None:
    module, given = sharp(tails, adapters), batch()
    plain = module(given)
    module.sharpness = 0.0
    assert torch.equal(module(given).prompt, plain.prompt)
    one_each = module(given | {"text_pieces": torch.ones(3, dtype=torch.long)})
    assert torch.equal(one_each.similarity, plain.similarity)


@pytest.mark.parametrize("adapters", ["tail", "cls"])
def test_pieces_are_adapted_each_and_joined_by_their_similarity(
    tails: dict[str, tail.ClipTail], adapters: str
) -> None:
    """A batch with 2, 1 and 3 pieces against one that asks for each piece alone."""
    module, given = sharp(tails, adapters), batch(6)
    counts = torch.tensor([2, 1, 3])
    of = torch.tensor([0, 0, 1, 2, 2, 2])
    frames = {key: given[key][:3] for key in ("frames_cls", "image_tokens")}
    texts = {key: given[key] for key in ("text_cls", "text_tokens", "text_length")}
    module.cosine.set_from(module.cosines(frames | texts | {"text_pieces": counts}))
    found = module(frames | texts | {"text_pieces": counts})
    alone = module({key: values[of] for key, values in frames.items()} | texts).similarity
    mean = alone.mean(dim=1)
    torch.testing.assert_close(module.cosine.sd.squeeze(), mean.std(correction=0))
    for video in range(3):
        weights = torch.softmax(2.0 * mean[of == video] / module.cosine.sd, dim=0)
        torch.testing.assert_close(
            found.similarity[video], (weights[:, None] * alone[of == video]).sum(0), rtol=0, atol=1e-5
        )
    torch.autograd.backward(found.similarity.sum())
    assert all(one.grad is not None for name, one in module.named_parameters() if "text_adapters" in name)


def test_a_store_without_pieces_leaves_no_constant_in_the_weights(tails: dict[str, tail.ClipTail]) -> None:
    assert not [name for name in build(tails, pss(), sma()).state_dict() if "cosine" in name]
    assert [name for name in sharp(tails, "tail").state_dict() if "cosine" in name]
