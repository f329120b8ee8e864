"""One training loop for all branches: a prepared module learns its rows, and its history comes out.

No set picks anything: the number of epochs is fixed and the last one is kept; validation scores go into the
history only. Batch norm always uses the running statistics that its weights came with: statistics of a batch
would make a step depend on how the batch is parted.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from msavqa.evaluation import metrics
from msavqa.ground.errors import MsavqaError
from msavqa.learning import checkpoint, copies, gradients, objective
from msavqa.learning.branch import Branch, BranchSettings
from msavqa.learning.checkpoint import Record
from msavqa.learning.copies import Pairs, Shown
from msavqa.learning.gradients import Ranks
from msavqa.learning.inputs import Inputs
from msavqa.learning.labels import Labels, line, standardised
from msavqa.learning.live import Follow
from msavqa.learning.optimise import cosine_with_warmup, optimiser
from msavqa.learning.output import Output
from msavqa.learning.pixels import Rows
from msavqa.learning.train_settings import TrainSettings
from msavqa.machine import device as devices

Floats = npt.NDArray[np.float64]
CONSTANT_ROWS = 2048
"""Training videos that the standardising constants are computed from, at most."""
WITHOUT_EFFECT = ("processes", "resident", "device", "checkpoint_seconds", "evaluation_batch")
"""Settings of `train` that say where and how a model is computed, and nothing of what comes out."""


@dataclass(frozen=True)
class Prepared:
    """A module that is ready to learn, and all that it learns from."""

    model: Branch
    inputs: Inputs
    labels: Labels
    validation: Labels | None
    """For the history alone; None: no such scores."""
    pairs: Pairs | None
    """Copies that must score below their originals; None: none are looked at."""
    branch: BranchSettings
    settings: TrainSettings
    seed: int
    """Of the order of videos, their views, dropout."""


def device_of(settings: TrainSettings) -> torch.device:
    """The device that `train.device` means here; raises `MsavqaError` for a GPU that is not there."""
    return devices.chosen(settings.device, setting="`train.device`")


def freeze_constants(
    model: Branch, *, technical: bool, inputs: Inputs, labels: Labels, settings: TrainSettings
) -> None:
    """Sets a branch's standardising constants from training rows, at most `CONSTANT_ROWS` of them.

    `technical`: of that half too. Raises `MsavqaError` where there is no row.
    """
    count = len(labels.videos)
    if not count:
        raise MsavqaError(
            what="Training rows",
            where="the splits",
            got="no row that is labelled and in the stores",
            expected="at least 1",
            next_step="give more labelled videos, or look for quarantined ones in the report",
        )
    model.eval()
    chosen = labels.videos[np.linspace(0, count - 1, min(count, CONSTANT_ROWS)).astype(np.int64)]
    for constants, read in model.standardised(technical=technical):
        with torch.no_grad(), _precision(inputs.device, settings):
            found = [read(inputs.batch(part)) for part in _parts(chosen, settings)]
        constants.set_from(torch.cat([one.reshape(-1, one.shape[-1]).float() for one in found]))


def fit(ready: Prepared, *, unfinished: Path | None, follow: Follow, ranks: Ranks) -> list[Record]:
    """Trains the model in place and puts its scores on the scale of mos; one record an epoch.

    `follow` is told each record as it comes. `unfinished` is where an interrupted run is continued from, with
    the same weights to the bit as an uninterrupted one; it is deleted at the end. Raises `MsavqaError` where
    the loss is not finite.
    """
    model, inputs, labels, settings = ready.model, ready.inputs, ready.labels, ready.settings
    targets = standardised(labels, inputs.device)
    batches, epochs = plan(len(labels.videos), branch=ready.branch, settings=settings)
    steps = epochs * batches
    learner = optimiser(model, ready.branch.optimiser)
    full_rates = [group["lr"] for group in learner.param_groups]
    average = {name: tensor.clone() for name, tensor in model.state_dict().items()} if settings.ema else {}
    start, history = checkpoint.resume(unfinished, model, learner, average)
    for record in history:
        follow(record)
    saved = time.monotonic()
    for epoch in range(start, epochs):
        random = np.random.default_rng([ready.seed, epoch])
        dropout = int(random.integers(2**62))
        torch.manual_seed(dropout)
        order = random.permutation(len(labels.videos))
        views = _views(ready, random)
        _learn(model)
        losses = []
        for step, part in enumerate(np.array_split(order, batches), start=epoch * batches):
            factor = cosine_with_warmup(step, steps=steps, warmup=int(settings.warmup * steps))
            for group, full in zip(learner.param_groups, full_rates, strict=True):
                group["lr"] = full * factor
            learner.zero_grad(set_to_none=True)
            seed = (ready.seed, epoch, step)
            shares = [(mos[part], weight[part]) for mos, weight in targets]
            drawn = copies.draw(ready.pairs, settings.copies, videos=len(part), seed=seed)
            shown = copies.beside(labels.videos[part], drawn)
            value = gradients.add(
                model,
                forward=partial(_forward, ready, shown, copies.beside_views(views[part], drawn)),
                videos=len(shown),
                loss=partial(objective.loss, ready.branch, settings.copies, targets=shares, drawn=drawn),
                parts=settings.accumulate,
                seed=(dropout, step),
                device=inputs.device,
                ranks=ranks,
            )
            if not np.isfinite(value):
                raise _diverged(value, epoch, inputs, labels.videos[part])
            torch.nn.utils.clip_grad_norm_(model.parameters(), settings.gradient_clip)
            learner.step()
            _follow(average, model, settings.ema, step=step)
            losses.append(value)
        record = {
            "epoch": epoch + 1,
            "rate": ready.branch.optimiser.rate * factor,
            "loss": float(np.mean(losses)),
        }
        history.append(record | _validated(ready, average))
        follow(history[-1])
        due = time.monotonic() - saved >= settings.checkpoint_seconds
        if unfinished is not None and ranks.leads and due and epoch + 1 < epochs:
            checkpoint.save(unfinished, epoch + 1, history, model, learner, average)
            saved = time.monotonic()
    if average:
        model.load_state_dict(average)
    for number, score in enumerate(
        predict_each(model, inputs=inputs, videos=labels.videos, settings=settings)
    ):
        known = labels.dimension(number)
        score = score[np.isin(labels.videos, known.videos)]
        slope, offset = line(score=score, mos=known.mos, weight=known.weight)
        model.head.set_scale(slope=slope, offset=offset, dimension=number)
    if unfinished is not None and ranks.leads:
        unfinished.unlink(missing_ok=True)
    return history


def _views(ready: Prepared, random: np.random.Generator) -> Rows:
    """Of each training video, (video,), or of each of its frames, (video, frame)."""
    count, frames = len(ready.labels.videos), ready.inputs.single_frames
    if ready.settings.view_of == "frame" and frames:
        return random.integers(0, ready.inputs.views, size=(count, frames))
    return random.integers(0, ready.inputs.views, size=count)


def plan(videos: int, *, branch: BranchSettings, settings: TrainSettings) -> tuple[int, int]:
    """Batches an epoch, and epochs, of a model that learns from so many videos."""
    batches = max(1, round(videos / branch.optimiser.batch))
    return batches, max(settings.epochs, -(-settings.least_steps // batches)) if settings.epochs else 0


def predict(model: nn.Module, *, inputs: Inputs, videos: Rows, settings: TrainSettings) -> Floats:
    """Scores of these videos, (video,), in the views of `settings.test_views`, of the first dimension."""
    found = predict_each(model, inputs=inputs, videos=videos, settings=settings)
    return found[0] if found else np.zeros(0)


def predict_each(model: nn.Module, *, inputs: Inputs, videos: Rows, settings: TrainSettings) -> list[Floats]:
    """Scores of these videos, (video,), of each dimension of quality; none of no videos."""
    count = inputs.views if settings.test_views == "all" else 1
    by_view = [
        _scores(outputs(model, inputs=inputs, videos=videos, settings=settings, view=view))
        for view in range(count)
    ]
    return by_view[0] if count == 1 else [np.mean(views, axis=0) for views in zip(*by_view, strict=True)]


def outputs(
    model: nn.Module, *, inputs: Inputs, videos: Rows, settings: TrainSettings, view: int = 0
) -> Sequence[Output]:
    """What the model says of these videos, in batches, on one view, the fixed one first; dropout off."""
    with asking(model, inputs=inputs, settings=settings):
        return [
            model(inputs.batch(part, views=np.full(len(part), view))) for part in _parts(videos, settings)
        ]


def _scores(found: Sequence[Output]) -> list[Floats]:
    """Of batches, one behind another, (video,) of each dimension of quality."""
    parts = [one.dimensions for one in found]
    return [
        torch.cat([one.score for one in each]).double().cpu().numpy() for each in zip(*parts, strict=True)
    ]


@contextmanager
def asking(model: nn.Module, *, inputs: Inputs, settings: TrainSettings) -> Iterator[None]:
    """Dropout off, no gradients, in the precision of training."""
    model.eval()
    with torch.no_grad(), _precision(inputs.device, settings):
        yield


def _forward(ready: Prepared, shown: Shown, views: Rows, places: Rows) -> Output:
    part, known = shown.at(places), ready.pairs
    with _precision(ready.inputs.device, ready.settings):
        if known is None:
            batch = ready.inputs.batch(part.video, views=views[places])
        else:
            batch = copies.batch(part, inputs=ready.inputs, copies=known.copies, views=views[places])
        found: Output = ready.model(batch)
    return found


def _learn(model: nn.Module) -> None:
    """Dropout on; batch norm stays with its running statistics."""
    model.train()
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eval()


def _precision(device: torch.device, settings: TrainSettings) -> torch.autocast:
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=settings.precision == "bf16")


def _parts(videos: Rows, settings: TrainSettings) -> list[Rows]:
    size = settings.evaluation_batch
    return [videos[start : start + size] for start in range(0, len(videos), size)]


def _follow(average: dict[str, Tensor], model: nn.Module, decay: float, *, step: int) -> None:
    """Moves the average towards the weights; early steps count more, so that it forgets the start."""
    if not average:
        return
    keep = min(decay, (1 + step) / (10 + step))
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if tensor.is_floating_point():
                average[name].lerp_(tensor, 1 - keep)
            else:
                average[name].copy_(tensor)  # Video Swin's positions, batch norm's counter


def _validated(ready: Prepared, average: dict[str, Tensor]) -> Record:
    """Scores of validation rows by what would be kept after this epoch."""
    model, rows = ready.model, ready.validation
    if rows is None or len(rows.videos) < 3:
        return {}
    last = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    model.load_state_dict(average or last)
    score = predict(model, inputs=ready.inputs, videos=rows.videos, settings=ready.settings)
    model.load_state_dict(last)
    known = ~np.isnan(rows.mos)
    if known.sum() < 3:
        return {}
    return {
        "val_srcc": metrics.srcc(score=score[known], mos=rows.mos[known]),
        "val_plcc": metrics.plcc(score=score[known], mos=rows.mos[known]),
    }


def _diverged(value: float, epoch: int, inputs: Inputs, videos: Rows) -> MsavqaError:
    return MsavqaError(
        what="Loss",
        where=f"epoch {epoch + 1}, the batch of {inputs.ids[videos[0]]!r} and {len(videos) - 1} more",
        got=value,
        expected="a finite number",
        next_step="lower the branch's optimiser.rate, or look at the weights and labels of those rows",
    )
