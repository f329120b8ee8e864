"""Seconds of a whole training epoch of each branch at the paper's sizes: heads alone, and last stages too.

    python -m benchmarks.epochs [--branch frame segment video pretrain] [--cut pooled last_stage]
        [--videos 16] [--rounds 2] [--accumulate N] [--precision bf16] [--device cpu]
        [--preset paper]

Every branch of the preset with random weights over stores of random features in the shapes of its trunks, by
the code of the stage `train` (`training.train` of a final model): reading, forward, backward, clipping,
optimiser, and the validation that ends an epoch where the preset sets rows aside for it. `pretrain`
is the first of `pretrain.branches` without prompts, as the stage `pretrain` has it. `cut` is that of the
branch's own trunk and of its motion; CLIP's tail is in both. `--videos` are trained on: fewer than a batch of
the preset make a smaller batch, which takes less memory. `--accumulate` is `train.accumulate`: a forward pass
more where it is not 1. An epoch that is not measured goes first; seconds are medians of `--rounds` more, and
`epoch_s` extrapolates them to the training rows (T2VQA-DB's 10,000 less the test tenth, LSVQ's 28,056 for
training, each less the preset's `validation_fraction`). `stage_h` is the whole stage by the clock:
all repeats, folds and epochs. Features reside where `train.resident` would put those of the whole set;
streamed ones come from the page cache here, so `read_mb_per_video` says what a disk has to give. `peak_gb` is
memory of the process's own, sampled: without the mapped features, on a GPU what its allocator held. Each
measurement is a process of its own.
"""

import argparse
import json
import multiprocessing
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil
import torch

from benchmarks import presets
from benchmarks.cost import PUBLISHED
from msavqa.ground import params
from msavqa.learning import branch as model
from msavqa.learning import fit, folds, inputs, training
from msavqa.learning.folds import PretrainSettings
from msavqa.learning.gradients import Ranks
from msavqa.learning.train_settings import TrainSettings
from msavqa.networks import hub, weights
from msavqa.networks.hub import FetchSettings
from msavqa.store import format, shards
from msavqa.store.format import ArraySpec
from msavqa.store.shard import RowResult, ShardResult
from msavqa.trunks.kinds import clip_text
from msavqa.trunks.measures import statistics as measures
from msavqa.trunks.run import named
from msavqa.trunks.run.network import Trunk

BRANCHES = ("frame", "segment", "video", "pretrain")
CUTS = ("pooled", "last_stage")
NOT_TESTED = {"t2vqa_db": 9_000, "lsvq": 28_056}
"""Rows to train on and to validate with."""
A_PROMPT = 10
"""Videos of one prompt, as T2VQA-DB has them."""
TOKENS = 16
"""Of a prompt, start and end included."""
FRAME_INDEX = "frame_index"
"""The array that a store of images has at every cut."""
DRAWN = 4
"""Different rows of an array; more repeat them."""


