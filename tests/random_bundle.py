"""A bundle of tiny networks with random weights: everything that scoring needs, made in a second."""

import json
from collections.abc import Collection, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from msavqa.bundle import bundle
from msavqa.bundle.bundle import Bundle
from msavqa.bundle.reference import Reference
from msavqa.evaluation.calibration import Calibration
from msavqa.evaluation.ensemble import Ensemble
from msavqa.learning import branch, tail
from msavqa.learning.branch import Shapes
from msavqa.learning.semantics import ClipShapes
from msavqa.networks import backbones, clip_model, weights
from msavqa.trunks.measures.frame_statistics import GROUPS
from msavqa.trunks.run import feature_rows
from tests.conftest import ROOT

FRAMES, BOX = 4, 48
CLIP = {
    "model": str(ROOT / "data" / "sample" / "clip.json"),
    "cut": "last_block",
    "precision": "fp32",
    "dtype": "float16",
}
IMAGE = {
    "resize": 32,
    "crop": 32,
    "interpolation": "bilinear",
    "views": 3,
    "cut": "pooled",
    "precision": "fp32",
    "dtype": "float16",
}
TRUNKS: dict[str, dict[str, Any]] = {
    "clip_text": {"kind": "clip_text", **CLIP},
    "clip_image": {"kind": "clip_image", **CLIP},
    "frame": {
        "kind": "image", "model": "convnext_atto", "frames": "all", **IMAGE,
        "kwargs": {"dims": [4, 8, 8, 8], "depths": [1, 1, 1, 1], "conv_mlp": False},
    },
    "video": {
        "kind": "video", "model": "SwinTransformer3d", "sampling": "resize", **IMAGE,
        "kwargs": {
            "patch_size": [2, 4, 4], "embed_dim": 8, "depths": [1, 1], "num_heads": [1, 2],
            "window_size": [2, 4, 4], "stochastic_depth_prob": 0.0,
        },
    },
    "statistics": {"kind": "statistics", "weights": "msavqa/trunks/measures/frame_statistics.py"},
}  # fmt: skip
PSS = {
    "enabled": True, "fusion": ["text", "product", "cosine"], "adapters": "tail", "last_adapter": "embedding",
    "adapter_width": 8, "adapter_ratio": 0.5, "frames": "all",
}  # fmt: skip
SMA = {
    "enabled": True, "tokens": ["cls", "difference"], "frames": "adapted", "measures": True, "feeds": "head",
    "width": 16, "heads": 2, "queries": 1,
}  # fmt: skip
COMMON = {
    "pss": PSS, "sma": SMA, "statistics": ["spatial", "temporal"], "head": {"width": 8, "dropout": 0.0},
    "optimiser": {"name": "adamw", "rate": 1e-3, "weight_decay": 0.0, "backbone_rate": 0.0, "batch": 2},
}  # fmt: skip
BRANCHES: dict[str, dict[str, Any]] = {
    "frame": {"trunk": "frame", "loss": {"beta": 1.0}, **COMMON},
    "segment": {
        "trunk": "frame", "motion": "difference", "motion_trunk": "video",
        "loss": {"rank_weight": 1.0, "rank_margin": 1.0}, **COMMON,
    },
    "video": {"trunk": "video", "pooling": ["mean", "sd"], "loss": {"epsilon": 1e-3}, **COMMON},
}  # fmt: skip


def _clip_shapes() -> ClipShapes:
    """The sizes that the sample world's CLIP has."""
    sizes = json.loads(Path(CLIP["model"]).read_text(encoding="utf-8"))
    return ClipShapes(
        dim=sizes["embed_dim"],
        text_width=sizes["text_cfg"]["width"],
        image_width=sizes["vision_cfg"]["width"],
    )


