"""An image network of timm over frames or key frames: pooled features, or the input of its last stage.

The frame branch's ConvNeXt and the segment branch's Swin are both of this kind and differ in settings only.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from msavqa.ground.params import Settings
from msavqa.networks import preprocess
from msavqa.networks.weights import load_strictly, read, sha256
from msavqa.store.format import ArraySpec
from msavqa.trunks.run.network import Arrays, Network, Video, precisely, to_numpy, versions

if TYPE_CHECKING:
    from torch import Tensor

AXIS = "video"


class TrunkSettings(Settings):
    """A trunk of kind `image`."""

    kind: Literal["image"]
    model: str = Field(min_length=1)
    """timm's name."""
    kwargs: dict[str, Any]
    """Further arguments of `timm.create_model`."""
    resize: int = Field(gt=0)
    """Pixels of the short side before the crop."""
    crop: int = Field(gt=0)
    """Pixels of both sides that the network sees."""
    interpolation: preprocess.Interpolation
    frames: Literal["all"] | int
    """Key frames, evenly spaced; `all` takes every stored frame."""
    views: int = Field(ge=1)
    """Cached views: 0 is fixed (evaluation), the others are crops, flips and starts for training."""
    cut: Literal["pooled", "last_stage", "pixels"]
    """What is cached: pooled features, the last stage's input, or nothing (the network is trained whole)."""
    precision: Literal["fp32", "bf16"]
    dtype: Literal["float16", "float32"]

    @model_validator(mode="after")
    def _crop_fits(self) -> "TrunkSettings":
        if self.crop > self.resize:
            raise ValueError(f"crop {self.crop} is larger than resize {self.resize}")
        if isinstance(self.frames, int) and self.frames < 1:
            raise ValueError(f"frames {self.frames}: expected `all` or at least 1")
        return self


@dataclass(frozen=True)
class Views:
    """The prepared views of one video."""

    pixels: "Tensor"
    """(view, frame, 3, crop, crop) uint8."""
    index: npt.NDArray[np.int32]
    """(view, frame), positions among the stored frames."""


def specs(settings: TrunkSettings, *, frames: int) -> tuple[ArraySpec, ...]:
    """`pooled` (video, view, frame, width) or `stage` (video, view, frame, ...); and `frame_index` (video,
    view, frame): which of the stored frames each is."""
    from msavqa.networks import backbones

    count = frames if settings.frames == "all" else settings.frames
    axes, lead = (AXIS, "view", "frame"), (settings.views, count)
    index = ArraySpec("frame_index", axes, lead, "int32")
    if settings.cut == "pixels":
        return (index,)
    if settings.cut == "pooled":
        width = backbones.image_width(settings.model, settings.kwargs)
        return (ArraySpec("pooled", (*axes, "width"), (*lead, width), settings.dtype), index)
    stage, stage_axes = backbones.image_stage(settings.model, settings.kwargs, crop=settings.crop)
    return (ArraySpec("stage", (*axes, *stage_axes), (*lead, *stage), settings.dtype), index)


def attributes(settings: TrunkSettings, *, weights: Path) -> dict[str, Any]:
    """`architecture`: what is needed to build the network, or its last stage, again."""
    from msavqa.networks import backbones

    width = backbones.image_width(settings.model, settings.kwargs)
    found = {"model": settings.model, "kwargs": settings.kwargs, "width": width}
    return {"architecture": found | {"weights_sha256": sha256(weights)}}


def fingerprint(settings: TrunkSettings, *, weights: Path) -> dict[str, Any]:
    """Everything the features depend on besides the frames themselves."""
    kept = settings.model_dump(exclude={"model", "kwargs"})
    return {**kept, **attributes(settings, weights=weights), "versions": versions("torch", "timm")}


def load(settings: TrunkSettings, *, weights: Path, device: str, batch: int) -> Network[Video]:
    """The network on a device, at most `batch` frames at a time; raises `MsavqaError` for wrong weights."""
    import torch

    from msavqa.networks import backbones

    network = backbones.image(settings.model, settings.kwargs)
    load_strictly(network, read(weights), where=weights, network=settings.model)
    mean_sd = network.pretrained_cfg["mean"], network.pretrained_cfg["std"]
    array = "pooled" if settings.cut == "pooled" else "stage"
    if settings.cut == "last_stage":
        backbones.check_cut(network, settings.model, crop=settings.crop)
        network = backbones.image_before(network, settings.model)
    network.to(device)

    @torch.inference_mode()
    def forward(videos: Sequence[Views]) -> Arrays:
        found: Arrays = {"frame_index": np.stack([video.index for video in videos])}
        if settings.cut == "pixels":
            return found
        pixels = torch.cat([video.pixels.flatten(0, 1) for video in videos])
        parts = []
        for part in torch.split(pixels, batch):
            normal = preprocess.normalised(part.to(device), mean_sd=mean_sd)
            with precisely(settings.precision, device=device):
                parts.append(to_numpy(network(normal)))
        joined = np.concatenate(parts)
        found[array] = joined.reshape(*found["frame_index"].shape, *joined.shape[1:])
        return found

    return Network(lambda video: prepare(settings, video), forward)


def prepare(settings: TrunkSettings, video: Video) -> Views:
    """The views of a video as uint8 pixels."""
    pixels, index = preprocess.image_views(
        video.frames,
        looks=preprocess.views(video.id, settings.views),
        key=settings.frames,
        resize=settings.resize,
        crop=settings.crop,
        interpolation=settings.interpolation,
    )
    return Views(pixels, index)
