"""What decides the values of a store is in its fingerprint, for every kind of frozen network."""

from pathlib import Path
from typing import Any

import pytest

from msavqa.networks import weights
from msavqa.trunks.run import feature_rows
from tests import clips, tiny_networks

KINDS = ("clip_text", "clip_image", "image", "video")


@pytest.fixture(params=KINDS)
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    if request.param in ("clip_text", "clip_image"):
        world = clips.build("small", tmp_path)
        return world.text if request.param == "clip_text" else world.image
    if request.param == "image":
        return tiny_networks.image_settings(tmp_path, tiny_networks.CONVNEXT)
    return tiny_networks.video_settings(tmp_path)


def fingerprint(settings: Any) -> dict[str, Any]:
    return feature_rows.trunk(settings.kind).fingerprint(settings)


def test_the_same_settings_and_weights_have_the_same_fingerprint(settings: Any, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere.safetensors"
    moved.write_bytes(Path(settings.weights).read_bytes())
    assert fingerprint(settings.model_copy(update={"weights": str(moved)})) == fingerprint(settings)


def test_other_weights_have_another_fingerprint(settings: Any) -> None:
    before = fingerprint(settings)
    state = weights.read(settings.weights)
    last = sorted(state)[-1]
    weights.save({**state, last: state[last] + 1}, settings.weights)
    assert fingerprint(settings) != before


def test_another_cut_precision_or_dtype_has_another_fingerprint(settings: Any) -> None:
    cut = "cls" if settings.kind.startswith("clip") else "last_stage"
    changes = [{}, {"cut": cut}, {"precision": "bf16"}, {"dtype": "float16"}]
    found = [fingerprint(settings.model_copy(update=change)) for change in changes]
    assert all(first != second for place, first in enumerate(found) for second in found[:place])
