"""What is trained for one branch on one data set, per repeat: a model for each fold, and one on all rows.

Labels come from `tables.learning_labels`, which knows no test row. A fold's model scores the training rows it
never saw; the final model scores validation and test rows.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from pydantic import Field
from torch import nn

from msavqa.datasets import dimensions, tables
from msavqa.datasets.copies import CopySettings
from msavqa.ground import params, sources
from msavqa.ground.params import Settings
from msavqa.learning import asked_features, branch, copies, fit, inputs, stage_tail, tail
from msavqa.learning.branch import Branch, BranchSettings, Shapes
from msavqa.learning.checkpoint import Record
from msavqa.learning.copies import Copies, Pairs
from msavqa.learning.inputs import Inputs
from msavqa.learning.labels import Labels, having_some
from msavqa.learning.optimise import OptimiserSettings
from msavqa.learning.train_settings import TrainSettings
from msavqa.machine import device as devices
from msavqa.store.read import Store

FINAL = -1
"""The fold of the model that learns from all training rows."""


class PretrainSettings(Settings):
    """The block `pretrain`; all else is as in `branches.<branch>` and `train`."""

    trunks: list[str]
    """Networks that the set's videos need features of."""
    branches: list[str]
    """Branches that are pre-trained."""
    epochs: int = Field(gt=0)
    optimiser: OptimiserSettings


@dataclass(frozen=True)
class Work:
    """One branch to train on one data set; small, so that it can be sent to other processes."""

    branch: str
    """Its name under `branches`."""
    settings: BranchSettings
    train: TrainSettings
    manifest: pd.DataFrame
    splits: pd.DataFrame
    features: Path
    """The folder of the data set's stores."""
    weights: Path
    """The folder of networks' weights, <name>.safetensors: of CLIP, and of a trunk that is trained along."""
    start: Path | None
    """Weights of pre-training without prompts that the branch starts from."""
    kept: Path | None
    """Folder where interrupted jobs are continued from and finished models are found again; None: nowhere."""
    live: Path | None
    """Folder where DVCLive shows how the final models come along, one folder per repeat; None: nowhere."""
    praise: tuple[Sequence[str], Sequence[str]] = ((), ())
    """Words behind prompts that ask for nothing: those that are learned, and those left out."""
    asked: Mapping[str, Any] | None = None
    """All of params.yaml, which the stores must follow; None: any stores will do."""


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
    history: list[Record]
    """One record an epoch."""
    weights: dict[str, npt.NDArray[Any]]
    """The final model's; empty for a fold's."""


@dataclass(frozen=True)
class Opened:
    """A `Work` with its features open."""

    work: Work
    inputs: Inputs
    shapes: Shapes
    copies: Copies | None
    """None: training looks at none, and nobody has asked for them."""

    @cached_property
    def content(self) -> dict[str, str]:
        """By batch key: a digest of what the features were made by, and of which files or prompts."""
        found = {key: _content(source.store) for key, source in sorted(self.inputs.sources.items())}
        if self.copies is not None:
            sources = sorted(self.copies.inputs.sources.items())
            sources += sorted(self.copies.praised.items())
            found |= {f"{copies.FOLDER}/{key}": _content(source.store) for key, source in sources}
            found[f"{copies.FOLDER}/plan"] = self.copies.plan.to_csv(index=False)
        return found

    @cached_property
    def code(self) -> str:
        """A digest of what this kind's training does; no other kind's file and no control is part of it."""
        return sources.digest("msavqa.learning.training", f"msavqa.branches.{self.work.settings.kind}")

    @cached_property
    def tails(self) -> dict[str, nn.Module]:
        """CLIP's frozen last blocks, by tower, where adapters stand around them."""
        reads = self.work.settings.reads
        found: dict[str, nn.Module] = {}
        for tower, name, make in (
            ("text", reads.text, tail.clip_text_tail),
            ("image", reads.image, tail.clip_image_tail),
        ):
            if (source := self.inputs.sources.get(f"{tower}_tokens")) is not None:
                found[tower] = make(self._weights(name), source.store.attributes["architecture"])
        return found

    def model(self) -> Branch:
        """The branch, untrained, on its device; what is trained of its trunk has the trunk's weights."""
        settings, trunk = self.work.settings, self.inputs.sources["features"].store
        built = branch.assemble(
            settings,
            shapes=self.shapes,
            backbone=stage_tail.backbone(trunk, self._weights(settings.reads.trunk)),
            text_tail=self.tails.get("text"),
            image_tail=self.tails.get("image"),
            more=len(dimensions.further(self.work.manifest)),
        )
        return built.to(self.inputs.device)

    def labels(self, rows: pd.DataFrame) -> Labels:
        """Labels of those rows (video_id, mos, weight) that are usable and have a MOS of some dimension."""
        usable = having_some(rows[rows["video_id"].isin(self.inputs.ids)])
        return Labels.of(usable, videos=self.inputs.index(list(usable["video_id"])))

    def pairs(self, labels: Labels) -> Pairs | None:
        """What a model that learns from these rows compares; None where copies have no weight."""
        if self.copies is None or not self.work.train.copies.weight:
            return None
        told = prompts(self.work)
        return copies.pairs(
            self.copies,
            inputs=self.inputs,
            videos=labels.videos,
            prompts=[told[video] for video in self.inputs.ids],
            settings=self.work.train.copies,
        )

    def asked(self, job: Job) -> pd.DataFrame:
        """Rows (video_id, role) that the job's model scores, none of which it learns from."""
        splits = self.work.splits
        if job.fold == FINAL:
            rows = splits[(splits["repeat"] == job.repeat) & (splits["role"] != "train")]
        else:
            known = tables.learning_labels(self.work.manifest, splits, repeat=job.repeat)
            rows = known[(known["role"] == "train") & (known["fold"] == job.fold)].assign(role="oof")
        return rows.loc[rows["video_id"].isin(self.inputs.ids), ["video_id", "role"]].reset_index(drop=True)

    def scored(
        self, job: Job, score: npt.NDArray[np.float64], more: Sequence[npt.NDArray[np.float64]] = ()
    ) -> pd.DataFrame:
        """Those rows with their scores, `tables.PREDICTIONS`; `more`: of each further dimension."""
        names = [f"score_{name}" for name in dimensions.further(self.work.manifest)] if more else []
        rows = self.asked(job).assign(repeat=job.repeat, score=score, **dict(zip(names, more, strict=True)))
        return rows[["repeat", "video_id", "role", "score", *names]]

    def facts(self) -> dict[str, Any]:
        """What a model needs to be built again, and which videos had no features; plain data."""
        stores = {source.store.path.stem: source.store for source in self.inputs.sources.values()}
        towers = {
            source.store.path.stem
            for key, source in self.inputs.sources.items()
            if key in ("text_tokens", "image_tokens")
        }
        return {
            "branch": self.work.branch,
            "kind": self.work.settings.kind,
            "settings": self.work.settings.model_dump(mode="json"),
            "train": self.work.train.model_dump(mode="json", exclude=set(fit.WITHOUT_EFFECT)),
            "shapes": asdict(self.shapes),
            "architectures": {name: stores[name].attributes["architecture"] for name in sorted(towers)},
            "fingerprints": {name: dict(stores[name].fingerprint) for name in sorted(stores)},
            "quarantined": self.inputs.quarantined,
        }

    def _weights(self, name: str) -> Path:
        return self.work.weights / f"{name}.safetensors"


