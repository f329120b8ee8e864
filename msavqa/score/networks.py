"""One video and prompt -> what every frozen network says of it, as a branch reads it from the cache.

The same trunks, the same dtype and the same fixed view as the stores have, so that a video scored alone gets
the score it would get in the pipeline; branches trained in bfloat16 score in float32 here (LOG.md).
"""

import importlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from msavqa.bundle import bundle
from msavqa.bundle.bundle import Bundle
from msavqa.ground.errors import MsavqaError
from msavqa.learning import branch, stage_tail, tail
from msavqa.learning.branch import Output, Shapes
from msavqa.machine.params import Settings
from msavqa.store.format import ArraySpec
from msavqa.trunks.run.network import Network, Video

TEXT = "clip_text"
IMAGE = "clip_image"
BATCH_FRAMES = 64
Features = Mapping[str, Mapping[str, NDArray[Any]]]
"""Trunk -> array name -> the video's row as a batch of one, (1, ...), the fixed view taken."""


@dataclass(frozen=True)
class Trunk:
    """One loaded frozen network."""

    settings: Any
    module: Any
    network: Network[Any]

    versions: Mapping[str, tuple[str, str]]
    """Packages whose version is not that of training: (then, now)."""

    @classmethod
    def load(
        cls, name: str, settings: Mapping[str, Any], *, fingerprint: Mapping[str, Any], device: str
    ) -> "Trunk":
        """From a trunk's block of settings; only the fixed view is ever computed.

        Raises `MsavqaError` where this code or these settings do not make what `fingerprint` names.
        """
        module = importlib.import_module(f"msavqa.trunks.kinds.{settings['kind']}")
        kind: type[Settings] = module.TrunkSettings
        now = json.loads(
            json.dumps(module.fingerprint(bundle.parsed(kind, settings, where=f"trunk {name!r}")))
        )
        versions = now.pop("versions")
        for key, value in now.items():
            if fingerprint.get(key) != value:
                got, expected = _differing(value, fingerprint.get(key))
                raise MsavqaError(
                    what="Frozen network",
                    where=f"trunk {name!r}",
                    got=f"{key} {got}",
                    expected=f"{expected}, as in training",
                    next_step="run `dvc repro` to train with this msavqa, or score with that of the training",
                )
        then = fingerprint["versions"]
        other = {
            one: (then.get(one, "none"), found) for one, found in versions.items() if then.get(one) != found
        }
        only_fixed = {"views": 1} if "views" in settings else {}
        parsed = kind.model_validate({**settings, **only_fixed})
        return cls(parsed, module, module.load(parsed, device=device, batch=BATCH_FRAMES), other)

    def row(self, prepared: Any, *, specs: Sequence[ArraySpec]) -> dict[str, NDArray[Any]]:
        """What the network says of one prepared input, in the dtypes the store would have."""
        found = self.network.forward([prepared])
        named = {spec.name: spec for spec in specs}
        rows = {}
        for name, values in found.items():
            spec = named[name]
            row = values.astype(spec.dtype)
            rows[name] = row[:, 0] if "view" in spec.axes else row
        return rows

    def video(self, one: Video) -> dict[str, NDArray[Any]]:
        """What the frozen network says of one video; with cut `pixels` also what it was shown.

        `pixels`, uint8 (1, ...), is what the branch's own, trained network reads; the frozen one's features
        stay the motion of the segment branch, which learned from them.
        """
        prepared = self.network.prepare(one)
        found = self.row(prepared, specs=self.module.specs(self.settings, frames=len(one.frames)))
        if getattr(self.settings, "cut", "") == "pixels":
            shown = prepared.pixels if self.settings.kind == "image" else prepared
            found["pixels"] = shown.numpy()
        return found


@dataclass(frozen=True)
class Perception:
    """All frozen networks of one bundle."""

    trunks: Mapping[str, Trunk]

    @classmethod
    def load(
        cls,
        trunks: Mapping[str, Mapping[str, Any]],
        *,
        fingerprints: Mapping[str, Mapping[str, Any]],
        device: str,
    ) -> "Perception":
        """Raises `WeightsError` where a weights file is not of its network; else as `Trunk.load`."""
        loaded = {}
        for name, settings in trunks.items():
            loaded[name] = Trunk.load(name, settings, fingerprint=fingerprints[name], device=device)
        return cls(loaded)

    @property
    def versions(self) -> dict[str, tuple[str, str]]:
        """Packages whose version is not that of training: (then, now)."""
        return {name: pair for trunk in self.trunks.values() for name, pair in trunk.versions.items()}

    def see(self, frames: NDArray[np.uint8], *, video_id: str) -> dict[str, dict[str, NDArray[Any]]]:
        """Features of sampled frames (frame, height, width, 3) by every trunk that looks at videos."""
        one = Video(video_id, frames)
        return {name: trunk.video(one) for name, trunk in self.trunks.items() if trunk.module.AXIS == "video"}

    def read(self, prompt: str) -> tuple[dict[str, dict[str, NDArray[Any]]], bool]:
        """Features of a prompt by the text trunk (none without one), and whether it was cut to fit."""
        if TEXT not in self.trunks:
            return {}, False
        trunk = self.trunks[TEXT]
        tokens = trunk.network.prepare(prompt)
        specs = trunk.module.specs(trunk.settings, tokens=len(tokens.ids))
        return {TEXT: trunk.row(tokens, specs=specs)}, tokens.count > len(tokens.ids)


def _differing(now: Any, then: Any) -> tuple[str, str]:
    """Two values as text, of mappings only what differs, each at most a line long."""
    if isinstance(now, Mapping) and isinstance(then, Mapping):
        keys = [key for key in {**now, **then} if now.get(key) != then.get(key)]
        now, then = ({key: one.get(key) for key in keys} for one in (now, then))
    shown = (repr(one) for one in (now, then))
    first, second = (text if len(text) <= 80 else f"{text[:77]}..." for text in shown)
    return first, second


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

    Raises `MsavqaError`, `BranchWeightsError` or `WeightsError` where its settings or files are not this
    code's.
    """
    facts, module = found.branches[name], branch.branch(name)
    settings = bundle.parsed(module.BranchSettings, facts["settings"], where=f"branch {name!r}")
    shapes = Shapes.from_dict(facts["shapes"])
    tails = {
        trunk: make(found.trunks[trunk]["weights"], facts["architectures"][trunk])
        for trunk, make in ((TEXT, tail.clip_text_tail), (IMAGE, tail.clip_image_tail))
        if trunk in facts["architectures"]
    }
    trunk = facts["settings"]["trunk"]
    network = branch.assemble(
        name,
        settings,
        shapes=shapes,
        backbone=stage_tail.backbone_of(found.fingerprints[trunk], Path(found.trunks[trunk]["weights"])),
        text_tail=tails.get(TEXT),
        image_tail=tails.get(IMAGE),
    )
    branch.load(network, found.weights(name))
    return Branch(network.eval().to(device), module.inputs(settings))
