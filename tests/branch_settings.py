"""Settings of the branches for tests: small, quick, and everything switched on."""

from typing import Any

from msavqa.learning import branch as model
from msavqa.learning.train_settings import TrainSettings


def branch(name: str, **changes: Any) -> Any:
    """Settings of one branch of that kind; `pss__enabled=False` changes a key of a part."""
    data: dict[str, Any] = {
        "kind": name,
        "reads": {"trunk": name, "motion": "video", "text": "clip_text", "image": "clip_image"},
        "start": None,
        "pss": {
            "enabled": True,
            "fusion": ["text", "product", "cosine"],
            "adapters": "tail",
            "last_adapter": "embedding",
            "adapter_width": 4,
            "adapter_ratio": 0.5,
            "frames": "all",
        },
        "sma": {
            "enabled": True,
            "tokens": ["cls", "difference", "drift", "alignment"],
            "frames": "adapted",
            "measures": True,
            "feeds": "head",
            "width": 8,
            "heads": 2,
            "queries": 2,
        },
        "statistics": ["spatial", "temporal"],
        "head": {"width": 16, "dropout": 0.1},
        "optimiser": {
            "name": "adamw",
            "rate": 0.003,
            "weight_decay": 0.02,
            "backbone_rate": 0.1,
            "batch": 16,
        },
    }
    data |= {
        "frame": {"loss": {"beta": 1.0}, "technical": {}},
        "segment": {
            "loss": {"rank_weight": 1.0, "rank_margin": 1.0},
            "technical": {"motion": "trunk"},
        },
        "video": {"loss": {"epsilon": 1e-4}, "technical": {"pooling": ["mean", "sd"]}},
    }[name]
    return model.settings_of(name).model_validate(_changed(data, changes))


def train(**changes: Any) -> TrainSettings:
    """Settings of the training loop."""
    data = {
        "epochs": 3,
        "least_steps": 0,
        "warmup": 0.1,
        "gradient_clip": 1.0,
        "ema": 0.0,
        "accumulate": 1,
        "precision": "fp32",
        "view_of": "video",
        "test_views": "fixed",
        "prompts": "own",
        "copies": {
            "weight": 0.0, "pairs": 8, "margin": 0.5, "empty_margin": 1.0, "foreign_prompts": True,
            "praise": 0.3, "from_videos": 0,
        },
        "resident": "auto",
        "device": "cpu",
        "processes": 1,
        "threads": 1,
        "evaluation_batch": 128,
        "seed": 0,
        "checkpoint_seconds": 0.0,
    }  # fmt: skip
    return TrainSettings.model_validate(_changed(data, changes))


def _changed(data: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    for key, value in changes.items():
        block, *inner = key.split("__")
        data[block] = {**data[block], inner[0]: value} if inner else value
    return data
