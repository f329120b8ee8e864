"""The tail against open_clip's own forward: as it is, with adapters hooked in, their gradients, from fp16."""

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from msavqa.ground.errors import MsavqaError
from msavqa.learning import tail
from msavqa.learning.layers import Adapter
from msavqa.networks import preprocess, weights
from msavqa.trunks.kinds import clip_image, clip_text
from tests import clips

ARCHITECTURES = list(clips.SHRINK)
FP64, FP32, FP16 = 1e-6, 1e-5, 2e-3
"""Largest difference allowed, relative to the largest value of the reference (weights fold in float32)."""


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], clips.World]:
    return cache(lambda name: clips.build(name, tmp_path_factory.mktemp(name)))


@pytest.fixture(scope="module", params=ARCHITECTURES)
def world(request: pytest.FixtureRequest, worlds: Callable[[str], clips.World]) -> clips.World:
    return worlds(request.param)


class Case:
    """One tower of one world: cached tokens, the tail over them, open_clip's own forward of the same."""

    def __init__(self, world: clips.World, tower: str) -> None:
        self.tower, self.clip = tower, world.clip
        if tower == "image":
            architecture = clip_image.attributes(world.image, weights=world.image_weights)["architecture"]
            size = architecture["image_size"]
            videos = clips.videos(2, frames=2, size=size)
            arrays = clip_image.load(world.image, weights=world.image_weights, device="cpu", batch=3)(videos)
            pixels = torch.cat([torch.from_numpy(video.frames).permute(0, 3, 1, 2) for video in videos])
            self.input = preprocess.normalised(pixels, mean_sd=preprocess.CLIP_MEAN_SD)
            self.lengths = None
            self.tokens = torch.from_numpy(arrays["tokens"]).flatten(0, 1)
            self.cls = torch.from_numpy(arrays["cls"]).flatten(0, 1)
            self.tail = tail.clip_image_tail(world.image_weights, architecture)
            self.block = world.clip.visual.transformer.resblocks[-1]
            self.place = torch.zeros(len(self.tokens), dtype=torch.long)
        else:
            architecture = clip_text.attributes(world.text, weights=world.text_weights)["architecture"]
            arrays = clip_text.load(world.text, weights=world.text_weights, device="cpu", batch=3)(
                clips.PROMPTS
            )
            from open_clip.tokenizer import SimpleTokenizer

            self.input = SimpleTokenizer(context_length=77)(clips.PROMPTS)
            self.lengths = torch.from_numpy(arrays["length"])
            self.tokens = torch.from_numpy(arrays["tokens"])
            self.cls = torch.from_numpy(arrays["cls"])
            self.tail = tail.clip_text_tail(world.text_weights, architecture)
            self.block = world.clip.transformer.resblocks[-1]
            self.place = self.lengths.long() - 1
        self.width, self.dim = architecture["width"], architecture["dim"]

    def encode(self) -> Tensor:
        """open_clip's own embedding, not normalised."""
        found: Tensor = (
            self.clip.encode_image(self.input) if self.tower == "image" else self.clip.encode_text(self.input)
        )
        return found

    def naive(self, first: nn.Module, last: nn.Module, *, at: str) -> Tensor:
        """open_clip's own forward over the whole sequence with the adapters hooked into it."""

        def adapt(x: Tensor, adapter: nn.Module) -> Tensor:
            chosen = torch.arange(x.shape[1]) == self.place[:, None]
            return torch.where(chosen[..., None], adapter(x), x)

        def before(block: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            return (adapt(inputs[0], first), *inputs[1:])

        def after(block: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
            return adapt(output, last) if at == "token" else output

        with hooked(self.block, before, after):
            embedding = self.encode()
        found: Tensor = embedding if at == "token" else last(embedding)
        return found

    @contextmanager
    def doubled(self) -> Iterator[Tensor]:
        """CLIP and its input in float64 for a while; gives the last block's input, (row, token, width)."""
        found: list[Tensor] = []
        asked = self.input
        self.clip.double()
        self.input = asked.double() if self.tower == "image" else asked
        try:
            with hooked(self.block, lambda block, inputs: found.append(inputs[0]), lambda *_: None):
                self.encode()
            yield found[0].detach()[:, : self.tokens.shape[1]]
        finally:
            self.clip.float()
            self.input = asked

    def adapters(self, *, at: str = "embedding") -> tuple[nn.Module, nn.Module]:
        """Random adapters that change much."""
        torch.manual_seed(3)
        pair = (Adapter(dim=self.width, width=16, ratio=0.5),
                Adapter(dim=self.width if at == "token" else self.dim, width=16, ratio=0.5))  # fmt: skip
        with torch.no_grad():
            for adapter in pair:
                for parameter in adapter.parameters():
                    parameter.copy_(torch.randn_like(parameter) * 0.3)
        return pair


@contextmanager
def hooked(block: nn.Module, before: Callable[..., Any], after: Callable[..., Any]) -> Iterator[None]:
    handles = [block.register_forward_pre_hook(before), block.register_forward_hook(after)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@pytest.fixture(scope="module", params=["text", "image"])
def case(request: pytest.FixtureRequest, world: clips.World) -> Case:
    return Case(world, request.param)


def off(found: Tensor, reference: Tensor) -> float:
    """The largest difference, relative to the largest value of the reference."""
    return float((found - reference).detach().abs().max() / reference.detach().abs().max())


def test_class_rows_of_the_random_model_differ_so_that_agreement_means_something(case: Case) -> None:
    unit = nn.functional.normalize(case.encode(), dim=-1)
    likeness = unit @ unit.T - torch.eye(len(unit))
    assert float(likeness.max()) < 0.9999


def test_tail_with_untrained_adapters_is_the_model_itself(case: Case) -> None:
    first, last = Adapter(dim=case.width, width=8, ratio=0.2), Adapter(dim=case.dim, width=8, ratio=0.2)
    found = case.tail(case.tokens, case.lengths, first_adapter=first, last_adapter=last)
    assert off(found, case.encode()) < FP32


def test_cached_class_embedding_is_the_models_own_of_unit_length(case: Case) -> None:
    assert off(case.cls, nn.functional.normalize(case.encode(), dim=-1)) < FP32


@pytest.mark.parametrize("at", ["embedding", "token"])
def test_tail_with_random_adapters_is_the_whole_model_with_adapters_hooked_in(case: Case, at: str) -> None:
    first, last = case.adapters(at=at)
    found = case.tail(case.tokens, case.lengths, first_adapter=first, last_adapter=last, last_adapter_at=at)
    reference = case.naive(first, last, at=at)
    assert off(found, reference) < FP32
    assert off(reference, case.encode()) > 0.05, "the adapters changed nothing"


@pytest.mark.parametrize("at", ["embedding", "token"])
def test_adapter_gradients_are_those_of_the_whole_model(case: Case, at: str) -> None:
    # In float64: of float32 gradients, the whole model's own are up to 8e-6 off these.
    first, last = (adapter.double() for adapter in case.adapters(at=at))
    parameters = [*first.parameters(), *last.parameters()]
    weight = torch.randn(len(case.tokens), case.dim, generator=torch.Generator().manual_seed(1)).double()
    with case.doubled() as tokens:
        theirs = torch.autograd.grad((case.naive(first, last, at=at) * weight).sum(), parameters)
        exact = copy.deepcopy(case.tail).double()
        found = exact(tokens, case.lengths, first_adapter=first, last_adapter=last, last_adapter_at=at)
        ours = torch.autograd.grad((found * weight).sum(), parameters)
    assert [off(a, b) < FP64 for a, b in zip(ours, theirs, strict=True)] == [True] * len(parameters)


def test_tail_from_float16_tokens_stays_close(case: Case) -> None:
    first, last = case.adapters()
    found = case.tail(case.tokens.half(), case.lengths, first_adapter=first, last_adapter=last)
    assert off(found, case.naive(first, last, at="embedding")) < FP16


def test_a_row_does_not_depend_on_the_rows_beside_it(case: Case) -> None:
    first, last = case.adapters()
    together = case.tail(case.tokens, case.lengths, first_adapter=first, last_adapter=last)
    for row in range(len(case.tokens)):
        lengths = None if case.lengths is None else case.lengths[row : row + 1]
        alone = case.tail(case.tokens[row : row + 1], lengths, first_adapter=first, last_adapter=last)
        assert off(alone, together[row : row + 1]) < FP32


def test_any_leading_axes_are_rows(case: Case) -> None:
    first, last = case.adapters()
    flat = case.tail(case.tokens, case.lengths, first_adapter=first, last_adapter=last)
    lengths = None if case.lengths is None else case.lengths.unflatten(0, (2, 2))
    nested = case.tail(case.tokens.unflatten(0, (2, 2)), lengths, first_adapter=first, last_adapter=last)
    assert nested.shape == (2, 2, case.dim)
    assert torch.equal(nested.flatten(0, 1), flat)


def test_what_lies_behind_eot_is_never_seen(world: clips.World) -> None:
    case = Case(world, "text")
    assert case.lengths is not None
    first, last = case.adapters()
    clean = case.tail(case.tokens, case.lengths, first_adapter=first, last_adapter=last)
    dirty = case.tokens.clone()
    dirty[torch.arange(dirty.shape[1]) >= case.lengths[:, None]] = 1e4
    assert torch.equal(case.tail(dirty, case.lengths, first_adapter=first, last_adapter=last), clean)


def test_a_tail_adds_nothing_that_is_trained_or_saved(case: Case) -> None:
    assert list(case.tail.parameters()) == []
    assert case.tail.state_dict() == {}


def test_tail_refuses_weights_other_than_those_of_the_cached_tokens(tmp_path: Path) -> None:
    world = clips.build("small", tmp_path)
    architecture = clip_text.attributes(world.text, weights=world.text_weights)["architecture"]
    path = world.text_weights
    before = weights.sha256(path)
    state = weights.read(path)
    weights.save({name: tensor + 1 for name, tensor in state.items()}, path)
    with pytest.raises(MsavqaError) as refusal:
        tail.clip_text_tail(path, architecture)
    assert str(refusal.value) == (
        f"Other weights than those of the cached features in {path}: got sha256 {weights.sha256(path)[:12]}, "
        f"expected sha256 {before[:12]}; run `dvc repro` so that features and weights come from one file."
    )


def test_tail_refuses_weights_of_another_tower(tmp_path: Path) -> None:
    world = clips.build("small", tmp_path)
    found = clip_text.attributes(world.text, weights=world.text_weights)["architecture"]
    architecture = found | {"weights_sha256": None}
    with pytest.raises(MsavqaError) as refusal:
        tail.clip_text_tail(world.image_weights, architecture)
    assert str(refusal.value) == (
        f"Weights of another network in {world.image_weights}: got 15 missing (ln_final.bias, "
        "ln_final.weight, text_projection, ...), expected a CLIP tower of 2 blocks; put the file back "
        "that `weights` held when the tokens were cached."
    )
