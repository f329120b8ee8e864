"""What decides the values of a store is in its fingerprint, for every kind of frozen network."""

from pathlib import Path
from typing import Any

import pytest

from msavqa.networks import weights
from msavqa.trunks.run import named
from tests import clips, tiny_networks

KINDS = ("clip_text", "clip_image", "image", "video")
LIBRARIES = {
    "clip_text": {"torch", "open_clip_torch"},
    "clip_image": {"torch", "open_clip_torch"},
    "image": {"torch", "timm"},
    "video": {"torch", "torchvision"},
}
"""What computes the values of each kind: another version may give others."""


@pytest.fixture(params=KINDS)
def made(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Any, Path]:
    """Settings of a kind and the file of their weights."""
    if request.param in ("clip_text", "clip_image"):
        world = clips.build("small", tmp_path)
        text = request.param == "clip_text"
        return (world.text, world.text_weights) if text else (world.image, world.image_weights)
    if request.param == "image":
        settings: Any = tiny_networks.image_settings(tmp_path, tiny_networks.CONVNEXT)
    else:
        settings = tiny_networks.video_settings(tmp_path)
    return settings, tiny_networks.file(tmp_path, settings)


def fingerprint(settings: Any, file: Path) -> dict[str, Any]:
    return named.module(settings.kind).fingerprint(settings, weights=file)


def test_the_same_settings_and_weights_have_the_same_fingerprint(
    made: tuple[Any, Path], tmp_path: Path
) -> None:
    settings, file = made
    moved = tmp_path / "elsewhere.safetensors"
    moved.write_bytes(file.read_bytes())
    assert fingerprint(settings, moved) == fingerprint(settings, file)


def test_other_weights_have_another_fingerprint(made: tuple[Any, Path]) -> None:
    before = fingerprint(*made)
    state = weights.read(made[1])
    last = sorted(state)[-1]
    weights.save({**state, last: state[last] + 1}, made[1])
    assert fingerprint(*made) != before


def test_another_cut_precision_or_dtype_has_another_fingerprint(made: tuple[Any, Path]) -> None:
    settings, file = made
    cut = "cls" if settings.kind.startswith("clip") else "last_stage"
    changes = [{}, {"cut": cut}, {"precision": "bf16"}, {"dtype": "float16"}]
    found = [fingerprint(settings.model_copy(update=change), file) for change in changes]
    assert all(first != second for place, first in enumerate(found) for second in found[:place])


def test_the_libraries_that_compute_are_in_the_fingerprint(made: tuple[Any, Path]) -> None:
    settings, _ = made
    assert fingerprint(*made)["versions"].keys() == LIBRARIES[settings.kind]
    assert fingerprint(*made)["kind"] == settings.kind
