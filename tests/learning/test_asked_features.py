"""Training reads the features that params.yaml asks for, or refuses with a sentence."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import yaml

from msavqa.learning import asked_features, folds
from msavqa.store import format
from msavqa.store.read import StoreError
from msavqa.trunks.kinds import clip_text
from msavqa.trunks.run import named
from tests import feature_world
from tests.conftest import ROOT
from tests.training import work


def settings(preset: str, folder: Path) -> dict[str, Any]:
    """A preset with weights files of its own, which nothing loads."""
    data: dict[str, Any] = yaml.safe_load((ROOT / f"presets/{preset}.yaml").read_text(encoding="utf-8"))
    data["weights"] = str(folder)
    for name, network in {**data["texts"], **data["trunks"]}.items():
        (folder / f"{name}.safetensors").write_bytes(name.encode())
        if str(network.get("model", "")).endswith(".json"):
            network["model"] = str(ROOT / network["model"])
    return data


def written(params: dict[str, Any], name: str) -> dict[str, Any]:
    """The fingerprint that a stage gives to that network's store."""
    weights = named.weights(params, name)
    if name in params["texts"]:
        text = clip_text.TextSettings.model_validate(params["texts"][name])
        return clip_text.fingerprint(text, weights=weights)
    kind, settings = named.trunk(params, name)
    decoded = {**{key: params["decode"][key] for key in ("frames", "box")}, "decoder": {"av": "any"}}
    return kind.fingerprint(settings, weights=weights) | {"decoded": decoded}


def test_what_is_expected_is_what_extraction_writes(tmp_path: Path) -> None:
    params = settings("sample", tmp_path)
    for name in (*params["texts"], *params["trunks"]):
        have = format.flat(written(params, name))
        asked = format.flat(asked_features.expected(params, stores=[name])[name])
        assert asked.keys() >= {"kind", "cut", "architecture.weights_sha256"}
        assert {key: have.get(key, "(absent)") for key in asked} == asked


def test_measures_are_asked_for_by_the_frames_that_they_are_of(tmp_path: Path) -> None:
    asked = asked_features.expected(settings("sample", tmp_path), stores=["statistics"])
    assert asked == {"statistics": {"decoded": {"frames": 16, "box": 96}}}


def test_prompts_are_asked_for_whatever_frames_are_decoded(tmp_path: Path) -> None:
    asked = asked_features.expected(settings("sample", tmp_path), stores=["clip_text"])
    assert "decoded" not in asked["clip_text"]


def test_weights_that_are_not_here_are_not_asked_for(tmp_path: Path) -> None:
    params = settings("sample", tmp_path)
    (tmp_path / "frame.safetensors").unlink()
    asked = asked_features.expected(params, stores=["frame", "clip_image"])
    assert set(asked["frame"]["architecture"]) == {"model", "kwargs"}
    assert set(asked["clip_image"]["architecture"]) == {"weights_sha256"}


def test_training_refuses_features_of_other_settings(tmp_path: Path) -> None:
    world = feature_world.make(tmp_path, videos=20)
    asked: dict[str, Any] = feature_world.networks(world)
    asked["trunks"]["frame"] |= {"kind": "video", "crop": "96"}
    asked["decode"] = {"frames": 16, "box": None}
    todo = work(world, pss__enabled=False, sma__enabled=False)
    with pytest.raises(StoreError) as caught:
        folds.open_work(dataclasses.replace(todo, asked=asked))
    assert str(caught.value) == (
        f"Another fingerprint in {world.features / 'frame.zarr'}: "
        "got crop '(absent)', decoded.frames 8, kind 'image', "
        "expected crop '96', decoded.frames 16, kind 'video'; "
        "run `dvc repro` to make the store that the settings ask for."
    )
