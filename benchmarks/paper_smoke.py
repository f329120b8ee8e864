"""The paper at full size on 12 videos: every stage once with random weights, its seconds and peak memory.

    python -m benchmarks.paper_smoke [--videos 12] [--keep folder] [--preset paper]
        [--set train.precision=fp32 ...]

A checkout of this tree in a temporary folder, the preset as its params.yaml, FETV's videos (beside
the checkout in ../shared/data, or $MSAVQA_SHARED_DATA) or the sample world's in the layouts of T2VQA-DB and
LSVQ, then `dvc repro`. Networks, sizes, views, cuts and batches are the preset's. Smaller are data, epochs
(1), repeats (1), folds (2) and worker processes; the split is by prompt, so that enough videos are tested on.

`seconds` is from a stage's process start to its end, imports included; `peak_gb` the sum of resident memory
of that process and all below it, sampled ten times a second (pages that two of them share count twice);
`cpu_seconds` their user and system time, which says more than `seconds` where the machine is shared.
`bytes_a_video` is what each store takes. Exit code 1 where the limits below are broken.
"""

import argparse
import csv
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import yaml

from benchmarks import presets

ROOT = Path(__file__).resolve().parent.parent
LIMIT_GB, LIMIT_SECONDS = 12.0, 15 * 60.0
"""Of every stage, and of all of them together, on 2 cores."""
SMALLER: dict[str, Any] = {
    "index.workers": 2,
    "split.protocol": "prompt_disjoint",
    "split.seeds": [0],
    "split.test_fraction": 0.34,
    "split.folds": 2,
    "pretrain_split.folds": 2,
    "decode.workers": 2,
    "extract.threads": 1,
    "pretrain.epochs": 1,
    "train.epochs": 1,
    "train.least_steps": 0,
    "report.bootstrap.resamples": 100,
}
MADE = ("dvc.lock", "data/sample/dvc.lock", "reports/")
"""What runs have made; the stage `report` reads one file of it."""
Video = tuple[Path, str, float]
"""File, prompt, MOS on 0-100."""


@dataclass
class Watch:
    """What the processes below this one take, by stage; filled by a thread while they run."""

    first: dict[str, float] = field(default_factory=dict)
    last: dict[str, float] = field(default_factory=dict)
    peak: dict[str, int] = field(default_factory=dict)
    cpu: dict[str, float] = field(default_factory=dict)
    done: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Samples until `done` is set."""
        me = psutil.Process()
        while not self.done.wait(0.1):
            for process in me.children(recursive=True):
                try:
                    self._sample(process)
                except psutil.Error:
                    continue  # it has ended meanwhile

    def _sample(self, process: psutil.Process) -> None:
        words = process.cmdline()
        place = next((at for at, word in enumerate(words) if word.startswith("pipeline.")), 0)
        if not place or words[place - 1] != "-m":
            return
        stage = " ".join([words[place].removeprefix("pipeline."), *words[place + 1 :]])
        family = [process, *process.children(recursive=True)]
        used = sum(one.memory_info().rss for one in family)
        cpu = sum(sum(one.cpu_times()[:4]) for one in family)  # those of ended children included
        self.first.setdefault(stage, process.create_time())
        self.last[stage] = time.time()
        self.peak[stage] = max(self.peak.get(stage, 0), used)
        self.cpu[stage] = max(self.cpu.get(stage, 0.0), cpu)


def main(argv: Sequence[str] | None = None) -> int:
    """Prints a table of stages to stderr and one JSON object to stdout."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--videos", type=int, default=12)
    parser.add_argument("--keep", type=Path, help="work in this folder, and leave it")
    parser.add_argument("--preset", default="paper", help="a preset's name, or a params file")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="a key of params.yaml"
    )
    given = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="paper-smoke-") as folder:
        repo = Path(given.keep or folder)
        videos, source = find_videos(given.videos)
        checkout(repo)
        place(repo, videos)
        write_params(repo, dict(one.split("=", 1) for one in given.set), preset=given.preset)
        found = measure(repo)
        found |= {"videos": len(videos), "source": source, "bytes_a_video": bytes_a_video(repo, len(videos))}
    show(found)
    print(json.dumps(found))
    broken = found["peak_gb"] > LIMIT_GB or found["seconds"] > LIMIT_SECONDS
    if broken:
        print(f"over the limit of {LIMIT_GB:g} GB or {LIMIT_SECONDS:g} s", file=sys.stderr)
    return int(broken)


