"""What extraction costs beside the network itself: CPU seconds of both stages over bare decode and forward.

    python -m benchmarks.extract [--videos 24] [--size 512] [--frames 16] [--rounds 3] [--device cpu]
        [--workers 2] [--threads 1]

The videos are those of `benchmarks.decode`; the network is ConvNeXt-tiny at 320 pixels with random weights.
`decode_s` is decoding them one by one in this process, `forward_s` preparing their frames (resize, crop) and
passing them through the network, nothing read or stored. `pipeline_s` is what the stages decode and extract
do: `--workers` processes that decode, transport, frames.zarr, `--threads` that prepare ahead, features.
`overhead` = pipeline_s / (decode_s + forward_s). With `decode.store: none` the extraction decodes a second
time: `overhead_none` = pipeline_none_s / (2 decode_s + forward_s). CPU seconds count this process and its
children; figures are medians of `--rounds` runs in turns, after one of two videos that warms up. On a GPU
`*_wall_s` says what a user waits.
"""

import argparse
import json
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import pandas as pd
import torch

from benchmarks.decode import make
from msavqa.frames import read as frames
from msavqa.frames.decode import decode
from msavqa.frames.read import DecodeSettings
from msavqa.frames.sampling import Pixels
from msavqa.frames.write import decode_all
from msavqa.machine import device
from msavqa.networks import backbones, weights
from msavqa.store import read as store
from msavqa.trunks.kinds import image
from msavqa.trunks.run import videos
from msavqa.trunks.run.feature_rows import ExtractSettings
from msavqa.trunks.run.network import Trunk, Video

MODEL = "convnext_tiny"
BATCH_FRAMES = 32
WARM_UP_VIDEOS = 2


def main(argv: Sequence[str] | None = None) -> int:
    """Prints one JSON object; seconds are of all videos together."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--videos", type=int, default=24)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--frames", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2, help="processes that decode")
    parser.add_argument("--threads", type=int, default=1, help="that prepare frames for the network")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    given = parser.parse_args(argv)
    device.keep_freed()  # as the stages do
    given.device = device.chosen(given.device, setting="--device").type
    with tempfile.TemporaryDirectory(prefix="extract-") as folder:
        found = measure(Path(folder), given)
    about = {"videos": given.videos, "device": given.device, "torch_threads": torch.get_num_threads()}
    about |= {"workers": given.workers, "threads": given.threads}
    print(json.dumps({name: round(value, 3) for name, value in found.items()} | about))
    return 0


def measure(root: Path, given: argparse.Namespace) -> dict[str, float]:
    """All ways in turns over the same videos."""
    (root / "videos").mkdir()
    rows = make(root / "videos", videos=given.videos, size=given.size, frames=given.frames)
    network = trunk(root, frames=given.frames).load(device=given.device, batch=BATCH_FRAMES)
    decoded: list[Pixels] = []

    def bare_decode(some: pd.DataFrame) -> None:
        paths = [root / "videos" / path for path in some["path"]]
        decoded[:] = [
            decode(path, frames=given.frames, box=given.size, backend="pyav").frames for path in paths
        ]

    def bare_forward(some: pd.DataFrame) -> None:
        together = max(1, BATCH_FRAMES // given.frames)
        for start in range(0, len(decoded), together):
            network([Video("", pixels) for pixels in decoded[start : start + together]])

    ways: dict[str, Callable[[pd.DataFrame], object]] = {
        "decode": bare_decode,
        "forward": bare_forward,
        "pipeline": lambda some: pipeline(root, some, given, kept="frames"),
        "pipeline_none": lambda some: pipeline(root, some, given, kept="none"),
    }
    cpu: dict[str, list[float]] = {name: [] for name in ways}
    wall: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(1 + given.rounds):
        for name, way in ways.items():
            started, before = time.perf_counter(), cpu_seconds()
            way(rows if turn else rows.head(WARM_UP_VIDEOS))
            if turn:
                cpu[name].append(cpu_seconds() - before)
                wall[name].append(time.perf_counter() - started)
    found = {f"{name}_s": statistics.median(taken) for name, taken in cpu.items()}
    found |= {f"{name}_wall_s": statistics.median(taken) for name, taken in wall.items()}
    once = found["decode_s"] + found["forward_s"]
    found["overhead"] = found["pipeline_s"] / once
    found["overhead_none"] = found["pipeline_none_s"] / (once + found["decode_s"])
    return found


def pipeline(
    root: Path,
    rows: pd.DataFrame,
    given: argparse.Namespace,
    *,
    kept: Literal["frames", "none"],
) -> None:
    """What the stages decode and extract do, from videos to a finished store, nothing kept from earlier."""
    how = DecodeSettings(
        backend="pyav", frames=given.frames, box=given.size, store=kept, workers=given.workers,
        timeout_seconds=60.0, max_quarantined_fraction=0.0,
    )  # fmt: skip
    extraction = ExtractSettings(
        batch_frames=BATCH_FRAMES, ahead_videos=4 * given.threads, threads=given.threads, device=given.device
    )
    with tempfile.TemporaryDirectory(dir=root) as folder:
        path, staging = Path(folder), Path(folder) / "staging"
        decode_all(
            path / "frames.zarr", manifest=rows, root=root / "videos", settings=how, shard_mb=128,
            staging_root=staging,
        )  # fmt: skip
        opened = store.open(path / "frames.zarr")
        paths = {
            name: root / "videos" / file for name, file in zip(rows["video_id"], rows["path"], strict=True)
        }
        with frames.source(opened, settings=how, paths=paths) as read_frames:
            videos.run(
                path / "frame.zarr", trunk=trunk(root, frames=given.frames), frames=opened,
                read_frames=read_frames, extract=extraction, shard_mb=128, staging_root=staging,
            )  # fmt: skip


def trunk(root: Path, *, frames: int) -> Trunk:
    """The frame trunk at the paper's size with random weights."""
    path = root / "convnext.safetensors"
    if not path.is_file():
        weights.save(backbones.image(MODEL, {}).state_dict(), path)
    settings = image.TrunkSettings(
        kind="image", model=MODEL, kwargs={}, resize=512, crop=320, interpolation="bicubic", frames="all",
        views=1, cut="pooled", precision="fp32", dtype="float16",
    )  # fmt: skip
    return Trunk.of(image, settings, weights=path, frames=frames)


def cpu_seconds() -> float:
    """User and system time of this process and of its children that have ended."""
    who = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(used.ru_utime + used.ru_stime for used in map(resource.getrusage, who))


if __name__ == "__main__":
    main()
