"""What a training run learns from: rows by their weight."""

import dataclasses

import numpy as np
import pytest

from msavqa.ground.errors import MsavqaError
from msavqa.learning import folds, labels, training
from msavqa.learning.folds import FINAL, Job
from tests import feature_world
from tests.feature_world import World
from tests.training import ALONE, final, opened, same, work


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return feature_world.make(tmp_path_factory.mktemp("world"))


def test_a_row_of_weight_two_counts_as_the_row_given_twice() -> None:
    random = np.random.default_rng(0)
    score, mos = random.normal(size=(2, 9))
    mos += score
    weight = np.where(np.arange(9) % 2, 2.0, 1.0)
    twice = np.repeat(np.arange(9), weight.astype(int))
    slope, offset = labels.line(score=score, mos=mos, weight=weight)
    assert (slope, offset) == pytest.approx(np.polyfit(score[twice], mos[twice], 1))
    assert (slope, offset) == pytest.approx(
        labels.line(score=score[twice], mos=mos[twice], weight=np.ones(len(twice)))
    )


def test_scores_that_do_not_rise_with_mos_keep_their_order_on_its_scale() -> None:
    mos = np.array([1.0, 2.0, 3.0, 6.0])
    for score in (-mos, np.zeros(4)):
        slope, offset = labels.line(score=score, mos=mos, weight=np.ones(4))
        assert slope == pytest.approx(mos.std())
        assert np.mean(slope * score + offset) == pytest.approx(3.0)


def test_a_heavier_row_pulls_a_model_towards_its_mos(world: World) -> None:
    loud = world.manifest.copy()
    learned = set(world.splits.loc[world.splits["role"] == "train", "video_id"])
    high = loud["video_id"].isin(learned) & (loud["mos"] > loud["mos"].median())
    loud.loc[high, "weight"] = 20.0
    todo = work(world)
    plain, pulled = final(todo), final(dataclasses.replace(todo, manifest=loud))
    assert pulled.scores["score"].mean() > plain.scores["score"].mean() + 1.0


def test_no_labelled_row_to_learn_from_is_said(world: World) -> None:
    bare = world.manifest.assign(mos=np.nan)
    with pytest.raises(MsavqaError) as refusal:
        final(dataclasses.replace(work(world), manifest=bare))
    assert str(refusal.value) == (
        "Training rows in the splits: got no row that is labelled and in the stores, expected at least 1; "
        "give more labelled videos, or look for quarantined ones in the report."
    )


def test_a_model_learns_the_training_rows_of_the_other_folds_and_no_other_row(world: World) -> None:
    found, splits = opened(work(world)), world.splits
    ids = np.array(found.inputs.ids)
    for job in folds.jobs(splits):
        ready = training.prepare(found, job)
        learns = splits["video_id"][(splits["role"] == "train") & (splits["fold"] != job.fold)]
        assert set(ids[ready.labels.videos]) == set(learns)
        assert (ready.validation is not None) == (job.fold == FINAL)
        if ready.validation is not None:
            watched = splits["video_id"][splits["role"] == "val"]
            assert set(ids[ready.validation.videos]) == set(watched)


def test_labels_of_validation_rows_change_nothing_of_a_folds_model(world: World) -> None:
    todo, job = work(world), Job(repeat=0, fold=0)
    other = world.manifest.copy()
    held_out = other["video_id"].isin(set(world.splits.loc[world.splits["role"] == "val", "video_id"]))
    other.loc[held_out, "mos"] = 0.0
    found = [
        training.train(opened(one), job, ranks=ALONE)
        for one in (todo, dataclasses.replace(todo, manifest=other))
    ]
    assert held_out.sum() == 6
    assert same(*found)
