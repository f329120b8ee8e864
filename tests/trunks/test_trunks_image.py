"""Image networks as trunks: what timm itself gives for the same pixels, in every view and at every cut."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from msavqa.ground.errors import MsavqaError
from msavqa.ground.params import problems_in
from msavqa.learning import stage_tail
from msavqa.networks import backbones, preprocess, weights
from msavqa.trunks.kinds import image
from tests import clips, tiny_networks

NETWORKS = [tiny_networks.CONVNEXT, tiny_networks.SWIN]


def timm_itself(folder: Path, settings: image.TrunkSettings, frames: np.ndarray) -> np.ndarray:
    """Pooled features of whole frames (frame, y, x, 3) by timm's own forward."""
    network = backbones.image(settings.model, settings.kwargs)
    network.load_state_dict(weights.read(tiny_networks.file(folder, settings)), strict=True)
    pixels = torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 255
    mean, sd = (torch.tensor(part).view(3, 1, 1) for part in preprocess.IMAGENET_MEAN_SD)
    with torch.no_grad():
        found: np.ndarray = network((pixels - mean) / sd).numpy()
    return found


@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: network["model"])
def test_pooled_features_are_timms_own(tmp_path: Path, network: dict[str, Any]) -> None:
    settings = tiny_networks.image_settings(tmp_path, network)
    videos = clips.videos(2, frames=3, size=64)
    found = tiny_networks.load(tmp_path, settings, batch=4)(videos)
    for row, video in enumerate(videos):
        np.testing.assert_allclose(
            found["pooled"][row, 0], timm_itself(tmp_path, settings, video.frames), rtol=1e-4, atol=1e-5
        )
    assert np.ptp(found["pooled"], axis=0).max() > 0.01, "the videos look alike to it"


@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: network["model"])
@pytest.mark.parametrize("cut", ["pooled", "last_stage", "pixels"])
def test_specs_say_what_forward_gives(tmp_path: Path, network: dict[str, Any], cut: str) -> None:
    settings = tiny_networks.image_settings(tmp_path, network, cut=cut, frames=2, views=3)
    found = tiny_networks.load(tmp_path, settings, batch=64)(clips.videos(2, frames=5, size=64))
    specs = image.specs(settings, frames=5)
    assert {spec.name: (2, *spec.shape) for spec in specs} == {
        name: array.shape for name, array in found.items()
    }
    assert all(len(spec.axes) == 1 + len(spec.shape) for spec in specs)


@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: network["model"])
def test_the_last_stage_behind_the_cut_gives_the_pooled_features(
    tmp_path: Path, network: dict[str, Any]
) -> None:
    settings = tiny_networks.image_settings(tmp_path, network)
    videos = clips.videos(2, frames=3, size=64)
    pooled = tiny_networks.load(tmp_path, settings, batch=64)(videos)["pooled"][:, 0]
    cut = settings.model_copy(update={"cut": "last_stage"})
    stage = tiny_networks.load(tmp_path, cut, batch=64)(videos)["stage"][:, 0]
    behind = stage_tail.ImageStage(
        image.attributes(cut, weights=tiny_networks.file(tmp_path, cut))["architecture"],
        tiny_networks.file(tmp_path, settings),
    ).eval()
    with torch.no_grad():
        np.testing.assert_allclose(behind(torch.from_numpy(stage)).numpy(), pooled, rtol=1e-5, atol=1e-6)
        close = behind(torch.from_numpy(stage).half()).numpy()
    assert np.abs(close - pooled).max() < 2e-3 * np.abs(pooled).max()


@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: network["model"])
def test_gradients_of_the_last_stage_are_those_of_the_whole_network(
    tmp_path: Path, network: dict[str, Any]
) -> None:
    settings = tiny_networks.image_settings(tmp_path, network, cut="last_stage")
    videos = clips.videos(1, frames=2, size=64)
    architecture = image.attributes(settings, weights=tiny_networks.file(tmp_path, settings))["architecture"]
    behind = stage_tail.ImageStage(architecture, tiny_networks.file(tmp_path, settings)).eval()
    whole = stage_tail.ImageWhole(architecture, tiny_networks.file(tmp_path, settings)).eval()
    stage = torch.from_numpy(tiny_networks.load(tmp_path, settings, batch=64)(videos)["stage"][:, 0])
    pixels = torch.from_numpy(videos[0].frames).permute(0, 3, 1, 2)[None]
    behind(stage).square().sum().backward()
    whole(pixels).square().sum().backward()
    theirs = dict(whole.named_parameters())
    names = [name for name, _ in behind.named_parameters()]
    assert len(names) > 5
    for name, parameter in behind.named_parameters():
        assert parameter.grad is not None
        reference = theirs[name].grad
        assert reference is not None
        assert (parameter.grad - reference).abs().max() <= 1e-4 * reference.abs().max() + 1e-7, name


def test_a_videos_features_do_not_depend_on_the_videos_beside_it(tmp_path: Path) -> None:
    settings = tiny_networks.image_settings(tmp_path, tiny_networks.CONVNEXT, views=2)
    run = tiny_networks.load(tmp_path, settings, batch=3)
    videos = clips.videos(3, frames=3, size=80)
    together = run(videos)
    for row, video in enumerate(videos):
        np.testing.assert_allclose(run([video])["pooled"][0], together["pooled"][row], rtol=1e-4, atol=1e-5)


