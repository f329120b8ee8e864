"""The stages that learn, one after the other on a made-up world, and what they train again."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from safetensors.numpy import load_file

from msavqa.datasets import tables
from msavqa.evaluation import calibration
from msavqa.evaluation.calibration import CalibrationSettings
from msavqa.evaluation.change import ChangeSettings
from msavqa.learning import fit
from msavqa.report import results
from msavqa.store.read import StoreError
from pipeline import controls, ensemble, examine, pretrain, train
from tests import branch_settings, copy_world, feature_world

BRANCHES = ("frame", "segment", "video")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as the stages find it behind `extract`: params, tables and stores of two data sets."""
    root = tmp_path_factory.mktemp("project")
    for dataset, seed in (("ugc", 1), ("world", 0)):
        world = feature_world.make(root / dataset, videos=60, seed=seed)
        (root / "features").mkdir(exist_ok=True)
        if dataset == "world":
            copy_world.add(world.features, list(world.manifest["video_id"]), list(world.manifest["prompt"]))
        world.features.rename(root / "features" / dataset)
        folder = root / "data" / dataset
        tables.write_manifest(_whole(world.manifest), folder / "manifest.parquet")
        tables.write_splits(world.splits, folder / "splits.parquet")
    settings = {name: branch_settings.branch(name).model_dump(mode="json") for name in BRANCHES}
    settings["segment"]["start"] = "segment"
    optimiser = dict(settings["segment"]["optimiser"])
    params = {
        "train_on": ["world"],
        "pretrain_on": ["ugc"],
        **feature_world.networks(world),
        "branches": settings,
        "copies": copy_world.SETTINGS,
        "train": branch_settings.train(processes=1, copies=copy_world.RANKED).model_dump(mode="json"),
        "pretrain": {
            "trunks": ["segment", "video"], "branches": ["segment"], "epochs": 2, "optimiser": optimiser,
        },
        "ensemble": {"branches": "all", "shrinkage": 0.5, "seed": 0},
        "calibration": {"change": {"percentile": 97.0, "rank": 3}},
        "controls": {
            "text": "clip_text", "image": "clip_image", "trees": 20, "min_leaf": 2, "features": 0.5,
            "seed": 0, "shrinkage": 0.0,
        },
    }  # fmt: skip
    (root / "params.yaml").write_text(yaml.safe_dump(params))
    return root


