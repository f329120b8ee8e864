"""Training steps per second of a whole network on stored frames (`cut: pixels`), in float32 and in bfloat16.

    python -m benchmarks.pixels [--branch frame|segment|video] [--videos 64] [--steps 10]
        [--preset paper_pixels] [--size 512] [--device auto]

One branch of the preset with random weights, in the shapes, batch and parts of a batch that the preset has: a
step reads frames from a store, crops them, runs the whole network with CLIP's tail and adapters, forward and
backward, clips and steps, as the stage `train` does. Frames of `--size` pixels are made up, and so is what is
cached: CLIP's tokens and, for the segment branch, the motion. Both precisions train the same network in
turns; figures are medians of `--steps` steps each, those at the top of the preset's `train.precision`.

`seconds_per_video` counts each video of a step once, though a batch in parts is run forward twice;
`read_share` is the share of the step in which frames are read and cropped. `activations_gb` is what one
part's forward pass keeps for the backward pass (counted tensor by tensor, without the weights) and the same
on every device; `peak_gb` is what a GPU's allocator held, on a CPU the process at its largest.

On a GPU a step has the branch's own batch and ten steps are measured. On a CPU `--videos 2 --steps 2` are the
default: a batch of two, in parts as large as the preset's; that takes 1 to 2 minutes on 2 cores with AMX.
"""

import argparse
import json
import os
import resource
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from benchmarks import epochs, presets
from msavqa.frames import read as frames
from msavqa.frames.read import DecodeSettings
from msavqa.ground import params
from msavqa.learning import branch as model
from msavqa.learning import folds, gradients, optimise
from msavqa.learning.gradients import Ranks
from msavqa.learning.inputs import Inputs
from msavqa.learning.output import Output
from msavqa.learning.pixels import Rows
from msavqa.machine import device as devices
from msavqa.store import shards
from msavqa.store.format import ArraySpec
from msavqa.store.shard import RowResult, ShardResult

BRANCHES = ("frame", "segment", "video")
PRECISIONS = ("fp32", "bf16")
STORED = 4
"""Different videos, beside three for validation; more of a step are these again."""


