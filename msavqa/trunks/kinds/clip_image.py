"""CLIP's image tower over frames: the tokens before its last block, and its final class embedding."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from msavqa.networks import clip_model, preprocess
from msavqa.networks.clip_model import ClipSettings
from msavqa.networks.weights import sha256
from msavqa.store.format import ArraySpec
from msavqa.trunks.run.network import Arrays, Network, Video, to_numpy, versions

if TYPE_CHECKING:
    from torch import Tensor

AXIS = "video"
INTERPOLATION: preprocess.Interpolation = "bicubic"


class TrunkSettings(ClipSettings):
    """A trunk of kind `clip_image`. Frames are resized to CLIP's image size and cropped in the centre."""

    kind: Literal["clip_image"]


def specs(settings: TrunkSettings, *, frames: int) -> tuple[ArraySpec, ...]:
    """`tokens` (video, frame, token, width): input of the last block, class token first. `cls` (video, frame,
    dim): the unadapted model's own embedding, a unit vector."""
    shape = clip_model.architecture(settings.model, "image")
    cls = ArraySpec("cls", (AXIS, "frame", "dim"), (frames, shape["dim"]), "float32")
    if settings.cut == "cls":
        return (cls,)
    tokens = (frames, shape["tokens"], shape["width"])
    return (ArraySpec("tokens", (AXIS, "frame", "token", "width"), tokens, settings.dtype), cls)


def attributes(settings: TrunkSettings, *, weights: Path) -> dict[str, Any]:
    """What the tail needs to know, `architecture`; see `tail.clip_image_tail`."""
    found = clip_model.architecture(settings.model, "image")
    return {"architecture": found | {"weights_sha256": sha256(weights)}}


def fingerprint(settings: TrunkSettings, *, weights: Path) -> dict[str, Any]:
    """Everything the features depend on besides the frames themselves."""
    return {
        "kind": settings.kind, "cut": settings.cut, "precision": settings.precision, "dtype": settings.dtype,
        **attributes(settings, weights=weights),
        "preprocessing": {
            "interpolation": INTERPOLATION, "crop": "centre", "mean_sd": preprocess.CLIP_MEAN_SD,
        },
        "versions": versions("torch", "open_clip_torch"),
    }  # fmt: skip


def load(settings: TrunkSettings, *, weights: Path, device: str, batch: int) -> Network[Video]:
    """The network on a device, at most `batch` frames at a time; raises `MsavqaError` for wrong weights."""
    import torch
    from torch.nn import functional

    size = clip_model.architecture(settings.model, "image")["image_size"]
    # Whole in bfloat16, not by autocast: that casts all frozen weights anew in every pass, which was slower
    # than in float32.
    dtype = torch.bfloat16 if settings.precision == "bf16" else torch.float32
    tower = clip_model.image_tower(settings.model, weights).to(device, dtype)
    take_tokens = _last_block_input(tower) if settings.cut == "last_block" else None

    def prepare(video: Video) -> "Tensor":
        pixels = preprocess.resized(video.frames, short_side=size, interpolation=INTERPOLATION)
        return preprocess.cropped(pixels, size=size, view=preprocess.CENTRE)

    @torch.inference_mode()
    def forward(videos: "Sequence[Tensor]") -> Arrays:
        pixels = torch.cat(list(videos))
        found: dict[str, list[Any]] = {"cls": [], "tokens": []}
        for part in torch.split(pixels, batch):
            normal = preprocess.normalised(part.to(device), mean_sd=preprocess.CLIP_MEAN_SD)
            embedding = tower(normal.to(dtype))
            found["cls"].append(to_numpy(functional.normalize(embedding.float(), dim=-1)))
            if take_tokens is not None:
                found["tokens"].append(to_numpy(take_tokens()))
        rows = len(videos)
        return {
            name: (joined := np.concatenate(parts)).reshape(rows, len(pixels) // rows, *joined.shape[1:])
            for name, parts in found.items() if parts
        }  # fmt: skip

    return Network(prepare, forward)


def _last_block_input(tower: Any) -> "Callable[[], Tensor]":
    """Listens at the last block of open_clip's own forward; the callable gives what it heard last."""
    heard: list[Any] = []

    def hear(block: object, inputs: "tuple[Tensor, ...]") -> None:
        heard[:] = inputs[:1]

    tower.transformer.resblocks[-1].register_forward_pre_hook(hear)
    return heard.pop
