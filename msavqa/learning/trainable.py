"""What of a branch's backbone is trained along: nothing, its last stage, or all of it, by the trunk's cut."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from msavqa.learning import stage_tail
from msavqa.storage import store


def backbone(trunk: store.Store, weights: Path) -> nn.Module:
    """A fresh module from a batch's `features` to (video, frame or time, width), with the trunk's weights.

    Identity where features are pooled. Raises `WeightsError` where the weights are not those of the store.
    """
    return backbone_of(trunk.fingerprint, weights)


def backbone_of(fingerprint: Mapping[str, Any], weights: Path) -> nn.Module:
    """The same from the fingerprint alone, where there is no store."""
    cut, kind = fingerprint.get("cut", "pooled"), fingerprint.get("kind")
    if cut == "pooled":
        return nn.Identity()
    architecture = fingerprint["architecture"]
    if cut == "last_stage":
        stage = stage_tail.ImageStage if kind == "image" else stage_tail.VideoStage
        return stage(architecture, weights)
    whole = stage_tail.ImageWhole if kind == "image" else stage_tail.VideoWhole
    return whole(architecture, weights)
