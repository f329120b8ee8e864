"""What a real GPU computes: what a CPU does within bounds, twice the same bits, also after a kill.

These tests skip where torch sees no GPU; `test_devices.py` holds everywhere that nothing leaves one.
"""

import dataclasses
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from msavqa.machine import device
from msavqa.score.scorer import load
from msavqa.trunks.run import named
from tests import clips, feature_world, media, tiny_networks
from tests.conftest import skip_or_fail
from tests.feature_world import World
from tests.training import NAMES, Killed, final, killed_after_two_epochs, same, work

KINDS = ("clip_image", "clip_text", "convnext", "swin", "video")
TOLERANCE = {"fp32": 1e-4, "bf16": 0.1}
"""Largest difference that is allowed, relative to the root mean square of all features."""


@pytest.fixture(autouse=True)
def gpu() -> None:
    """Skips without a GPU; fails there where MSAVQA_NO_SKIPS has the word `gpu`."""
    if not torch.cuda.is_available():
        skip_or_fail("torch sees no GPU", needs="gpu")
    device.chosen("cuda", setting="a test")  # as every stage asks


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return feature_world.make(tmp_path_factory.mktemp("world"))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_frozen_network_gives_on_a_gpu_what_it_gives_on_a_cpu(
    tmp_path: Path, kind: str, precision: str
) -> None:
    if kind.startswith("clip"):
        world = clips.build("small", tmp_path)
        text = kind == "clip_text"
        made: Any = world.text if text else world.image
        file = world.text_weights if text else world.image_weights
    else:
        made = {
            "convnext": lambda: tiny_networks.image_settings(tmp_path, tiny_networks.CONVNEXT),
            "swin": lambda: tiny_networks.image_settings(tmp_path, tiny_networks.SWIN),
            "video": lambda: tiny_networks.video_settings(tmp_path),
        }[kind]()
        file = tiny_networks.file(tmp_path, made)
    load = partial(named.module(made.kind).load, weights=file, batch=8)
    asked: Any = clips.PROMPTS if kind == "clip_text" else clips.videos(3, frames=4, size=64)
    exact = load(made, device="cpu")(asked)
    there = load(made.model_copy(update={"precision": precision}), device="cuda")
    found, again = there(asked), there(asked)
    assert found.keys() == exact.keys()
    for name, value in exact.items():
        np.testing.assert_array_equal(found[name], again[name])
        scale = float(np.sqrt(np.mean(np.square(value, dtype=np.float64)))) or 1.0
        np.testing.assert_allclose(found[name], value, rtol=0, atol=TOLERANCE[precision] * scale)


@pytest.mark.parametrize("adapters", ["cls", "tail"])
@pytest.mark.parametrize("name", NAMES)
def test_a_branch_learns_on_a_gpu_what_it_learns_on_a_cpu(world: World, name: str, adapters: str) -> None:
    changes: dict[str, Any] = {"head__dropout": 0.0, "pss__adapters": adapters}
    cpu = final(work(world, name, **changes))
    cuda = final(work(world, name, train={"device": "cuda"}, **changes))
    np.testing.assert_allclose(cuda.scores["score"], cpu.scores["score"], atol=0.02)
    # Where as many scores lie above their MOS as below, the gradient of the head's bias is rounding alone.
    losses = [[record["loss"] for record in one.history] for one in (cpu, cuda)]
    np.testing.assert_allclose(losses[1], losses[0], atol=1e-3)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("name", NAMES)
def test_training_on_a_gpu_is_repeatable_to_the_bit_wherever_features_wait(
    world: World, name: str, precision: str
) -> None:
    first, *others = (
        final(work(world, name, train={"device": "cuda", "precision": precision, "resident": resident}))
        for resident in ("device", "device", "ram", "stream")
    )
    assert all(same(first, other) for other in others)


@pytest.mark.parametrize("ema", [0.0, 0.9])
def test_a_run_killed_on_a_gpu_continues_to_the_same_weights_to_the_bit(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ema: float
) -> None:
    todo = work(world, train={"epochs": 4, "ema": ema, "device": "cuda"})
    whole = final(todo)
    todo = dataclasses.replace(todo, kept=tmp_path)
    saved = killed_after_two_epochs(monkeypatch)
    with pytest.raises(Killed):
        final(todo)
    assert same(final(todo), whole)
    assert saved == [1, 2, 3]


def test_a_video_scores_on_a_gpu_as_on_a_cpu(random_bundle: Path, tmp_path: Path) -> None:
    video = media.write(tmp_path / "video.mp4", media.numbered(8))
    asked = (video, "a red ball rolls left")
    with load(random_bundle, device="cpu") as cpu, load(random_bundle, device="cuda") as cuda:
        expected, found, again = cpu.score(*asked), cuda.score(*asked), cuda.score(*asked)
    assert found == again
    assert found.score == pytest.approx(expected.score, abs=0.05)
    for name, branch in expected.branches.items():
        assert found.branches[name].value == pytest.approx(branch.value, abs=1e-3)
