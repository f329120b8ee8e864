"""How the pipeline bears many videos: time, memory, `dvc repro` without a change, and one video more.

    python -m benchmarks.scale [--sizes 1000 10000] [--device cpu]

For each size a git and DVC project of its own: this tree, tiny videos (32 pixels, 8 frames, H.264; a few
encodings, made different by a number in a `free` box at their end), a csv, small networks with random
weights. `dvc repro` runs the real stages up to the stores: check, index, split, decode, fetch, measure,
prompts and extract.

`wall_s` is that run; `peak_rss_mb` the largest sum of resident memory over one stage's processes at one time
(pages that they share count for each), `peak_of` the stage; `dvc_rss_mb` DVC's own process; `stages_s` how
long each stage's process lived. `repro_noop_s` is `dvc repro` again. `add_one_s` is `dvc repro` after one
more video at the end of the csv: `add_one` says how many rows were computed, and how many shards of each
store have other bytes than before, over their number. The last line holds the figures of the last size, and
those of every size as `runs`.
"""

import argparse
import json
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import yaml

from benchmarks import presets
from data.sample import mp4
from msavqa.ground.sources import ROOT

DIFFERENT, PER_PROMPT = 8, 4
TARGETS = ("split@many", "measure@many", "prompts@many-clip_text", "extract@many-frame")
STORES = ("frames", "clip_text", "frame", "statistics")
NETWORK = {"dims": [8, 8, 16, 16], "depths": [1, 1, 1, 1]}
WATCH_SECONDS = 0.05
MEMORY_BOUND, NOOP_SECONDS = 1.2, 10.0


def main(argv: Sequence[str] | None = None) -> int:
    """Prints one JSON object; exit code 1 where a bound is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1000, 10000])
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    given = parser.parse_args(argv)
    runs = []
    for videos in given.sizes:
        with tempfile.TemporaryDirectory(prefix="scale-") as folder:
            runs.append(measure(Path(folder) / "project", videos=videos, device=given.device))
        print(json.dumps(runs[-1]), flush=True)
    ratio = runs[-1]["peak_rss_mb"] / runs[0]["peak_rss_mb"]
    reached = {
        "memory": ratio <= MEMORY_BOUND,
        "noop": all(run["repro_noop_s"] <= NOOP_SECONDS for run in runs),
        "one_shard": all(
            shards.startswith("1/") for run in runs for shards in run["add_one"]["shards"].values()
        ),
    }
    print(json.dumps({**runs[-1], "runs": runs, "peak_rss_ratio": round(ratio, 3), "reached": reached}))
    return 0 if all(reached.values()) else 1


def measure(project: Path, *, videos: int, device: str) -> dict[str, Any]:
    """One project from nothing to its stores, again without a change, and again with one video more."""
    contents = prepare(project, videos=videos, device=device)
    watch = Watch()
    wall, _ = repro(project, watch)
    noop, said = repro(project, Watch())
    if "Running stage" in said:
        raise AssertionError(f"a second `dvc repro` ran a stage:\n{said}")
    before = {store: shards(project, store) for store in STORES}
    add(project, contents, videos)
    add_one, said = repro(project, Watch())
    computed = re.findall(
        r"^many(?: (\w+))?: \d+ \w+, (\d+) (?:tried|computed) now", said, flags=re.MULTILINE
    )
    if {name or "frames" for name, _ in computed} != set(STORES):
        raise AssertionError(f"not every store says how many rows it computed:\n{said}")
    changed = {store: _changed(before[store], shards(project, store)) for store in STORES}
    stage, peak = max(watch.peaks.items(), key=lambda item: item[1])
    return {
        "videos": videos,
        "wall_s": round(wall, 1),
        "peak_rss_mb": round(peak / 2**20, 1),
        "peak_of": stage,
        "repro_noop_s": round(noop, 2),
        "add_one_s": round(add_one, 1),
        "add_one": {"rows": {name or "frames": int(rows) for name, rows in computed}, "shards": changed},
        "dvc_rss_mb": round(watch.dvc / 2**20, 1),
        "peaks_mb": {name: round(size / 2**20, 1) for name, size in sorted(watch.peaks.items())},
        "stages_s": {name: round(last - first, 1) for name, (first, last) in watch.lived.items()},
    }


def prepare(project: Path, *, videos: int, device: str) -> list[bytes]:
    """The project before its first run; returns the few encodings of which its videos are made."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=ROOT, check=True,
        capture_output=True, text=True,
    )  # fmt: skip
    for name in listed.stdout.splitlines():
        if (ROOT / name).is_file():
            (project / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, project / name)
    for key, value in (("user.email", "scale@example.org"), ("user.name", "scale")):
        if not (project / ".git").exists():
            command(project, "git", "init", "--quiet")
        command(project, "git", "config", key, value)
    settings = presets.read("sample")
    (project / "params.yaml").write_text(yaml.safe_dump(params(settings, device=device)), encoding="utf-8")
    (project / "many").mkdir()
    draw = np.random.default_rng(0)
    pictures = draw.integers(0, 256, (DIFFERENT, 8, 4, 4, 3), dtype=np.uint8).repeat(8, 2).repeat(8, 3)
    contents = [mp4.encode(one, fps=8, crf=23) for one in pictures]
    (project / "many.csv").write_text("video,prompt,mos,generator\n", encoding="utf-8")
    for number in range(videos):
        add(project, contents, number)
    with (project / ".gitignore").open("a", encoding="utf-8") as file:
        file.write("/many/\n/many.csv\n")
    command(project, "git", "add", "--all")
    command(project, "git", "commit", "--quiet", "-m", "many tiny videos")
    return contents


