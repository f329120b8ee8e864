"""Out-of-fold, validation and test scores of one branch: a model for each fold, and one on all training rows.

Labels come from `tables.learning_labels`, which knows no test row. A fold's model scores the training rows it
never saw; the final model scores validation and test rows.
"""

import hashlib
import multiprocessing
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from dataclasses import asdict, dataclass
from multiprocessing.queues import SimpleQueue
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from pydantic import Field
from torch import nn

from msavqa.datasets import tables
from msavqa.learning import branch as model
from msavqa.learning import checkpoint, fit, inputs, stage_tail, tail
from msavqa.learning import fit as live
from msavqa.learning import inputs as asked_features
from msavqa.learning import inputs as other_prompts
from msavqa.learning.branch import Output, Shapes, standardised
from msavqa.learning.fit import Labels, OptimiserSettings, Record, TrainSettings
from msavqa.learning.gradients import Ranks
from msavqa.machine import device as memory
from msavqa.machine import device as sums
from msavqa.machine import launch
from msavqa.machine.params import Settings
from msavqa.store import read as store

FINAL = -1
"""The fold of the model that learns from all training rows."""


@dataclass(frozen=True)
class Work:
    """One branch to train on one dataset; small, so that it can be sent to other processes."""

    branch: str
    settings: Any
    """`BranchSettings` of the branch's module."""
    train: TrainSettings
    manifest: pd.DataFrame
    splits: pd.DataFrame
    features: Path
    """The folder of the dataset's stores."""
    weights: Mapping[str, Path]
    """Weights files by trunk: of CLIP's two, and of the branch's own where it is trained along."""
    start: Path | None
    """Weights of pre-training without prompts that the branch starts from."""
    checkpoints: Path | None
    """Folder where interrupted jobs are continued from."""
    live: Path | None
    """Folder where DVCLive shows how the final models come along, one folder a repeat; None: nowhere."""
    asked: Mapping[str, Any] | None = None
    """All of params.yaml, whose `trunks` and `decode` the stores must follow; None: any stores will do."""


@dataclass(frozen=True)
class Job:
    """One model to train: of a fold, or `FINAL`."""

    repeat: int
    fold: int


@dataclass(frozen=True)
class Outcome:
    """What one job gave."""

    job: Job
    scores: pd.DataFrame
    """Rows of `tables.PREDICTIONS`."""
    shuffled: pd.DataFrame
    """The final model's rows once more with one another's prompts; no rows where no prompt is read."""
    attention: pd.DataFrame
    """Where SMA looked in the final model's rows: repeat, video_id, attention; no rows without SMA."""
    history: list[Record]
    """One record an epoch."""
    weights: dict[str, npt.NDArray[Any]]
    """The final model's; empty for a fold's."""
    facts: dict[str, Any]
    """What the model needs to be built again, and how many videos had no features; plain data."""


@dataclass(frozen=True)
class Opened:
    """A `Work` with its features and tails open."""

    work: Work
    inputs: inputs.Inputs
    shapes: Shapes
    tails: Mapping[str, nn.Module]

    def backbone(self) -> nn.Module:
        """What is trained of the branch's trunk, fresh from the trunk's weights."""
        opened = self.inputs.sources["features"].store
        return stage_tail.backbone(opened, self.work.weights[self.work.settings.trunk])

    def model(self) -> nn.Module:
        """The branch, untrained, on its device."""
        built = model.assemble(
            self.work.branch,
            self.work.settings,
            shapes=self.shapes,
            backbone=self.backbone(),
            text_tail=self.tails.get("clip_text"),
            image_tail=self.tails.get("clip_image"),
        )
        return built.to(self.inputs.device)


def jobs(splits: pd.DataFrame) -> list[Job]:
    """All models of all repeats; the final ones, which take longest, first."""
    repeats = sorted(int(repeat) for repeat in splits["repeat"].unique())
    folds = (
        splits.loc[splits["fold"] >= 0, ["repeat", "fold"]].drop_duplicates().sort_values(["repeat", "fold"])
    )
    parts = [Job(int(repeat), int(fold)) for repeat, fold in folds.itertuples(index=False)]
    return [Job(repeat, FINAL) for repeat in repeats] + parts


