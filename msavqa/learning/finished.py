"""Models that were trained before, on disk: found again by a digest of all that a model is made of.

A stage that runs again although nothing of that has changed trains nothing. Beside the models lie the
checkpoints of trainings that were interrupted, under the same names.
"""

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import safetensors
import safetensors.numpy
import torch
import torch.distributed

from msavqa.datasets import tables
from msavqa.learning import folds
from msavqa.learning.fit import WITHOUT_EFFECT
from msavqa.learning.folds import FINAL, Job, Opened, Outcome
from msavqa.learning.gradients import Ranks

KEPT_DAYS = 30
"""What was not used for so long goes away when something is trained."""
SCORE, WEIGHTS = "score", "weights."
"""Tensors of a file: the scores, and the final model's weights by this prefix."""


def take(opened: Opened, jobs: Sequence[Job], *, ranks: Ranks) -> list[Outcome]:
    """Outcomes of those jobs that were finished before; what was long not used is removed.

    Of several processes the leading one's word counts: another may look when a model is finished already.
    """
    kept = opened.work.kept
    if kept is None:
        return []
    found = []
    if ranks.leads:
        _remove_old(kept)
        found = [one for job in jobs if (one := _taken(opened, job)) is not None]
    return ranks.gather(found)[0]


def keep(opened: Opened, outcome: Outcome) -> None:
    """Writes an outcome where `take` finds it, whole or not at all."""
    path = _path(opened, outcome.job, "safetensors")
    if path is None:
        return
    tensors = {f"{WEIGHTS}{name}": values for name, values in outcome.weights.items()}
    # In C's order: a file has no other, and would be read back as another table.
    of_dimensions = np.ascontiguousarray(outcome.scores.filter(regex="^score").to_numpy())
    tensors[SCORE] = of_dimensions.ravel() if of_dimensions.shape[1] == 1 else of_dimensions
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    partial.write_bytes(safetensors.numpy.save(tensors, metadata={"history": json.dumps(outcome.history)}))
    partial.replace(path)


def checkpoint(opened: Opened, job: Job) -> Path | None:
    """Where an interrupted job is continued from."""
    return _path(opened, job, "pt")


def digest(opened: Opened, job: Job) -> str:
    """Of all that a job's model and scores are made of: settings, labels, prompts, features, code, start."""
    work = opened.work
    reading = opened.inputs.reads_prompts
    settings = work.settings.model_dump(mode="json", exclude={"start"})
    off = {name: None for name in ("pss", "sma") if not settings[name]["enabled"]}
    if settings["sma"]["enabled"] and settings["sma"]["frames"] == "own":
        off.pop("pss", None)  # it gives the form of SMA's adapters
    unread = {*WITHOUT_EFFECT, *(() if reading else ("prompts",))}
    unread |= set() if work.train.copies.weight else {"copies"}
    facts = [
        settings | off,
        work.train.model_dump(mode="json", exclude=unread),
        opened.content,
        opened.inputs.ids,
        list(folds.prompts(work).values()) if reading else None,
        tables.learning_labels(work.manifest, work.splits, repeat=job.repeat).to_csv(index=False),
        opened.asked(job).to_csv(index=False),
        None if work.start is None else hashlib.sha256(work.start.read_bytes()).hexdigest(),
        opened.code,
        torch.__version__,
        processes(),
    ]
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()[:16]


def processes() -> int:
    """How many processes compute a batch together: each draws dropout for a part of it."""
    joined = torch.distributed.is_available() and torch.distributed.is_initialized()
    return torch.distributed.get_world_size() if joined else 1


def _path(opened: Opened, job: Job, kind: str) -> Path | None:
    kept = opened.work.kept
    part = "final" if job.fold == FINAL else f"fold{job.fold}"
    return None if kept is None else kept / f"{digest(opened, job)}-repeat{job.repeat}-{part}.{kind}"


def _taken(opened: Opened, job: Job) -> Outcome | None:
    path = _path(opened, job, "safetensors")
    if path is None or not path.is_file():
        return None
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            history = json.loads(file.metadata()["history"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except safetensors.SafetensorError:
        return None  # half a disk's worth of it: it is trained again
    os.utime(path)
    score = tensors.pop(SCORE)
    weights = {name.removeprefix(WEIGHTS): values for name, values in tensors.items()}
    first, *more = score.T if score.ndim == 2 else [score]
    return Outcome(job, opened.scored(job, first, more), history, weights)


def _remove_old(folder: Path) -> None:
    if not folder.is_dir():
        return
    for path in folder.iterdir():
        with contextlib.suppress(FileNotFoundError):  # another training may be removing it
            if path.is_file() and path.stat().st_mtime < time.time() - KEPT_DAYS * 24 * 3600:
                path.unlink()
