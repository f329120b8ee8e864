"""Video Swin as a trunk: what torchvision itself gives for the same pixels, at every cut and sampling."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision.models.video.swin_transformer import SwinTransformer3d

from msavqa.ground.errors import MsavqaError
from msavqa.ground.params import problems_in
from msavqa.learning import stage_tail
from msavqa.networks import preprocess, weights
from msavqa.trunks.kinds import video
from tests import clips, tiny_networks


def test_features_averaged_over_time_are_torchvisions_own(tmp_path: Path) -> None:
    settings = tiny_networks.video_settings(tmp_path)
    videos = clips.videos(3, frames=6, size=64)
    found = tiny_networks.load(tmp_path, settings, batch=12)(videos)["pooled"]
    network = SwinTransformer3d(**settings.kwargs).eval()
    network.head = torch.nn.Identity()
    network.load_state_dict(weights.read(tiny_networks.file(tmp_path, settings)), strict=True)
    pixels = torch.from_numpy(np.stack([one.frames for one in videos])).permute(0, 4, 1, 2, 3).float() / 255
    mean, sd = (torch.tensor(part).view(1, 3, 1, 1, 1) for part in preprocess.IMAGENET_MEAN_SD)
    with torch.no_grad():
        reference = network((pixels - mean) / sd).numpy()
    assert found.shape == (3, 1, 3, 48)
    np.testing.assert_allclose(found[:, 0].mean(axis=1), reference, rtol=1e-4, atol=1e-5)
    assert np.ptp(found, axis=0).max() > 0.01, "the videos look alike to it"


@pytest.mark.parametrize("cut", ["pooled", "last_stage", "pixels"])
@pytest.mark.parametrize("sampling", ["resize", "fragments"])
def test_specs_say_what_forward_gives(tmp_path: Path, cut: str, sampling: str) -> None:
    crop = 56
    settings = tiny_networks.video_settings(tmp_path, cut=cut, sampling=sampling, crop=crop, views=2)
    found = tiny_networks.load(tmp_path, settings, batch=64)(clips.videos(2, frames=5, size=64))
    specs = video.specs(settings, frames=5)
    assert {spec.name: (2, *spec.shape) for spec in specs} == {
        name: array.shape for name, array in found.items()
    }


def test_the_last_stage_behind_the_cut_gives_the_pooled_features(tmp_path: Path) -> None:
    settings = tiny_networks.video_settings(tmp_path)
    videos = clips.videos(2, frames=6, size=64)
    pooled = tiny_networks.load(tmp_path, settings, batch=64)(videos)["pooled"][:, 0]
    cut = settings.model_copy(update={"cut": "last_stage"})
    both = tiny_networks.load(tmp_path, cut, batch=64)(videos)
    np.testing.assert_allclose(both["pooled"][:, 0], pooled, rtol=1e-5, atol=1e-6)
    stage = torch.from_numpy(both["stage"][:, 0])
    architecture = video.attributes(cut, weights=tiny_networks.file(tmp_path, cut))["architecture"]
    behind = stage_tail.VideoStage(architecture, tiny_networks.file(tmp_path, settings)).eval()
    whole = stage_tail.VideoWhole(architecture, tiny_networks.file(tmp_path, settings)).eval()
    pixels = torch.stack([preprocess.video_views(
        one.frames, looks=[preprocess.CENTRE], resize=64, crop=64, interpolation="bilinear", sampling="resize"
    )[0] for one in videos])  # fmt: skip
    found, reference = behind(stage), whole(pixels)
    np.testing.assert_allclose(found.detach().numpy(), pooled, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(reference.detach().numpy(), pooled, rtol=1e-4, atol=1e-5)
    found.square().sum().backward()
    reference.square().sum().backward()
    for ours, theirs in zip(
        behind.network.features.parameters(), whole.network.features[-1].parameters(), strict=True
    ):
        assert ours.grad is not None
        assert theirs.grad is not None
        assert (ours.grad - theirs.grad).abs().max() <= 1e-4 * theirs.grad.abs().max() + 1e-7


def test_fragments_need_a_crop_of_seven_patches(tmp_path: Path) -> None:
    block = tiny_networks.video_settings(tmp_path).model_dump() | {"sampling": "fragments"}
    (problem,) = problems_in(block, "trunks.video", video.TrunkSettings)
    assert problem.endswith("crop 64 is no multiple of 7, as fragments need")


def test_an_unknown_network_is_refused_with_the_known_names(tmp_path: Path) -> None:
    settings = tiny_networks.video_settings(tmp_path).model_copy(update={"model": "swin3d_x"})
    with pytest.raises(MsavqaError) as refusal:
        video.specs(settings, frames=4)
    assert str(refusal.value) == (
        "Network in swin3d_x: got an unknown name, expected one of swin3d_t, swin3d_s, swin3d_b, "
        "SwinTransformer3d; mend `model` or `kwargs` in params.yaml."
    )
