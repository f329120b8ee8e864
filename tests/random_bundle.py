"""A bundle of tiny networks with random weights: everything that scoring needs, made in a second."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from msavqa.bundle import bundle, contents
from msavqa.bundle.bundle import Bundle
from msavqa.bundle.reference import Reference, of_branch
from msavqa.evaluation import familiarity as like
from msavqa.evaluation.calibration import Calibration
from msavqa.evaluation.ensemble import Ensemble
from msavqa.evaluation.familiarity import Block, Familiarity
from msavqa.evaluation.verdict import Verdict
from msavqa.learning import branch, saved, tail
from msavqa.learning.branch import Shapes
from msavqa.learning.semantics import ClipShapes
from msavqa.networks import backbones, clip_model, weights
from msavqa.trunks.measures import statistics
from msavqa.trunks.measures.frame_statistics import GROUPS
from msavqa.trunks.run import named
from tests.conftest import ROOT

FRAMES, BOX = 4, 48
CHANGE = 0.02
SOURCES = {
    "frame_statistics": "f59924399d577edfa14ab74ee2c1dbbd443635d661db5916e94071f42c50ffdc",
    "motion_statistics": "09e11fdc725bda84757390f015f264c954c94e9b9085dfbab703313adbe3fc53",
    "perceptual_blur": "f30f7ea74f4b96cbc84cfe8e52b4e01d1336719a6c08b1a514bd5867c2ea0047",
    "texture_statistics": "7f9364163a22a6ef2e90e0be3f5d544b9bfd928e6cdc9a59d5286f50e2f09ff8",
}
"""SHA-256 of the measures' sources, as bundles named them before the measures had a version."""
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
TEXTS: dict[str, dict[str, Any]] = {"clip_text": CLIP | {"pieces": {"most": 3, "sharpness": 2.0}}}
TRUNKS: dict[str, dict[str, Any]] = {
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
    "start": None, "pss": PSS, "sma": SMA, "statistics": ["spatial", "temporal"],
    "head": {"width": 8, "dropout": 0.0},
    "optimiser": {"name": "adamw", "rate": 1e-3, "weight_decay": 0.0, "backbone_rate": 0.0, "batch": 2},
}  # fmt: skip
READS = {"motion": None, "text": "clip_text", "image": "clip_image"}
BRANCHES: dict[str, dict[str, Any]] = {
    "frame": {"kind": "frame", "reads": {**READS, "trunk": "frame"}, "technical": {}, "loss": {"beta": 1.0}},
    "segment": {
        "kind": "segment", "reads": {**READS, "trunk": "frame", "motion": "video"},
        "technical": {"motion": "difference"}, "loss": {"rank_weight": 1.0, "rank_margin": 1.0},
    },
    "video": {
        "kind": "video", "reads": {**READS, "trunk": "video"}, "technical": {"pooling": ["mean", "sd"]},
        "loss": {"epsilon": 1e-3},
    },
}  # fmt: skip


def _clip_shapes() -> ClipShapes:
    """The sizes that the sample world's CLIP has."""
    sizes = json.loads(Path(CLIP["model"]).read_text(encoding="utf-8"))
    return ClipShapes(
        dim=sizes["embed_dim"],
        text_width=sizes["text_cfg"]["width"],
        image_width=sizes["vision_cfg"]["width"],
        sharpness=TEXTS["clip_text"]["pieces"]["sharpness"],
    )


def make(
    folder: Path,
    *,
    seed: int = 0,
    branches: Mapping[str, Mapping[str, Any]] = BRANCHES,
    verdict: Verdict | None = None,
    former: bool = False,
    dimensions: Sequence[str] = (),
) -> Bundle:
    """Writes random weights and a bundle of them under `folder`; `former`: in the form of before `reads`.

    `branches` maps their names to their blocks without what all have in common; `dimensions` names those of
    quality, where there are several.
    """
    torch.manual_seed(seed)
    networks = {**TEXTS, **TRUNKS}
    files = {name: _weights(folder, name, settings) for name, settings in networks.items()}
    architectures = {
        f"clip_{tower}": clip_model.architecture(CLIP["model"], tower)  # type: ignore[arg-type]
        | {"weights_sha256": weights.sha256(files[f"clip_{tower}"])}
        for tower in ("text", "image")
    }
    facts, branch_weights = {}, {}
    for name, block in branches.items():
        settings = {**block, **COMMON}
        parsed = branch.settings_of(settings["kind"]).model_validate(settings)
        shapes = Shapes(
            features=16 if parsed.reads.trunk == "video" else 8, motion=0,
            statistics=len(GROUPS["spatial"]) + len(GROUPS["temporal"]), changes=len(GROUPS["change"]),
            clip=_clip_shapes(),
        )  # fmt: skip
        net = branch.assemble(
            parsed, shapes=shapes,
            text_tail=tail.clip_text_tail(files["clip_text"], architectures["clip_text"]),
            image_tail=tail.clip_image_tail(files["clip_image"], architectures["clip_image"]),
            more=max(0, len(dimensions) - 1),
        )  # fmt: skip
        with torch.no_grad():
            for parameter in net.parameters():  # adapters start at zero: the prompt must matter here
                parameter.add_(0.05 * torch.randn(parameter.shape))
        branch_weights[name] = folder / "weights" / f"branch_{name}.safetensors"
        saved.save({key: tensor.numpy() for key, tensor in net.state_dict().items()}, branch_weights[name])
        facts[name] = {"settings": settings, "shapes": asdict(shapes), "architectures": architectures}
    names = list(branches)
    shares = [0.2, 0.3, 0.5] if len(names) == 3 else [1 / len(names)] * len(names)
    joined = Ensemble(names, [0.0] * len(names), [1.0] * len(names), shares, shares)
    fitted = Calibration((100.0, 0.0, 0.5, 0.1), 12.5, 0.9, (0.0, 100.0), (0.0, 1.0), 100, 50)
    made = bundle.write(
        folder / "bundle",
        dataset="random",
        frames=FRAMES,
        box=BOX,
        texts=TEXTS,
        trunks=TRUNKS,
        weights=files,
        clip=("clip_text", "clip_image"),
        cosine_spread=0.1,
        branches=facts,
        branch_weights=branch_weights,
        fingerprints={
            "statistics": statistics.fingerprint(),
            **{name: _fingerprint(name, settings, files[name]) for name, settings in networks.items()},
        },
        ensemble=joined,
        calibration=fitted,
        reference=reference(names),
        verdict=verdict,
        familiarity=(familiar(), 0.01),
        generator_error=None,
        change_threshold=CHANGE,
        card="# a random model\n",
        dimension=next(iter(dimensions), None),
        dimensions=[(name, joined, fitted) for name in dimensions[1:]],
    )
    if former:
        as_formerly(made.path)
    return made