def open_work(work: Work) -> Opened:
    """Opens features and tails in this process; raises `StoreError` for features that were not asked for."""
    memory.keep_freed()
    torch.set_num_threads(work.train.threads)
    wanted = model.branch(work.branch).inputs(work.settings)
    prompts = _prompts(work)
    device = fit.device_of(work.train)
    sums.in_order(device.type)
    found = inputs.open_inputs(
        wanted,
        features=work.features,
        ids=list(prompts),
        prompts=list(prompts.values()),
        resident=work.train.resident,
        device=device,
        processes=work.train.processes if device.type == "cpu" else 1,
        expect=asked_features.expected(work.asked, trunks={trunk for trunk, *_ in wanted.values()}),
    )
    tails = {}
    for trunk, key, make in (
        ("clip_text", "text_tokens", tail.clip_text_tail),
        ("clip_image", "image_tokens", tail.clip_image_tail),
    ):
        if key in found.sources:
            attributes = found.sources[key].store.attributes
            tails[trunk] = make(work.weights[trunk], attributes["architecture"])
    return Opened(
        work=work, inputs=found, shapes=found.shapes(statistics=work.settings.statistics), tails=tails
    )


def run_job(opened: Opened, job: Job, *, ranks: Ranks, epoch: Callable[[], None] = lambda: None) -> Outcome:
    """Trains one model and scores the rows it did not learn from; `epoch` is called after each epoch."""
    work = opened.work
    known = tables.learning_labels(work.manifest, work.splits, repeat=job.repeat)
    training = known[known["role"] == "train"]
    held_out = training[training["fold"] == job.fold]
    learning = training[training["fold"] != job.fold]
    seed = int(np.random.SeedSequence([work.train.seed, job.repeat, job.fold + 1]).generate_state(1)[0])
    torch.manual_seed(seed)
    net = opened.model()
    labels = labels_of(opened.inputs, learning)
    net.eval()
    constants = standardised(net, technical=work.start is None)
    fit.freeze_constants(constants, inputs=opened.inputs, labels=labels, settings=work.train)
    if work.start is not None:
        model.continue_from(net, work.start)
    module = model.branch(work.branch)
    validation = known[known["role"] == "val"]
    shown = None
    if work.live is not None and job.fold == FINAL and ranks.leads:
        shown = work.live / f"repeat{job.repeat}"
    with live.following(shown) as follow:

        def ended(record: Mapping[str, int | float]) -> None:
            follow(record)
            epoch()

        history = fit.fit(
            net,
            inputs=opened.inputs,
            labels=labels,
            validation=labels_of(opened.inputs, validation) if job.fold == FINAL else None,
            loss=lambda output, mos, weight: module.loss(
                work.settings, output=output, mos=mos, weight=weight
            ),
            settings=work.train,
            optimiser_settings=work.settings.optimiser,
            seed=seed,
            checkpoint=_checkpoint(opened, job),
            follow=ended,
            ranks=ranks,
        )
    if job.fold == FINAL:
        rows = work.splits[(work.splits["repeat"] == job.repeat) & (work.splits["role"] != "train")]
        wanted = rows[["video_id", "role"]]
        weights = {name: tensor.cpu().numpy() for name, tensor in net.state_dict().items()}
    else:
        wanted, weights = held_out[["video_id"]].assign(role="oof"), {}
    wanted = wanted[wanted["video_id"].isin(opened.inputs.ids)]
    videos = opened.inputs.index(list(wanted["video_id"]))
    found = fit.outputs(net, inputs=opened.inputs, videos=videos, settings=work.train)
    score = torch.cat([one.score for one in found]).double().cpu().numpy() if found else np.zeros(0)
    scores = wanted.assign(repeat=job.repeat, score=score)[["repeat", "video_id", "role", "score"]]
    shuffled = scores.head(0)
    if job.fold == FINAL:
        seed_of = [work.train.seed, job.repeat]
        others = other_prompts.beside(opened.inputs, videos=videos, prompts=_prompts(work), seed=seed_of)
        if others is not None:
            again = fit.predict(net, inputs=others, videos=videos, settings=work.train)
            shuffled = scores.assign(score=again)
    return Outcome(
        job=job,
        scores=scores,
        shuffled=shuffled,
        attention=_attention(found, scores) if job.fold == FINAL else _attention([], scores),
        history=history,
        weights=weights,
        facts=_facts(opened),
    )


def _attention(found: Sequence[Output], scores: pd.DataFrame) -> pd.DataFrame:
    """The outputs' attention beside their rows; no rows where the branch has none."""
    looks = [row for one in found if one.attention is not None for row in one.attention.float().tolist()]
    rows = scores[["repeat", "video_id"]].head(len(looks)).reset_index(drop=True)
    return rows.assign(attention=pd.Series(looks, dtype=object))


def weights_of(trunks: Mapping[str, Mapping[str, Any]]) -> dict[str, Path]:
    """Weights files by trunk, of the params block `trunks`."""
    return {name: Path(trunk["weights"]) for name, trunk in trunks.items() if "weights" in trunk}


