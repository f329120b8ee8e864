"""Small image and video networks with random weights, and a frames store without videos, for tests."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from msavqa.frames.read import DecodeSettings, fingerprint, specs
from msavqa.networks import backbones, weights
from msavqa.store import read as store
from msavqa.store import shards
from msavqa.store.shards import RowResult, ShardResult
from msavqa.trunks.kinds import image, video
from msavqa.trunks.run import named
from msavqa.trunks.run.network import Network, Trunk, Video

CONVNEXT = {"model": "convnext_atto", "kwargs": {"depths": [1, 1, 2, 1], "dims": [8, 16, 24, 32]}}
SWIN = {
    "model": "swin_tiny_patch4_window7_224",
    "kwargs": {
        "img_size": 64,
        "embed_dim": 12,
        "depths": [1, 1, 2, 1],
        "num_heads": [1, 2, 3, 6],
        "window_size": 2,
    },
}
VIDEO_SWIN = {
    "model": "SwinTransformer3d",
    "kwargs": {
        "patch_size": [2, 4, 4], "embed_dim": 12, "depths": [1, 1, 2], "num_heads": [1, 2, 4],
        "window_size": [2, 4, 4],
    },
}  # fmt: skip


def shaken(network: Any) -> Any:
    """A network in which nothing is zero or one, so that a forgotten bias or scale shows."""
    torch.manual_seed(5)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return network


def image_settings(folder: Path, network: dict[str, Any], **changes: Any) -> image.TrunkSettings:
    """Settings of an image trunk whose weights are written to the folder."""
    path = folder / f"{network['model']}.safetensors"
    weights.save(shaken(backbones.image(network["model"], network["kwargs"])).state_dict(), path)
    usual = {
        "kind": "image", "resize": 64, "crop": 64, "interpolation": "bicubic",
        "frames": "all", "views": 1, "cut": "pooled", "precision": "fp32", "dtype": "float32",
    }  # fmt: skip
    return image.TrunkSettings.model_validate({**usual, **network, **changes})


def video_settings(folder: Path, **changes: Any) -> video.TrunkSettings:
    """Settings of a video trunk whose weights are written to the folder."""
    path = folder / f"{VIDEO_SWIN['model']}.safetensors"
    network = shaken(backbones.video(VIDEO_SWIN["model"], VIDEO_SWIN["kwargs"]))
    weights.save(network.state_dict(), path)
    usual = {
        "kind": "video", "resize": 64, "crop": 64, "interpolation": "bilinear",
        "sampling": "resize", "views": 1, "cut": "pooled", "precision": "fp32", "dtype": "float32",
    }  # fmt: skip
    return video.TrunkSettings.model_validate({**usual, **VIDEO_SWIN, **changes})


def file(folder: Path, settings: Any) -> Path:
    """Where the weights of such settings were written to."""
    return folder / f"{settings.model}.safetensors"


def trunk(folder: Path, settings: Any, *, frames: int = 4) -> Trunk:
    """The network of such settings over videos of so many frames."""
    return Trunk.of(named.module(settings.kind), settings, weights=file(folder, settings), frames=frames)


def load(folder: Path, settings: Any, *, batch: int) -> Network[Video]:
    """The network of such settings on the CPU."""
    kind = named.module(settings.kind)
    return kind.load(settings, weights=file(folder, settings), device="cpu", batch=batch)


def frames_store(path: Path, videos: Sequence[Video], *, broken: Sequence[int] = ()) -> store.Store:
    """A frames.zarr of these videos, as decoding writes it; `broken` ones are quarantined."""
    box = max(max(video.frames.shape[1:3]) for video in videos)
    count = len(videos[0].frames)
    settings = DecodeSettings(
        backend="pyav",
        frames=count,
        box=box,
        store="frames",
        workers=1,
        timeout_seconds=10.0,
        max_quarantined_fraction=1.0,
    )

    def compute(rows: Sequence[int]) -> ShardResult:
        pixels = np.zeros((len(rows), count, box, box, 3), dtype=np.uint8)
        results = []
        for place, row in enumerate(rows):
            height, width = videos[row].frames.shape[1:3]
            pixels[place, :, :height, :width] = videos[row].frames
            error = "no frame" if row in broken else ""
            results.append(RowResult(count, "none", error, {"height": height, "width": width}))
        times = np.tile(np.arange(count, dtype=np.float64), (len(rows), 1))
        return ShardResult({"frames": pixels, "times_seconds": times}, results)

    shards.write(
        path,
        ids=[video.id for video in videos],
        sha256s=[f"{number:064x}" for number in range(len(videos))],
        specs=specs(settings),
        fingerprint=fingerprint(settings),
        attributes={},
        compute=compute,
        shard_mb=1,
        staging_root=path.parent / "staging",
    )
    return store.open(path)
