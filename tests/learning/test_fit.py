"""The training loop: repeatable to the bit, resumable, the same in parts, blind to tests."""

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from msavqa.datasets import tables
from msavqa.evaluation import metrics
from msavqa.ground.errors import MsavqaError
from msavqa.learning import branch, fit, folds, saved, side_by_side, training
from msavqa.learning.branch import Shapes
from msavqa.store import read as store
from tests import branch_settings, feature_world
from tests.feature_world import World
from tests.training import ALONE, NAMES, Killed, close, final, killed_after_two_epochs, opened, same, work


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return feature_world.make(tmp_path_factory.mktemp("world"))


@pytest.mark.parametrize("name", NAMES)
def test_training_is_repeatable_to_the_bit_and_another_seed_differs(world: World, name: str) -> None:
    first, second = final(work(world, name)), final(work(world, name))
    assert same(first, second)
    assert not same(first, final(work(world, name, train={"seed": 1})))


def test_who_trains_adds_up_in_one_order(world: World) -> None:
    folds.open_work(work(world))
    assert torch.are_deterministic_algorithms_enabled()


@pytest.mark.parametrize("name", NAMES)
def test_a_branch_learns_what_the_made_up_world_holds(tmp_path: Path, name: str) -> None:
    world = feature_world.make(tmp_path, videos=200)
    found = final(work(world, name, train={"epochs": 10})).scores.merge(world.manifest, on="video_id")
    test = found[found["role"] == "test"]
    assert len(test) == 40
    assert metrics.srcc(score=test["score"], mos=test["mos"]) > 0.75
    assert metrics.rmse(score=test["score"], mos=test["mos"]) < 0.7 * test["mos"].std()


def test_labels_of_test_rows_change_nothing(world: World) -> None:
    todo = work(world)
    test = set(world.splits.loc[world.splits["role"] == "test", "video_id"])
    other = world.manifest.copy()
    hidden = other["video_id"].isin(test)
    other.loc[hidden, "mos"] = other.loc[hidden, "mos"].to_numpy()[::-1]
    assert hidden.sum() == 12
    assert same(final(todo), final(dataclasses.replace(todo, manifest=other)))


def test_labels_of_validation_rows_change_the_history_and_nothing_else(world: World) -> None:
    todo = work(world)
    other = world.manifest.copy()
    held_out = other["video_id"].isin(set(world.splits.loc[world.splits["role"] == "val", "video_id"]))
    other.loc[held_out, "mos"] = other.loc[held_out, "mos"].to_numpy()[::-1]
    first, second = final(todo), final(dataclasses.replace(todo, manifest=other))
    assert first.history != second.history
    assert same(first, dataclasses.replace(second, history=first.history))


def test_every_row_is_scored_once_by_a_model_that_did_not_learn_from_it(world: World) -> None:
    todo = work(world)
    done = list(side_by_side.run(folds.open_work(todo), folds.jobs(world.splits), ranks=ALONE))
    scores = pd.concat([outcome.scores for outcome in done])
    assert not scores["video_id"].duplicated().any()
    merged = scores.merge(world.splits, on="video_id", suffixes=("", "_split"))
    assert len(merged) == len(world.splits)
    assert (merged["role"].replace("oof", "train") == merged["role_split"]).all()
    fold0 = next(outcome for outcome in done if outcome.job.fold == 0)
    held_out = world.splits.loc[world.splits["fold"] == 0, "video_id"]
    assert set(fold0.scores["video_id"]) == set(held_out)
    changed = world.manifest.copy()
    rows = changed["video_id"].isin(set(held_out))
    changed.loc[rows, "mos"] = 0.0
    again = training.train(opened(dataclasses.replace(todo, manifest=changed)), fold0.job, ranks=ALONE)
    assert again.scores.equals(fold0.scores)


@pytest.mark.parametrize("ema", [0.0, 0.9])
def test_a_killed_run_continues_to_the_same_weights_to_the_bit(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ema: float
) -> None:
    todo = work(world, train={"epochs": 4, "ema": ema})
    whole = final(todo)
    live, tmp_path = tmp_path / "live", tmp_path / "kept"
    todo = dataclasses.replace(todo, kept=tmp_path, live=live)
    saved = killed_after_two_epochs(monkeypatch)
    with pytest.raises(Killed):
        final(todo)
    assert len(list(tmp_path.glob("*.pt"))) == 1
    assert same(final(todo), whole)
    assert saved == [1, 2, 3]
    assert [path.suffix for path in tmp_path.iterdir()] == [".safetensors"]
    shown = pd.read_csv(live / "repeat0" / "plots" / "metrics" / "loss.tsv", sep="\t")
    assert shown["step"].tolist() == [1, 2, 3, 4]
    assert shown["loss"].tolist() == [record["loss"] for record in whole.history]


@pytest.mark.parametrize("view", [0, 1, 2])
def test_training_draws_from_all_views_and_evaluation_reads_the_first_alone(
    tmp_path: Path, view: int
) -> None:
    world, other = (feature_world.make(tmp_path / name, views=3) for name in ("as-made", "changed"))
    path = other.features / "frame.zarr"
    opened = store.open(path)
    ids, pooled = opened.ids, opened.all("pooled")
    pooled[:, view] = pooled[::-1, view]
    shutil.rmtree(path)
    feature_world.write_store(
        path, ids, fingerprint={"view": view}, pooled=("video view frame width", pooled)
    )
    untrained = [final(work(one, train={"epochs": 0})) for one in (world, other)]
    trained = [final(work(one)) for one in (world, other)]
    assert same(*untrained) == (view > 0)
    assert not same(*trained)