def main(argv: Sequence[str] | None = None) -> int:
    """Prints one JSON object; each measurement as it comes to stderr."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--branch", nargs="+", choices=BRANCHES, default=BRANCHES)
    parser.add_argument("--cut", nargs="+", choices=CUTS, default=CUTS)
    parser.add_argument("--videos", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--accumulate", type=int, help="that of the preset if not given")
    parser.add_argument("--preset", default="paper", help="a preset's name, or a params file")
    parser.add_argument("--precision", choices=("fp32", "bf16"), help="that of the preset if not given")
    parser.add_argument("--device", default="cpu", choices=("auto", "cpu", "cuda"))
    given = parser.parse_args(argv)
    runs = []
    for branch in given.branch:
        for cut in given.cut:
            # A process keeps what it has freed: the next measurement's peak would be this one's.
            spawn = multiprocessing.get_context("spawn")
            with ProcessPoolExecutor(1, mp_context=spawn) as alone:
                runs.append(alone.submit(measure, branch, cut, given).result())
            print(json.dumps(runs[-1]), file=sys.stderr, flush=True)
    print(json.dumps({"runs": runs, "last_stage_over_pooled": ratios(runs)}))
    return 0


def ratios(runs: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """By branch: seconds with the last stage trained along over those of heads alone."""
    seconds = {(run["branch"], run["cut"]): run["seconds_per_video"] for run in runs}
    return {
        branch: round(seconds[branch, "last_stage"] / seconds[branch, "pooled"], 1)
        for branch in BRANCHES
        if {(branch, cut) for cut in CUTS} <= seconds.keys()
    }


def measure(branch: str, cut: str, given: argparse.Namespace) -> dict[str, Any]:
    """One branch at one cut: what an epoch takes, and the whole stage."""
    with tempfile.TemporaryDirectory(prefix="epochs-") as name:
        data = at_cut(presets.read(given.preset), cut, folder=Path(name))
        asked = {"precision": given.precision, "accumulate": given.accumulate, "device": given.device}
        data["train"] |= {key: value for key, value in asked.items() if value is not None}
        work = work_of(data, branch, videos=given.videos, features=Path(name), epochs=1 + given.rounds)
        specs = write_stores(work, data)
        dataset = "lsvq" if branch == "pretrain" else "t2vqa_db"
        work = in_place(work, PUBLISHED[dataset] * sum(one.row_bytes for one in specs))
        opened = folds.open_work(work)
        wall, cpu = list[float](), list[float]()

        def ended() -> None:
            wall.append(time.perf_counter())
            cpu.append(time.process_time())

        ranks = Ranks.join(opened.inputs.device)
        with peak_memory(opened.inputs.device) as peak:
            opened = folds.loaded(opened)
            training.train(opened, folds.Job(repeat=0, fold=folds.FINAL), ranks=ranks, epoch=ended)
        read = sum(
            one.store.spec(one.array).row_bytes
            for one in opened.inputs.sources.values()
            if isinstance(one, inputs.Source)
        )
    seconds, cpu_seconds = (statistics.median(np.diff(clock)) / given.videos for clock in (wall, cpu))
    batches = max(1, round(given.videos / work.settings.optimiser.batch))
    epochs, rows = epochs_of_stage(data, branch), round(NOT_TESTED[dataset] * (1 - held_for(data, branch)))
    return {
        "branch": branch,
        "cut": cut,
        "seconds_per_video": round(seconds, 5),
        "cpu_seconds_per_video": round(cpu_seconds, 5),
        "dataset": dataset,
        "training_videos": rows,
        "epoch_s": round(seconds * rows, 1),
        "stage_epochs": epochs,
        "stage_h": round(seconds * rows * epochs / 3600, 1),
        "peak_gb": round(peak[0] / 1e9, 2),
        "read_mb_per_video": round(read / 1e6, 3),
        "resident": opened.inputs.resident,
        "measured_videos": given.videos,
        "measured_batch": -(-given.videos // batches),
        "preset_batch": work.settings.optimiser.batch,
        "accumulate": work.train.accumulate,
        "precision": work.train.precision,
        "threads": torch.get_num_threads(),
        "load_average": round(os.getloadavg()[0], 2),
        "device": "cpu" if opened.inputs.device.type == "cpu" else torch.cuda.get_device_name(),
    }


def at_cut(data: dict[str, Any], cut: str, *, folder: Path) -> dict[str, Any]:
    """The preset with that cut of image and video networks, and all weights in that folder."""
    for block in data["trunks"].values():
        if block["kind"] in ("image", "video"):
            block["cut"] = cut
    return {**data, "weights": str(folder)}


def work_of(data: dict[str, Any], branch: str, *, videos: int, features: Path, epochs: int) -> folds.Work:
    """What the stage would train on, with videos that are only named."""
    name = data["pretrain"]["branches"][0] if branch == "pretrain" else branch
    settings = model.of_params(data, name)
    if branch == "pretrain":
        learner = params.block(data, "pretrain", PretrainSettings).optimiser
        settings = model.without_prompts(settings).model_copy(update={"optimiser": learner})
    share = held_for(data, branch)
    held = max(3, round(videos * share / (1 - share))) if share else 0
    ids = [f"{number:05d}.mp4" for number in range(videos + held)]
    said = ["" if branch == "pretrain" else f"prompt {number // A_PROMPT}" for number in range(len(ids))]
    roles, folded = ["train"] * videos + ["val"] * held, [0] * videos + [-1] * held
    mos = np.random.default_rng(0).uniform(0, 100, len(ids))
    train = params.block(data, "train", TrainSettings)
    # Made-up stores have no trivial videos beside them: an epoch with `train.copies` takes longer.
    train = train.model_copy(update={"copies": train.copies.model_copy(update={"weight": 0.0})})
    return folds.Work(
        branch=name,
        settings=settings,
        train=train.model_copy(update={"epochs": epochs, "least_steps": 0}),
        manifest=pd.DataFrame({"video_id": ids, "prompt": said, "mos": mos, "weight": 1.0}),
        splits=pd.DataFrame({"repeat": 0, "video_id": ids, "role": roles, "fold": folded}),
        features=features,
        weights=Path(data["weights"]),
        start=None,
        kept=None,
        live=None,
    )


def write_stores(work: folds.Work, data: dict[str, Any]) -> list[ArraySpec]:
    """Weights and store of every network that the branch reads; the arrays that it may read."""
    wanted: dict[str, set[str]] = {}
    for name, *arrays in model.inputs(work.settings).values():
        wanted.setdefault(name, set()).update(arrays)
    written = []
    for name, kept in wanted.items():
        ids: list[str] = work.manifest["video_id"].tolist()
        if name in data["texts"]:
            ids = list(dict.fromkeys(map(format.prompt_id, work.manifest["prompt"])))
        trunk = measures.trunk() if name == measures.NAME else with_random_weights(data, name)
        specs = [spec for spec in trunk.specs if spec.name in kept | {FRAME_INDEX}]
        shards.write(
            work.features / f"{name}.zarr",
            ids=ids,
            sha256s=["0" * 64] * len(ids),
            specs=specs,
            fingerprint=trunk.fingerprint,
            attributes=trunk.attributes,
            compute=partial(made_up, {spec.name: drawn(spec) for spec in specs}),
            shard_mb=data["store"]["shard_mb"],
            staging_root=work.features / "staging",
        )
        written += specs
    return written


def with_random_weights(data: Mapping[str, Any], name: str) -> Trunk:
    """A network of the preset; its weights are made, in the folder that `weights` names."""
    place = named.weights(data, name)
    settings: Any
    if name in data["texts"]:
        settings = params.block(data, f"texts.{name}", clip_text.TextSettings)
    else:
        kind, settings = named.trunk(data, name)
    weights.save(hub.fetch(settings, FetchSettings(source="random", name="0")), place)
    if name in data["texts"]:
        return Trunk.of(clip_text, settings, weights=place, tokens=TOKENS)
    return Trunk.of(kind, settings, weights=place, frames=data["decode"]["frames"])


def drawn(spec: ArraySpec) -> np.ndarray[Any, Any]:
    """Some rows of an array: random where it has fractions, a prompt's length where it counts tokens."""
    if not spec.dtype.startswith("float"):
        return np.full((DRAWN, *spec.shape), TOKENS if spec.name == "length" else 0, dtype=spec.dtype)
    random = np.random.default_rng(0).standard_normal((DRAWN, *spec.shape), dtype=np.float32)
    return random.astype(spec.dtype)


