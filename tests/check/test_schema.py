"""The committed schemas are what the settings give, and know of params.yaml what the check knows."""

import json
from typing import Any

import jsonschema
import pytest
import yaml

from msavqa.check import schema
from tests.check.test_presets import NAMES, preset
from tests.conftest import ROOT


@pytest.fixture
def whole() -> jsonschema.Draft202012Validator:
    return validator("params.schema.json")


def validator(name: str) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(json.loads((schema.FOLDER / name).read_text(encoding="utf-8")))


def test_the_committed_schemas_are_those_of_the_settings() -> None:
    for path, text in schema.files().items():
        assert path.read_text(encoding="utf-8") == text, "run `python -m msavqa.check.schema`"


@pytest.mark.parametrize("name", NAMES)
def test_every_preset_is_right_by_them_whole_and_as_it_stands(
    name: str, whole: jsonschema.Draft202012Validator
) -> None:
    whole.validate(preset(name))
    written = yaml.safe_load((ROOT / f"presets/{name}.yaml").read_text(encoding="utf-8"))
    validator("preset.schema.json").validate(written)


@pytest.mark.parametrize(
    ("dotted", "value"),
    [
        ("train.epoch", 3), ("train.epochs", "16"), ("trunks.frame.sampling", "resize"),
        ("trunks.frame.kind", "imag"),
        ("branches.video.technical.motion", "none"), ("branches.frame.loss.epsilon", 0.1), ("base", "paper"),
        ("datasets.sample.reader", "lsvq"), ("datasets.sample", None), ("branches.frame.pss.fusion", ["txt"]),
    ],
)  # fmt: skip
def test_an_editor_marks_a_key_or_a_value_that_is_none(
    dotted: str, value: object, whole: jsonschema.Draft202012Validator
) -> None:
    data = preset("sample")
    *above, last = dotted.split(".")
    block = data
    for key in above:
        block = block[key]
    block[last] = value
    assert not whole.is_valid(data)


def test_a_misspelt_key_of_a_preset_is_marked_too() -> None:
    found = validator("preset.schema.json")
    assert found.is_valid({"base": "sample", "train": {"epochs": 3}, "datasets": {"sample": None}})
    assert not found.is_valid({"base": "sample", "train": {"epoch": 3}})
    assert not found.is_valid({"base": "sample", "trunks": {"frame": {"corp": 3}}})


def test_every_file_of_settings_names_its_schema_in_its_first_line() -> None:
    for path in (ROOT / "params.yaml", *(ROOT / "presets").glob("*.yaml")):
        first = path.read_text(encoding="utf-8").splitlines()[0]
        named = first.removeprefix("# yaml-language-server: $schema=")
        assert (path.parent / named).resolve().parent == schema.FOLDER, path
        assert (path.parent / named).is_file()


def test_keys_are_described_by_what_stands_beside_them_in_the_code(
    whole: jsonschema.Draft202012Validator,
) -> None:
    blocks: dict[str, Any] = whole.schema["$defs"]
    words = "Decay of the weights' moving average, which is then what is kept; 0: the last weights are."
    assert blocks["TrainSettings"]["properties"]["ema"]["description"] == words
    shown = [key for key in whole.schema["properties"].values() if "description" in key]
    assert len(shown) == len(whole.schema["properties"])
