"""One trained branch of a bundle, as scoring asks it: features of one video in, what the branch says out."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from msavqa.learning import model, tail, trainable
from msavqa.learning.branch_parts import Output, Shapes
from msavqa.scoring import bundle
from msavqa.scoring.bundle import Bundle
from msavqa.scoring.perception import IMAGE, TEXT, Features


@dataclass(frozen=True)
class Branch:
    """A trained branch and which features it reads."""

    network: nn.Module
    reads: Mapping[str, tuple[str, ...]]
    """Batch key -> (trunk, arrays of which it has one)."""

    def __call__(self, features: Features) -> Output:
        """What it says of one video."""
        batch: dict[str, Tensor] = {}
        device = next(self.network.parameters()).device
        for key, (trunk, *arrays) in self.reads.items():
            name = next(name for name in arrays if name in features[trunk])
            batch[key] = torch.from_numpy(features[trunk][name]).to(device)
        found: Output = self.network(batch)
        return found


def load(found: Bundle, name: str, *, device: torch.device) -> Branch:
    """A branch of a bundle with its trained weights, on a device.

    Raises `BundleError`, `BranchWeightsError` or `WeightsError` where its settings or files are not this
    code's.
    """
    facts, module = found.branches[name], model.branch(name)
    settings = bundle.parsed(module.BranchSettings, facts["settings"], where=f"branch {name!r}")
    shapes = Shapes.from_dict(facts["shapes"])
    tails = {
        trunk: make(found.trunks[trunk]["weights"], facts["architectures"][trunk])
        for trunk, make in ((TEXT, tail.clip_text_tail), (IMAGE, tail.clip_image_tail))
        if trunk in facts["architectures"]
    }
    trunk = facts["settings"]["trunk"]
    network = model.assemble(
        name,
        settings,
        shapes=shapes,
        backbone=trainable.backbone_of(found.fingerprints[trunk], Path(found.trunks[trunk]["weights"])),
        text_tail=tails.get(TEXT),
        image_tail=tails.get(IMAGE),
    )
    model.load(network, found.weights(name))
    return Branch(network.eval().to(device), module.inputs(settings))
