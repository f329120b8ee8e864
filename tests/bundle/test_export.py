"""A bundle is made of a run and of the settings that the run was made with, or not at all."""

import dataclasses
from pathlib import Path

import pytest

from msavqa.bundle import bundle, export
from msavqa.ground.errors import MsavqaError
from msavqa.machine import params
from msavqa.score.scorer import Scorer


@pytest.mark.pipeline
@pytest.mark.parametrize(
    ("block", "key", "value", "got", "expected"),
    [
        ("trunks.frame", "precision", "bf16", "trunks.frame.precision 'bf16'", "'fp32'"),
        ("decode", "box", 95, "decode.box 95", "96"),
        (
            "trunks.video",
            "weights",
            "data/sample/weights/frame.safetensors",
            "trunks.video.weights_sha256",
            "",
        ),
    ],
)
def test_a_run_of_other_settings_makes_no_bundle(
    tiny_world: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    block: str,
    key: str,
    value: object,
    got: str,
    expected: str,
) -> None:
    monkeypatch.chdir(tiny_world)
    data = params.read()
    found = data
    for part in block.split("."):
        found = found[part]
    found[key] = value
    with pytest.raises(MsavqaError) as refused:
        export.export(Path(), "sample", data, repeat=0, out=tmp_path / "made")
    said = str(refused.value)
    assert said.startswith(f"Settings of another run in params.yaml: got {got}")
    assert said.endswith(
        f"{expected}, as in the run; run `dvc repro` so that the run follows params.yaml, or put the setting "
        "back."
    )
    assert not (tmp_path / "made").exists()


@pytest.mark.pipeline
@pytest.mark.parametrize(("block", "entry"), [("datasets", "sample"), ("trunks", "frame")])
def test_a_block_that_is_gone_is_named(
    tiny_world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: str, entry: str
) -> None:
    monkeypatch.chdir(tiny_world)
    data = params.read()
    del data[block][entry]
    with pytest.raises(MsavqaError) as refused:
        export.export(Path(), "sample", data, repeat=0, out=tmp_path / "made")
    assert str(refused.value) == (
        f"Settings in params.yaml: got no {block}.{entry}, expected the block that the run was made with; "
        "put it back and run again."
    )


@pytest.mark.pipeline
def test_a_place_that_cannot_be_written_to_is_a_sentence(
    tiny_world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tiny_world)
    (tmp_path / "file").touch()
    with pytest.raises(MsavqaError) as refused:
        export.export(Path(), "sample", params.read(), repeat=0, out=tmp_path / "file" / "made")
    assert str(refused.value) == (
        f"Folder of a new bundle in {tmp_path / 'file' / 'made'}: got Not a directory, expected a place that "
        "can be written to; choose another --out."
    )


def test_of_measures_by_other_code_only_what_differs_is_named(random_bundle: Path) -> None:
    found = bundle.load(random_bundle)
    made = dict(found.fingerprints["statistics"])
    name = "msavqa/trunks/measures/motion_statistics.py"
    made["source_sha256"] = {**made["source_sha256"], name: "0" * 64}
    fingerprints = {**found.fingerprints, "statistics": made}
    changed = dataclasses.replace(found, fingerprints=fingerprints)
    with Scorer(changed) as other, pytest.raises(MsavqaError) as refused:
        other.ready()
    now = found.fingerprints["statistics"]["source_sha256"][name]
    assert str(refused.value) == (
        f"Frozen network in trunk 'statistics': got source_sha256 {str({name: now})[:77]}..., expected "
        f"{str({name: '0' * 64})[:77]}..., as in training; run `dvc repro` to train with this msavqa, "
        "or score with that of the training."
    )