def main(argv: Sequence[str] | None = None) -> int:
    """Prints one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--branch", choices=BRANCHES, default="frame")
    parser.add_argument("--videos", type=int, help="of a step: the branch's batch on a GPU, 2 on a CPU")
    parser.add_argument("--steps", type=int, help="measured in each precision: 10 on a GPU, 2 on a CPU")
    parser.add_argument("--preset", default="paper_pixels", help="a preset's name, or a params file")
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"))
    given = parser.parse_args(argv)
    devices.keep_freed()  # as the stages do
    data = presets.read(given.preset)
    with tempfile.TemporaryDirectory(prefix="pixels-") as folder:
        print(json.dumps(measure(data, given, Path(folder))))
    return 0


def measure(data: dict[str, Any], given: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Steps of one branch in both precisions, in turns."""
    work, ready = open_branch(data, given.branch, folder, size=given.size, device=given.device)
    settings, train, opened, device = work.settings, work.train, ready.inputs, ready.inputs.device
    batch, slow = settings.optimiser.batch, device.type == "cpu"
    videos, steps = given.videos or (2 if slow else batch), given.steps or (2 if slow else 10)
    parts = parts_of(videos, batch=batch, accumulate=train.accumulate)
    torch.manual_seed(0)
    net = ready.model().train()
    learner = optimise.optimiser(net, settings.optimiser)
    loss = partial(loss_of, settings, videos)
    numbers = np.arange(videos) % len(opened.ids)
    found: dict[str, dict[str, list[float]]] = {name: defaultdict(list) for name in PRECISIONS}
    part = np.arange(-(-videos // parts))
    kept = {name: activations(partial(forward, net, opened, numbers, name, [], part)) for name in PRECISIONS}
    for number in range(steps):
        for name in PRECISIONS:
            read: list[float] = []
            if not slow:
                torch.cuda.reset_peak_memory_stats(device)
            started = time.perf_counter()
            learner.zero_grad(set_to_none=True)
            gradients.add(
                net,
                forward=partial(forward, net, opened, numbers, name, read),
                videos=videos,
                loss=loss,
                parts=parts,
                seed=(0, number),
                device=device,
                ranks=Ranks(0, 1),
            )
            torch.nn.utils.clip_grad_norm_(net.parameters(), train.gradient_clip)
            learner.step()
            if not slow:
                torch.cuda.synchronize(device)
            found[name]["step_s"].append(time.perf_counter() - started)
            found[name]["read_share"].append(sum(read) / found[name]["step_s"][-1])
            if not slow:
                found[name]["peak_gb"].append(torch.cuda.max_memory_allocated(device) / 1e9)
    ways = {name: figures(found[name], videos, kept[name]) for name in PRECISIONS}
    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    top = {"peak_gb": round(largest, 2)} | ways[train.precision]
    return {
        "branch": given.branch,
        **{name: top[name] for name in ("steps_per_s", "seconds_per_video", "peak_gb")},
        "precision": train.precision,
        "bf16_over_fp32": round(ways["fp32"]["step_s"] / ways["bf16"]["step_s"], 2),
        "ways": ways,
        "measured_videos": videos,
        "measured_steps": steps,
        "parts": parts,
        "preset_batch": batch,
        "preset_accumulate": train.accumulate,
        "frames": data["decode"]["frames"],
        "size": given.size,
        "crop": data["trunks"][settings.reads.trunk]["crop"],
        "threads": torch.get_num_threads(),
        "load_average": round(os.getloadavg()[0], 2),
        "device": "cpu" if slow else torch.cuda.get_device_name(device),
    }


def parts_of(videos: int, *, batch: int, accumulate: int) -> int:
    """Parts of a step of so many videos, each as large as a part of the preset's batch."""
    return max(1, -(-videos // -(-batch // min(batch, accumulate))))


def figures(found: Mapping[str, list[float]], videos: int, kept: float) -> dict[str, float]:
    """Medians of one precision."""
    middle = {name: statistics.median(values) for name, values in found.items()}
    return {
        **{name: round(value, 3) for name, value in middle.items()},
        "steps_per_s": round(1 / middle["step_s"], 4),
        "seconds_per_video": round(middle["step_s"] / videos, 4),
        "activations_gb": round(kept, 3),
    }


def open_branch(
    data: dict[str, Any], branch: str, folder: Path, *, size: int, device: str
) -> tuple[folds.Work, folds.Opened]:
    """Weights and stores of what the branch reads, made up in that folder, and opened as for training."""
    train = {**data["train"], "device": device, "resident": "ram"}
    data = epochs.at_cut({**data, "train": train}, "pixels", folder=folder)
    work = epochs.work_of(data, branch, videos=STORED, features=folder, epochs=1)
    epochs.write_stores(work, data)
    decode = params.block(data, "decode", DecodeSettings).model_copy(update={"store": "frames"})
    ids = work.manifest["video_id"].tolist()
    shards.write(
        folder / "frames.zarr",
        ids=ids,
        sha256s=["0" * 64] * len(ids),
        specs=frames.specs(decode),
        fingerprint=frames.fingerprint(decode),
        attributes={},
        compute=partial(made_up, frames.specs(decode), size),
        shard_mb=data["store"]["shard_mb"],
        staging_root=folder / "staging",
    )
    return work, folds.open_work(work)


def made_up(specs: Sequence[ArraySpec], size: int, rows: Sequence[int]) -> ShardResult:
    """Rows of frames.zarr: squares with a little noise, padded as stored pictures are."""
    found = {spec.name: np.stack([_row(spec, size, row) for row in rows]) for spec in specs}
    return ShardResult(found, [RowResult(extra={"height": size, "width": size}) for _ in rows])


def _row(spec: ArraySpec, size: int, row: int) -> npt.NDArray[Any]:
    found = np.zeros(spec.shape, dtype=spec.dtype)
    if spec.name == "frames":
        random = np.random.default_rng(row)
        shown = min(size, spec.shape[1])
        coarse = random.integers(20, 236, (spec.shape[0], 16, 16, 3), dtype=np.uint8)
        squares = coarse.repeat(-(-shown // 16), 1).repeat(-(-shown // 16), 2)[:, :shown, :shown]
        found[:, :shown, :shown] = squares + random.integers(0, 5, squares.shape, dtype=np.uint8)
    return found


def forward(
    net: nn.Module, opened: Inputs, videos: Rows, precision: str, read: list[float], places: Rows
) -> Output:
    """What the branch says of the videos at these places; `read` gets the seconds before the network."""
    started = time.perf_counter()
    batch = opened.batch(videos[places])
    read.append(time.perf_counter() - started)
    with torch.autocast(opened.device.type, dtype=torch.bfloat16, enabled=precision == "bf16"):
        found: Output = net(batch)
    return found


def loss_of(settings: Any, videos: int, output: Output) -> Tensor:
    """The branch's own loss against made-up labels."""
    mos = torch.linspace(-1, 1, videos, device=output.score.device)
    loss: Tensor = model.loss(settings, output=output, mos=mos, weight=torch.ones_like(mos))
    return loss


def activations(run: Callable[[], Output]) -> float:
    """GB that a forward pass keeps for its backward pass, beside leaves such as weights; runs both, once."""
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        if not tensor.is_leaf or not tensor.requires_grad:
            storage = tensor.untyped_storage()
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        output = run()
    torch.autograd.backward(output.score.sum())
    return sum(kept.values()) / 1e9


if __name__ == "__main__":
    raise SystemExit(main())
