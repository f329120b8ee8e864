"""Losses against hand-written loops of the equations, and by the properties that common mistakes break."""

import inspect

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from msavqa.ground.errors import MsavqaError
from msavqa.learning import losses


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def ones(count: int) -> Tensor:
    return torch.ones(count, dtype=torch.float64)


LOSSES = [
    lambda score, mos, weight: losses.frame_loss(
        frame_scores=torch.stack([score, 2 * score], dim=-1), mos=mos, weight=weight, beta=1.0
    ),
    lambda score, mos, weight: losses.mae_loss(score=score, mos=mos, weight=weight),
    lambda score, mos, weight: losses.rank_loss(score=score, mos=mos, weight=weight, margin=1.0),
    lambda score, mos, weight: losses.segment_loss(
        score=score, mos=mos, weight=weight, margin=1.0, rank_weight=1.0
    ),
    lambda score, mos, weight: losses.plcc_loss(score=score, mos=mos, weight=weight, epsilon=1e-8),
]


def test_frame_loss_equals_the_loop_of_equation_4() -> None:
    scores, mos, beta = numbers(5, 7), numbers(5, seed=1), 0.5
    total = 0.0
    for video in range(5):
        for frame in range(7):
            distance = abs(float(scores[video, frame]) - float(mos[video]))
            total += distance**2 / (2 * beta) if distance < beta else distance - beta / 2
    found = losses.frame_loss(frame_scores=scores, mos=mos, weight=ones(5), beta=beta)
    assert float(found) == pytest.approx(total / 35, rel=1e-12)


def test_mae_loss_equals_the_loop_of_equation_5() -> None:
    score, mos = numbers(9), numbers(9, seed=1)
    expected = sum(abs(float(s) - float(m)) for s, m in zip(score, mos, strict=True)) / 9
    assert float(losses.mae_loss(score=score, mos=mos, weight=ones(9))) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("margin", [0.0, 0.5, 1.0])
def test_rank_loss_equals_the_loop_of_equation_6_with_ties(margin: float) -> None:
    score, mos = numbers(9).round(decimals=0), numbers(9, seed=1).round(decimals=0)
    assert len(mos.unique()) < 9
    total = 0.0
    for i in range(9):
        for j in range(9):
            sign = 1 if mos[i] >= mos[j] else -1
            total += max(0.0, margin * abs(float(mos[i] - mos[j])) - sign * float(score[i] - score[j]))
    found = losses.rank_loss(score=score, mos=mos, weight=ones(9), margin=margin)
    assert float(found) == pytest.approx(total / 81, rel=1e-12)


def test_plcc_loss_is_one_minus_numpys_correlation() -> None:
    score, mos = numbers(20), numbers(20, seed=1)
    found = losses.plcc_loss(score=score, mos=mos, weight=ones(20), epsilon=0.0)
    assert float(found) == pytest.approx(1 - np.corrcoef(score, mos)[0, 1], rel=1e-12)


def test_segment_loss_is_mae_plus_weighted_rank_loss() -> None:
    score, mos, weight = numbers(9), numbers(9, seed=1), numbers(9, seed=2).exp()
    mae = losses.mae_loss(score=score, mos=mos, weight=weight)
    rank = losses.rank_loss(score=score, mos=mos, weight=weight, margin=1.0)
    both = losses.segment_loss(score=score, mos=mos, weight=weight, margin=1.0, rank_weight=0.3)
    torch.testing.assert_close(both, mae + 0.3 * rank)


def test_rank_loss_is_zero_exactly_when_the_order_is_right_by_the_margin() -> None:
    mos = torch.tensor([1.0, 2.0, 4.0, 8.0])
    weight = torch.ones(4)
    assert float(losses.rank_loss(score=mos + 3, mos=mos, weight=weight, margin=1.0)) == 0.0
    assert float(losses.rank_loss(score=2 * mos, mos=mos, weight=weight, margin=1.0)) == 0.0
    assert float(losses.rank_loss(score=0.99 * mos, mos=mos, weight=weight, margin=1.0)) > 0.0
    assert float(losses.rank_loss(score=0.01 * mos, mos=mos, weight=weight, margin=0.0)) == 0.0
    swapped = mos[torch.tensor([1, 0, 2, 3])]
    assert float(losses.rank_loss(score=swapped, mos=mos, weight=weight, margin=0.0)) > 0.0


def test_rank_loss_is_not_the_absolute_error_and_teaches_a_constant_score() -> None:
    score = torch.zeros(6, requires_grad=True)
    mos = torch.arange(6.0)
    loss = losses.rank_loss(score=score, mos=mos, weight=torch.ones(6), margin=1.0)
    loss.backward()
    assert score.grad is not None
    assert float(score.grad[0]) > 0 > float(score.grad[5])
    shifted = losses.rank_loss(score=mos + 10, mos=mos, weight=torch.ones(6), margin=1.0)
    assert float(shifted) == 0.0
    assert float(losses.mae_loss(score=mos + 10, mos=mos, weight=torch.ones(6))) == pytest.approx(10.0)


