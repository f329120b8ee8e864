"""A bundle is made of a run and of the settings that the run was made with, or not at all."""

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from msavqa.bundle import bundle, export
from msavqa.bundle.reference import Reference, of_branch
from msavqa.datasets import tables
from msavqa.ground import params
from msavqa.ground.errors import MsavqaError
from msavqa.score.scorer import Scorer
from tests import synthetic


@pytest.mark.pipeline
@pytest.mark.parametrize(
    ("block", "key", "value", "got", "expected"),
    [
        ("trunks.frame", "precision", "bf16", "trunks.frame.precision 'bf16'", "'fp32'"),
        ("decode", "box", 95, "decode.box 95", "96"),
        ("texts.clip_text", "dtype", "float32", "texts.clip_text.dtype 'float32'", "'float16'"),
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
@pytest.mark.parametrize(
    ("block", "entry"), [("datasets", "sample"), ("trunks", "frame"), ("texts", "clip_text")]
)
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


def test_of_measures_of_another_version_only_that_is_named(random_bundle: Path) -> None:
    found = bundle.load(random_bundle)
    made = {**found.fingerprints["statistics"], "measures_version": 0}
    fingerprints = {**found.fingerprints, "statistics": made}
    changed = dataclasses.replace(found, fingerprints=fingerprints)
    with Scorer(changed) as other, pytest.raises(MsavqaError) as refused:
        other.ready()
    assert str(refused.value) == (
        "Frozen network in trunk 'statistics': got measures_version 2, expected 0, as in training; run "
        "`dvc repro` to train with this msavqa, or score with that of the training."
    )


CLIP = "clip_text", "clip_image"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return synthetic.project(tmp_path_factory.mktemp("made"), videos=60, repeats=2)


def reference_of(made: Path, **changes: pd.DataFrame) -> Reference:
    labels, trained = made / "data" / synthetic.DATASET, made / "runs" / synthetic.DATASET / "branches"
    tables_of = {
        "manifest": tables.read_manifest(labels / "manifest.parquet"),
        "splits": tables.read_splits(labels / "splits.parquet"),
        "frame": tables.read_predictions(trained / "frame" / "predictions.parquet"),
    } | changes  # fmt: skip
    return export.reference(
        tables_of["manifest"], tables_of["splits"], repeat=1, features=made / "features" / synthetic.DATASET,
        clip=CLIP, branches={"frame": tables_of["frame"]},
    )  # fmt: skip


def test_the_reference_is_made_of_training_rows_and_of_no_other(made: Path) -> None:
    """By hand for one measure; the rest by taking every other row's value away."""
    labels = made / "data" / synthetic.DATASET
    manifest, splits = tables.read_manifest(labels / "manifest.parquet"), tables.read_splits(
        labels / "splits.parquet"
    )  # fmt: skip
    predictions = tables.read_predictions(
        made / "runs" / synthetic.DATASET / "branches" / "frame" / "predictions.parquet"
    )
    train = set(splits.loc[(splits["repeat"] == 1) & (splits["role"] == "train"), "video_id"])
    expected = reference_of(made)
    own = predictions[(predictions["repeat"] == 1) & predictions["video_id"].isin(train)]["score"]
    assert expected.quantiles[of_branch("frame")] == pytest.approx(np.quantile(own, np.linspace(0, 1, 101)))
    held = ~manifest["video_id"].isin(train)
    assert held.sum() > 10
    manifest.loc[held, ["height", "width"]] = 7
    manifest.loc[held, "prompt"] = ""
    other = (predictions["repeat"] == 0) | ~predictions["video_id"].isin(train)
    predictions.loc[other, "score"] = -1000.0
    assert reference_of(made, manifest=manifest, frame=predictions) == expected
    shorter = manifest.assign(height=np.where(held, manifest["height"], 8))
    assert reference_of(made, manifest=shorter).quantiles["short_side"] == [8.0] * 101