def jobs(splits: pd.DataFrame) -> list[Job]:
    """All models of all repeats; the final ones, which take longest, first."""
    repeats = sorted(int(repeat) for repeat in splits["repeat"].unique())
    folds = (
        splits.loc[splits["fold"] >= 0, ["repeat", "fold"]].drop_duplicates().sort_values(["repeat", "fold"])
    )
    parts = [Job(int(repeat), int(fold)) for repeat, fold in folds.itertuples(index=False)]
    return [Job(repeat, FINAL) for repeat in repeats] + parts


def work_of(data: Mapping[str, Any], dataset: str, name: str, *, kept: Path, live: Path | None) -> Work:
    """What the stage `train` trains: that block of params.yaml on that data set, in the project's folders."""
    settings = branch.of_params(data, name)
    start = settings.start
    copied = params.block(data, "copies", CopySettings)
    return Work(
        branch=name,
        settings=settings,
        train=params.block(data, "train", TrainSettings),
        manifest=tables.read_manifest(Path("data") / dataset / "manifest.parquet"),
        splits=tables.read_splits(Path("data") / dataset / "splits.parquet"),
        features=Path("features") / dataset,
        weights=Path(data["weights"]),
        start=None if start is None else Path("runs/start") / start / "weights.safetensors",
        kept=kept,
        live=live,
        praise=(copied.praise, copied.praise_left_out),
        asked=data,
    )


def open_work(work: Work, *, with_copies: bool = False) -> Opened:
    """Opens features in this process, loads none; raises `StoreError` for features not asked for.

    Copies are opened where training looks at them, or `with_copies`.
    """
    devices.keep_freed()
    torch.set_num_threads(work.train.threads)
    device = fit.device_of(work.train)
    devices.in_order(device.type)
    wanted = branch.inputs(work.settings)
    told = prompts(work)
    stores = {name for name, *_ in wanted.values()}
    found = inputs.open_inputs(
        wanted,
        features=work.features,
        ids=list(told),
        prompts=list(told.values()),
        device=device,
        expect=None if work.asked is None else asked_features.expected(work.asked, stores=stores),
    )
    seen = None
    if with_copies or work.train.copies.weight:
        seen = copies.open_copies(
            wanted,
            features=work.features,
            prompts=[told[video] for video in found.ids],
            words=work.praise,
            device=device,
            expect=None if work.asked is None else asked_features.of_copies(work.asked, stores=stores),
        )
    shapes = found.shapes(statistics=work.settings.statistics)
    return Opened(work=work, inputs=found, shapes=shapes, copies=seen)


def loaded(opened: Opened) -> Opened:
    """The same with its features where `train.resident` wants them."""
    train = opened.work.train
    processes = train.processes if opened.inputs.device.type == "cpu" else 1
    found = inputs.loaded(opened.inputs, resident=train.resident, processes=processes)
    seen = opened.copies
    if seen is not None:
        seen = replace(seen, inputs=inputs.loaded(seen.inputs, resident=train.resident, processes=processes))
    return replace(opened, inputs=found, copies=seen)


def prompts(work: Work) -> dict[str, str]:
    """Every video of the splits with its prompt, in manifest order; dealt out anew where shuffled."""
    rows = work.manifest[work.manifest["video_id"].isin(set(work.splits["video_id"]))]
    found = rows["prompt"].to_numpy()
    if work.train.prompts == "shuffled":
        found = np.random.default_rng(work.train.seed).permutation(found)
    return dict(zip(rows["video_id"], found, strict=True))


def _content(features: Store) -> str:
    rows = features.rows[["id", "sha256", "status"]].to_csv(index=False)
    made_by = json.dumps(features.fingerprint, sort_keys=True, default=str)
    return hashlib.sha256(f"{made_by}\n{rows}".encode()).hexdigest()
