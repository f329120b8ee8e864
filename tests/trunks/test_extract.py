"""Extraction end to end: frames or prompts to stores, interrupted, quarantined, refused."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from msavqa.frames import read as frames
from msavqa.frames.read import ReadFrames
from msavqa.ground.errors import MsavqaError, ProblemsError
from msavqa.networks import weights
from msavqa.store import read as store
from msavqa.trunks.kinds import clip_image, clip_text, image
from msavqa.trunks.measures import frame_statistics, statistics
from msavqa.trunks.run import named, videos
from msavqa.trunks.run.feature_rows import ExtractSettings
from msavqa.trunks.run.network import Trunk, Video
from tests import clips, tiny_networks
from tests import videos as test_videos

HOW = ExtractSettings(batch_frames=8, ahead_videos=2, threads=2, device="cpu")
DECODE = test_videos.settings(box=96, workers=1, timeout_seconds=10.0, max_quarantined_fraction=1.0)


@contextmanager
def reading(opened: store.Store) -> Iterator[ReadFrames]:
    with frames.source(opened, settings=DECODE, paths={}) as read_frames:
        yield read_frames


def run(path: Path, trunk: Trunk, opened: store.Store, **changes: Any) -> store.Store:
    with reading(opened) as read_frames:
        usual: dict[str, Any] = {"shard_mb": 1, "extract": HOW, "staging_root": path.parent / "staging"}
        videos.run(path, trunk=trunk, frames=opened, read_frames=read_frames, **usual | changes)
    return store.open(path)


def mixed_videos() -> list[Video]:
    """Videos of three sizes, so that padding and cropping are in play."""
    sizes = [96, 64, 80, 96, 72]
    return [
        Video(f"v{number}.mp4", clips.videos(1, frames=4, size=size, seed=number)[0].frames)
        for number, size in enumerate(sizes)
    ]


def test_the_store_holds_what_the_network_gives_for_each_video(tmp_path: Path) -> None:
    some = mixed_videos()
    settings = tiny_networks.image_settings(tmp_path, tiny_networks.CONVNEXT, dtype="float16")
    trunk = tiny_networks.trunk(tmp_path, settings)
    made = run(tmp_path / "frame.zarr", trunk, tiny_networks.frames_store(tmp_path / "frames.zarr", some))
    assert made.ids == [video.id for video in some]
    alone = image.load(settings, weights=tiny_networks.file(tmp_path, settings), device="cpu", batch=64)
    for row, video in enumerate(some):
        expected = alone([video])["pooled"]
        np.testing.assert_allclose(made.read("pooled", [row]), expected, rtol=2e-3, atol=1e-3)
    assert made.spec("pooled").dtype == "float16"
    assert made.attributes["architecture"]["width"] == 32


def test_frames_clip_and_statistics_stores_have_the_promised_arrays(tmp_path: Path) -> None:
    some = mixed_videos()
    opened = tiny_networks.frames_store(tmp_path / "frames.zarr", some)
    world = clips.build("small", tmp_path)
    clip = run(tmp_path / "clip_image.zarr", world.image_trunk(), opened)
    assert clip.shape("tokens") == (5, 4, 17, 128)
    assert clip.shape("cls") == (5, 4, 128)
    np.testing.assert_allclose(np.linalg.norm(clip.all("cls"), axis=-1), 1, rtol=1e-5)
    measured = run(tmp_path / "statistics.zarr", statistics.trunk(), opened)
    expected = np.stack([frame_statistics.measure(video.frames) for video in some])
    groups = measured.attributes["statistics"]
    names = [name for group in groups for name in groups[group]]
    found = np.concatenate([measured.all(group) for group in groups], axis=1)
    order = [frame_statistics.NAMES.index(name) for name in names]
    np.testing.assert_allclose(found, expected[:, order], rtol=1e-5)


def test_the_cheap_clip_cut_keeps_class_embeddings_only(tmp_path: Path) -> None:
    opened = tiny_networks.frames_store(tmp_path / "frames.zarr", mixed_videos())
    world = clips.build("small", tmp_path)
    whole = run(tmp_path / "whole.zarr", world.image_trunk(), opened)
    cheap = run(tmp_path / "cheap.zarr", world.image_trunk(cut="cls"), opened)
    assert set(cheap.specs) == {"cls"}
    assert np.array_equal(cheap.all("cls"), whole.all("cls"))


def test_quarantined_videos_stay_quarantined_with_their_reason(tmp_path: Path) -> None:
    opened = tiny_networks.frames_store(tmp_path / "frames.zarr", mixed_videos(), broken=[1, 3])
    settings = tiny_networks.image_settings(tmp_path, tiny_networks.CONVNEXT)
    made = run(tmp_path / "frame.zarr", tiny_networks.trunk(tmp_path, settings), opened)
    assert made.valid.tolist() == [True, False, True, False, True]
    assert made.rows["error"].tolist() == ["", "no frame", "", "no frame", ""]
    assert not made.read("pooled", [1]).any()


def test_the_room_for_tokens_is_the_longest_prompts_rounded_up(tmp_path: Path) -> None:
    world = clips.build("small", tmp_path)
    assert clip_text.room(world.text, ["cat", "a red ball"]) == 16
    assert clip_text.room(world.text, ["word " * 15]) == 32
    assert clip_text.room(world.text, ["word " * 200]) == 77


def test_a_truncated_prompt_is_open_clips_own_truncation(tmp_path: Path) -> None:
    from open_clip.tokenizer import SimpleTokenizer

    world = clips.build("small", tmp_path)
    tokenised = clip_text.tokeniser(world.text)
    for prompt in [*clips.PROMPTS, "word " * 200]:
        ids = tokenised(prompt).ids
        padded = ids + [0] * (77 - len(ids))
        assert padded == SimpleTokenizer(context_length=77)([prompt])[0].tolist()


def test_a_value_too_large_for_the_store_stops_the_run_with_the_videos_name(tmp_path: Path) -> None:
    opened = tiny_networks.frames_store(tmp_path / "frames.zarr", mixed_videos()[:1])
    settings = tiny_networks.image_settings(tmp_path, tiny_networks.CONVNEXT, dtype="float16")
    file = tiny_networks.file(tmp_path, settings)
    state = weights.read(file)
    state["head.norm.bias"] = state["head.norm.bias"] * 0 + 1e6
    weights.save(state, file)
    with pytest.raises(MsavqaError) as refusal:
        run(tmp_path / "frame.zarr", tiny_networks.trunk(tmp_path, settings), opened)
    assert str(refusal.value) == (
        "Feature in v0.mp4 (pooled): got values up to 1e+06, expected finite values of at most 65504 "
        "(float16); set the trunk's `dtype: float32` if they are large, or check its weights and precision."
    )


def test_a_value_that_is_not_finite_stops_the_run_with_the_videos_name(tmp_path: Path) -> None:
    opened = tiny_networks.frames_store(tmp_path / "frames.zarr", mixed_videos()[:1])
    settings = tiny_networks.image_settings(tmp_path, tiny_networks.CONVNEXT)
    file = tiny_networks.file(tmp_path, settings)
    state = weights.read(file)
    state["head.norm.bias"] = state["head.norm.bias"] * float("nan")
    weights.save(state, file)
    with pytest.raises(MsavqaError) as refusal:
        run(tmp_path / "frame.zarr", tiny_networks.trunk(tmp_path, settings), opened)
    assert str(refusal.value) == (
        "Feature in v0.mp4 (pooled): got values that are not finite, expected finite values of at most "
        "3.4028e+38 (float32); set the trunk's `dtype: float32` if they are large, or check its weights and "
        "precision."
    )


def test_an_interrupted_run_continues_and_gives_the_same_bytes(tmp_path: Path) -> None:
    some = clips.videos(40, frames=4, size=96)
    opened = tiny_networks.frames_store(tmp_path / "frames.zarr", some)
    settings = tiny_networks.image_settings(tmp_path, tiny_networks.CONVNEXT)
    trunk = tiny_networks.trunk(tmp_path, settings)
    whole = run(tmp_path / "a" / "frame.zarr", trunk, opened, shard_mb=0.004)

    class StoppedError(Exception):
        pass

    def stopping(rows: Any) -> Iterator[Any]:
        for row, pixels in zip(rows, read(rows), strict=True):
            if row >= 20:
                raise StoppedError
            yield pixels

    path = tmp_path / "b" / "frame.zarr"
    with reading(opened) as read, pytest.raises(StoppedError):
        videos.run(
            path, trunk=trunk, frames=opened, read_frames=stopping, extract=HOW,
            shard_mb=0.004, staging_root=path.parent / "staging",
        )  # fmt: skip
    assert not path.exists()
    with reading(opened) as read_frames:
        report = videos.run(
            path, trunk=trunk, frames=opened, read_frames=read_frames, extract=HOW,
            shard_mb=0.004, staging_root=path.parent / "staging",
        )  # fmt: skip
    assert 0 < report.computed < len(some)
    files = sorted(one.relative_to(path) for one in path.rglob("*") if one.is_file())
    assert files == sorted(one.relative_to(whole.path) for one in whole.path.rglob("*") if one.is_file())
    assert [f for f in files if (path / f).read_bytes() != (whole.path / f).read_bytes()] == []


def test_other_frames_make_another_fingerprint(tmp_path: Path) -> None:
    settings = tiny_networks.image_settings(tmp_path, tiny_networks.CONVNEXT)
    trunk = tiny_networks.trunk(tmp_path, settings)
    one = run(tmp_path / "one.zarr", trunk, tiny_networks.frames_store(tmp_path / "f1.zarr", mixed_videos()))
    two = run(
        tmp_path / "two.zarr",
        trunk,
        tiny_networks.frames_store(tmp_path / "f2.zarr", clips.videos(2, frames=4, size=48)),
    )
    assert one.fingerprint["decoded"]["box"] == 96
    assert two.fingerprint["decoded"]["box"] == 48
    assert one.fingerprint != two.fingerprint


@pytest.mark.parametrize("trunk", ["image", "clip_image"])
def test_bfloat16_stays_within_two_percent_of_float32(tmp_path: Path, trunk: str) -> None:
    some = clips.videos(2, frames=2, size=64)
    if trunk == "image":
        settings: Any = tiny_networks.image_settings(tmp_path, tiny_networks.CONVNEXT)
        file, array = tiny_networks.file(tmp_path, settings), "pooled"
    else:
        world = clips.build("small", tmp_path)
        settings, file, array = world.image, world.image_weights, "cls"
    load = partial(named.module(trunk).load, weights=file, device="cpu", batch=8)
    exact = load(settings)(some)[array]
    rough = load(settings.model_copy(update={"precision": "bf16"}))(some)[array]
    off = np.abs(rough - exact).max() / np.abs(exact).max()
    assert 0 < off < 0.02


@pytest.mark.parametrize("kind", ["image", "video"])
def test_bfloat16_does_not_drown_fine_texture_in_the_mean_of_a_patch(tmp_path: Path, kind: str) -> None:
    """A first layer of strong filters that sum to zero, as whitening makes them, over bright, faint noise."""
    if kind == "image":
        settings: Any = tiny_networks.image_settings(tmp_path, tiny_networks.CONVNEXT)
    else:
        settings = tiny_networks.video_settings(tmp_path)
    file = tiny_networks.file(tmp_path, settings)
    state = weights.read(file)
    (first,) = (name for name in ("stem.0.weight", "patch_embed.proj.weight") if name in state)
    filters = 10 * torch.randn(state[first].shape, generator=torch.Generator().manual_seed(0))
    state[first] = filters - filters.flatten(1).mean(1).reshape(-1, *[1] * (filters.ndim - 1))
    weights.save(state, file)
    noise = np.random.default_rng(0).integers(240, 244, (2, 6, 64, 64, 3), dtype=np.uint8)
    some = [Video(f"{number}", pixels) for number, pixels in enumerate(noise)]
    load = partial(named.module(kind).load, weights=file, device="cpu", batch=8)
    exact = load(settings)(some)["pooled"]
    rough = load(settings.model_copy(update={"precision": "bf16"}))(some)["pooled"]
    assert np.sqrt(np.mean((rough - exact) ** 2)) < 0.02 * exact.std()


def test_an_unknown_kind_is_named_with_the_nearest_right_one() -> None:
    with pytest.raises(ProblemsError) as refusal:
        named.trunk({"trunks": {"frame": {"kind": "images"}}}, "frame")
    assert str(refusal.value) == (
        "1 problem in params.yaml; mend it and run again:\n"
        "  - trunks.frame.kind: got 'images', expected one of clip_image, image, video, "
        "did you mean 'image'?"
    )


def test_an_unknown_trunk_is_named_with_the_nearest_right_one() -> None:
    with pytest.raises(ProblemsError) as refusal:
        named.trunk({"trunks": {"frame": {"kind": "image"}}}, "frames")
    assert str(refusal.value) == (
        "1 problem in params.yaml; mend it and run again:\n  - trunks.frames: missing, did you mean 'frame'?"
    )


def test_clip_of_another_form_is_refused_with_what_makes_it_other(tmp_path: Path) -> None:
    import json

    from msavqa.networks import clip_model

    path = tmp_path / "clip.json"
    other = clips.config_of("small")
    path.write_text(json.dumps({**other, "vision_cfg": {**other["vision_cfg"], "pool_type": "avg"}}))
    with pytest.raises(MsavqaError) as refusal:
        clip_model.config(str(path))
    assert str(refusal.value) == (
        f"CLIP model in {path}: got vision_cfg.pool_type, expected two plain transformers (class token, "
        "causal text read at EOT); choose another `model` in params.yaml."
    )


def test_an_unknown_clip_is_refused_with_names_near_it() -> None:
    from msavqa.networks import clip_model

    with pytest.raises(MsavqaError) as refusal:
        clip_model.config("ViT-B-33")
    assert str(refusal.value) == (
        "CLIP model in ViT-B-33: got an unknown name, expected ViT-B-32 or ViT-S-32 or ViT-M-32; choose "
        "another `model` in params.yaml."
    )


@pytest.mark.parametrize("kind", [clip_image, clip_text])
def test_a_clip_tower_refuses_the_other_towers_weights(tmp_path: Path, kind: Any) -> None:
    world = clips.build("small", tmp_path)
    mine, other = world.image, world.text_weights
    if kind is clip_text:
        mine, other = world.text, world.image_weights
    with pytest.raises(MsavqaError, match=r"missing .* extra .*expected exactly the"):
        kind.load(mine, weights=other, device="cpu", batch=4)
