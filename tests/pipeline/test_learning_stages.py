"""The stages that learn, one after the other on a made-up world: pretrain, train, controls, ensemble."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from safetensors.numpy import load_file

from msavqa.datasets import tables
from msavqa.report import results
from msavqa.store.read import StoreError
from pipeline import controls, ensemble, pretrain, train
from tests import branch_settings, feature_world

BRANCHES = ("frame", "segment", "video")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as the stages find it behind `extract`: params, tables and stores of two datasets."""
    root = tmp_path_factory.mktemp("project")
    for dataset, seed in (("world", 0), ("ugc", 1)):
        world = feature_world.make(root / dataset, videos=60, seed=seed)
        (root / "features").mkdir(exist_ok=True)
        world.features.rename(root / "features" / dataset)
        folder = root / "data" / dataset
        tables.write_manifest(_whole(world.manifest), folder / "manifest.parquet")
        tables.write_splits(world.splits, folder / "splits.parquet")
    settings = {name: branch_settings.branch(name).model_dump(mode="json") for name in BRANCHES}
    optimiser = settings["segment"]["optimiser"]
    params = {
        "dataset": "world",
        "pretrain_dataset": "ugc",
        "decode": feature_world.DECODE,
        "trunks": feature_world.trunks(world),
        "branches": settings,
        "train": branch_settings.train(processes=1).model_dump(mode="json"),
        "pretrain": {"epochs": 2, "optimiser": optimiser},
        "ensemble": {"branches": list(BRANCHES), "shrinkage": 0.5, "seed": 0},
        "controls": {"trees": 20, "min_leaf": 2, "features": 0.5, "seed": 0, "shrinkage": 0.0},
    }
    (root / "params.yaml").write_text(yaml.safe_dump(params))
    return root


def _whole(manifest: pd.DataFrame) -> pd.DataFrame:
    """All columns of a manifest, those that learning does not read left empty."""
    known = {"path": manifest["video_id"], "sha256": "0" * 64, "status": "ok", "container": "mp4"}
    for name, column in tables.MANIFEST.columns.items():
        if name not in manifest and name not in known:
            kind = str(column.dtype)
            known[name] = np.nan if column.nullable else {"float64": 1.0, "int64": 0}.get(kind, "")
    return manifest.assign(**known).astype({"mos": "float64"})


def test_the_learning_stages_run_one_after_the_other(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)
    pretrain.main([])
    for branch in BRANCHES:
        train.main(["world", branch])
    controls.main(["world"])
    ensemble.main(["world"])
    runs = project / "runs" / "world"
    splits = tables.read_splits(project / "data" / "world" / "splits.parquet")
    for name in (*BRANCHES, "ensemble"):
        predictions = tables.read_predictions(runs / name / "predictions.parquet")
        assert set(predictions["video_id"]) == set(splits["video_id"])
    scores = tables.read_controls(runs / "controls" / "predictions.parquet")
    assert set(scores["control"]) == {"no_pixel", "no_reference", "clipsim", "trees"}
    assert (scores["control"].value_counts() == len(splits)).all()
    found = results.read_controls(runs)
    assert set(found["control"]) == {"no_pixel", "no_reference", "clipsim", "trees", "shuffled_prompts"}
    shuffled = found[found["control"] == "shuffled_prompts"].merge(splits, on=["repeat", "video_id"])
    assert (shuffled["role_x"] == shuffled["role_y"]).all()
    assert len(shuffled) == (splits["role"] != "train").sum()
    own = tables.read_predictions(runs / "ensemble" / "predictions.parquet").set_index("video_id")["score"]
    assert not np.allclose(shuffled["score"], own[shuffled["video_id"]])
    for branch in BRANCHES:
        facts = json.loads((runs / branch / "settings.json").read_text())
        assert facts["branch"] == branch
        assert set(facts["architectures"]) == {"clip_text", "clip_image"}
        history = pd.read_csv(runs / branch / "history.csv")
        assert list(history.columns) == ["repeat", "epoch", "rate", "loss", "val_srcc", "val_plcc"]
        assert list(history["epoch"]) == [1, 2, 3]
    pretrained = load_file(project / "runs" / "pretrain" / "segment" / "weights.safetensors")
    assert not any(name.startswith(("semantics.", "head.semantic.")) for name in pretrained)
    final = load_file(runs / "segment" / "weights" / "repeat0.safetensors")
    assert np.array_equal(final["standardise.mean"], pretrained["standardise.mean"])
    fitted = json.loads((runs / "ensemble" / "ensemble.json").read_text())
    assert sum(fitted["repeat0"]["weights"]) == pytest.approx(1.0)
    assert not list((project / ".msavqa").rglob("*.pt"))


def test_a_stage_refuses_features_of_other_settings(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("data", "features"):
        (tmp_path / name).symlink_to(project / name)
    params = yaml.safe_load((project / "params.yaml").read_text(encoding="utf-8"))
    params["decode"]["frames"] = 4
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
    for stage, words, store in (
        (pretrain, [], "features/ugc/segment.zarr"),
        (train, ["world", "frame"], "features/world/clip_image.zarr"),
    ):
        with pytest.raises(StoreError) as caught:
            stage.main(words)
        assert str(caught.value) == (
            f"Another fingerprint in {store}: got decoded.frames {feature_world.FRAMES}, expected "
            "decoded.frames 4; run `dvc repro` to make the store that the settings ask for."
        )


def test_a_stage_run_again_writes_the_same_bytes(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)
    pretrain.main([])
    written = []
    for _ in range(2):
        train.main(["world", "segment"])
        files = [path for path in sorted((project / "runs/world/segment").rglob("*")) if path.is_file()]
        written.append({path.name: path.read_bytes() for path in files})
    assert written[0] == written[1]
    assert set(written[0]) == {
        "repeat0.safetensors",
        "predictions.parquet",
        "shuffled.parquet",
        "attention.parquet",
        "history.csv",
        "settings.json",
    }


def test_a_stage_run_by_hand_leaves_dvcs_cached_copies_alone(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project)
    runs = project / "runs"
    shutil.rmtree(runs, ignore_errors=True)

    def by_hand() -> None:
        pretrain.main([])
        for branch in BRANCHES:
            train.main(["world", branch])
        controls.main(["world"])
        ensemble.main(["world"])

    by_hand()
    written = [path for path in runs.rglob("*") if path.is_file()]
    for number, path in enumerate(written):
        os.link(path, tmp_path / str(number))
        path.chmod(0o444)
    by_hand()
    again = [path for number, path in enumerate(written) if path.samefile(tmp_path / str(number))]
    assert len(written) > 20
    assert again == []
