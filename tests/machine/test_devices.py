"""Devices: what `auto` and `cuda` mean, and that everything that runs on a GPU stays on it."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from msavqa.ground.errors import MsavqaError
from msavqa.learning import branch, folds
from msavqa.machine import device
from msavqa.score.trained import Branch
from msavqa.trunks.run import named
from tests import branch_settings, clips, feature_world, tiny_networks
from tests.pretended_gpu import GPU, later, pretended
from tests.training import work

NAMES = ("frame", "segment", "video")


@pytest.mark.parametrize(
    ("name", "seen", "expected"),
    [
        ("auto", False, "cpu"),
        ("auto", True, "cuda"),
        ("cpu", True, "cpu"),
        ("cpu", False, "cpu"),
        ("cuda", True, "cuda"),
    ],
)
def test_auto_takes_a_gpu_that_torch_sees(
    monkeypatch: pytest.MonkeyPatch, name: Any, seen: bool, expected: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: seen)
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    assert device.chosen(name, setting="`train.device`") == torch.device(expected)
    assert torch.backends.cudnn.allow_tf32 == (expected == "cpu")


@pytest.mark.parametrize(
    ("built", "said"), [("13.0", "(CUDA 13.0) sees no GPU"), (None, "was built without CUDA")]
)
def test_a_gpu_that_is_not_there_is_refused(
    monkeypatch: pytest.MonkeyPatch, built: str | None, said: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", built)
    with pytest.raises(MsavqaError) as refusal:
        device.chosen("cuda", setting="`train.device`")
    assert str(refusal.value) == (
        f"Device in `train.device`: got cuda, and torch {torch.__version__} {said}, expected a GPU that "
        "torch sees, or `cpu`; say `auto`, or look at what `nvidia-smi` and torch's CUDA version say."
    )


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> feature_world.World:
    return feature_world.make(tmp_path_factory.mktemp("world"))


@pytest.mark.parametrize("adapters", ["tail", "cls"])
@pytest.mark.parametrize("name", NAMES)
def test_a_branch_learns_on_the_gpu_alone(
    world: feature_world.World, monkeypatch: pytest.MonkeyPatch, name: str, adapters: str
) -> None:
    todo = work(world, name, train={"resident": "ram"}, pss__adapters=adapters)
    settings, opened = todo.settings, folds.loaded(folds.open_work(todo))
    net = opened.model().train()
    some = np.arange(6)
    with pretended(monkeypatch):
        net.to(GPU)
        batch = {key: source.take(some, some, GPU) for key, source in opened.inputs.sources.items()}
        output = net(batch)
        labels, weight = torch.zeros(6, device=GPU), torch.ones(6, device=GPU)
        loss = branch.loss(settings, output=output, mos=labels, weight=weight)
        assert {loss.device.type, output.score.device.type, output.attention.device.type} == {"cuda"}


@pytest.mark.parametrize("name", NAMES)
def test_a_video_is_scored_on_the_gpu_alone(
    monkeypatch: pytest.MonkeyPatch, world: feature_world.World, name: str
) -> None:
    settings = branch_settings.branch(name, pss__adapters="cls")
    reads = branch.inputs(settings)
    opened = folds.inputs.open_inputs(
        reads,
        features=world.features,
        ids=["000.mp4"],
        prompts=["prompt 0"],
        device=torch.device("cpu"),
    )
    features: dict[str, dict[str, Any]] = {}
    for key, value in opened.batch(np.arange(1)).items():
        trunk, *arrays = reads[key]
        features.setdefault(trunk, {})[arrays[0]] = value.numpy()
    net = branch.assemble(settings, shapes=opened.shapes(statistics=settings.statistics)).eval()
    with pretended(monkeypatch):
        assert Branch(net.to(GPU), reads)(features).score.device.type == "cuda"


@pytest.mark.parametrize(
    ("kind", "precision"),
    [
        ("image", "fp32"),
        ("video", "fp32"),
        ("clip_image", "fp32"),
        ("clip_image", "bf16"),
        ("clip_text", "fp32"),
    ],
)
def test_a_frozen_network_runs_on_the_gpu_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, precision: str
) -> None:
    if kind.startswith("clip"):
        world = clips.build("small", tmp_path)
        text = kind == "clip_text"
        made: Any = world.text if text else world.image
        file = world.text_weights if text else world.image_weights
    else:
        made = {
            "image": lambda: tiny_networks.image_settings(tmp_path, tiny_networks.CONVNEXT),
            "video": lambda: tiny_networks.video_settings(tmp_path),
        }[kind]()
        file = tiny_networks.file(tmp_path, made)
    made = made.model_copy(update={"precision": precision})
    load = partial(named.module(kind).load, made, weights=file, batch=8)
    given: Any = clips.PROMPTS[:2] if kind == "clip_text" else clips.videos(2, frames=4, size=64)
    exact = load(device="cpu")(given)
    came_from = []

    def noted(tensor: torch.Tensor) -> Any:
        came_from.append(tensor.device.type)
        return np.zeros(tuple(tensor.shape), dtype=np.float32)

    monkeypatch.setattr(f"msavqa.trunks.kinds.{kind}.to_numpy", noted)
    with later(monkeypatch) as move:
        network = load(device="cuda")
    with pretended(monkeypatch):
        move()
        found = network(given)
    assert set(came_from) == {"cuda"}
    assert {name: value.shape for name, value in found.items()} == {
        name: value.shape for name, value in exact.items()
    }
