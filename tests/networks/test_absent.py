"""Weights that are not here are asked for all at once, in one sentence, before anything is decoded."""

from pathlib import Path
from typing import Any

import pytest

from msavqa.networks import absent
from msavqa.networks.hub import FetchSettings, NetworkSettings
from tests import hubs

CLIP = {"model": "ViT-B-32"}, {"source": "hub", "name": "laion2b_s34b_b79k"}
WANTED: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "clip_text": ({"kind": "clip_text", **CLIP[0]}, CLIP[1]),
    "clip_image": ({"kind": "clip_image", **CLIP[0]}, CLIP[1]),
    "frame": (
        {"kind": "image", "model": "convnext_tiny", "kwargs": {}},
        {"source": "hub", "name": "convnext_tiny.fb_in1k"},
    ),
    "video": (
        {"kind": "video", "model": "swin3d_t", "kwargs": {}},
        {"source": "hub", "name": "Swin3D_T_Weights.KINETICS400_V1"},
    ),
}


def wanted(**more: tuple[dict[str, Any], dict[str, Any]]) -> dict[str, tuple[Any, FetchSettings]]:
    return {
        name: (NetworkSettings.model_validate(network), FetchSettings.model_validate(how))
        for name, (network, how) in (WANTED | more).items()
    }


def test_without_a_network_every_file_is_listed_once_with_address_size_hash_and_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hubs.switch_off(monkeypatch, tmp_path / "caches", reason="no route")
    missing, wrong = absent.look(wanted(), downloads=Path("weights/downloads"))
    assert wrong == []
    assert absent.sentence(missing) == (
        "fetch: 3 files of weights cannot be fetched (no route): fetch on a machine that has a network, and "
        "put here, https://huggingface.co/laion/CLIP-ViT-B-32-laion2B-s34B-b79K/resolve/main/"
        "open_clip_model.safetensors (about 605 MB, SHA-256: its page has it) as weights/downloads/"
        "laion--CLIP-ViT-B-32-laion2B-s34B-b79K--open_clip_model.safetensors; "
        "https://huggingface.co/timm/convnext_tiny.fb_in1k/resolve/main/model.safetensors (about 114 MB, "
        "SHA-256: its page has it) as weights/downloads/timm--convnext_tiny.fb_in1k--model.safetensors; "
        "https://download.pytorch.org/models/swin3d_t-7615ae03.pth (127 MB, SHA-256 begins with 7615ae03) as "
        "weights/downloads/swin3d_t-7615ae03.pth; or take a preset that needs no hub (`msavqa init --list`)"
    )


def test_what_lies_here_is_not_asked_for_and_hubs_that_answer_are_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hubs.switch_off(monkeypatch, tmp_path / "caches")
    (tmp_path / "timm--convnext_tiny.fb_in1k--model.safetensors").touch()
    missing, _ = absent.look(wanted(), downloads=tmp_path)
    assert [one.put.name for one in missing] == [
        "laion--CLIP-ViT-B-32-laion2B-s34B-b79K--open_clip_model.safetensors", "swin3d_t-7615ae03.pth"
    ]  # fmt: skip
    monkeypatch.setattr(absent.download, "unreachable", lambda remote: "")
    assert absent.look(wanted(), downloads=tmp_path) == ([], [])


def test_a_silent_hub_is_asked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    hubs.switch_off(monkeypatch, tmp_path / "caches")
    monkeypatch.setattr(absent.download, "unreachable", lambda remote: asked.append(remote) or "no route")
    assert len(absent.look(wanted(), downloads=tmp_path)[0]) == 3
    assert len(asked) == 1


def test_packages_files_and_hub_names_without_weights_are_named_in_the_same_breath(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hubs.switch_off(monkeypatch, tmp_path / "caches")
    image = {"kind": "image", "model": "convnext_tiny", "kwargs": {}}
    _, wrong = absent.look(
        wanted(
            one=(image, {"source": "package", "name": "no_such_model", "sha256": "0" * 64}),
            two=(image, {"source": "file", "name": str(tmp_path / "none.pth")}),
            three=(image, {"source": "hub", "name": "convnext_tiny.none"}),
        ),
        downloads=tmp_path,
    )
    assert [line.split(": got ")[0] for line in wrong] == [
        "fetch.one: Weights in package 'no_such_model'",
        f"fetch.two: Weights in {tmp_path / 'none.pth'}",
        "fetch.three: Weights in fetch convnext_tiny.none",
    ]
