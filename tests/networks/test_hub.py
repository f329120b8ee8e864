"""Fetching weights: random ones from a seed, files of one's own, hub names with and without a network."""

import hashlib
from pathlib import Path
from typing import Any

import pytest
import torch

from msavqa.ground.errors import MsavqaError
from msavqa.networks import backbones, clip_model, hub, weights
from msavqa.networks.hub import FetchSettings, NetworkSettings
from tests import clips, hubs, tiny_networks


def of(source: str, name: str) -> FetchSettings:
    return FetchSettings.model_validate({"source": source, "name": name})


def net(kind: str, model: str, kwargs: dict[str, Any] | None = None) -> NetworkSettings:
    return NetworkSettings.model_validate({"kind": kind, "model": model, "kwargs": kwargs})


def small_clip(folder: Path) -> str:
    clips.build("small", folder)
    return str(folder / "clip.json")


def test_random_weights_follow_from_the_seed_and_fit_their_network(tmp_path: Path) -> None:
    model = small_clip(tmp_path)
    whole = clip_model.empty(model, device="cpu").state_dict()
    text, picture = weights.split_clip(whole)
    for settings, wanted in (
        (net("clip_image", model), picture),
        (net("clip_text", model), text),
        (net("image", **tiny_networks.SWIN), backbones.image(**tiny_networks.SWIN).state_dict()),
        (net("video", **tiny_networks.VIDEO_SWIN), backbones.video(**tiny_networks.VIDEO_SWIN).state_dict()),
    ):
        one, again, other = (hub.fetch(settings, of("random", seed)) for seed in ("1", "1", "2"))
        assert all(torch.equal(one[name], again[name]) for name in one)
        assert any(not torch.equal(one[name], other[name]) for name in one)
        assert weights.differences(wanted, one) == []


def test_both_towers_of_one_random_clip_come_from_one_seed(tmp_path: Path) -> None:
    model = small_clip(tmp_path)
    torch.manual_seed(3)
    whole = clip_model.empty(model, device="cpu").state_dict()
    found = hub.fetch(net("clip_image", model), of("random", "3")) | hub.fetch(
        net("clip_text", model), of("random", "3")
    )
    assert found.keys() == whole.keys() - {"logit_scale"}
    assert all(torch.equal(found[name], whole[name]) for name in found)


def test_a_seed_that_is_no_number_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MsavqaError) as refusal:
        hub.fetch(net("video", **tiny_networks.VIDEO_SWIN), of("random", "seven"))
    assert str(refusal.value) == (
        "Weights in fetch of SwinTransformer3d: got seed 'seven', expected a whole number as text; mend "
        "`fetch`, `texts` or `trunks` in params.yaml."
    )


def test_a_whole_clip_in_one_file_gives_each_tower_its_part(tmp_path: Path) -> None:
    model = small_clip(tmp_path)
    whole = clip_model.empty(model, device="cpu").state_dict()
    torch.save({"state_dict": whole}, tmp_path / "clip.pt")
    found = hub.fetch(net("clip_image", model), of("file", str(tmp_path / "clip.pt")))
    assert found.keys() == {name for name in whole if name.startswith("visual.")}
    assert all(torch.equal(found[name], whole[name]) for name in found)


def test_a_classifier_in_the_file_is_left_out_and_nothing_else(tmp_path: Path) -> None:
    import timm

    settings = net("image", **tiny_networks.CONVNEXT)
    whole = timm.create_model(settings.model, pretrained=False, num_classes=10, **settings.kwargs)
    path = tmp_path / "whole.safetensors"
    weights.save(whole.state_dict(), path)
    found = hub.fetch(settings, of("file", str(path)))
    assert whole.state_dict().keys() - found.keys() == {"head.fc.weight", "head.fc.bias"}
    weights.save({**whole.state_dict(), "other": torch.zeros(1)}, path)
    with pytest.raises(MsavqaError, match=r"got 1 extra \(other\), expected exactly the 63 tensors"):
        hub.fetch(settings, of("file", str(path)))


def test_a_file_of_an_earlier_timm_layout_is_renamed_as_timm_does(tmp_path: Path) -> None:
    settings = net("image", **tiny_networks.SWIN)
    new = backbones.image(settings.model, settings.kwargs).state_dict()
    moved = {f"layers.{n}.downsample": f"layers.{n - 1}.downsample" for n in range(1, 4)}
    old = {}
    for name, value in new.items():
        start = next((part for part in moved if name.startswith(part)), "")
        old[name.replace(start, moved[start], 1) if start else name] = value
    old |= {"head.weight": torch.zeros(10, 96), "head.bias": torch.zeros(10)}
    assert old.keys() != new.keys()
    path = tmp_path / "old.safetensors"
    weights.save(old, path)
    found = hub.fetch(settings, of("file", str(path)))
    assert all(torch.equal(found[name], new[name]) for name in new)