@pytest.fixture
def here(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it in which nothing has run, to change."""
    copy = Path(shutil.copytree(project, tmp_path / "project"))
    monkeypatch.chdir(copy)
    return copy


def change(root: Path, block: str, **keys: object) -> None:
    """Changes keys of a block of params.yaml, whose path has dots."""
    file = root / "params.yaml"
    params = yaml.safe_load(file.read_text(encoding="utf-8"))
    found = params
    for name in block.split("."):
        found = found[name]
    found |= keys
    file.write_text(yaml.safe_dump(params), encoding="utf-8")


def _whole(manifest: pd.DataFrame) -> pd.DataFrame:
    """All columns of a manifest, those that learning does not read left empty."""
    known = {"path": manifest["video_id"], "sha256": "0" * 64, "status": "ok", "container": "mp4"}
    for name, column in tables.MANIFEST.columns.items():
        if column.required and name not in manifest and name not in known:
            kind = str(column.dtype)
            known[name] = np.nan if column.nullable else {"float64": 1.0, "int64": 0}.get(kind, "")
    return manifest.assign(**known).astype({"mos": "float64"})


def run_all() -> None:
    pretrain.main(["ugc", "segment"])
    for branch in BRANCHES:
        train.main(["world", branch])
        examine.main(["world", branch])
    controls.main(["world"])
    ensemble.main(["world"])


def files(folder: Path) -> dict[str, bytes]:
    """Every file's bytes by its path in the folder."""
    found = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def test_the_learning_stages_run_one_after_the_other(here: Path) -> None:
    run_all()
    runs = here / "runs" / "world"
    splits = tables.read_splits(here / "data" / "world" / "splits.parquet")
    for name in (*(f"branches/{branch}" for branch in BRANCHES), "ensemble"):
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
        trained = runs / "branches" / branch
        facts = json.loads((trained / "settings.json").read_text())
        assert (facts["branch"], facts["kind"]) == (branch, branch)
        assert set(facts["architectures"]) == {"clip_text", "clip_image"}
        history = pd.read_csv(trained / "history.csv")
        assert list(history.columns) == ["repeat", "epoch", "rate", "loss", "val_srcc", "val_plcc"]
        assert list(history["epoch"]) == [1, 2, 3]
        looks = pd.read_parquet(runs / "examined" / branch / "attention.parquet")
        assert len(looks) == (splits["role"] != "train").sum()
    pretrained = load_file(here / "runs" / "start" / "segment" / "weights.safetensors")
    assert not any(name.startswith(("semantics.", "head.semantic.")) for name in pretrained)
    final = load_file(runs / "branches" / "segment" / "weights" / "repeat0.safetensors")
    assert np.array_equal(final["standardise.mean"], pretrained["standardise.mean"])
    fitted = json.loads((runs / "ensemble" / "ensemble.json").read_text())
    assert sum(fitted["repeat0"]["weights"]) == pytest.approx(1.0)
    assert set(files(here / "runs" / "start_seconds")) == {"pretrain_segment.json"}
    assert set(files(here / "runs" / "start")) == {"segment/weights.safetensors", "segment/history.csv"}
    assert set(files(runs / "seconds")) == {f"train_{branch}.json" for branch in BRANCHES}
    assert not list((here / ".msavqa").rglob("*.pt"))


def test_the_learning_stages_do_without_validation_rows(here: Path) -> None:
    path = here / "data" / "world" / "splits.parquet"
    splits = tables.read_splits(path)
    held = splits["role"] == "val"
    roles, folds = splits["role"].where(~held, "train"), splits["fold"].where(~held, 1)
    tables.write_splits(splits.assign(role=roles, fold=folds), path)
    change(here, "ensemble", branches=["frame"])
    train.main(["world", "frame"])
    examine.main(["world", "frame"])
    ensemble.main(["world"])
    predictions = tables.read_predictions(here / "runs/world/ensemble/predictions.parquet")
    assert dict(predictions["role"].value_counts()) == {"oof": 48, "test": 12}
    history = pd.read_csv(here / "runs/world/branches/frame/history.csv")
    assert list(history.columns) == ["repeat", "epoch", "rate", "loss"]
    settings = CalibrationSettings(
        coverage=0.9, interval_roles=["val", "oof"], interval="normalised", interval_rows=40,
        familiarity_bound=0.01, change=ChangeSettings(percentile=97.0, rank=3),
    )  # fmt: skip
    manifest = tables.read_manifest(here / "data" / "world" / "manifest.parquet")
    fitted = calibration.fit_predictions(
        predictions, manifest, settings=settings, mos_range=(0.0, 100.0), distances={},
        groups=np.arange(len(manifest)) // 3,
    )  # fmt: skip
    assert fitted.rows_interval == fitted.rows_map == 48
    assert 0 < fitted.half_width < 100


def test_a_stage_refuses_features_of_other_settings(here: Path) -> None:
    change(here, "decode", frames=4)
    for stage, words, store in (
        (pretrain, ["ugc", "segment"], "features/ugc/segment.zarr"),
        (train, ["world", "frame"], "features/world/clip_image.zarr"),
        (examine, ["world", "frame"], "features/world/clip_image.zarr"),
    ):
        with pytest.raises(StoreError) as caught:
            stage.main(words)
        assert str(caught.value) == (
            f"Another fingerprint in {store}: got decoded.frames {feature_world.FRAMES}, expected "
            "decoded.frames 4; run `dvc repro` to make the store that the settings ask for."
        )


def test_a_stage_run_again_trains_nothing_and_writes_the_same_bytes(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run() -> dict[str, bytes]:
        pretrain.main(["ugc", "segment"])
        train.main(["world", "segment"])
        examine.main(["world", "segment"])
        return files(here / "runs")

    first = run()
    said = capsys.readouterr().out
    assert "world segment: 3 models, 0 of them trained before\n" in said
    monkeypatch.setattr(fit, "fit", None)
    again = run()
    said = capsys.readouterr().out
    assert "world segment: 3 models, 3 of them trained before\n" in said
    assert "epochs, trained before\n" in said
    assert set(first) == set(again)
    assert {name for name in first if "seconds" not in name} == {
        "start/segment/weights.safetensors",
        "start/segment/history.csv",
        "world/branches/segment/weights/repeat0.safetensors",
        "world/branches/segment/predictions.parquet",
        "world/branches/segment/history.csv",
        "world/branches/segment/settings.json",
        "world/examined/segment/copies.parquet",
        "world/examined/segment/shuffled.parquet",
        "world/examined/segment/attention.parquet",
    }
    assert all("seconds" in name for name in first if first[name] != again[name])


def test_the_models_that_were_finished_before_a_kill_are_not_trained_again(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    train.main(["world", "frame"])
    whole, left = files(here / "runs" / "world" / "branches"), 2
    shutil.rmtree(here / ".msavqa")
    real = fit.fit

    def dying(*args: Any, **named: Any) -> Any:
        nonlocal left
        left -= 1
        if left < 0:
            raise KeyboardInterrupt
        return real(*args, **named)

    with monkeypatch.context() as patched:
        patched.setattr(fit, "fit", dying)
        with pytest.raises(KeyboardInterrupt):
            train.main(["world", "frame"])
    capsys.readouterr()
    train.main(["world", "frame"])
    assert "world frame: 3 models, 2 of them trained before\n" in capsys.readouterr().out
    assert files(here / "runs" / "world" / "branches") == whole


def test_pretraining_reads_no_key_that_dvc_yaml_does_not_name(here: Path) -> None:
    """What may change a branch's start is in the stage's params; no other change gives other weights."""
    pretrain.main(["ugc", "segment"])
    before = files(here / "runs" / "start")
    change(here, "branches.segment", start=None, statistics=["spatial", "temporal"])
    change(here, "branches.segment.pss", fusion=["text"], adapter_ratio=0.25)
    change(here, "branches.segment.sma", queries=1, enabled=False)
    change(here, "branches.segment.optimiser", rate=0.5, batch=8)
    change(here, "train", epochs=1, prompts="shuffled", processes=2, resident="stream", evaluation_batch=64)
    change(here, "train", least_steps=40)
    shutil.rmtree(here / ".msavqa")
    pretrain.main(["ugc", "segment"])
    assert files(here / "runs" / "start") == before
    change(here, "train", warmup=0.5)
    pretrain.main(["ugc", "segment"])
    assert files(here / "runs" / "start") != before


def test_every_branch_can_be_pretrained_and_started_from(here: Path) -> None:
    for branch in BRANCHES:
        change(here, f"branches.{branch}", start=branch)
        pretrain.main(["ugc", branch])
        train.main(["world", branch])
        start = load_file(here / "runs" / "start" / branch / "weights.safetensors")
        final = load_file(here / "runs" / "world" / "branches" / branch / "weights" / "repeat0.safetensors")
        assert np.array_equal(final["standardise.mean"], start["standardise.mean"])


def test_another_seed_deals_prompts_out_otherwise_to_the_same_models(here: Path) -> None:
    train.main(["world", "frame"])
    examine.main(["world", "frame"])
    folder = here / "runs" / "world" / "examined" / "frame"
    before = files(folder)
    change(here, "train", seed=1)
    examine.main(["world", "frame"])
    assert files(folder)["attention.parquet"] == before["attention.parquet"]
    assert files(folder)["shuffled.parquet"] != before["shuffled.parquet"]


def test_a_stage_run_by_hand_leaves_dvcs_cached_copies_alone(here: Path, tmp_path: Path) -> None:
    run_all()
    runs = here / "runs"
    written = [path for path in runs.rglob("*") if path.is_file()]
    for number, path in enumerate(written):
        os.link(path, tmp_path / str(number))
        path.chmod(0o444)
    run_all()
    again = [path for number, path in enumerate(written) if path.samefile(tmp_path / str(number))]
    assert len(written) > 20
    assert again == []
