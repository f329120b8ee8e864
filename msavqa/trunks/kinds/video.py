"""torchvision's Video Swin over a video's frames: features a temporal token, and the last stage's input."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

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
    """A trunk of kind `video`."""

    kind: Literal["video"]
    model: str = Field(min_length=1)
    """`swin3d_t`, `swin3d_s`, `swin3d_b`, or `SwinTransformer3d` with all its sizes in kwargs."""
    kwargs: dict[str, Any]
    resize: int = Field(gt=0)
    """Pixels of the short side before crop or fragments."""
    crop: int = Field(gt=0)
    """Pixels of both sides that the network sees."""
    interpolation: preprocess.Interpolation
    sampling: preprocess.Sampling
    """`resize` crops the resized frame; `fragments` takes 7 x 7 unscaled patches from all over it."""
    views: int = Field(ge=1)
    """Cached views: 0 is fixed (evaluation), the others are crops or patches and flips for training."""
    cut: Literal["pooled", "last_stage", "pixels"]
    """From where the video branch trains on; pooled features are cached at every cut."""
    precision: Literal["fp32", "bf16"]
    dtype: Literal["float16", "float32"]

    @model_validator(mode="after")
    def _sizes_fit(self) -> "TrunkSettings":
        if self.crop > self.resize:
            raise ValueError(f"crop {self.crop} is larger than resize {self.resize}")
        if self.sampling == "fragments" and self.crop % preprocess.GRID:
            raise ValueError(f"crop {self.crop} is no multiple of {preprocess.GRID}, as fragments need")
        return self


def specs(settings: TrunkSettings, *, frames: int) -> tuple[ArraySpec, ...]:
    """`pooled` (video, view, time, width), which the segment branch reads as motion at every cut; with cut
    `last_stage` also `stage` (video, view, time, height, width, channel): the video branch trains on from it.
    """
    from msavqa.networks import backbones

    axes, lead = (AXIS, "view"), (settings.views,)
    shape = backbones.video_shape(settings.model, settings.kwargs, frames=frames, crop=settings.crop)
    pooled = ArraySpec("pooled", (*axes, "time", "width"), (*lead, shape[0], shape[-1]), settings.dtype)
    if settings.cut != "last_stage":
        return (pooled,)
    names = (*axes, "time", "height", "width", "channel")
    return (ArraySpec("stage", names, (*lead, *shape), settings.dtype), pooled)


def attributes(settings: TrunkSettings, *, weights: Path) -> dict[str, Any]:
    """`architecture`: what is needed to build the network, or its last stage, again."""
    from msavqa.networks import backbones

    *_, width = backbones.video_shape(settings.model, settings.kwargs, frames=1, crop=settings.crop)
    found = {"model": settings.model, "kwargs": settings.kwargs, "width": width}
    return {"architecture": found | {"weights_sha256": sha256(weights)}}


def fingerprint(settings: TrunkSettings, *, weights: Path) -> dict[str, Any]:
    """Everything the features depend on besides the frames themselves."""
    kept = settings.model_dump(exclude={"model", "kwargs"})
    sizes = {"mean_sd": preprocess.IMAGENET_MEAN_SD, "grid": preprocess.GRID}
    made_of = versions("torch", "torchvision")
    return {**kept, **sizes, **attributes(settings, weights=weights), "versions": made_of}


def load(settings: TrunkSettings, *, weights: Path, device: str, batch: int) -> Network[Video]:
    """The network on a device, about `batch` frames at a time; raises `MsavqaError` for wrong weights."""
    import numpy as np
    import torch

    from msavqa.networks import backbones

    network = backbones.video(settings.model, settings.kwargs)
    load_strictly(network, read(weights), where=weights, network=settings.model)
    network.to(device)

    @torch.inference_mode()
    def forward(videos: "Sequence[Tensor]") -> Arrays:
        pixels = torch.cat(list(videos))
        found: dict[str, list[Any]] = {"pooled": []} | ({"stage": []} if settings.cut == "last_stage" else {})
        for part in torch.split(pixels, max(1, batch // pixels.shape[2])):
            normal = preprocess.normalised(part.to(device), mean_sd=preprocess.IMAGENET_MEAN_SD)
            with precisely(settings.precision, device=device):
                before = backbones.video_before(network, normal)
                behind = backbones.video_pooled(network, network.features[-1](before))
            found["pooled"].append(to_numpy(behind))
            if "stage" in found:
                found["stage"].append(to_numpy(before))
        return {
            name: (joined := np.concatenate(parts)).reshape(len(videos), settings.views, *joined.shape[1:])
            for name, parts in found.items()
        }

    return Network(lambda video: prepare(settings, video), forward)


def prepare(settings: TrunkSettings, video: Video) -> "Tensor":
    """The views of a video, (view, 3, frame, crop, crop) uint8."""
    return preprocess.video_views(
        video.frames,
        looks=preprocess.views(video.id, settings.views),
        resize=settings.resize,
        crop=settings.crop,
        interpolation=settings.interpolation,
        sampling=settings.sampling,
    )