def as_formerly(folder: Path) -> None:
    """Gives a bundle the form that it had before a branch named its kind and what it reads."""
    (folder / "networks").rename(folder / "trunks")
    file = folder / "bundle.json"
    data = json.loads(file.read_text(encoding="utf-8").replace("networks/", "trunks/"))
    del data["digest"], data["weights"], data["clip"]
    texts = data.pop("texts")
    trunks = {**{name: {"kind": "clip_text", **one} for name, one in texts.items()}, **data["trunks"]}
    trunks = {name: one | {"weights": f"trunks/{name}.safetensors"} for name, one in trunks.items()}
    trunks["statistics"] = {"kind": "statistics", "weights": "msavqa/extraction/frame_statistics.py"}
    measures = data["fingerprints"]["statistics"]
    del measures["measures_version"]
    measures["source_sha256"] = {f"msavqa/extraction/{name}.py": sha256 for name, sha256 in SOURCES.items()}
    for one in (trunks["clip_text"], data["fingerprints"]["clip_text"]):
        del one["pieces"]
    for facts in data["branches"].values():
        settings = facts["settings"]
        reads, technical = settings.pop("reads"), settings.pop("technical")
        kind = settings.pop("kind")
        del settings["start"]
        motion = {"motion_trunk": reads["motion"]} if kind == "segment" else {}
        facts["settings"] = {"trunk": reads["trunk"], **motion, **technical, **settings}
        facts |= {"branch": kind, "quarantined": [], "fingerprints": {}, "train": {}}
    quantiles = data["reference"]["quantiles"]
    quantiles = {name.removeprefix("branches/"): points for name, points in quantiles.items()}
    (folder / data.pop("familiarity")["file"]).unlink()
    del data["change_threshold"], data["calibration"]["width"], data["files"]["familiarity.safetensors"]
    data |= {
        "format": "msavqa-bundle/1",
        "trunks": trunks,
        "converted": {},
        "reference": {"quantiles": quantiles},
    }
    text = json.dumps({"digest": contents.digest(data), **data}, indent=2, ensure_ascii=False)
    file.write_text(text + "\n", encoding="utf-8")


def familiar(*, rows: int = 250, sharp: float = 0.0) -> Familiarity:
    """To which, with `sharp` 0, every video is as like the training videos as they are; else none is."""
    widths = _clip_shapes().dim, sum(len(GROUPS[group]) for group in like.ROOTS)
    root = sharp * np.eye(sum(widths))
    block = Block(("clip", "statistics"), np.zeros(len(root)), np.ones(len(root)), root)
    known = rows >= like.LEAST
    distances = np.full(rows, np.log(like.TINY)) if known else np.empty(0)
    return Familiarity(rows=rows, trunk=None, blocks=(block,) if known else (), distances=distances)


def reference(names: Collection[str]) -> Reference:
    """Ranges that the tests' own videos lie in."""
    spread = np.linspace(-100, 100, 401)
    measures: Mapping[str, Any] = dict.fromkeys((*map(of_branch, names), "alignment", "consistency"), spread)
    return Reference.of(
        {**measures, "short_side": np.linspace(32, 64), "duration_seconds": np.linspace(0.4, 3)}
    )


def _fingerprint(name: str, settings: Mapping[str, Any], file: Path) -> dict[str, Any]:
    kind: Any = named.module(settings.get("kind", named.TEXT))
    parsed = (kind.TextSettings if name in TEXTS else kind.TrunkSettings).model_validate(settings)
    found: dict[str, Any] = kind.fingerprint(parsed, weights=file)
    return found


def _weights(folder: Path, name: str, settings: Mapping[str, Any]) -> Path:
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
    return path


def _random(tensor: torch.Tensor) -> torch.Tensor:
    return torch.randn(tensor.shape) * 0.1 if tensor.is_floating_point() else tensor
