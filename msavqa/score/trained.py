"""A branch of a bundle with its trained weights: what all frozen networks say of a video -> what it says."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from msavqa.bundle import bundle
from msavqa.bundle.bundle import Bundle
from msavqa.learning import branch, saved, stage_tail, tail
from msavqa.learning.branch import Output, Shapes
from msavqa.learning.inputs import OF_PROMPTS
from msavqa.score.perception import Features


@dataclass(frozen=True)
class Branch:
    """A trained branch and which features it reads."""

    network: nn.Module
    reads: Mapping[str, tuple[str, ...]]
    """Batch key -> (name of the network, arrays of which it has one)."""

    def __call__(self, features: Features) -> Output:
        """What it says of one video."""
        batch: dict[str, Tensor] = {}
        device = next(self.network.parameters()).device
        for key, (network, *arrays) in self.reads.items():
            name = next(name for name in arrays if name in features[network])
            batch[key] = torch.from_numpy(features[network][name]).to(device)
            if key.startswith(OF_PROMPTS) and (pieces := len(batch[key])) > 1:
                batch["text_pieces"] = torch.tensor([pieces], device=device)
        found: Output = self.network(batch)
        return found


def load(found: Bundle, name: str, *, device: torch.device) -> Branch:
    """A branch of a bundle with its trained weights, on a device.

    Raises `MsavqaError` where its settings or files are not this code's.
    """
    facts = found.branches[name]
    kind = branch.settings_of(facts["settings"]["kind"])
    settings = bundle.parsed(kind, facts["settings"], where=f"branch {name!r}")
    reads, architectures = settings.reads, facts["architectures"]
    text_tail, image_tail = (
        make(found.of_network(tower), architectures[tower]) if tower in architectures else None
        for tower, make in ((reads.text, tail.clip_text_tail), (reads.image, tail.clip_image_tail))
    )
    network = branch.assemble(
        settings,
        shapes=Shapes.from_dict(facts["shapes"]),
        backbone=stage_tail.backbone_of(found.fingerprints[reads.trunk], found.of_network(reads.trunk)),
        text_tail=text_tail,
        image_tail=image_tail,
    )
    saved.load(network, found.of_branch(name))
    return Branch(network.eval().to(device), branch.inputs(settings))
