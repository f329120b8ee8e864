"""The optimiser: its rate over the steps, and what is decayed and learns at which rate."""

import pytest
from torch import nn

from msavqa.learning import optimise
from tests import branch_settings


def test_the_rate_rises_then_falls_along_a_cosine_to_zero() -> None:
    rates = [optimise.cosine_with_warmup(step, steps=100, warmup=10) for step in range(100)]
    assert rates[:3] == pytest.approx([1 / 11, 2 / 11, 3 / 11])
    assert rates[10] == pytest.approx(1.0)
    assert max(rates) <= 1.0
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[55] == pytest.approx(0.5)
    assert rates[-1] < 0.001


def test_biases_and_vectors_are_not_decayed_and_a_backbone_learns_at_its_own_rate() -> None:
    net = nn.ModuleDict({"backbone": nn.Linear(3, 3), "head": nn.Linear(3, 1)})
    settings = branch_settings.branch("frame").optimiser
    groups = optimise.optimiser(net, settings).param_groups
    found = {(g["lr"], g["weight_decay"]): sum(p.numel() for p in g["params"]) for g in groups}
    low = settings.rate * settings.backbone_rate
    expected = {(low, 0.02): 9, (low, 0.0): 3, (settings.rate, 0.02): 3, (settings.rate, 0.0): 1}
    assert found == expected