OFFLINE = [
    (
        net("clip_image", "ViT-B-32-quickgelu"),
        "openai",
        "timm--vit_base_patch32_clip_224.openai--open_clip_model.safetensors",
        "timm/vit_base_patch32_clip_224.openai/resolve/main/open_clip_model.safetensors",
    ),
    (
        net("image", "convnext_tiny", {}),
        "convnext_tiny.fb_in1k",
        "timm--convnext_tiny.fb_in1k--model.safetensors",
        "timm/convnext_tiny.fb_in1k/resolve/main/model.safetensors",
    ),
    (
        net("video", "swin3d_t", {}),
        "Swin3D_T_Weights.KINETICS400_V1",
        "swin3d_t-7615ae03.pth",
        "models/swin3d_t-7615ae03.pth",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("settings", "name", "file", "address"), OFFLINE, ids=lambda value: str(value)[:20])
def test_without_a_network_the_sentence_says_which_file_to_put_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: Any, name: str, file: str, address: str
) -> None:
    reason = "[Errno -2] Name or service not known"
    hubs.switch_off(monkeypatch, tmp_path / "caches", reason=reason)
    with pytest.raises(MsavqaError) as refusal:
        hub.fetch(settings, of("hub", name), downloads=tmp_path)
    before, after = str(refusal.value).split(", expected the file of https://")
    assert before == f"Weights in {tmp_path / file}: got no such file, and it could not be fetched ({reason})"
    assert after.split("; ")[0].endswith(address)
    assert after.split("; ")[1] == (
        "fetch it on a machine that has a network, put it there and run `dvc repro` again."
    )
    assert not (tmp_path / file).exists()


def test_a_file_put_by_hand_is_taken_without_a_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hubs.switch_off(monkeypatch, tmp_path / "caches")
    settings = OFFLINE[1][0].model_copy(update={"model": "convnext_atto"})
    whole = backbones.image("convnext_atto", {}).state_dict()
    file = "timm--convnext_atto.d2_in1k--model.safetensors"
    weights.save(
        {**whole, "head.fc.weight": torch.zeros(1000, 320), "head.fc.bias": torch.zeros(1000)},
        tmp_path / file,
    )
    found = hub.fetch(settings, of("hub", "convnext_atto.d2_in1k"), downloads=tmp_path)
    assert found.keys() == whole.keys()


def test_a_download_whose_hash_is_not_that_of_its_name_is_refused(tmp_path: Path) -> None:
    settings, name, file, _ = OFFLINE[2]
    path = tmp_path / file
    path.write_bytes(b"half a file")
    found = hashlib.sha256(b"half a file").hexdigest()
    with pytest.raises(MsavqaError) as refusal:
        hub.fetch(settings, of("hub", name), downloads=tmp_path)
    assert str(refusal.value) == (
        f"Weights in {path}: got a file with SHA-256 {found}, expected one that begins with 7615ae03, as "
        f"https://download.pytorch.org/models/{file} says; delete it and run again."
    )


def test_openai_weights_want_the_quickgelu_model() -> None:
    with pytest.raises(MsavqaError) as refusal:
        hub.fetch(net("clip_image", "ViT-B-32"), of("hub", "openai"))
    assert str(refusal.value) == (
        "Weights in fetch openai: got ViT-B-32 with gelu, expected ViT-B-32-quickgelu: openai was trained "
        "with it; mend `fetch`, `texts` or `trunks` in params.yaml."
    )


@pytest.mark.parametrize(
    ("settings", "name", "sentence"),
    [
        (OFFLINE[0][0], "opanai", "got tag 'opanai', expected a tag that open_clip has for it ("),
        (OFFLINE[1][0], "swin_tiny_patch4_window7_224", "got no weights of that network, expected a timm"),
        (OFFLINE[2][0], "KINETICS", "got an unknown name, expected a torchvision name such"),
    ],
    ids=lambda value: str(value)[:20],
)  # fmt: skip
def test_an_unknown_hub_name_is_refused_with_one_that_exists(settings: Any, name: str, sentence: str) -> None:
    with pytest.raises(MsavqaError) as refusal:
        hub.fetch(settings, of("hub", name))
    assert sentence in str(refusal.value)
