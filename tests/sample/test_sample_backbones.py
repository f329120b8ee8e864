"""The small backbones' pre-training: its start, what it saves, and that the presets use it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
import yaml
from safetensors.numpy import load_file
from torch import nn
from torchvision.models.video.swin_transformer import SwinTransformer3d

from data.sample import backbone_start, backbones, shipped
from data.sample.film import plan
from msavqa.ground import params

NAMES = ("frame", "segment", "video")
PARAMS = Path("data/sample/params.yaml")


def settings_of(name: str, **changes: Any) -> backbones.BackboneSettings:
    found = params.block(params.read(PARAMS), f"backbones.{name}", backbones.BackboneSettings)
    return found.model_copy(update=changes)


@pytest.fixture(scope="module")
def videos() -> torch.Tensor:
    rng = np.random.default_rng(0)
    return torch.from_numpy(rng.integers(0, 255, (6, 16, 96, 96, 3), dtype=np.uint8))


@pytest.mark.parametrize("name", NAMES)
def test_the_sample_preset_runs_the_networks_that_are_trained_here(name: str) -> None:
    trained = yaml.safe_load(PARAMS.read_text(encoding="utf-8"))["backbones"][name]
    preset = yaml.safe_load(Path("presets/sample.yaml").read_text(encoding="utf-8"))
    assert preset["weights"] == "data/sample/weights"
    trunk = preset["trunks"][name]
    assert (trunk["model"], trunk["kwargs"]) == (trained["model"], trained["kwargs"])


@pytest.mark.parametrize("name", NAMES)
def test_training_is_repeatable_and_saves_what_loads_strictly_without_a_head(
    name: str, videos: torch.Tensor
) -> None:
    settings = settings_of(name, steps=1, batch=2)
    targets = torch.randn(6, 3, generator=torch.Generator().manual_seed(0))
    states = []
    for _ in range(2):
        torch.manual_seed(0)
        network = backbones.build(settings)
        head = backbones.train(network, videos, targets, settings, seed=1)
        assert torch.are_deterministic_algorithms_enabled()
        assert head.weight.shape == (3, network.num_features)
        states.append({key: value.clone() for key, value in network.state_dict().items()})
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    if settings.model == "SwinTransformer3d":
        bare: nn.Module = SwinTransformer3d(**settings.kwargs)
        missing = bare.load_state_dict(states[0], strict=False)
        assert (missing.missing_keys, missing.unexpected_keys) == (["head.weight", "head.bias"], [])
    else:
        timm.create_model(settings.model, num_classes=0, **settings.kwargs).load_state_dict(states[0])


@pytest.mark.parametrize("layer", [nn.Conv2d(3, 48, 4, 4), nn.Conv3d(3, 96, (2, 4, 4), (2, 4, 4))])
def test_whitened_patches_have_unit_variance_and_no_correlation(layer: nn.Conv2d | nn.Conv3d) -> None:
    rng = torch.Generator().manual_seed(0)
    shape = (40, 3, 32, 32) if layer.weight.ndim == 4 else (12, 3, 8, 32, 32)
    inputs = torch.randn(shape, generator=rng).cumsum(-1) * 0.1 + 3
    backbone_start.whiten(layer, inputs)
    with torch.no_grad():
        found = layer(inputs).flatten(2).transpose(1, 2).flatten(0, 1)
    assert torch.allclose(found.mean(0), torch.zeros(layer.out_channels), atol=1e-3)
    strong = found.var(0) > 0.9  # weaker ones lie below the floor
    covariance = torch.cov(found[:, strong].T)
    assert int(strong.sum()) > layer.out_channels // 2
    assert torch.allclose(covariance, torch.eye(len(covariance)), atol=0.15)


def test_scaled_layers_keep_the_variance_of_their_input() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(256, 512, bias=False), nn.Linear(512, 256, bias=False))
    backbone_start.scale(network, gain=1.0)
    assert float(network(torch.randn(64, 256)).detach().std()) == pytest.approx(1, rel=0.1)


def test_a_backbone_is_shipped_with_the_readout_that_it_learned_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shipped.keep, "__kwdefaults__", {"folder": tmp_path})
    network, head = nn.Linear(5, 4), nn.Linear(4, 3)
    backbones.save("one", network, head)
    kept = load_file(tmp_path / "one.safetensors")
    assert set(shipped.whole(kept, vocabulary=0)) == {"weight", "bias"}
    features = torch.randn(6, 4)
    assert torch.equal(backbones.readout(kept)(features), head(features))


def test_crops_keep_to_the_grid_of_the_codec(videos: torch.Tensor) -> None:
    rng = torch.Generator().manual_seed(0)
    plane = torch.arange(96 * 96, dtype=torch.float32).view(1, 1, 96, 96, 1).expand(1, 1, 96, 96, 3)
    for _ in range(20):
        found = backbones.batch_of(plane, torch.tensor([0]), is_video=True, crop=32, rng=rng)
        level = (found[0, 0, 0] * backbones.STD[0] + backbones.MEAN[0]) * 255
        corner = int(level.min().round())
        assert (corner // 96 % 16, corner % 96 % 16) == (0, 0)


def test_practice_videos_are_none_of_the_rated_ones() -> None:
    looks = [
        {recording.look for recording in plan(name, 20, seed=2501)} for name in ("t2v", "ugc", "practice")
    ]
    assert len(set.union(*looks)) == sum(map(len, looks))
