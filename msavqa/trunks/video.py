"""torchvision's Video Swin over a video's frames: features a temporal token, or the last stage's input."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field, model_validator

from msavqa import preprocess, weights
from msavqa.network import Arrays, Network, Video, precisely, to_numpy, versions
from msavqa.params import Settings
from msavqa.store_format import ArraySpec

if TYPE_CHECKING:
    from torch import Tensor

AXIS = "video"
GRID, FRAGMENT = 7, 48
"""Zoom-VQA's and FAST-VQA's fragments: 7 x 7 patches of 48 pixels make 336."""


class TrunkSettings(Settings):
    """`trunks.video`."""

    kind: Literal["video"]
    model: str = Field(min_length=1)
    """`swin3d_t`, `swin3d_s`, `swin3d_b`, or `SwinTransformer3d` with all its sizes in kwargs."""
    kwargs: dict[str, Any]
    weights: str = Field(min_length=1)
    resize: int = Field(gt=0)
    """Pixels of the short side before crop or fragments."""
    crop: int = Field(gt=0)
    """Pixels of both sides that the network sees."""
    interpolation: preprocess.Interpolation
    sampling: Literal["resize", "fragments"]
    """`resize` crops the resized frame; `fragments` takes 7 x 7 unscaled patches from all over it."""
    views: int = Field(ge=1)
    """Cached views: 0 is fixed (evaluation), the others are crops or patches and flips for training."""
    cut: Literal["pooled", "last_stage", "pixels"]
    precision: Literal["fp32", "bf16"]
    dtype: Literal["float16", "float32"]

    @model_validator(mode="after")
    def _sizes_fit(self) -> Self:
        if self.crop > self.resize:
            raise ValueError(f"crop {self.crop} is larger than resize {self.resize}")
        if self.sampling == "fragments" and self.crop % GRID:
            raise ValueError(f"crop {self.crop} is no multiple of {GRID}, as fragments need")
        return self


def specs(settings: TrunkSettings, *, frames: int) -> tuple[ArraySpec, ...]:
    """`pooled` (video, view, time, width) or `stage` (video, view, time, height, width, channel).

    With cut `pixels` there is nothing to cache but that the video is usable: `seen` (video, view).
    """
    from msavqa import backbones

    axes, lead = (AXIS, "view"), (settings.views,)
    if settings.cut == "pixels":
        return (ArraySpec("seen", axes, lead, "bool"),)
    shape = backbones.video_shape(settings.model, settings.kwargs, frames=frames, crop=settings.crop)
    if settings.cut == "pooled":
        return (ArraySpec("pooled", (*axes, "time", "width"), (*lead, shape[0], shape[-1]), settings.dtype),)
    names = (*axes, "time", "height", "width", "channel")
    return (ArraySpec("stage", names, (*lead, *shape), settings.dtype),)


def attributes(settings: TrunkSettings) -> dict[str, Any]:
    """`architecture`: what is needed to build the network, or its last stage, again."""
    from msavqa import backbones

    *_, width = backbones.video_shape(settings.model, settings.kwargs, frames=1, crop=settings.crop)
    found = {"model": settings.model, "kwargs": settings.kwargs, "width": width}
    return {"architecture": found | {"weights_sha256": weights.sha256(settings.weights)}}


def fingerprint(settings: TrunkSettings) -> dict[str, Any]:
    """Everything the features depend on besides the frames themselves."""
    kept = settings.model_dump(exclude={"weights", "model", "kwargs"})
    sizes = {"mean_sd": preprocess.IMAGENET_MEAN_SD, "grid": GRID}
    return {**kept, **sizes, **attributes(settings), "versions": versions("torch", "torchvision")}


def load(settings: TrunkSettings, *, device: str, batch: int) -> Network[Video]:
    """The network on a device, about `batch` frames at a time; raises `WeightsError` for wrong weights."""
    import numpy as np
    import torch

    from msavqa import backbones

    network = backbones.video(settings.model, settings.kwargs)
    state = weights.read(settings.weights)
    weights.load_strictly(network, state, where=settings.weights, network=settings.model)
    network.to(device)
    array = "pooled" if settings.cut == "pooled" else "stage"
    run = backbones.video_features if settings.cut == "pooled" else backbones.video_before

    @torch.inference_mode()
    def forward(videos: "Sequence[Tensor]") -> Arrays:
        if settings.cut == "pixels":
            return {"seen": np.ones((len(videos), settings.views), dtype=bool)}
        pixels = torch.cat(list(videos))
        parts = []
        for part in torch.split(pixels, max(1, batch // pixels.shape[2])):
            normal = preprocess.normalised(part.to(device), mean_sd=preprocess.IMAGENET_MEAN_SD)
            with precisely(settings.precision, device=device):
                parts.append(to_numpy(run(network, normal)))
        joined = np.concatenate(parts)
        return {array: joined.reshape(len(videos), settings.views, *joined.shape[1:])}

    return Network(lambda video: prepare(settings, video), forward)


def prepare(settings: TrunkSettings, video: Video) -> "Tensor":
    """The views of a video, (view, 3, frame, crop, crop) uint8."""
    import torch

    pixels = preprocess.resized(
        video.frames, short_side=settings.resize, interpolation=settings.interpolation
    )
    found = []
    for look in preprocess.views(video.id, settings.views):
        if settings.sampling == "resize":
            part = preprocess.cropped(pixels, size=settings.crop, view=look)
        else:
            size = settings.crop // GRID
            part = preprocess.fragments(pixels, grid=GRID, size=size, view=look, video_id=video.id)
        found.append(part.transpose(0, 1))
    return torch.stack(found)