def test_view_zero_takes_middles_and_other_views_start_elsewhere(tmp_path: Path) -> None:
    settings = tiny_networks.image_settings(tmp_path, tiny_networks.CONVNEXT, frames=4, views=3, cut="pixels")
    (video,) = clips.videos(1, frames=16, size=64)
    index = tiny_networks.load(tmp_path, settings, batch=64)([video])["frame_index"][0]
    assert index[0].tolist() == [2, 6, 10, 14]
    assert len({tuple(view) for view in index.tolist()}) > 1
    assert (np.diff(index, axis=1) >= 3).all()
    assert ((index >= 0) & (index < 16)).all()


def test_fewer_frames_than_asked_for_are_repeated(tmp_path: Path) -> None:
    settings = tiny_networks.image_settings(tmp_path, tiny_networks.CONVNEXT, frames=4, cut="pixels")
    found = tiny_networks.load(tmp_path, settings, batch=64)(clips.videos(1, frames=2, size=64))
    assert found["frame_index"][0, 0].tolist() == [0, 0, 1, 1]


def test_weights_of_another_network_are_refused_by_name(tmp_path: Path) -> None:
    settings = tiny_networks.image_settings(tmp_path, tiny_networks.CONVNEXT)
    other = settings.model_copy(update={"kwargs": {"depths": [1, 1, 2, 1], "dims": [8, 16, 24, 40]}})
    with pytest.raises(MsavqaError) as refusal:
        tiny_networks.load(tmp_path, other, batch=64)
    assert str(refusal.value) == (
        f"Weights of another network in {tiny_networks.file(tmp_path, settings)}: got head.norm.bias of "
        "shape [32] for [40], head.norm.weight of shape [32] for [40], stages.3.blocks.0.conv_dw.bias of "
        "shape [32] for [40], ..., expected exactly the 63 tensors of convnext_atto; name the model the "
        "weights were trained as in params.yaml, or fetch its weights."
    )


def test_a_crop_larger_than_the_resized_frame_is_a_mistake(tmp_path: Path) -> None:
    block = tiny_networks.image_settings(tmp_path, tiny_networks.CONVNEXT).model_dump() | {"crop": 65}
    (problem,) = problems_in(block, "trunks.frame", image.TrunkSettings)
    assert problem.endswith("crop 65 is larger than resize 64")


def test_an_unknown_network_is_refused_with_names_near_it(tmp_path: Path) -> None:
    settings = tiny_networks.image_settings(tmp_path, tiny_networks.CONVNEXT).model_copy(
        update={"model": "convnext_nought"}
    )
    with pytest.raises(MsavqaError) as refusal:
        image.specs(settings, frames=2)
    assert str(refusal.value) == (
        "Network in convnext_nought: got Unknown model (convnext_nought), expected a timm model such as "
        "convnext_atto or convnext_atto_ols or convnext_atto_rms; mend `model` or `kwargs` in params.yaml."
    )


def test_a_network_without_stages_cannot_be_cut(tmp_path: Path) -> None:
    with pytest.raises(MsavqaError) as refusal:
        backbones.image_stage("vit_tiny_patch16_224", {}, crop=224)
    assert str(refusal.value) == (
        "Network in vit_tiny_patch16_224: got VisionTransformer without stages, expected a network with "
        "stages or layers, such as convnext_tiny or swin_tiny_patch4_window7_224; mend `model` or `kwargs` "
        "in params.yaml."
    )


@pytest.mark.parametrize("model", ["resnet10t", "mobilenetv3_small_050"])
def test_a_network_without_stages_gives_its_pooled_features(tmp_path: Path, model: str) -> None:
    settings = tiny_networks.image_settings(tmp_path, {"model": model, "kwargs": {}})
    (video,) = clips.videos(1, frames=2, size=64)
    found = tiny_networks.load(tmp_path, settings, batch=4)([video])["pooled"]
    np.testing.assert_allclose(
        found[0, 0], timm_itself(tmp_path, settings, video.frames), rtol=1e-4, atol=1e-5
    )
    assert found.shape[1:] == image.specs(settings, frames=2)[0].shape


def test_a_network_whose_last_stage_does_not_continue_what_lies_before_is_refused(tmp_path: Path) -> None:
    settings = tiny_networks.image_settings(
        tmp_path, {"model": "levit_128s", "kwargs": {}}, crop=224, resize=224
    )
    tiny_networks.load(tmp_path, settings, batch=4)
    with pytest.raises(MsavqaError) as refusal:
        tiny_networks.load(tmp_path, settings.model_copy(update={"cut": "last_stage"}), batch=4)
    assert str(refusal.value) == (
        "Network in levit_128s: got LevitDistilled, whose last stage does not continue what lies before it, "
        "expected a network of nothing but stem, stages, norm and head, or `cut: pooled`; mend `model` or "
        "`kwargs` in params.yaml."
    )


@pytest.mark.parametrize("model", ["coatnet_nano_rw_224", "convnext_atto", "swin_tiny_patch4_window7_224"])
def test_the_last_stages_input_has_the_shape_that_was_said(model: str) -> None:
    network = backbones.image(model, {})
    with torch.inference_mode():
        found = backbones.image_before(network, model)(torch.zeros(1, 3, 224, 224))
    assert tuple(found.shape[1:]) == backbones.image_stage(model, {}, crop=224)[0]


@pytest.mark.parametrize(
    "change", [{"precision": "bf16"}, {"crop": 32}, {"frames": 2}, {"views": 2}, {"cut": "pixels"}]
)
def test_every_knob_that_changes_features_changes_the_fingerprint(
    tmp_path: Path, change: dict[str, Any]
) -> None:
    settings = tiny_networks.image_settings(tmp_path, tiny_networks.CONVNEXT)
    file = tiny_networks.file(tmp_path, settings)
    changed = image.fingerprint(settings.model_copy(update=change), weights=file)
    assert image.fingerprint(settings, weights=file) != changed
