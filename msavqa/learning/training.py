"""One model, in a straight line: prepare it, let it learn its rows, predict rows that it has never seen."""

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd
import torch

from msavqa.datasets import tables
from msavqa.learning import finished, fit, live, saved
from msavqa.learning.branch import Branch
from msavqa.learning.fit import Prepared
from msavqa.learning.folds import FINAL, Job, Opened, Outcome
from msavqa.learning.gradients import Ranks
from msavqa.learning.labels import Labels


def train(opened: Opened, job: Job, *, ranks: Ranks, epoch: Callable[[], None] = lambda: None) -> Outcome:
    """Trains one model and scores the rows it did not learn from; `epoch` is called after each epoch."""
    ready = prepare(opened, job)
    shown = opened.work.live if job.fold == FINAL and ranks.leads else None
    with live.following(None if shown is None else shown / f"repeat{job.repeat}") as follow:

        def ended(record: Mapping[str, int | float]) -> None:
            follow(record)
            epoch()

        unfinished = finished.checkpoint(opened, job)
        history = fit.fit(ready, unfinished=unfinished, follow=ended, ranks=ranks)
    scores = predict(opened, job, ready.model)
    kept = ready.model.state_dict() if job.fold == FINAL else {}
    outcome = Outcome(job, scores, history, {name: tensor.cpu().numpy() for name, tensor in kept.items()})
    if ranks.leads:
        finished.keep(opened, outcome)
    return outcome


def epochs(opened: Opened, job: Job) -> int:
    """How many epochs the job's model gets."""
    work, labels = opened.work, _learned(opened, job, _known(opened, job))
    return fit.plan(len(labels.videos), branch=work.settings, settings=work.train)[1]


def prepare(opened: Opened, job: Job) -> Prepared:
    """An untrained model and the rows it learns from: all training rows but those of its own fold."""
    work, known = opened.work, _known(opened, job)
    labels = _learned(opened, job, known)
    seed = int(np.random.SeedSequence([work.train.seed, job.repeat, job.fold + 1]).generate_state(1)[0])
    torch.manual_seed(seed)
    model = opened.model()
    fit.freeze_constants(
        model, technical=work.start is None, inputs=opened.inputs, labels=labels, settings=work.train
    )
    if work.start is not None:
        saved.continue_from(model, work.start)
    return Prepared(
        model=model,
        inputs=opened.inputs,
        labels=labels,
        validation=opened.labels(known[known["role"] == "val"]) if job.fold == FINAL else None,
        pairs=opened.pairs(labels) if learns_of_copies(opened, job) else None,
        branch=work.settings,
        settings=work.train,
        seed=seed,
    )


def learns_of_copies(opened: Opened, job: Job) -> bool:
    """Whether the models of the job's repeat learn of copies."""
    train = _known(opened, job)["role"] == "train"
    return opened.work.train.copies.learned_with(int(train.sum()))


def _known(opened: Opened, job: Job) -> pd.DataFrame:
    """Labels of all rows that the job's repeat may learn from or validate with."""
    return tables.learning_labels(opened.work.manifest, opened.work.splits, repeat=job.repeat)


def _learned(opened: Opened, job: Job, known: pd.DataFrame) -> Labels:
    return opened.labels(known[(known["role"] == "train") & (known["fold"] != job.fold)])


def predict(opened: Opened, job: Job, model: Branch) -> pd.DataFrame:
    """The model's scores of the rows that the job asks for, `tables.PREDICTIONS`."""
    videos = opened.inputs.index(list(opened.asked(job)["video_id"]))
    each = fit.predict_each(model, inputs=opened.inputs, videos=videos, settings=opened.work.train)
    return opened.scored(job, each[0], each[1:]) if each else opened.scored(job, np.zeros(0))