@pytest.mark.parametrize("name", NAMES)
def test_a_batch_in_parts_takes_the_same_step_as_at_once(world: World, name: str) -> None:
    whole = final(work(world, name, head__dropout=0.0))
    close(whole, final(work(world, name, head__dropout=0.0, train={"accumulate": 3})))


def test_dropout_in_parts_uses_the_same_masks_in_both_passes(world: World) -> None:
    todo = work(world, "video", head__dropout=0.5, train={"accumulate": 4})
    assert same(final(todo), final(todo))


@pytest.mark.parametrize("resident", ["ram", "device", "stream"])
def test_where_features_wait_changes_nothing(world: World, resident: str) -> None:
    assert same(final(work(world, "segment")), final(work(world, "segment", train={"resident": resident})))


def test_an_average_of_weights_is_kept_where_asked_for(world: World) -> None:
    averaged = final(work(world, train={"ema": 0.9}))
    assert not same(averaged, final(work(world)))
    assert averaged.history[-1]["val_srcc"] > 0


def test_bf16_stays_near_fp32(world: World) -> None:
    exact, rough = final(work(world)), final(work(world, train={"precision": "bf16"}))
    assert np.corrcoef(exact.scores["score"], rough.scores["score"])[0, 1] > 0.98


@pytest.mark.parametrize("name", NAMES)
def test_scores_are_whole_float32_numbers_where_networks_compute_in_bfloat16(world: World, name: str) -> None:
    scores = final(work(world, name, train={"precision": "bf16"})).scores["score"].to_numpy()
    assert len(np.unique(scores)) == len(scores)
    rounded = torch.tensor(scores).to(torch.bfloat16).double().numpy()
    assert np.mean(rounded == scores) < 0.2


def test_shuffled_prompts_take_away_what_the_prompt_gives(tmp_path: Path) -> None:
    world = feature_world.make(tmp_path, videos=200)
    found = {}
    for prompts in ("own", "shuffled"):
        todo = work(
            world, train={"epochs": 10, "prompts": prompts}, sma__enabled=False, pss__fusion=["cosine"]
        )
        rows = final(todo).scores.merge(world.manifest, on="video_id")
        found[prompts] = metrics.srcc(score=rows["score"], mos=rows["mos"])
    assert found["own"] > found["shuffled"] + 0.1, found


def test_scores_are_on_the_scale_of_mos_whatever_the_loss(world: World) -> None:
    for name in NAMES:
        scores = final(work(world, name, train={"epochs": 6})).scores["score"]
        assert abs(scores.mean() - world.manifest["mos"].mean()) < world.manifest["mos"].std()


def test_a_loss_that_is_no_number_stops_with_the_video_and_what_to_do(world: World) -> None:
    with pytest.raises(MsavqaError) as caught:
        final(work(world, optimiser__rate=1e25, train={"warmup": 0.0}))
    message = str(caught.value)
    assert message.startswith("Loss in epoch ")
    assert message.endswith(
        "expected a finite number; lower the branch's optimiser.rate, or look at the weights and labels of "
        "those rows."
    )


class Float(nn.Module):
    """Cached features are float16."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.float()


def test_the_history_has_the_branchs_own_rate_and_not_its_backbones(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    todo = work(world)
    plain = [record["rate"] for record in final(todo).history]
    width = feature_world.FEATURES
    backbone = nn.Sequential(Float(), nn.Linear(width, width))
    monkeypatch.setattr("msavqa.learning.stage_tail.backbone", lambda *_: backbone)
    assert [record["rate"] for record in final(todo).history] == plain
    assert 0 < max(plain) <= todo.settings.optimiser.rate


def test_quarantined_videos_are_left_out_and_named(tmp_path: Path) -> None:
    world = feature_world.make(tmp_path, broken={"segment.zarr": [0, 3]})
    todo = work(world, "segment")
    outcome = final(todo)
    assert opened(todo).facts()["quarantined"] == ["000.mp4", "003.mp4"]
    assert not set(outcome.scores["video_id"]) & {"000.mp4", "003.mp4"}


def test_saved_weights_and_facts_build_the_branch_that_made_the_scores(world: World, tmp_path: Path) -> None:
    outcome = final(work(world))
    saved.save(outcome.weights, tmp_path / "w.safetensors")
    found = opened(work(world))
    facts = json.loads(json.dumps(found.facts()))
    net = branch.assemble(
        branch.settings_of(facts["kind"]).model_validate(facts["settings"]),
        shapes=Shapes.from_dict(facts["shapes"]),
        text_tail=found.tails["text"],
        image_tail=found.tails["image"],
    )
    saved.load(net, tmp_path / "w.safetensors")
    videos = found.inputs.index(list(outcome.scores["video_id"]))
    score = fit.predict(net, inputs=found.inputs, videos=videos, settings=branch_settings.train())
    assert np.array_equal(score, outcome.scores["score"])


def test_learning_labels_hold_no_test_row(world: World) -> None:
    known = tables.learning_labels(world.manifest, world.splits, repeat=0)
    assert set(known["role"]) == {"train", "val"}
