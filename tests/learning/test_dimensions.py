"""Several dimensions of quality in one branch: the first is as alone, the others have their own labels."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from msavqa.evaluation import metrics
from msavqa.learning import finished, objective
from msavqa.learning.head import ScoreHead
from msavqa.learning.labels import Labels, standardised
from msavqa.learning.output import Output
from tests import branch_settings, feature_world
from tests.training import ALONE, NAMES, close, final, opened, same, work


def head(more: int) -> ScoreHead:
    torch.manual_seed(0)
    return ScoreHead(technical=5, semantic=3, width=4, dropout=0.0, more=more)


def test_the_first_dimension_starts_from_the_weights_that_it_has_alone() -> None:
    alone, one_of_three = head(0), head(2)
    own = alone.state_dict()
    assert own.keys() == {name for name in one_of_three.state_dict() if not name.startswith("more.")}
    assert all(torch.equal(own[name], one_of_three.state_dict()[name]) for name in own)
    technical, semantic = torch.rand(7, 5), torch.rand(7, 3)
    first, second, third = one_of_three.each(technical, semantic)
    assert torch.equal(first, alone(technical, semantic))
    assert not torch.allclose(second, third)
    one_of_three.set_scale(slope=2.0, offset=3.0, dimension=2)
    scaled = one_of_three.each(technical, semantic)
    assert torch.equal(scaled[1], second)
    torch.testing.assert_close(scaled[2], 2 * third + 3)


def test_labels_are_standardised_over_the_rows_that_have_one() -> None:
    nan = np.nan
    labels = Labels(
        videos=np.arange(4),
        mos=np.array([1.0, 2.0, 3.0, 4.0]),
        weight=np.array([1.0, 1.0, 2.0, 1.0]),
        more=(np.array([10.0, nan, 30.0, nan]),),
    )
    (first, weight), (second, known) = standardised(labels, torch.device("cpu"))
    alone = standardised(replace(labels, more=()), torch.device("cpu"))
    assert torch.equal(first, alone[0][0])
    assert torch.equal(weight, alone[0][1])
    mean = (10 + 2 * 30) / 3
    sd = np.sqrt(((10 - mean) ** 2 + 2 * (30 - mean) ** 2) / 3)
    assert second.tolist() == pytest.approx([(10 - mean) / sd, 0.0, (30 - mean) / sd, 0.0])
    assert known.tolist() == [1.0, 0.0, 2.0, 0.0]
    of_second = labels.dimension(1)
    assert (of_second.videos.tolist(), of_second.mos.tolist()) == ([0, 2], [10.0, 30.0])


@pytest.mark.parametrize("kind", NAMES)
def test_the_loss_is_the_mean_over_dimensions_and_a_missing_label_is_as_if_the_row_were_not_there(
    kind: str,
) -> None:
    settings = branch_settings.branch(kind)

    def output(score: Tensor) -> Output:
        frames = score[:, None] + torch.linspace(-1, 1, 3) if kind == "frame" else None
        return Output(score=score, frame_scores=frames, attention=None)

    torch.manual_seed(0)
    first, second, mos, other = torch.randn(4, 6)
    ones, some = torch.ones(6), torch.tensor([1.0, 0.0, 2.0, 1.0, 0.0, 1.0])

    def loss(one: Tensor, label: Tensor, weight: Tensor) -> float:
        return float(objective.of_labels(settings, output=output(one), targets=[(label, weight)]))

    both = objective.of_labels(
        settings, output=replace(output(first), more=(output(second),)), targets=[(mos, ones), (other, some)]
    )
    there = some > 0
    alone = loss(second[there], other[there], some[there])
    assert float(both) == pytest.approx((loss(first, mos, ones) + alone) / 2, abs=1e-6)
    none = objective.of_labels(
        settings,
        output=replace(output(first), more=(output(second),)),
        targets=[(mos, ones), (other, 0 * some)],
    )
    assert float(none) == loss(first, mos, ones)


def test_outputs_are_parted_with_all_their_dimensions() -> None:
    scores = torch.arange(7.0)
    whole = Output(scores, scores[:, None], None, (Output(10 + scores, None, None),))
    own, original, copy = whole.parted(3, 2)
    assert [one.score.tolist() for one in (own, original, copy)] == [[0, 1, 2], [3, 4], [5, 6]]
    assert [one.more[0].score.tolist() for one in (own, original, copy)] == [[10, 11, 12], [13, 14], [15, 16]]
    assert own.frame_scores is not None
    assert own.more[0].frame_scores is None


@pytest.mark.parametrize("name", NAMES)
def test_a_branch_learns_two_qualities_from_the_same_features(tmp_path: Path, name: str) -> None:
    """The second quality is the first one's opposite, and a third of its labels are missing."""
    world = feature_world.make(tmp_path, videos=200)
    missing = np.arange(200) % 3 == 0
    world.manifest["mos_awful"] = np.where(missing, np.nan, 100 - world.manifest["mos"])
    found = final(work(world, name, train={"epochs": 10}))
    assert list(found.scores) == ["repeat", "video_id", "role", "score", "score_awful"]
    test = found.scores.merge(world.manifest, on="video_id").query("role == 'test'")
    assert metrics.srcc(score=test["score"], mos=test["mos"]) > 0.7
    assert metrics.srcc(score=test["score_awful"], mos=100 - test["mos"]) > 0.7
    assert abs(test["score_awful"].mean() - (100 - test["mos"]).mean()) < 10


def test_a_batch_in_parts_gives_the_same_step_and_a_run_twice_the_same_bits(tmp_path: Path) -> None:
    world = feature_world.make(tmp_path)
    world.manifest["mos_awful"] = np.where(world.manifest.index % 4 == 0, np.nan, 100 - world.manifest["mos"])
    first = final(work(world, "frame", head={"width": 16, "dropout": 0.0}))
    assert same(first, final(work(world, "frame", head={"width": 16, "dropout": 0.0})))
    parts = final(work(world, "frame", head={"width": 16, "dropout": 0.0}, train={"accumulate": 3}))
    close(first, parts)
    np.testing.assert_allclose(parts.scores["score_awful"], first.scores["score_awful"], atol=0.02)


def test_a_finished_model_is_found_again_with_all_its_scores(tmp_path: Path) -> None:
    world = feature_world.make(tmp_path)
    world.manifest["mos_awful"] = 100 - world.manifest["mos"]
    todo = replace(work(world), kept=tmp_path / "kept")
    made = final(todo)
    (again,) = finished.take(opened(todo), [made.job], ranks=ALONE)
    assert same(made, again)
    other = world.manifest.assign(mos_awful=world.manifest["mos_awful"].to_numpy()[::-1].copy())
    assert finished.take(opened(replace(todo, manifest=other)), [made.job], ranks=ALONE) == []
