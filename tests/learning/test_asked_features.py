"""Training reads the features that params.yaml asks for, or refuses with a sentence."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import yaml

from msavqa.learning import folds, inputs
from msavqa.store import format
from msavqa.store.read import StoreError
from msavqa.trunks.run import feature_rows
from tests import feature_world
from tests.conftest import ROOT
from tests.training import work


def settings(preset: str, folder: Path) -> dict[str, Any]:
    """A preset with weights files of its own, which nothing loads."""
    data: dict[str, Any] = yaml.safe_load((ROOT / f"presets/{preset}.yaml").read_text(encoding="utf-8"))
    for name, trunk in data["trunks"].items():
        if trunk["kind"] != "statistics":
            trunk["weights"] = str(folder / f"{name}.safetensors")
            Path(trunk["weights"]).write_bytes(name.encode())
        if str(trunk.get("model", "")).endswith(".json"):
            trunk["model"] = str(ROOT / trunk["model"])
    return data


@pytest.mark.parametrize("preset", ["sample", "paper", "csv"])
def test_what_is_expected_is_what_extraction_writes(preset: str, tmp_path: Path) -> None:
    params = settings(preset, tmp_path)
    decoded = {**{name: params["decode"][name] for name in ("frames", "box")}, "decoder": {"av": "any"}}
    for name in params["trunks"]:
        made_by: Any = feature_rows.trunk(params["trunks"][name]["kind"])
        written = made_by.fingerprint(feature_rows.settings_of(params, name)) | {"decoded": decoded}
        have = format.flat(written)
        asked = format.flat(inputs.expected(params, trunks=[name])[name])
        assert asked.keys() >= {"kind"}
        assert {key: have.get(key, "(absent)") for key in asked} == asked


def test_weights_that_are_not_here_are_not_asked_for(tmp_path: Path) -> None:
    params = settings("sample", tmp_path)
    Path(params["trunks"]["frame"]["weights"]).unlink()
    asked = inputs.expected(params, trunks=["frame", "clip_image"])
    assert set(asked["frame"]["architecture"]) == {"model", "kwargs"}
    assert set(asked["clip_image"]["architecture"]) == {"weights_sha256"}


def test_training_refuses_features_of_other_settings(tmp_path: Path) -> None:
    world = feature_world.make(tmp_path, videos=20)
    trunks = feature_world.trunks(world)
    trunks["frame"] |= {"kind": "video", "crop": "96"}
    asked = {"trunks": trunks, "decode": {"frames": 16, "box": None}}
    todo = work(world, pss__enabled=False, sma__enabled=False)
    with pytest.raises(StoreError) as caught:
        folds.open_work(dataclasses.replace(todo, asked=asked))
    assert str(caught.value) == (
        f"Another fingerprint in {world.features / 'frame.zarr'}: "
        "got crop '(absent)', decoded.frames 8, kind 'image', "
        "expected crop '96', decoded.frames 16, kind 'video'; "
        "run `dvc repro` to make the store that the settings ask for."
    )
