"""What each frozen network costs per video at the paper's sizes, in float32 and in bfloat16.

    python -m benchmarks.trunks [--preset paper] [--size 512] [--frames 16] [--prompts 32]
                               [--device cpu]

The networks of the preset with random weights, one view of one video of `--frames` frames of `--size` pixels
at a time: resize, crop, forward, and the way back to the host; `prepare_s` is resize and crop alone, which
the stage does ahead in `extract.threads` threads, on the CPU wherever the network runs. Seconds are medians
of `--rounds` in turns; more views cost that many times as much. `*_cpu_s` are CPU seconds of all threads:
beside other work on the machine they hold, wall-clock seconds do not. The text tower's are of a prompt of 12
to 20 tokens, `--prompts` of them at once; no sum has them, for T2VQA-DB has 1,000 prompts for its 10,000
videos. `stage_s` is a training step (forward, backward) of the last stage over one video's cached input in
float32, where the trunk's cut is `last_stage`. `deviation` is the largest difference of the bfloat16
features, relative to the root mean square of float32 ones. `decode_s` is decoding such a video
(`benchmarks.decode`), `video_*_s` one video through decoding and all networks.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks import presets
from benchmarks.decode import make
from msavqa.frames.decode import decode
from msavqa.ground import params
from msavqa.learning import stage_tail
from msavqa.machine import device as devices
from msavqa.networks import hub, weights
from msavqa.networks.hub import FetchSettings
from msavqa.trunks.kinds import clip_text
from msavqa.trunks.measures import statistics as measures
from msavqa.trunks.run import named
from msavqa.trunks.run.network import Video

PRECISIONS = ("fp32", "bf16")


def main(argv: Sequence[str] | None = None) -> int:
    """Prints one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--preset", default="paper", help="a preset's name, or a params file")
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--frames", type=int, default=16)
    parser.add_argument("--prompts", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    given = parser.parse_args(argv)
    devices.keep_freed()  # as the stages do
    given.device = devices.chosen(given.device, setting="--device").type
    data = presets.read(given.preset)
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="trunks-") as folder:
        place = Path(folder) / "network.safetensors"
        for name in data["texts"]:
            text = params.block(data, f"texts.{name}", clip_text.TextSettings)
            found[name] = measure(clip_text, text, place, made_prompts(given), given)
        for name in data["trunks"]:
            kind, settings = named.trunk(data, name)
            if hasattr(settings, "views"):
                settings = settings.model_copy(update={"views": 1})
            found[name] = measure(kind, settings, place, [made_video(given)], given)
        found[measures.NAME] = measure_statistics(given)
        decoding = decode_seconds(Path(folder), given)
    of_videos = [found[name] for name in data["trunks"]]
    for key in [f"{precision}{unit}" for precision in PRECISIONS for unit in ("_s", "_cpu_s")]:
        found[f"video_{key}"] = round(decoding + sum(one[key] for one in of_videos), 3)
    about = {"decode_s": round(decoding, 3), "device": given.device, "threads": torch.get_num_threads()}
    print(json.dumps(found | about))
    return 0


def decode_seconds(folder: Path, given: argparse.Namespace) -> float:
    """Seconds of decoding one video."""
    names = list(make(folder, videos=2, size=given.size, frames=given.frames)["path"])
    taken = []
    for turn in range(1 + given.rounds):
        started = time.perf_counter()
        decode(folder / names[turn % 2], frames=given.frames, box=given.size, backend="pyav")
        taken.append(time.perf_counter() - started)
    return statistics.median(taken[1:])


def measure(
    module: Any, settings: Any, place: Path, seen: Sequence[Any], given: argparse.Namespace
) -> dict[str, float]:
    """One network over the same inputs in both precisions, in turns; seconds of one input."""
    weights.save(hub.fetch(settings, FetchSettings(source="random", name="0")), place)
    networks = {
        precision: module.load(
            settings.model_copy(update={"precision": precision}), weights=place, device=given.device, batch=64
        )
        for precision in PRECISIONS
    }
    features: dict[str, Any] = {}

    def forward(name: str) -> None:
        features[name] = networks[name](seen)

    def prepare() -> None:
        for one in seen:
            networks["fp32"].prepare(one)

    ways: dict[str, Callable[[], None]] = {name: partial(forward, name) for name in networks}
    ways["prepare"] = prepare
    forward("fp32")
    if "stage" in features["fp32"]:
        ways["stage"] = last_stage(module, settings, place, features["fp32"]["stage"], device=given.device)
    wall: dict[str, list[float]] = {name: [] for name in ways}
    cpu: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(1 + given.rounds):
        for name, way in ways.items():
            started, before = time.perf_counter(), time.process_time()
            way()
            if turn:
                wall[name].append((time.perf_counter() - started) / len(seen))
                cpu[name].append((time.process_time() - before) / len(seen))
    exact, rough = (features[name] for name in PRECISIONS)
    array = next(name for name in ("tokens", "stage", "pooled") if name in exact)
    rms = float(np.sqrt(np.mean(exact[array] ** 2)))
    return {
        **{f"{name}_s": round(statistics.median(taken), 4) for name, taken in wall.items()},
        **{f"{name}_cpu_s": round(statistics.median(taken), 4) for name, taken in cpu.items()},
        "deviation": round(float(np.abs(rough[array] - exact[array]).max()) / rms, 4),
    }


def measure_statistics(given: argparse.Namespace) -> dict[str, float]:
    """The handcrafted measures of the same video; they run on the CPU in one precision."""
    network = measures.load()
    video = made_video(given)
    wall, cpu = [], []
    for turn in range(1 + given.rounds):
        started, before = time.perf_counter(), time.process_time()
        network([video])
        if turn:
            wall.append(time.perf_counter() - started)
            cpu.append(time.process_time() - before)
    return {"s": round(statistics.median(wall), 3), "cpu_s": round(statistics.median(cpu), 3)}


def made_prompts(given: argparse.Namespace) -> list[str]:
    """Prompts of 10 to 18 words, as long as a sentence is."""
    return [" ".join(["a", *["dog"] * (9 + number % 9)]) for number in range(given.prompts)]


def made_video(given: argparse.Namespace) -> Video:
    """Random squares, other ones in every frame."""
    coarse = np.random.default_rng(0).integers(0, 256, (given.frames, 8, 8, 3), dtype=np.uint8)
    scale = -(-given.size // 8)
    return Video("video", coarse.repeat(scale, 1).repeat(scale, 2)[:, : given.size, : given.size].copy())


def last_stage(module: Any, settings: Any, place: Path, stage: Any, *, device: str) -> Callable[[], None]:
    """A training step of what lies behind the cut, over one view of cached inputs."""
    made_by = {**module.fingerprint(settings, weights=place), **module.attributes(settings, weights=place)}
    network = stage_tail.backbone_of(made_by, place).to(device).train()
    cached = torch.from_numpy(stage[:, 0]).to(device)

    def step() -> None:
        network.zero_grad()
        torch.autograd.backward(network(cached).square().mean())
        if cached.is_cuda:
            torch.cuda.synchronize()

    return step


if __name__ == "__main__":
    main()
