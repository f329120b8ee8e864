"""One table: what each knob of `train` and of a branch's `optimiser` moves, each turned alone.

A pure function that is right does nothing where nobody calls it: here every knob is seen to arrive.
"""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.modules.module import register_module_forward_pre_hook
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

from msavqa.learning import checkpoint, fit, folds, gradients, side_by_side, stage_tail, training
from msavqa.learning.branch import Branch
from msavqa.learning.folds import FINAL, Job
from msavqa.learning.optimise import OptimiserSettings
from msavqa.learning.train_settings import TrainSettings
from tests import copy_world, feature_world
from tests.feature_world import FEATURES, FRAMES, World
from tests.training import ALONE, opened, work

EPOCHS, BATCHES, WARMED_UP = 4, 3, 3
"""42 training rows are three batches of about 16; a quarter of 12 steps warms up."""
BASE: dict[str, Any] = {"epochs": EPOCHS, "warmup": 0.25, "gradient_clip": 1000.0, "checkpoint_seconds": 0.0}
RATE = 0.003


@dataclass
class Seen:
    """What is seen of one training of a final model."""

    fresh: dict[str, np.ndarray] = field(default_factory=dict)
    """Weights before the first step."""
    weights: dict[str, np.ndarray] = field(default_factory=dict)
    """Weights that are kept."""
    history: list[dict[str, Any]] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)
    """Of the branch, a step."""
    backbone_rates: list[float] = field(default_factory=list)
    """Of the backbone, a step."""
    decays: set[float] = field(default_factory=set)
    inside: list[np.ndarray] = field(default_factory=list)
    """The backbone's matrix behind each step."""
    norms: list[float] = field(default_factory=list)
    """Of the gradient that the optimiser gets, a step."""
    learners: set[str] = field(default_factory=set)
    parts: set[int] = field(default_factory=set)
    """Parts that batches are computed in."""
    batches: list[int] = field(default_factory=list)
    """Videos per step."""
    drawn: set[tuple[int, ...]] = field(default_factory=set)
    """Shapes of the views that a batch is shown in."""
    asked: int = 0
    """Videos that were scored, a view each, where nothing is learned."""
    scored: set[int] = field(default_factory=set)
    """Videos at once where nothing is learned."""
    bf16: set[bool] = field(default_factory=set)
    saved: int = 0
    """Checkpoints written."""
    prompts: list[str] = field(default_factory=list)
    resident: str = ""
    devices: set[str] = field(default_factory=set)
    """What was asked of the machine."""
    threads: int = 0
    pools: list[int] = field(default_factory=list)
    """Processes of the pools in which models were to be trained."""


