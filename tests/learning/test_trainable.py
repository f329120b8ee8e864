"""Backbones trained along: the same features at first whatever the cut, and weights that then move."""

import dataclasses
import shutil
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from timm import create_model
from torchvision.models.video.swin_transformer import SwinTransformer3d

from msavqa.ground.errors import MsavqaError
from msavqa.learning import checkpoint, inputs, stage_tail, training
from msavqa.learning.folds import FINAL, Job, Outcome, Work
from msavqa.learning.gradients import Ranks
from msavqa.trunks.kinds import image, video
from msavqa.trunks.run import network
from tests import branch_settings, feature_world
from tests.training import Killed, close, opened, same

CUTS = ("pooled", "last_stage", "pixels")
CONVNEXT = {
    "dims": [8, 8, 16, 16], "depths": [1, 1, 1, 1], "conv_mlp": True, "norm_layer": "batchnorm2d",
}  # fmt: skip
SWIN = {
    "patch_size": [2, 4, 4], "embed_dim": 8, "depths": [1, 1], "num_heads": [1, 2], "window_size": [2, 2, 2],
    "stochastic_depth_prob": 0.0,
}  # fmt: skip
VIDEOS, FRAMES, BOX = 20, 4, 40


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A world whose frames are noise of a strength that is quality; weights of two small trunks."""
    root = tmp_path_factory.mktemp("world")
    made = feature_world.make(root, videos=VIDEOS)
    random = np.random.default_rng(0)
    strength = made.manifest["mos"].to_numpy()[:, None, None, None, None]
    frames = (128 + strength * random.uniform(-1, 1, size=(VIDEOS, FRAMES, BOX, BOX, 3))).clip(0, 255)
    feature_world.write_store(
        root / "features" / "frames.zarr",
        list(made.manifest["video_id"]),
        extra={"height": BOX, "width": BOX},
        frames=("video frame height width channel", frames.astype(np.uint8)),
    )
    torch.manual_seed(0)
    save_file(
        create_model("convnext_atto", num_classes=0, **CONVNEXT).state_dict(), root / "image.safetensors"
    )
    swin = SwinTransformer3d(num_classes=2, **SWIN).state_dict()
    kept = {name: tensor.contiguous() for name, tensor in swin.items() if not name.startswith("head.")}
    save_file(kept, root / "video.safetensors")
    return root


@cache
def extract(root: Path, kind: str, cut: str) -> Work:
    """Work on one branch whose trunk was extracted at a cut."""
    made = feature_world.make(root / f"{kind}-{cut}", videos=VIDEOS)
    frames = root / "features" / "frames.zarr"
    (made.features / "frames.zarr").symlink_to(frames, target_is_directory=True)
    common: dict[str, Any] = {
        "kind": kind, "resize": 36, "crop": 32, "views": 2,
        "interpolation": "bilinear", "cut": cut, "precision": "fp32", "dtype": "float32",
    }  # fmt: skip
    if kind == "image":
        trunk: Any = image
        settings = {"model": "convnext_atto", "kwargs": CONVNEXT, "frames": "all"}
    else:
        trunk = video
        settings = {"model": "SwinTransformer3d", "kwargs": SWIN, "sampling": "resize"}
    chosen = trunk.TrunkSettings.model_validate(common | settings)
    pixels = inputs.store.open(frames).all("frames")
    ids = list(made.manifest["video_id"])
    weights = root / f"{kind}.safetensors"
    found = trunk.load(chosen, weights=weights, device="cpu", batch=16)(
        [network.Video(id=one, frames=pixels[row]) for row, one in enumerate(ids)]
    )
    specs = {spec.name: " ".join(spec.axes) for spec in trunk.specs(chosen, frames=FRAMES)}
    branch = "frame" if kind == "image" else "video"
    target = made.features / f"{branch}-{cut}.zarr"
    feature_world.write_store(
        target,
        ids,
        fingerprint=trunk.fingerprint(chosen, weights=weights),
        attributes=trunk.attributes(chosen, weights=weights),
        **{name: (axes, found[name]) for name, axes in specs.items()},
    )
    shutil.copy(weights, made.weights / f"{target.stem}.safetensors")
    return Work(
        branch=branch,
        settings=branch_settings.branch(branch, reads__trunk=target.stem, head__dropout=0.0),
        train=branch_settings.train(epochs=2),
        manifest=made.manifest,
        splits=made.splits,
        features=made.features,
        weights=made.weights,
        start=None,
        kept=None,
        live=None,
    )


@pytest.mark.parametrize("kind", ["image", "video"])
def test_every_cut_shows_the_branch_the_same_features_and_learns_the_more_the_earlier_it_is(
    world: Path, kind: str
) -> None:
    technical, scores, moved = {}, {}, {}
    videos = np.arange(VIDEOS)
    for cut in CUTS:
        found = opened(extract(world, kind, cut))
        net = found.model().eval()
        with torch.no_grad():
            fixed = net.technical(found.inputs.batch(videos))
            other = net.technical(found.inputs.batch(videos, views=np.ones(VIDEOS, dtype=np.int64)))
        assert not torch.allclose(fixed, other)
        technical[cut] = torch.cat([fixed, other])
        before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
        outcome = training.train(found, Job(repeat=0, fold=FINAL), ranks=Ranks(0, 1))
        scores[cut] = outcome.scores["score"].to_numpy()
        learned = [name for name in before if not np.array_equal(outcome.weights[name], before[name])]
        moved[cut] = [name for name in learned if name.startswith("backbone.")]
    torch.testing.assert_close(technical["last_stage"], technical["pooled"], atol=2e-4, rtol=1e-3)
    torch.testing.assert_close(technical["pixels"], technical["pooled"], atol=2e-4, rtol=1e-3)
    assert len(moved["pooled"]) == 0 < len(moved["last_stage"]) < len(moved["pixels"])
    assert all(np.isfinite(one).all() for one in scores.values())


@pytest.mark.parametrize("cut", CUTS)
def test_each_frame_may_be_seen_in_a_view_of_its_own(world: Path, cut: str) -> None:
    found = opened(extract(world, "image", cut))
    videos = np.arange(VIDEOS)
    own = np.random.default_rng(0).integers(0, 2, size=(VIDEOS, FRAMES))
    assert found.inputs.single_frames == FRAMES
    first, second, mixed = (
        found.inputs.batch(videos, views=views)["features"]
        for views in (np.zeros(VIDEOS, dtype=np.int64), np.ones(VIDEOS, dtype=np.int64), own)
    )
    assert not torch.equal(first, second)
    chosen = torch.from_numpy(own).reshape(VIDEOS, FRAMES, *[1] * (first.ndim - 2)).bool()
    assert torch.equal(mixed, torch.where(chosen, second, first))


def test_a_video_that_a_network_sees_at_once_has_one_view(world: Path) -> None:
    found = opened(extract(world, "video", "pooled"))
    assert found.inputs.single_frames == 0
    views = np.ones((VIDEOS, FRAMES), dtype=np.int64)
    of_frames, of_videos = (
        found.inputs.batch(np.arange(VIDEOS), views=some)["features"] for some in (views, views[:, 0])
    )
    assert torch.equal(of_frames, of_videos)


def test_a_backbone_of_other_weights_than_the_features_is_refused(world: Path, tmp_path: Path) -> None:
    folder = extract(world, "image", "last_stage").features / "frame-last_stage.zarr"
    other = tmp_path / "other.safetensors"
    save_file({"x": torch.zeros(1)}, other)
    with pytest.raises(MsavqaError, match="Other weights than those of the cached features"):
        stage_tail.backbone(inputs.store.open(folder), other)


def final(todo: Work, **train: Any) -> Outcome:
    todo = dataclasses.replace(todo, train=branch_settings.train(epochs=2, **train))
    return training.train(opened(todo), Job(repeat=0, fold=FINAL), ranks=Ranks(0, 1))


@cache
def plain(root: Path, kind: str, cut: str) -> Outcome:
    return final(extract(root, kind, cut))


backbones = pytest.mark.parametrize(
    ("kind", "cut"), [(kind, cut) for kind in ("image", "video") for cut in CUTS[1:]]
)


@backbones
def test_an_average_of_a_trained_backbone_holds_its_tables_and_counters_as_they_are(
    world: Path, kind: str, cut: str
) -> None:
    fresh = opened(extract(world, kind, cut)).model().state_dict()
    averaged, last = final(extract(world, kind, cut), ema=0.9).weights, plain(world, kind, cut).weights
    kept = [name for name, tensor in fresh.items() if not tensor.is_floating_point()]
    assert kept
    assert all(np.array_equal(averaged[name], fresh[name]) for name in kept)
    moved = [name for name in last if name.startswith("backbone.") and name not in kept]
    assert any(not np.array_equal(averaged[name], last[name]) for name in moved)


@backbones
def test_a_batch_in_parts_trains_a_backbone_as_at_once(world: Path, kind: str, cut: str) -> None:
    close(plain(world, kind, cut), final(extract(world, kind, cut), accumulate=3))


@backbones
def test_a_backbone_trained_in_bf16_stays_near_fp32(world: Path, kind: str, cut: str) -> None:
    scores = [plain(world, kind, cut).scores["score"]]
    scores.append(final(extract(world, kind, cut), precision="bf16").scores["score"])
    assert np.corrcoef(*scores)[0, 1] > 0.98


@backbones
def test_a_killed_run_with_a_backbone_continues_to_the_same_weights_to_the_bit(
    world: Path, kind: str, cut: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    todo, save = dataclasses.replace(extract(world, kind, cut), kept=tmp_path), checkpoint.save

    def save_and_die(*given: Any) -> None:
        save(*given)
        raise Killed

    monkeypatch.setattr(checkpoint, "save", save_and_die)
    with pytest.raises(Killed):
        final(todo, ema=0.9)
    monkeypatch.setattr(checkpoint, "save", save)
    assert len(list(tmp_path.glob("*.pt"))) == 1
    assert same(final(todo, ema=0.9), final(extract(world, kind, cut), ema=0.9))


@pytest.mark.parametrize("cut", CUTS[1:])
def test_batch_norm_keeps_its_running_statistics_and_learns_its_scale(world: Path, cut: str) -> None:
    fresh = opened(extract(world, "image", cut)).model().state_dict()
    weights = plain(world, "image", cut).weights
    statistics = [name for name in fresh if name.endswith(("running_mean", "running_var"))]
    assert statistics
    assert all(np.array_equal(weights[name], fresh[name]) for name in statistics)
    scales = [name.replace("running_mean", "weight") for name in statistics if name.endswith("running_mean")]
    assert any(not np.array_equal(weights[name], fresh[name]) for name in scales)