def params(settings: dict[str, Any], *, device: str) -> dict[str, Any]:
    """The sample preset, turned to the many videos and to small networks with random weights."""
    columns = {"video": "video", "prompt": "prompt", "mos": "mos", "generator": "generator"}
    settings["train_on"] = ["many"]
    settings["datasets"]["many"] = {
        "reader": "csv", "root": "many", "labels": "many.csv", "mos_range": [0, 100], "columns": columns,
    }  # fmt: skip
    settings["decode"] |= {"frames": 8, "box": 32}
    settings["extract"]["device"] = device
    settings["trunks"]["frame"] |= {"kwargs": NETWORK, "resize": 32, "crop": 32}
    networks = (*settings["texts"], *settings["trunks"])  # all are asked for, and those of TARGETS are made
    settings["fetch"] = {name: {"source": "random", "name": "0"} for name in networks}
    return {**settings, "weights": "weights"}


def add(project: Path, contents: Sequence[bytes], number: int) -> None:
    """One more video, unlike all others, and its row."""
    unique = struct.pack(">I4sQ", 16, b"free", number)
    (project / f"many/{number:06d}.mp4").write_bytes(contents[number % len(contents)] + unique)
    row = f"{number:06d}.mp4,a prompt number {number // PER_PROMPT},{number % 101},g{number % 3}\n"
    with (project / "many.csv").open("a", encoding="utf-8") as file:
        file.write(row)


def shards(project: Path, store: str) -> list[str]:
    """The contents of a store's shards, in order."""
    found = json.loads((project / f"features/many/{store}.zarr/shards.json").read_text(encoding="utf-8"))
    return [json.dumps(shard, sort_keys=True) for shard in found["shards"]]


def repro(project: Path, watch: "Watch") -> tuple[float, str]:
    """Seconds of one `dvc repro`, and what it said; `watch` sees its processes."""
    started = time.perf_counter()
    said = command(project, "dvc", "repro", *TARGETS, watch=watch)
    return time.perf_counter() - started, said


def command(cwd: Path, *words: str, watch: "Watch | None" = None) -> str:
    """Runs one command with this Python's scripts first on the path; returns what it printed."""
    hidden = {"DVC_ROOT", "DVC_STAGE", "PYTHONPATH"}
    variables = {key: value for key, value in os.environ.items() if key not in hidden}
    variables["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{variables['PATH']}"
    with subprocess.Popen(
        words, cwd=cwd, env=variables, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        if watch is not None:
            threading.Thread(target=watch.follow, args=(process.pid,), daemon=True).start()
        said, _ = process.communicate()
    if process.returncode:
        raise SystemExit(f"{' '.join(words)} ended with {process.returncode}:\n{said[-4000:]}")
    return said


class Watch:
    """Memory of everything that one `dvc repro` starts, by stage."""

    def __init__(self) -> None:
        self.peaks: dict[str, int] = {}
        self.lived: dict[str, tuple[float, float]] = {}
        self.dvc = 0

    def follow(self, process_id: int) -> None:
        """Looks again and again until the process has ended."""
        try:
            dvc = psutil.Process(process_id)
            while dvc.is_running() and dvc.status() != psutil.STATUS_ZOMBIE:
                self.dvc = max(self.dvc, dvc.memory_info().rss)
                for child in dvc.children():
                    self._look(child)
                time.sleep(WATCH_SECONDS)
        except psutil.NoSuchProcess:
            return

    def _look(self, child: psutil.Process) -> None:
        try:
            family = [child, *child.children(recursive=True)]
            words = " ".join(" ".join(one.cmdline()) for one in family[:2])
        except psutil.Error:
            return
        named = re.search(r"pipeline\.(\w+(?: (?!many\b)\w+)?(?: many \w+)?)", words)
        if named is None:
            return
        name, now, size = named[1].replace(" many", ""), time.perf_counter(), 0
        for one in family:
            try:
                size += one.memory_info().rss
            except psutil.Error:
                continue
        self.peaks[name] = max(self.peaks.get(name, 0), size)
        self.lived[name] = self.lived.get(name, (now, now))[0], now


def _changed(before: Sequence[str], after: Sequence[str]) -> str:
    known = set(before)
    return f"{sum(shard not in known for shard in after)}/{len(after)}"


if __name__ == "__main__":
    raise SystemExit(main())
