"""A branch of a bundle with its trained weights: what all frozen networks say of a video -> what it says."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from msavqa.bundle import bundle
from msavqa.bundle.bundle import Bundle
from msavqa.learning import branch, saved, stage_tail, tail
from msavqa.learning.branch import Shapes
from msavqa.learning.inputs import OF_PROMPTS
from msavqa.learning.output import Output
from msavqa.score.perception import Features
from msavqa.score.result import Dimension


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
        more=len(found.dimensions),
    )
    saved.load(network, found.of_branch(name))
    return Branch(network.eval().to(device), branch.inputs(settings))


def dimensions(
    found: Bundle, outputs: Mapping[str, Output], *, distance: float, unlike: bool
) -> dict[str, Dimension]:
    """Every dimension of quality of one video, by its name, the first one first; none where there is one."""
    if not found.dimensions:
        return {}
    fitted = [(found.dimension or "mos", found.ensemble, found.calibration)]
    fitted += [(name, one.ensemble, one.calibration) for name, one in found.dimensions.items()]
    scored = {}
    for place, (name, ensemble, calibration) in enumerate(fitted):
        own = {branch: np.array([float(outputs[branch].dimensions[place].score[0])]) for branch in outputs}
        raw = ensemble.combine(own)
        low, high = calibration.interval(raw, distance=np.array([distance]), unlike=np.array([unlike]))
        scored[name] = Dimension(float(calibration.mos(raw)[0]), float(low[0]), float(high[0]))
    return scored