class Linear(nn.Module):
    """A backbone that is trained along; cached features are float16."""

    def __init__(self) -> None:
        super().__init__()
        self.inside = nn.Linear(FEATURES, FEATURES)
        nn.init.eye_(self.inside.weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.inside(x.float())
        return found


class NoPoolError(Exception):
    """Nothing is trained in processes here."""


def see(
    world: World, kept: Path, patch: pytest.MonkeyPatch, *, train: dict[str, Any], **optimiser: Any
) -> Seen:
    """Trains with these knobs and notes what can be seen of it."""
    changes = {f"optimiser__{name}": value for name, value in optimiser.items()}
    todo = work(world, train=BASE | train, **changes)
    todo = dataclasses.replace(todo, kept=kept, praise=copy_world.WORDS)
    seen = Seen(prompts=list(folds.prompts(todo).values()))

    def stepping(learner: torch.optim.Optimizer, *_: Any) -> None:
        seen.learners.add(type(learner).__name__)
        for group in learner.param_groups:
            seen.decays.add(group["weight_decay"])
        seen.rates.append(max(group["lr"] for group in learner.param_groups))
        seen.backbone_rates.append(min(group["lr"] for group in learner.param_groups))
        gradient = [one.grad.flatten() for group in learner.param_groups for one in group["params"]]
        seen.norms.append(float(torch.cat(gradient).norm()))

    def stepped(*_: Any) -> None:
        seen.inside.append(backbones[-1].inside.weight.detach().numpy().copy())

    def backbone(*_: Any) -> Linear:
        backbones.append(Linear())
        return backbones[-1]

    def adding(model: nn.Module, **given: Any) -> float:
        seen.parts.add(given["parts"])
        seen.batches.append(given["videos"])
        seen.drawn.add(given["forward"].args[2].shape)
        return add(model, **given)

    def looking(module: nn.Module, given: Any) -> None:
        if isinstance(module, Branch):
            seen.bf16.add(torch.is_autocast_enabled("cpu"))
            if not module.training:
                seen.scored.add(len(given[0]["features"]))
                seen.asked += len(given[0]["features"])

    def saving(*given: Any) -> None:
        seen.saved += 1

    def choosing(name: str, **given: Any) -> torch.device:
        seen.devices.add(name)
        return torch.device("cpu")

    def pool(count: int, **given: Any) -> None:
        seen.pools.append(count)
        raise NoPoolError

    add, backbones = gradients.add, list[Linear]()
    with patch.context() as patched:
        patched.setattr(gradients, "add", adding)
        patched.setattr(checkpoint, "save", saving)
        patched.setattr(fit.devices, "chosen", choosing)
        patched.setattr(stage_tail, "backbone", backbone)
        patched.setattr(side_by_side, "ProcessPoolExecutor", pool)
        found = opened(todo)
        seen.threads, seen.resident = torch.get_num_threads(), found.inputs.resident
        seen.fresh = arrays(training.prepare(found, Job(0, FINAL)).model)
        hooks = (
            register_optimizer_step_pre_hook(stepping),
            register_optimizer_step_post_hook(stepped),
            register_module_forward_pre_hook(looking),
        )
        try:
            outcome = training.train(found, Job(0, FINAL), ranks=ALONE)
        finally:
            for hook in hooks:
                hook.remove()
        if todo.train.processes > 1:
            with pytest.raises(NoPoolError):
                list(side_by_side.run(found, folds.jobs(world.splits), ranks=ALONE))
    seen.weights, seen.history = outcome.weights, outcome.history
    return seen


def arrays(net: nn.Module) -> dict[str, np.ndarray]:
    return {name: tensor.numpy().copy() for name, tensor in net.state_dict().items()}


def moved(before: dict[str, np.ndarray], after: dict[str, np.ndarray]) -> set[str]:
    """Names of the tensors that differ."""
    return {name for name in before if not np.array_equal(before[name], after[name])}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    made = feature_world.make(tmp_path_factory.mktemp("world"))
    copy_world.add(made.features, list(made.manifest["video_id"]), list(made.manifest["prompt"]))
    return made


@pytest.fixture(scope="module")
def plain(world: World, tmp_path_factory: pytest.TempPathFactory) -> Seen:
    with pytest.MonkeyPatch.context() as patch:
        return see(world, tmp_path_factory.mktemp("kept"), patch, train={})


def epochs(plain: Seen, seen: Seen) -> None:
    assert (len(plain.history), len(plain.norms)) == (EPOCHS, EPOCHS * BATCHES)
    assert (len(seen.history), len(seen.norms)) == (2, 2 * BATCHES)


def least_steps(plain: Seen, seen: Seen) -> None:
    """Whole epochs, and the rate falls over all of them."""
    assert (len(seen.history), len(seen.norms)) == (EPOCHS + 1, (EPOCHS + 1) * BATCHES)
    assert seen.rates[-1] < min(plain.rates)


def warmup(plain: Seen, seen: Seen) -> None:
    assert plain.rates[: WARMED_UP + 1] == pytest.approx([RATE / 4, RATE / 2, RATE * 3 / 4, RATE])
    assert seen.rates[0] == RATE
    assert seen.rates == sorted(seen.rates, reverse=True)


def gradient_clip(plain: Seen, seen: Seen) -> None:
    assert min(plain.norms) > 0.011
    assert max(seen.norms) <= 0.01 * (1 + 1e-5)


def ema(plain: Seen, seen: Seen) -> None:
    assert seen.norms == plain.norms
    average = seen.fresh["backbone.inside.weight"]
    for step, inside in enumerate(seen.inside):
        keep = min(0.9, (1 + step) / (10 + step))
        average = keep * average + (1 - keep) * inside
    np.testing.assert_allclose(seen.weights["backbone.inside.weight"], average, rtol=0, atol=1e-6)
    assert np.array_equal(plain.weights["backbone.inside.weight"], plain.inside[-1])
    assert np.abs(average - plain.inside[-1]).max() > 1e-5


def accumulate(plain: Seen, seen: Seen) -> None:
    assert (plain.parts, seen.parts) == ({1}, {3})
    assert seen.batches == plain.batches


def precision(plain: Seen, seen: Seen) -> None:
    assert (plain.bf16, seen.bf16) == ({False}, {True})
    assert seen.norms != plain.norms


def prompts(plain: Seen, seen: Seen) -> None:
    assert sorted(seen.prompts) == sorted(plain.prompts)
    stay = sum(one == other for one, other in zip(plain.prompts, seen.prompts, strict=True))
    assert stay < len(plain.prompts) / 4
    assert seen.norms != plain.norms


def copies(plain: Seen, seen: Seen) -> None:
    pairs = copy_world.RANKED["pairs"]
    assert seen.batches == [one + 2 * pairs for one in plain.batches]
    assert seen.norms != plain.norms


def resident(plain: Seen, seen: Seen) -> None:
    assert (plain.resident, seen.resident) == ("ram", "stream")
    assert not moved(plain.weights, seen.weights)


def device(plain: Seen, seen: Seen) -> None:
    assert (plain.devices, seen.devices) == ({"cpu"}, {"auto"})


def processes(plain: Seen, seen: Seen) -> None:
    assert (plain.pools, seen.pools) == ([], [2])


def threads(plain: Seen, seen: Seen) -> None:
    assert (plain.threads, seen.threads) == (1, 2)


def evaluation_batch(plain: Seen, seen: Seen) -> None:
    assert max(plain.scored) == 42
    assert max(seen.scored) == 7


def seed(plain: Seen, seen: Seen) -> None:
    assert "head.technical.weight" in moved(plain.fresh, seen.fresh)
    assert seen.norms != plain.norms


def checkpoint_seconds(plain: Seen, seen: Seen) -> None:
    assert (plain.saved, seen.saved) == (EPOCHS - 1, 0)
    assert not moved(plain.weights, seen.weights)


def name(plain: Seen, seen: Seen) -> None:
    assert (plain.learners, seen.learners) == ({"AdamW"}, {"Adam"})


def rate(plain: Seen, seen: Seen) -> None:
    assert seen.rates == pytest.approx([one * 2 for one in plain.rates])
    assert seen.backbone_rates == pytest.approx([one * 2 for one in plain.backbone_rates])
    told = [one["rate"] for one in seen.history]
    assert told == pytest.approx(seen.rates[BATCHES - 1 :: BATCHES])


def weight_decay(plain: Seen, seen: Seen) -> None:
    assert (plain.decays, seen.decays) == ({0.02, 0.0}, {5.0, 0.0})
    size = [float(np.abs(one.weights["head.hidden.weight"]).sum()) for one in (plain, seen)]
    assert size[1] < 0.99 * size[0]


def backbone_rate(plain: Seen, seen: Seen) -> None:
    inside = {"backbone.inside.weight", "backbone.inside.bias"}
    assert plain.backbone_rates == pytest.approx([one * 0.1 for one in plain.rates])
    assert moved(plain.fresh, plain.weights) >= inside
    assert not moved(seen.fresh, seen.weights) & inside


def view_of(plain: Seen, seen: Seen) -> None:
    assert plain.drawn == {(14,)}
    assert seen.drawn == {(14, FRAMES)}
    assert seen.history != plain.history


def views_of_tests(plain: Seen, seen: Seen) -> None:
    """The same model, asked twice of each video: features of the world have two views."""
    assert seen.asked == 2 * plain.asked
    losses = [[record["loss"] for record in one.history] for one in (plain, seen)]
    assert losses[0] == losses[1]


def batch(plain: Seen, seen: Seen) -> None:
    assert plain.batches == [14] * BATCHES * EPOCHS
    assert seen.batches == [21] * 2 * EPOCHS


TABLE: list[tuple[str, Any, Callable[[Seen, Seen], None]]] = [
    ("train.epochs", 2, epochs),
    ("train.least_steps", 4 * BATCHES + 1, least_steps),
    ("train.warmup", 0.0, warmup),
    ("train.gradient_clip", 0.01, gradient_clip),
    ("train.ema", 0.9, ema),
    ("train.accumulate", 3, accumulate),
    ("train.precision", "bf16", precision),
    ("train.view_of", "frame", view_of),
    ("train.test_views", "all", views_of_tests),
    ("train.prompts", "shuffled", prompts),
    ("train.copies", copy_world.RANKED, copies),
    ("train.resident", "stream", resident),
    ("train.device", "auto", device),
    ("train.processes", 2, processes),
    ("train.threads", 2, threads),
    ("train.evaluation_batch", 7, evaluation_batch),
    ("train.seed", 1, seed),
    ("train.checkpoint_seconds", 1e6, checkpoint_seconds),
    ("optimiser.name", "adam", name),
    ("optimiser.rate", 2 * RATE, rate),
    ("optimiser.weight_decay", 5.0, weight_decay),
    ("optimiser.backbone_rate", 0.0, backbone_rate),
    ("optimiser.batch", 21, batch),
]


@pytest.mark.parametrize(("knob", "value", "check"), TABLE, ids=[knob for knob, *_ in TABLE])
def test_a_knob_moves_what_it_is_for(
    world: World,
    plain: Seen,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    knob: str,
    value: Any,
    check: Callable[[Seen, Seen], None],
) -> None:
    block, name = knob.split(".")
    if block == "train":
        seen = see(world, tmp_path, monkeypatch, train={name: value})
    else:
        seen = see(world, tmp_path, monkeypatch, train={}, **{name: value})
    check(plain, seen)


def test_the_table_has_every_knob() -> None:
    blocks = {"train": TrainSettings, "optimiser": OptimiserSettings}
    known = {f"{block}.{name}" for block, kind in blocks.items() for name in kind.model_fields}
    assert {knob for knob, *_ in TABLE} == known