def labels_of(opened: inputs.Inputs, rows: pd.DataFrame) -> Labels:
    """Labels of those rows (video_id, mos, weight) that are usable and have a MOS."""
    usable = rows[rows["video_id"].isin(opened.ids) & rows["mos"].notna()]
    return Labels(
        videos=opened.index(list(usable["video_id"])),
        mos=usable["mos"].to_numpy(dtype=np.float64),
        weight=usable["weight"].to_numpy(dtype=np.float64),
    )


def _facts(opened: Opened) -> dict[str, Any]:
    stores = {source.store.path.stem: source.store for source in opened.inputs.sources.values()}
    return {
        "branch": opened.work.branch,
        "settings": opened.work.settings.model_dump(mode="json"),
        "train": opened.work.train.model_dump(mode="json"),
        "shapes": asdict(opened.shapes),
        "architectures": {trunk: stores[trunk].attributes["architecture"] for trunk in sorted(opened.tails)},
        "fingerprints": {trunk: dict(stores[trunk].fingerprint) for trunk in sorted(stores)},
        "quarantined": opened.inputs.quarantined,
    }


def _prompts(work: Work) -> dict[str, str]:
    """Every video of the splits with its prompt, in manifest order; dealt out anew where shuffled."""
    rows = work.manifest[work.manifest["video_id"].isin(set(work.splits["video_id"]))]
    prompts = rows["prompt"].to_numpy()
    if work.train.prompts == "shuffled":
        prompts = np.random.default_rng(work.train.seed).permutation(prompts)
    return dict(zip(rows["video_id"], prompts, strict=True))


def _content(features: store.Store) -> list[object]:
    """What a store's features were made by, and of which files or prompts."""
    return [features.fingerprint, features.rows[["id", "sha256", "status"]].to_csv(index=False)]


def _checkpoint(opened: Opened, job: Job) -> Path | None:
    """Where this job is continued from: no job of other settings, labels, features or code has it."""
    work = opened.work
    if work.checkpoints is None:
        return None
    facts = [
        work.branch,
        work.settings.model_dump(mode="json"),
        work.train.model_dump(mode="json", exclude={"processes", "resident", "checkpoint_seconds"}),
        {key: _content(source.store) for key, source in opened.inputs.sources.items()},
        opened.inputs.ids,
        _prompts(work),
        tables.learning_labels(work.manifest, work.splits, repeat=job.repeat).to_csv(index=False),
        None if work.start is None else hashlib.sha256(work.start.read_bytes()).hexdigest(),
    ]
    digest = checkpoint.key(facts, "msavqa.learning.folds", f"msavqa.branches.{work.branch}")
    return work.checkpoints / f"{work.branch}-{digest}-repeat{job.repeat}-fold{job.fold}.pt"


class PretrainSettings(Settings):
    """The block `pretrain`; all else is as in `branches.segment` and `train`."""

    epochs: int = Field(gt=0)
    optimiser: OptimiserSettings


LOOK_EVERY_SECONDS = 0.5


def run(
    work: Work, todo: Sequence[Job], *, ranks: Ranks, epoch: Callable[[], None] = lambda: None
) -> Iterator[Outcome]:
    """Trains the jobs' models, as they finish; which process trains one changes nothing of it.

    `epoch` is called for every epoch of every model, in this process.
    """
    processes = min(work.train.processes, len(todo))
    if processes == 1 or ranks.count > 1 or fit.device_of(work.train).type != "cpu":
        opened = open_work(work)
        for job in todo:
            yield run_job(opened, job, ranks=ranks, epoch=epoch)
        return
    # spawn: a forked child of a process that has run torch's thread pool can hang in it.
    context = multiprocessing.get_context("spawn")
    epochs = context.SimpleQueue()
    with ProcessPoolExecutor(
        processes, mp_context=context, initializer=_start, initargs=(work, epochs)
    ) as pool:
        waiting = {pool.submit(_run_here, job) for job in todo}
        with launch.ending(pool, processes):
            while waiting:
                done, waiting = wait(waiting, timeout=LOOK_EVERY_SECONDS, return_when=FIRST_COMPLETED)
                while not epochs.empty():
                    epochs.get()
                    epoch()
                for one in done:
                    yield one.result()


_here: list[tuple[Opened, "SimpleQueue[None]"]] = []
"""What `_start` opened in a worker process, and where it tells of epochs."""


def _start(work: Work, epochs: "SimpleQueue[None]") -> None:
    launch.end_with_parent()
    _here.append((open_work(work), epochs))


def _run_here(job: Job) -> Outcome:
    opened, epochs = _here[0]
    return run_job(opened, job, ranks=Ranks(rank=0, count=1), epoch=lambda: epochs.put(None))
