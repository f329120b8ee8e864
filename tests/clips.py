"""Random CLIPs for tests: open_clip's own model beside the two weight files that our trunks read."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from open_clip import get_model_config
from open_clip.model import CLIP

from msavqa.networks import weights
from msavqa.trunks.kinds import clip_image, clip_text
from msavqa.trunks.run.network import Trunk, Video

# Shapes of the real models; the deep and large ones have two layers, so that a test takes seconds.
SHRINK: dict[str, dict[str, Any]] = {
    "ViT-B-32": {},
    "ViT-B-32-quickgelu": {"layers": 3},
    "ViT-B-16": {"layers": 2, "image_size": 96},
    "ViT-L-14": {"layers": 2, "image_size": 84},
    "small": {},
}
SMALL = {
    "embed_dim": 128,
    "vision_cfg": {"image_size": 64, "layers": 2, "width": 128, "patch_size": 16, "head_width": 32},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 128, "heads": 4, "layers": 2},
}
PROMPTS = [
    "a red ball rolls left",
    "",
    "two blue squares drift over a green field while a yellow star spins, slowly, in the rain",
    "cat",
]


@dataclass(frozen=True)
class World:
    """One architecture: open_clip's model, settings of both towers and the files with their weights."""

    clip: Any
    text: clip_text.TextSettings
    image: clip_image.TrunkSettings
    text_weights: Path
    image_weights: Path

    def text_trunk(self, prompts: Sequence[str]) -> Trunk:
        """The text tower over these prompts, or pieces of prompts."""
        tokens = clip_text.room(self.text, prompts)
        return Trunk.of(clip_text, self.text, weights=self.text_weights, tokens=tokens)

    def image_trunk(self, *, frames: int = 4, **changes: Any) -> Trunk:
        """The image tower over videos of so many frames, its settings changed."""
        settings = self.image.model_copy(update=changes)
        return Trunk.of(clip_image, settings, weights=self.image_weights, frames=frames)


@cache
def config_of(name: str) -> dict[str, Any]:
    found = SMALL if name == "small" else get_model_config(name)
    assert found is not None
    shrink = dict(SHRINK[name])
    size = {"image_size": shrink.pop("image_size")} if "image_size" in shrink else {}
    return {
        **found,
        "vision_cfg": found["vision_cfg"] | shrink | size,
        "text_cfg": found["text_cfg"] | shrink,
    }


def build(name: str, folder: Path) -> World:
    """A CLIP in which nothing is zero or one, so that a forgotten bias or scale shows."""
    torch.manual_seed(7)
    clip = CLIP(**config_of(name)).eval()
    with torch.no_grad():
        for parameter in clip.parameters():
            spread = 0.1 if parameter.ndim < 2 else 0.2 * float(parameter.std())
            parameter.add_(torch.randn_like(parameter) * spread)
    clip.requires_grad_(False)
    (folder / "clip.json").write_text(json.dumps(config_of(name)))
    text, image = weights.split_clip(clip.state_dict())
    files = folder / "clip_text.safetensors", folder / "clip_image.safetensors"
    weights.save(text, files[0])
    weights.save(image, files[1])
    common = {
        "model": str(folder / "clip.json"),
        "cut": "last_block",
        "precision": "fp32",
        "dtype": "float32",
    }
    return World(
        clip,
        clip_text.TextSettings.model_validate({**common, "pieces": {"most": 4, "sharpness": 2.0}}),
        clip_image.TrunkSettings.model_validate({"kind": "clip_image", **common}),
        *files,
    )


def videos(count: int, *, frames: int, size: int, seed: int = 0) -> list[Video]:
    """Videos of smooth random pictures, (frame, size, size, 3) uint8."""
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 256, (count, frames, 4, 4, 3), dtype=np.uint8)
    wide = coarse.repeat(-(-size // 4), axis=2).repeat(-(-size // 4), axis=3)[:, :, :size, :size]
    return [Video(f"video {number}", pixels.copy()) for number, pixels in enumerate(wide)]
