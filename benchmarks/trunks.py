"""What each frozen network costs a video at the paper's sizes, in float32 and in bfloat16.

    python -m benchmarks.trunks [--size 512] [--frames 16] [--rounds 3] [--device cpu]

Random weights, one video of `--frames` frames of `--size` pixels at a time: resize, crop, forward, and the
way back to the host. Seconds are medians of `--rounds` in turns. `deviation` is the largest difference of the
bfloat16 features, relative to the root mean square of the float32 ones; `row_mb` what the store keeps of a
video (float16). `sum_*` is one video through all networks; decoding comes on top (`benchmarks.decode`).
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from msavqa import feature_rows, hub, weights
from msavqa.hub import FetchSettings
from msavqa.network import Video, device_of

USUAL = {"cut": "pooled", "precision": "fp32", "dtype": "float16"}
CLIP = {"kind": "clip_image", "model": "ViT-B-32-quickgelu", **USUAL, "cut": "last_block"}
IMAGE = {"kind": "image", "kwargs": {}, "interpolation": "bicubic", "views": 1, **USUAL}
PAPER: dict[str, dict[str, Any]] = {
    "clip_image": CLIP,
    "frame": {**IMAGE, "model": "convnext_tiny", "resize": 512, "crop": 320, "frames": "all"},
    "segment": {
        **IMAGE, "model": "swin_tiny_patch4_window7_224", "kwargs": {"img_size": 448}, "resize": 520,
        "crop": 448, "frames": 8,
    },
    "video": {
        "kind": "video", "model": "swin3d_t", "kwargs": {}, "resize": 336, "crop": 336,
        "interpolation": "bilinear", "sampling": "resize", "views": 1, **USUAL,
    },
}  # fmt: skip
"""Table I's networks and sizes."""


def main(argv: Sequence[str] | None = None) -> int:
    """Prints one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--frames", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    given = parser.parse_args(argv)
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="trunks-") as folder:
        for name, block in PAPER.items():
            found[name] = measure({**block, "weights": f"{folder}/{name}.safetensors"}, given)
    for precision in ("fp32", "bf16"):
        found[f"sum_{precision}_s"] = round(sum(found[name][f"{precision}_s"] for name in PAPER), 3)
    print(json.dumps(found | {"device": given.device, "threads": torch.get_num_threads()}))
    return 0


def measure(block: dict[str, Any], given: argparse.Namespace) -> dict[str, float]:
    """One network over the same video in both precisions, in turns."""
    module: Any = feature_rows.trunk(block["kind"])
    settings = module.TrunkSettings.model_validate(block)
    random = FetchSettings.model_validate({"source": "random", "name": "0"})
    weights.save(hub.fetch(settings, random), Path(settings.weights))
    draw = np.random.default_rng(0)
    coarse = draw.integers(0, 256, (given.frames, 8, 8, 3), dtype=np.uint8)
    scale = -(-given.size // 8)
    video = Video("video", coarse.repeat(scale, 1).repeat(scale, 2)[:, : given.size, : given.size].copy())
    networks = {
        precision: module.load(
            settings.model_copy(update={"precision": precision}), device=device_of(given.device), batch=64
        )
        for precision in ("fp32", "bf16")
    }
    seconds: dict[str, list[float]] = {name: [] for name in networks}
    features: dict[str, Any] = {}
    for turn in range(1 + given.rounds):
        for name, network in networks.items():
            started = time.perf_counter()
            features[name] = network([video])
            if turn:
                seconds[name].append(time.perf_counter() - started)
    exact, rough = (features[name] for name in ("fp32", "bf16"))
    array = next(name for name in ("tokens", "pooled") if name in exact)
    rms = float(np.sqrt(np.mean(exact[array] ** 2)))
    return {
        **{f"{name}_s": round(statistics.median(taken), 3) for name, taken in seconds.items()},
        "deviation": round(float(np.abs(rough[array] - exact[array]).max()) / rms, 4),
        "row_mb": round(
            sum(spec.row_bytes for spec in module.specs(settings, frames=given.frames)) / 2**20, 3
        ),
    }


if __name__ == "__main__":
    main()