def find_videos(count: int) -> tuple[list[Video], str]:
    """FETV's videos, two of a prompt, or the sample world's; and which."""
    shared = Path(os.environ.get("MSAVQA_SHARED_DATA", ROOT.parent / "shared" / "data")) / "fetv"
    if (shared / "videos.csv").is_file():
        folder, labels, scale, source = shared, shared / "videos.csv", 20.0, "FETV"
    else:
        folder, labels, scale, source = (
            ROOT / "data/sample/videos/t2v", ROOT / "data/sample/videos/t2v.csv", 1.0, "sample world",
        )  # fmt: skip
    if not labels.is_file():
        sys.exit("no videos: run `make repro` for the sample world's, or put FETV beside the checkout")
    with labels.open(encoding="utf-8", newline="") as file:
        rows = sorted(csv.DictReader(file), key=lambda row: (row["prompt"], row["video"]))
    seen: dict[str, int] = {}
    chosen: list[Video] = []
    for row in rows:
        seen[row["prompt"]] = seen.get(row["prompt"], 0) + 1
        if seen[row["prompt"]] <= 2:
            chosen.append((folder / row["video"], row["prompt"], scale * float(row["mos"])))
    return chosen[:count], source


def checkout(repo: Path) -> None:
    """This tree as it is now, as a git repository of its own."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    ).stdout.splitlines()  # fmt: skip
    for name in listed:
        if (ROOT / name).is_file() and (name == "reports/ablation.csv" or not name.startswith(MADE)):
            (repo / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, repo / name)
    subprocess.run(["git", "init", "--quiet"], cwd=repo, check=True)


def place(repo: Path, videos: Sequence[Video]) -> None:
    """The videos and their labels as T2VQA-DB has them, and again as LSVQ has them."""
    base, lsvq = repo / "data/t2vqa_db", repo / "data/lsvq"
    for folder in (base / "videos", lsvq / "videos/yfcc-batch1", lsvq / "labels/LSVQ"):
        folder.mkdir(parents=True)
    info, ratings = [], []
    for number, (path, prompt, mos) in enumerate(videos):
        name = f"{number // 4:05d}_{number % 4:02d}{path.suffix}"
        shutil.copy2(path, base / "videos" / name)
        shutil.copy2(path, lsvq / "videos/yfcc-batch1" / name)
        info.append(f"{name}|{prompt}|{mos:.4f}\n")
        ratings.append(f"yfcc-batch1/{name}, -1, -1, {mos:.2f}\n")
    (base / "info.txt").write_text("".join(info), encoding="utf-8")
    third = len(ratings) // 3
    (lsvq / "labels/train_labels.txt").write_text("".join(ratings[third:]), encoding="utf-8")
    (lsvq / "labels/LSVQ/labels_test.txt").write_text("".join(ratings[:third]), encoding="utf-8")


def write_params(repo: Path, more: dict[str, str], *, preset: str = "paper") -> None:
    """A full-size preset with random weights and what 12 videos need."""
    data = presets.read(preset)
    data["fetch"] = {name: {"source": "random", "name": "0"} for name in data["fetch"]}
    for dotted, value in {**SMALLER, **{key: yaml.safe_load(one) for key, one in more.items()}}.items():
        *above, last = dotted.split(".")
        block = data
        for key in above:
            block = block[key]
        if last not in block:
            sys.exit(f"the preset {preset} has no {dotted}")
        block[last] = value
    (repo / "params.yaml").write_text(yaml.safe_dump(data, sort_keys=False), encoding="utf-8")


def measure(repo: Path) -> dict[str, Any]:
    """Runs the whole pipeline; seconds and memory of each stage."""
    watch = Watch()
    thread = threading.Thread(target=watch.run)
    thread.start()
    started = time.monotonic()
    try:
        subprocess.run(["dvc", "repro"], cwd=repo, check=True, stdout=sys.stderr)
    finally:
        seconds = time.monotonic() - started
        watch.done.set()
        thread.join()
    stages = {
        stage: {"seconds": round(watch.last[stage] - watch.first[stage], 1),
                "cpu_seconds": round(watch.cpu[stage], 1), "peak_gb": round(watch.peak[stage] / 1e9, 2)}
        for stage in watch.first
    }  # fmt: skip
    return {
        "seconds": round(seconds, 1),
        "cpu_seconds": round(sum(watch.cpu.values()), 1),
        "peak_gb": max(one["peak_gb"] for one in stages.values()),
        "cores": len(os.sched_getaffinity(0)),
        "stages": stages,
    }


def bytes_a_video(repo: Path, videos: int) -> dict[str, int]:
    """Bytes on disk of each store of T2VQA-DB's, a video."""
    stores = sorted((repo / "features/t2vqa_db").glob("*.zarr"))
    return {
        store.stem: sum(file.stat().st_size for file in store.rglob("*") if file.is_file()) // videos
        for store in stores
    }


def show(found: dict[str, Any]) -> None:
    """The stages as a table, for people."""
    print(f"{'stage':32s} {'seconds':>8s} {'CPU':>8s} {'peak GB':>8s}", file=sys.stderr)
    for stage, one in [*found["stages"].items(), ("all of dvc repro", found)]:
        figures = (one["seconds"], one["cpu_seconds"], one["peak_gb"])
        print(f"{stage:32s} {figures[0]:8.1f} {figures[1]:8.1f} {figures[2]:8.2f}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
