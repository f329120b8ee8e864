"""Every other cut and `decode.store: none`, end to end: stage after stage on the tiny world's own videos."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import msavqa
from msavqa.datasets import tables
from msavqa.ground import params
from msavqa.learning import stage_tail
from msavqa.networks import weights
from msavqa.store import read as store
from pipeline import (
    check,
    controls,
    copies,
    decode,
    ensemble,
    examine,
    export,
    extract,
    measure,
    pretrain,
    prompts,
    report,
    train,
)
from tests import tiny
from tests.conftest import ROOT
from tests.stores import tree

pytestmark = pytest.mark.pipeline

SET, UGC = "sample", "sample_ugc"
BRANCHES = ("frame", "segment", "video")


@pytest.fixture
def project(tiny_world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The tiny world's videos, tables, weights and stores by link, and its params to change."""
    (tmp_path / "msavqa").symlink_to(ROOT / "msavqa")
    for dataset in (SET, UGC):
        for room in ("data", "features"):
            (tmp_path / room / dataset).mkdir(parents=True)
            for made in (tiny_world / room / dataset).iterdir():
                (tmp_path / room / dataset / made.name).symlink_to(made)
    splits = tmp_path / "data" / SET / "splits.parquet"
    rows = tables.read_splits(splits)
    splits.unlink()  # the link
    tables.write_splits(rows[rows["repeat"] == 0], splits)  # one split is enough here
    shutil.copy(tiny_world / "params.yaml", tmp_path)
    tiny.edit(tmp_path / "params.yaml", {"train.epochs": 1})
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as in the tiny world's own stages: a sum's last bit depends on it
    yield tmp_path
    torch.set_num_threads(threads)


def change(**changes: Any) -> None:
    """Sets dotted keys (`__` for the dots) of params.yaml, which then still passes the strict check."""
    tiny.edit(Path("params.yaml"), {key.replace("__", "."): value for key, value in changes.items()})
    check.main([])


def make(dataset: str, *names: str) -> dict[str, store.Store]:
    """Runs the stages that write these stores, in place of the linked ones."""
    for name in names:
        (Path("features") / dataset / f"{name}.zarr").unlink()  # the link
        if name in ("frames", "statistics"):
            (decode if name == "frames" else measure).main([dataset])
        else:
            (prompts if name == "clip_text" else extract).main([dataset, name])
    return {name: store.open(f"features/{dataset}/{name}.zarr") for name in names}


def remake_copies() -> None:
    """Runs their stage, in place of the linked ones."""
    (Path("features") / SET / "copies").unlink()  # the link
    copies.main([SET])


def learn() -> None:
    """Trains all branches and asks them once more."""
    for branch in BRANCHES:
        train.main([SET, branch])
        examine.main([SET, branch])


def check_that_all_is_reported() -> None:
    """Runs what follows training: every video has a finite score of every branch, the report its figures."""
    controls.main([SET])
    ensemble.main([SET])
    report.main([SET])
    splits = tables.read_splits(Path("data") / SET / "splits.parquet")
    for name in (*(f"branches/{branch}" for branch in BRANCHES), "ensemble"):
        predictions = tables.read_predictions(Path("runs") / SET / name / "predictions.parquet")
        assert set(predictions["video_id"]) == set(splits["video_id"])
        assert np.isfinite(predictions["score"]).all()
    metrics = json.loads(Path("reports", SET, "metrics.json").read_text(encoding="utf-8"))
    assert {"srcc", *(f"{branch}_srcc" for branch in BRANCHES)} <= metrics.keys()


def learned(branch: str) -> list[str]:
    """Names of the trunk's tensors that this branch has trained along and moved."""
    trunk = store.open(f"features/{SET}/{branch}.zarr")
    start = stage_tail.backbone(trunk, Path(params.read()["weights"], f"{branch}.safetensors")).state_dict()
    trained = weights.read(f"runs/{SET}/branches/{branch}/weights/repeat0.safetensors")
    assert {f"backbone.{name}" for name in start} == {one for one in trained if one.startswith("backbone.")}
    return [name for name, tensor in start.items() if not torch.equal(tensor, trained[f"backbone.{name}"])]


