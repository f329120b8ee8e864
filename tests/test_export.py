"""A bundle is made of a run and of the settings that the run was made with, or not at all."""

from pathlib import Path

import pytest

from msavqa import params
from msavqa.scoring import export
from msavqa.scoring.export import ExportError


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
    with pytest.raises(ExportError) as refused:
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
    with pytest.raises(ExportError) as refused:
        export.export(Path(), "sample", data, repeat=0, out=tmp_path / "made")
    assert str(refused.value) == (
        f"Settings in params.yaml: got no {block}.{entry}, expected the block that the run was made with; "
        "put it back and run again."
    )
