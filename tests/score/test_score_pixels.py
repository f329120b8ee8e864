"""Whole networks trained on frames: scoring shows each branch what training showed it."""

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from msavqa.bundle import bundle
from msavqa.learning import branch, inputs, stage_tail
from msavqa.score.perception import Perception
from msavqa.score.trained import Branch
from msavqa.store import read as store
from tests import branch_settings, clips, feature_world, tiny_networks

FRAMES, SIZE = 4, 64
OFF = {"pss__enabled": False, "sma__enabled": False, "statistics": [], "head__dropout": 0.0}


@pytest.fixture
def trunks(tmp_path: Path) -> dict[str, Any]:
    """Both trunks whose networks are trained whole, with two views and stores of three videos."""
    found = {
        "segment": tiny_networks.image_settings(
            tmp_path, tiny_networks.CONVNEXT, cut="pixels", views=2, frames=2
        ),
        "video": tiny_networks.video_settings(tmp_path, cut="pixels", views=2, dtype="float16"),
    }
    videos = clips.videos(3, frames=FRAMES, size=SIZE)
    ids = [one.id for one in videos]
    (tmp_path / "networks").mkdir()
    for name, settings in found.items():
        shutil.copy(tiny_networks.file(tmp_path, settings), tmp_path / "networks" / f"{name}.safetensors")
        trunk = tiny_networks.trunk(tmp_path, settings, frames=FRAMES)
        made = trunk.load(device="cpu", batch=16)(videos)
        feature_world.write_store(
            tmp_path / "features" / f"{name}.zarr",
            ids,
            fingerprint=trunk.fingerprint,
            attributes=trunk.attributes,
            **{spec.name: (" ".join(spec.axes), made[spec.name].astype(spec.dtype)) for spec in trunk.specs},
        )
    feature_world.write_store(
        tmp_path / "features" / "frames.zarr",
        ids,
        extra={"height": SIZE, "width": SIZE},
        frames=("video frame height width channel", np.stack([one.frames for one in videos])),
    )
    return found


@pytest.fixture
def perception(tmp_path: Path, trunks: dict[str, Any], random_bundle: Path) -> Perception:
    """Both trunks as a bundle of them would be loaded."""
    made = {name: store.open(tmp_path / "features" / f"{name}.zarr").fingerprint for name in trunks}
    settings = {name: one.model_dump() for name, one in trunks.items()}
    found = dataclasses.replace(
        bundle.load(random_bundle), path=tmp_path, texts={}, trunks=settings, fingerprints=made
    )
    return Perception.load(found, device="cpu")


@pytest.mark.parametrize("name", ["segment", "video"])
def test_a_branch_sees_in_scoring_what_it_saw_in_training(
    tmp_path: Path, perception: Perception, name: str
) -> None:
    settings = branch_settings.branch(name, **OFF)
    reads = branch.inputs(settings)
    videos = clips.videos(3, frames=FRAMES, size=SIZE)
    opened = inputs.open_inputs(
        reads,
        features=tmp_path / "features",
        ids=[one.id for one in videos],
        prompts=[""] * 3,
        device=torch.device("cpu"),
    )
    weights = tmp_path / "networks" / f"{name}.safetensors"
    backbone = stage_tail.backbone(opened.sources["features"].store, weights)
    shapes = opened.shapes(statistics=[])
    net = branch.assemble(settings, shapes=shapes, backbone=tiny_networks.shaken(backbone)).eval()
    with torch.no_grad():
        trained = net(opened.batch(np.arange(3))).score
        scored = [Branch(net, reads)(perception.see(one.frames, video_id="")).score for one in videos]
    torch.testing.assert_close(torch.cat(scored), trained, rtol=1e-5, atol=1e-6)
    assert trained.std() > 1e-4, "the videos look alike to it"


def test_motion_is_the_frozen_networks_however_far_the_trained_one_has_moved(
    tmp_path: Path, perception: Perception
) -> None:
    (video, *_) = clips.videos(1, frames=FRAMES, size=SIZE)
    kept = store.open(tmp_path / "features" / "video.zarr")
    seen = perception.see(video.frames, video_id="")["video"]
    assert set(seen) == {"pixels", "pooled"}
    cached = kept.read("pooled", kept.index([video.id]))[:, 0]
    assert seen["pooled"].dtype == cached.dtype
    np.testing.assert_allclose(seen["pooled"].astype(float), cached.astype(float), rtol=2e-3, atol=1e-3)
    moved = tiny_networks.shaken(
        stage_tail.backbone(kept, tmp_path / "networks" / "video.safetensors")
    ).eval()
    with torch.no_grad():
        other = moved(torch.from_numpy(seen["pixels"])).numpy()
    assert np.abs(other - cached).max() > 0.01


def test_a_store_of_a_trunk_trained_whole_serves_one_branch_frames_and_the_other_features(
    tmp_path: Path, trunks: dict[str, Any]
) -> None:
    reads = {"features": ("video", "pixels", "stage", "pooled"), "motion": ("video", "pooled")}
    (video, *_) = clips.videos(1, frames=FRAMES, size=SIZE)
    opened = inputs.open_inputs(
        reads,
        features=tmp_path / "features",
        ids=[video.id],
        prompts=[""],
        device=torch.device("cpu"),
    )
    one, other = (opened.batch(np.array([0]), views=np.array([view])) for view in (0, 1))
    assert one["features"].dtype == torch.uint8
    kept = store.open(tmp_path / "features" / "video.zarr").read("pooled", [0])
    for view, batch in enumerate((one, other)):
        np.testing.assert_array_equal(batch["motion"].numpy(), kept[:, view])
    assert not np.array_equal(kept[:, 0], kept[:, 1])
