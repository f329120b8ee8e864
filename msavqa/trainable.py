"""What of a branch's backbone is trained along: nothing, its last stage, or all of it, by the trunk's cut."""

from pathlib import Path

from torch import nn

from msavqa import stage_tail, store


def backbone(trunk: store.Store, weights: Path) -> nn.Module:
    """A fresh module from a batch's `features` to (video, frame or time, width), with the trunk's weights.

    Identity where features are pooled. Raises `WeightsError` where the weights are not those of the store.
    """
    cut, kind = trunk.fingerprint.get("cut", "pooled"), trunk.fingerprint.get("kind")
    if cut == "pooled":
        return nn.Identity()
    architecture = trunk.attributes["architecture"]
    if cut == "last_stage":
        stage = stage_tail.ImageStage if kind == "image" else stage_tail.VideoStage
        return stage(architecture, weights)
    whole = stage_tail.ImageWhole if kind == "image" else stage_tail.VideoWhole
    return whole(architecture, weights)