def test_rank_loss_draws_tied_labels_together() -> None:
    loss = losses.rank_loss(
        score=torch.tensor([0.0, 3.0]), mos=torch.tensor([1.0, 1.0]), weight=torch.ones(2), margin=1.0
    )
    assert float(loss) == pytest.approx(3.0 / 4)


@settings(max_examples=50, deadline=None)
@given(scale=st.floats(0.01, 100), shift=st.floats(-100, 100), seed=st.integers(0, 99))
def test_plcc_loss_does_not_change_with_scale_and_shift_of_the_score(
    scale: float, shift: float, seed: int
) -> None:
    score, mos = numbers(12, seed=seed), numbers(12, seed=seed + 100)
    first = losses.plcc_loss(score=score, mos=mos, weight=ones(12), epsilon=0.0)
    second = losses.plcc_loss(score=scale * score + shift, mos=mos, weight=ones(12), epsilon=0.0)
    assert float(first) == pytest.approx(float(second), abs=1e-8)
    assert 0.0 <= float(first) <= 2.0


def test_plcc_loss_of_a_constant_score_is_one_with_a_finite_gradient() -> None:
    score = torch.zeros(8, requires_grad=True)
    loss = losses.plcc_loss(score=score, mos=torch.arange(8.0), weight=torch.ones(8), epsilon=1e-6)
    loss.backward()
    assert float(loss.detach()) == 1.0
    assert score.grad is not None
    assert bool(torch.isfinite(score.grad).all())
    assert float(score.grad.abs().sum()) > 0


@pytest.mark.parametrize("loss", LOSSES)
def test_weight_two_counts_as_the_row_given_twice(loss) -> None:
    score, mos = numbers(6), numbers(6, seed=1)
    weight = torch.tensor([1.0, 2.0, 1.0, 3.0, 1.0, 1.0], dtype=torch.float64)
    twice = torch.repeat_interleave(torch.arange(6), weight.long())
    torch.testing.assert_close(loss(score, mos, weight), loss(score[twice], mos[twice], ones(len(twice))))


@pytest.mark.parametrize("loss", LOSSES)
def test_the_order_of_videos_does_not_matter(loss) -> None:
    score, mos, weight = numbers(7), numbers(7, seed=1), numbers(7, seed=2).exp()
    order = torch.randperm(7, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(loss(score, mos, weight), loss(score[order], mos[order], weight[order]))


@pytest.mark.parametrize("loss", LOSSES)
def test_gradients_are_those_of_finite_differences(loss) -> None:
    score = numbers(6).requires_grad_()
    assert torch.autograd.gradcheck(lambda s: loss(s, numbers(6, seed=1), numbers(6, seed=2).exp()), (score,))


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("shapes", [((6,), (6, 1)), ((6, 1), (6,)), ((6, 1), (6, 1)), ((6,), (5,)), ((), ())])
def test_labels_that_would_broadcast_are_refused(
    loss, shapes: tuple[tuple[int, ...], tuple[int, ...]]
) -> None:
    with pytest.raises(MsavqaError):
        loss(numbers(*shapes[0]), numbers(*shapes[1]), ones(6))


def test_the_refusal_names_the_shapes() -> None:
    with pytest.raises(MsavqaError) as caught:
        losses.mae_loss(score=numbers(6), mos=numbers(6, 1), weight=ones(6))
    assert str(caught.value) == (
        "Shapes in the mean absolute error: got (6,) and (6, 1) and (6,), expected three of (video,); "
        "squeeze or index the last axis away where the score and the label are made."
    )


def test_frame_loss_refuses_scores_without_a_frame_axis() -> None:
    with pytest.raises(MsavqaError) as caught:
        losses.frame_loss(frame_scores=numbers(6), mos=numbers(6), weight=ones(6), beta=1.0)
    assert str(caught.value) == (
        "Shapes in the frame loss: got (6,) and (6,) and (6,), expected (video, frame), (video,) and (video,)"
        "; squeeze or index the last axis away where the score and the label are made."
    )


def test_no_loss_takes_score_and_mos_by_position() -> None:
    functions = [function for name, function in vars(losses).items() if name.endswith("_loss")]
    assert len(functions) == 6
    for function in functions:
        kinds = {parameter.kind for parameter in inspect.signature(function).parameters.values()}
        assert kinds == {inspect.Parameter.KEYWORD_ONLY}
