"""What each frozen network costs a video at the paper's sizes, in float32 and in bfloat16.

    python -m benchmarks.trunks [--preset presets/paper.yaml] [--size 512] [--frames 16] [--device cpu]

The trunks of the preset with random weights, one view of one video of `--frames` frames of `--size` pixels at
a time: resize, crop, forward, and the way back to the host. Seconds are medians of `--rounds` in turns; more
views cost that many times as much. `deviation` is the largest difference of the bfloat16 features, relative
to the root mean square of the float32 ones. `decode_s` is decoding such a video (H.264, `benchmarks.decode`),
`video_*_s` one video through decoding and all networks.
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
import yaml

from benchmarks.decode import make
from msavqa import feature_rows, hub, weights
from msavqa.decode import decode
from msavqa.hub import FetchSettings
from msavqa.network import Video, device_of

PRECISIONS = ("fp32", "bf16")


def main(argv: Sequence[str] | None = None) -> int:
    """Prints one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--preset", type=Path, default=Path("presets/paper.yaml"))
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--frames", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    given = parser.parse_args(argv)
    data = yaml.safe_load(given.preset.read_text(encoding="utf-8"))
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="trunks-") as folder:
        for name, block in data["trunks"].items():
            if block["kind"] in ("clip_image", "image", "video"):
                changed = {"weights": f"{folder}/{name}.safetensors"} | (
                    {"views": 1} if "views" in block else {}
                )
                found[name] = measure({**block, **changed}, given)
        decoding = decode_seconds(Path(folder), given)
    for precision in PRECISIONS:
        networks = sum(found[name][f"{precision}_s"] for name in found if isinstance(found[name], dict))
        found[f"video_{precision}_s"] = round(decoding + networks, 3)
    about = {"decode_s": round(decoding, 3), "device": given.device, "threads": torch.get_num_threads()}
    print(json.dumps(found | about))
    return 0


def decode_seconds(folder: Path, given: argparse.Namespace) -> float:
    """Seconds of decoding one video."""
    names = list(make(folder, videos=2, size=given.size, frames=given.frames)["path"])
    taken = []
    for turn in range(1 + given.rounds):
        started = time.perf_counter()
        decode(folder / names[turn % 2], frames=given.frames, box=given.size)
        taken.append(time.perf_counter() - started)
    return statistics.median(taken[1:])


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
        for precision in PRECISIONS
    }
    seconds: dict[str, list[float]] = {name: [] for name in networks}
    features: dict[str, Any] = {}
    for turn in range(1 + given.rounds):
        for name, network in networks.items():
            started = time.perf_counter()
            features[name] = network([video])
            if turn:
                seconds[name].append(time.perf_counter() - started)
    exact, rough = (features[name] for name in PRECISIONS)
    array = next(name for name in ("tokens", "stage", "pooled") if name in exact)
    rms = float(np.sqrt(np.mean(exact[array] ** 2)))
    return {
        **{f"{name}_s": round(statistics.median(taken), 3) for name, taken in seconds.items()},
        "deviation": round(float(np.abs(rough[array] - exact[array]).max()) / rms, 4),
    }


if __name__ == "__main__":
    main()
