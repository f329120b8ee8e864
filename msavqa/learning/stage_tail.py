"""What follows the cut of an image or video network, to be trained: its last stage, or all of it.

The counterpart of `cut: last_stage` and `cut: pixels`. Modules start from the trunk's weights and map the
`features` of a batch to (video, frame or time, width), like the `pooled` cut does.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jaxtyping import Float, UInt8
from torch import Tensor, nn

from msavqa.networks import backbones, preprocess, weights
from msavqa.store import read as store


class ImageStage(nn.Module):
    """The last stage of an image network: cached inputs of it -> pooled features."""

    def __init__(self, architecture: Mapping[str, Any], weights_path: Path | str) -> None:
        """`architecture` is the store's attribute; raises `MsavqaError` where the weights do not fit."""
        super().__init__()
        network = _filled(backbones.image, architecture, weights_path)
        self.network = backbones.image_behind(network, architecture["model"])

    def forward(self, stage: Float[Tensor, "video frame a b c"]) -> Float[Tensor, "video frame width"]:
        """Pooled features of each frame."""
        pooled: Tensor = self.network(stage.flatten(0, 1).to(_dtype(self)))
        return pooled.reshape(*stage.shape[:2], -1)


class ImageWhole(nn.Module):
    """A whole image network: crops of frames -> pooled features."""

    def __init__(self, architecture: Mapping[str, Any], weights_path: Path | str) -> None:
        """`architecture` is the store's attribute; raises `MsavqaError` where the weights do not fit."""
        super().__init__()
        self.network = _filled(backbones.image, architecture, weights_path)
        found = self.network.pretrained_cfg
        self.mean_sd = tuple(found["mean"]), tuple(found["std"])

    def forward(self, pixels: UInt8[Tensor, "video frame 3 y x"]) -> Float[Tensor, "video frame width"]:
        """Pooled features of each frame's crop, as `preprocess.image_views` makes it."""
        pooled: Tensor = self.network(preprocess.normalised(pixels.flatten(0, 1), mean_sd=self.mean_sd))
        return pooled.reshape(*pixels.shape[:2], -1)


class VideoStage(nn.Module):
    """The last stage of Video Swin: cached inputs of it -> features of each temporal token."""

    def __init__(self, architecture: Mapping[str, Any], weights_path: Path | str) -> None:
        """`architecture` is the store's attribute; raises `MsavqaError` where the weights do not fit."""
        super().__init__()
        network = _filled(backbones.video, architecture, weights_path)
        self.network = nn.Module()
        self.network.features, self.network.norm = network.features[-1], network.norm

    def forward(
        self, stage: Float[Tensor, "video time height width channel"]
    ) -> Float[Tensor, "video time channel"]:
        """Features of each temporal token, averaged over space."""
        tokens: Any = self.network.features
        return backbones.video_pooled(self.network, tokens(stage.to(_dtype(self))))


class VideoWhole(nn.Module):
    """A whole Video Swin: crops of all frames -> features of each temporal token."""

    def __init__(self, architecture: Mapping[str, Any], weights_path: Path | str) -> None:
        """`architecture` is the store's attribute; raises `MsavqaError` where the weights do not fit."""
        super().__init__()
        self.network = _filled(backbones.video, architecture, weights_path)

    def forward(self, pixels: UInt8[Tensor, "video 3 frame y x"]) -> Float[Tensor, "video time width"]:
        """Features of each temporal token of crops, as `preprocess.video_views` makes them."""
        return backbones.video_features(
            self.network, preprocess.normalised(pixels, mean_sd=preprocess.IMAGENET_MEAN_SD)
        )


def _filled(build: Any, architecture: Mapping[str, Any], path: Path | str) -> Any:
    """The network with the weights of the file the features were made with, ready to be trained."""
    weights.check_same(path, architecture.get("weights_sha256"))
    network = build(architecture["model"], architecture["kwargs"])
    weights.load_strictly(network, weights.read(path), where=path, network=architecture["model"])
    return network.requires_grad_(True)


def _dtype(module: nn.Module) -> Any:
    return next(module.parameters()).dtype


def backbone(trunk: store.Store, weights: Path) -> nn.Module:
    """A fresh module from a batch's `features` to (video, frame or time, width), with the trunk's weights.

    Identity where features are pooled. Raises `MsavqaError` where the weights are not those of the store.
    """
    return backbone_of(trunk.fingerprint, weights)


def backbone_of(fingerprint: Mapping[str, Any], weights: Path) -> nn.Module:
    """The same from the fingerprint alone, where there is no store."""
    cut, kind = fingerprint.get("cut", "pooled"), fingerprint.get("kind")
    if cut == "pooled":
        return nn.Identity()
    architecture = fingerprint["architecture"]
    if cut == "last_stage":
        stage = ImageStage if kind == "image" else VideoStage
        return stage(architecture, weights)
    whole = ImageWhole if kind == "image" else VideoWhole
    return whole(architecture, weights)