def check_that_the_bundle_scores_as_the_pipeline() -> None:
    """A test video scored from its file gets the score it got from the stores."""
    export.main([SET])
    scored = tables.read_predictions(Path("runs") / SET / "ensemble" / "predictions.parquet")
    tested = scored[(scored["repeat"] == 0) & (scored["role"] == "test")].iloc[0]
    manifest = tables.read_manifest(Path("data") / SET / "manifest.parquet").set_index("video_id")
    row = manifest.loc[tested["video_id"]]
    root = Path(params.read()["datasets"][SET]["root"])
    with msavqa.load(f"runs/{SET}/bundle") as scorer:
        assert scorer.score(root / row["path"], row["prompt"]).raw == pytest.approx(tested["score"], abs=1e-4)


def test_the_last_stages_of_all_networks_learn_from_the_cache_and_are_reported(project: Path) -> None:
    """The segment branch trains adapters inside CLIP beside it, from the tokens before CLIP's last block."""
    change(
        **{f"trunks__{name}__cut": "last_stage" for name in BRANCHES},
        branches__segment__technical__motion="trunk",
        branches__segment__pss__adapters="tail",
    )
    made = make(SET, *BRANCHES) | make(UGC, "segment", "video")
    assert all("stage" in one.specs for one in made.values())
    pretrain.main([UGC, "segment"])
    remake_copies()
    linked = Path("features") / SET / "frames.zarr"
    linked.rename("frames.zarr")
    learn()
    Path("frames.zarr").rename(linked)
    check_that_all_is_reported()
    assert all(len(learned(branch)) > 5 for branch in BRANCHES)
    check_that_the_bundle_scores_as_the_pipeline()


def test_whole_networks_learn_from_stored_frames_and_are_reported(project: Path) -> None:
    """The segment branch reads as motion what the video network gave before any training."""
    change(
        **{f"trunks__{name}__cut": "pixels" for name in BRANCHES},
        branches__segment__technical__motion="trunk",
        trunks__frame__frames=2,
        trunks__segment__frames=2,
        copies__videos=0,
        train__copies__weight=0.0,
    )
    made = make(SET, *BRANCHES) | make(UGC, "segment", "video")
    assert {name: set(one.specs) for name, one in made.items()} == {
        "frame": {"frame_index"}, "segment": {"frame_index"}, "video": {"pooled"},
    }  # fmt: skip
    pretrain.main([UGC, "segment"])
    remake_copies()
    learn()
    check_that_all_is_reported()
    assert all(len(learned(branch)) > 10 for branch in BRANCHES)
    check_that_the_bundle_scores_as_the_pipeline()


def test_adapters_behind_clips_final_token_learn_from_that_token_alone(
    project: Path, tiny_world: Path
) -> None:
    change(
        **{f"branches__{name}__pss__adapters": "cls" for name in BRANCHES},
        texts__clip_text__cut="cls",
        trunks__clip_image__cut="cls",
    )
    Path("runs/start").mkdir(parents=True, exist_ok=True)
    Path("runs/start/segment").symlink_to(tiny_world / "runs/start/segment")  # it reads no CLIP
    made = make(SET, "clip_text", "clip_image")
    assert [set(one.specs) for one in made.values()] == [{"length", "cls"}, {"cls"}]
    remake_copies()
    learn()
    check_that_all_is_reported()
    check_that_the_bundle_scores_as_the_pipeline()


def test_features_are_the_same_to_the_byte_where_no_frames_are_stored(
    project: Path, tiny_world: Path
) -> None:
    """The tiny world's stores were made by DVC from stored frames, these decode the videos as they go."""
    change(decode__store="none")
    names = ("clip_image", *BRANCHES, "statistics")
    assert set(make(SET, "frames")["frames"].specs) == {"times_seconds"}
    make(SET, *names)
    for name in names:
        place = Path("features") / SET / f"{name}.zarr"
        assert tree(place) == tree(tiny_world / place), name