def make(folder: Path, *, seed: int = 0, torch_files: Collection[str] = ()) -> Bundle:
    """Writes random weights and a bundle of them under `folder`; `torch_files` are trunks with a .pt file."""
    torch.manual_seed(seed)
    trunks = {name: {**settings, **_weights(folder, name, settings)} for name, settings in TRUNKS.items()}
    for name in torch_files:
        source = Path(trunks[name]["weights"])
        trunks[name]["weights"] = str(source.with_suffix(".pt"))
        torch.save({"state_dict": weights.read(source)}, source.with_suffix(".pt"))
    architectures = {
        f"clip_{tower}": clip_model.architecture(CLIP["model"], tower)  # type: ignore[arg-type]
        | {"weights_sha256": weights.sha256(trunks[f"clip_{tower}"]["weights"])}
        for tower in ("text", "image")
    }
    facts, files = {}, {}
    for name, settings in BRANCHES.items():
        parsed = branch.branch(name).BranchSettings.model_validate(settings)
        shapes = Shapes(
            features=16 if settings["trunk"] == "video" else 8, motion=0,
            statistics=len(GROUPS["spatial"]) + len(GROUPS["temporal"]), changes=len(GROUPS["change"]),
            clip=_clip_shapes(),
        )  # fmt: skip
        net = branch.assemble(
            name, parsed, shapes=shapes,
            text_tail=tail.clip_text_tail(trunks["clip_text"]["weights"], architectures["clip_text"]),
            image_tail=tail.clip_image_tail(trunks["clip_image"]["weights"], architectures["clip_image"]),
        )  # fmt: skip
        with torch.no_grad():
            for parameter in net.parameters():  # adapters start at zero: the prompt must matter here
                parameter.add_(0.05 * torch.randn(parameter.shape))
        files[name] = folder / "weights" / f"branch_{name}.safetensors"
        branch.save({key: tensor.numpy() for key, tensor in net.state_dict().items()}, files[name])
        facts[name] = {"settings": settings, "shapes": asdict(shapes), "architectures": architectures}
    names = list(BRANCHES)
    return bundle.write(
        folder / "bundle",
        dataset="random",
        frames=FRAMES,
        box=BOX,
        trunks=trunks,
        branches=facts,
        branch_weights=files,
        fingerprints={name: _fingerprint(settings) for name, settings in trunks.items()},
        ensemble=Ensemble(names, [0.0] * 3, [1.0] * 3, [0.2, 0.3, 0.5], [0.2, 0.3, 0.5]),
        calibration=Calibration((100.0, 0.0, 0.5, 0.1), 12.5, 0.9, (0.0, 100.0), (0.0, 1.0), 100, 50),
        reference=reference(),
        card="# a random model\n",
    )


def reference() -> Reference:
    """Ranges that the tests' own videos lie in."""
    spread = np.linspace(-100, 100, 401)
    measures: Mapping[str, Any] = dict.fromkeys(
        ("frame", "segment", "video", "alignment", "consistency"), spread
    )
    return Reference.of(
        {**measures, "short_side": np.linspace(32, 64), "duration_seconds": np.linspace(0.4, 3)}
    )


def _fingerprint(settings: Mapping[str, Any]) -> dict[str, Any]:
    module = feature_rows.trunk(settings["kind"])
    return module.fingerprint(module.TrunkSettings.model_validate(settings))


def _weights(folder: Path, name: str, settings: Mapping[str, Any]) -> dict[str, str]:
    if settings["kind"] == "statistics":
        return {}
    if name.startswith("clip"):
        state = clip_model.empty(str(settings["model"]), device="cpu").state_dict()
        text, image = weights.split_clip(
            {key: torch.randn(tensor.shape) * 0.05 for key, tensor in state.items()}
        )
        state = text if name == "clip_text" else image
    elif settings["kind"] == "image":
        state = backbones.image(settings["model"], settings["kwargs"]).state_dict()
    else:
        state = backbones.video(settings["model"], settings["kwargs"]).state_dict()
    path = folder / "weights" / f"{name}.safetensors"
    weights.save({key: _random(tensor) for key, tensor in state.items()}, path)
    return {"weights": str(path)}


def _random(tensor: torch.Tensor) -> torch.Tensor:
    return torch.randn(tensor.shape) * 0.1 if tensor.is_floating_point() else tensor
