"""Video Swin with attention by window, ours, against torchvision's own, in turns in one process.

    python -m benchmarks.video_swin [--model swin3d_t] [--size 224] [--frames 16] [--rounds 5] [--threads 1]

Random weights, one view of random pixels, with freed memory kept as the stages keep it. For each precision:
CPU seconds of a forward pass (`seconds`, medians), the median of their ratios, and the mean difference of
the features from torchvision's in float32, relative to their root mean square (`ours`, `theirs`).
"""

import argparse
import copy
import json
import statistics
import time
from collections.abc import Sequence
from typing import Any

import torch
from torchvision.models.video import swin_transformer as swin

from msavqa.machine import device
from msavqa.networks import backbones


def main(argv: Sequence[str] | None = None) -> int:
    """Prints one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", default="swin3d_t", choices=["swin3d_t", "swin3d_s", "swin3d_b"])
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--frames", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args(argv)
    device.keep_freed()
    torch.set_num_threads(given.threads)
    torch.manual_seed(0)
    pixels = torch.rand(1, 3, given.frames, given.size, given.size)
    print(json.dumps(measure(given.model, pixels, rounds=given.rounds)))
    return 0


def measure(model: str, pixels: torch.Tensor, *, rounds: int) -> dict[str, Any]:
    """By precision: `seconds`, `ratio`, `deviation`."""
    ways = {"ours": backbones.video(model, {})}
    ways["theirs"] = plain(ways["ours"])
    exact = forward(ways["theirs"], pixels, bf16=False)
    scale = exact.square().mean().sqrt()
    found: dict[str, Any] = {}
    for bf16 in (False, True):
        seconds: dict[str, list[float]] = {name: [] for name in ways}
        far = {
            name: float((forward(network, pixels, bf16=bf16) - exact).abs().mean() / scale)
            for name, network in ways.items()
        }
        for _ in range(rounds):
            for name, network in ways.items():
                began = time.process_time()
                forward(network, pixels, bf16=bf16)
                seconds[name].append(time.process_time() - began)
        pairs = zip(seconds["theirs"], seconds["ours"], strict=True)
        found["bf16" if bf16 else "fp32"] = {
            "seconds": {name: round(statistics.median(taken), 3) for name, taken in seconds.items()},
            "ratio": round(statistics.median(theirs / ours for theirs, ours in pairs), 2),
            "deviation": {name: float(f"{value:.2g}") for name, value in far.items()},
        }
    return found


def plain(network: Any) -> Any:
    """A copy with torchvision's own attention."""
    found = copy.deepcopy(network)
    for module in found.modules():
        if isinstance(module, swin.ShiftedWindowAttention3d):
            module.__class__ = swin.ShiftedWindowAttention3d
    return found


@torch.inference_mode()
def forward(network: Any, pixels: torch.Tensor, *, bf16: bool) -> torch.Tensor:
    """Features in float32."""
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        return backbones.video_features(network, pixels).float()


if __name__ == "__main__":
    raise SystemExit(main())