def made_up(values: Mapping[str, np.ndarray[Any, Any]], rows: Sequence[int]) -> ShardResult:
    """The drawn rows again and again."""
    found = {name: array[np.asarray(rows) % DRAWN] for name, array in values.items()}
    return ShardResult(found, [RowResult() for _ in rows])


def in_place(work: folds.Work, whole: int) -> folds.Work:
    """The same work with its features where `train.resident: auto` has those of the whole set, in bytes."""
    if work.train.resident != "auto":
        return work
    place = inputs.place_for(whole, device=fit.device_of(work.train), processes=1)
    return replace(work, train=work.train.model_copy(update={"resident": place}))


def held_for(data: Mapping[str, Any], branch: str) -> float:
    """Share of the rows that are not tested on that the preset sets aside for validation."""
    return float(data["pretrain_split" if branch == "pretrain" else "split"]["validation_fraction"])


def epochs_of_stage(data: Mapping[str, Any], branch: str) -> int:
    """Epochs over all training rows that the stage takes: a final model a repeat, and its folds' parts."""
    if branch == "pretrain":
        return int(data["pretrain"]["epochs"])
    parts = data["split"]["folds"] - 1  # as many models, each without its own part
    return int(len(data["split"]["seeds"]) * data["train"]["epochs"] * (1 + parts))


@contextmanager
def peak_memory(device: torch.device) -> Iterator[list[int]]:
    """Most bytes that this process held meanwhile: a list of one number, filled at the end."""
    found, done, me = [0], threading.Event(), psutil.Process()

    def watch() -> None:
        while not done.wait(0.02):
            now = me.memory_info()
            found[0] = max(found[0], now.rss - now.shared)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield found
    finally:
        done.set()
        thread.join()
    if device.type == "cuda":
        found[0] = torch.cuda.max_memory_allocated(device)


if __name__ == "__main__":
    raise SystemExit(main())
