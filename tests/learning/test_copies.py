"""Trivial videos beside their originals: who learns of which, what is drawn, and that it helps."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from msavqa.datasets import tables
from msavqa.datasets.copies import FOREIGN, PRAISE, SCORES
from msavqa.learning import copies, examine, finished, folds, losses, training
from msavqa.learning.copies import NONE, Drawn, Pairs, of_videos
from msavqa.learning.folds import FINAL, Job, Opened
from msavqa.learning.train_settings import RankSettings
from tests import branch_settings, copy_world, feature_world
from tests.feature_world import World
from tests.learning.test_finished import digest
from tests.training import ALONE, NAMES, close, final, same, work

ON = {"train": {"copies": copy_world.RANKED}}
OFF = {"train": {"copies": {**copy_world.RANKED, "weight": 0.0}}}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Copies of every video, and one copy without features."""
    made = feature_world.make(tmp_path_factory.mktemp("world"))
    ids, prompts = list(made.manifest["video_id"]), list(made.manifest["prompt"])
    copy_world.add(made.features, ids, prompts, broken=["still/003.mp4"])
    return made


def todo(world: World, name: str = "frame", **changes: Any) -> folds.Work:
    return dataclasses.replace(work(world, name, **changes), praise=copy_world.WORDS)


def pairs_of(found: Opened, fold: int) -> Pairs:
    pairs = training.prepare(found, Job(0, fold)).pairs
    assert pairs is not None
    return pairs


@pytest.mark.parametrize("fold", [FINAL, 0, 1])
def test_no_copy_is_learned_from_that_is_made_of_a_video_that_the_model_does_not_learn_from(
    world: World, fold: int
) -> None:
    found = folds.open_work(todo(world, **ON))
    known = tables.learning_labels(world.manifest, world.splits, repeat=0)
    learned = set(known.loc[(known["role"] == "train") & (known["fold"] != fold), "video_id"])
    pairs = pairs_of(found, fold)
    plan = pairs.copies.plan
    assert set(pairs.of_video) == {"still", "replaced"}
    for kind, both in pairs.of_video.items():
        rows = plan.loc[both[:, 1]]
        assert list(rows["video_id"]) == [found.inputs.ids[video] for video in both[:, 0]]
        assert set(rows["video_id"]) <= learned, kind
        assert set(rows["other_id"]) - {""} <= learned, kind
    stills = set(plan.loc[pairs.of_video["still"][:, 1], "video_id"])
    assert stills == learned - {"003.mp4"}  # all that there are, but the one without features
    assert {found.inputs.ids[video] for video in pairs.videos} == learned


def test_kinds_left_out_and_every_other_row_that_shows_nothing_are_only_tested_on(world: World) -> None:
    pairs = pairs_of(folds.open_work(todo(world, **ON)), FINAL)
    plan = pairs.copies.plan
    assert set(pairs.of_nothing) == {"black"}
    assert list(plan.loc[pairs.of_nothing["black"], "number"]) == [0, 2]
    assert pairs.kinds == ["still", "replaced", "black", FOREIGN]


def drawn(known: Pairs, *, step: int, videos: int = 20, **changes: Any) -> Drawn:
    settings = RankSettings(**(copy_world.RANKED | changes))
    found = copies.draw(known, settings, videos=videos, seed=[0, step])
    assert found is not None
    return found


def test_every_kind_has_its_share_of_a_step_and_its_margin(world: World) -> None:
    known = pairs_of(folds.open_work(todo(world, **ON)), FINAL)
    found = drawn(known, step=3, pairs=8)
    plan = known.copies.plan
    kinds = [plan["kind"][copy] if copy != NONE else FOREIGN for copy in found.copies.copy]
    assert {kind: kinds.count(kind) for kind in known.kinds} == dict.fromkeys(known.kinds, 2)
    assert found.margins.tolist() == [1.0 if kind == "black" else 0.5 for kind in kinds]
    own, told = found.originals, found.copies
    assert all((column == want).all() for column, want in zip(own.columns, (own.video, NONE, own.video, 0)))
    for row, kind in enumerate(kinds):
        asked = known.prompts[told.prompt[row]], known.prompts[own.prompt[row]]
        assert (asked[0] == asked[1]) == (kind != FOREIGN)
        assert (told.video[row] == own.video[row]) == (kind == FOREIGN)
    assert not told.praise.any()


def test_a_share_of_the_videos_is_learned_with_words_of_praise(world: World) -> None:
    known = pairs_of(folds.open_work(todo(world, **ON)), FINAL)
    for share, least, most in ((0.0, 0, 0), (0.5, 80, 120), (1.0, 200, 200)):
        praised = [drawn(known, step=step, praise=share).praised for step in range(10)]
        assert least <= np.concatenate(praised).sum() <= most
    found = folds.open_work(todo(world, **ON))
    assert found.copies is not None
    three = known.videos[:3]
    shown = dataclasses.replace(of_videos(three), praise=np.array([0, 1, 0]))
    batch = copies.batch(shown, inputs=found.inputs, copies=found.copies)
    plain = found.inputs.batch(three)
    long = min(batch["text_tokens"].shape[1], plain["text_tokens"].shape[1])
    same = [
        torch.equal(batch["text_tokens"][row, :long], plain["text_tokens"][row, :long]) for row in range(3)
    ]
    assert same == [True, False, True]
    assert torch.equal(batch["features"], plain["features"])


def test_pairs_follow_from_the_seed_alone(world: World) -> None:
    pairs = pairs_of(folds.open_work(todo(world, **ON)), FINAL)
    one, again, other = (drawn(pairs, step=step) for step in (1, 1, 2))
    assert all((a == b).all() for a, b in zip(one.copies.columns, again.copies.columns, strict=True))
    assert any((a != b).any() for a, b in zip(one.copies.columns, other.copies.columns, strict=True))


@pytest.mark.parametrize("adapters", ["cls", "tail"])
def test_a_batch_holds_videos_and_copies_in_their_places(world: World, adapters: str) -> None:
    found = folds.open_work(todo(world, "segment", pss__adapters=adapters, **ON))
    assert found.copies is not None
    pairs = pairs_of(found, FINAL)
    shown = copies.beside(pairs.videos[:3], drawn(pairs, step=0, videos=3, praise=0.5))
    inputs = found.inputs
    batch = copies.batch(shown, inputs=inputs, copies=found.copies)
    for row in range(len(shown)):
        alone = copies.batch(shown.at(np.array([row])), inputs=inputs, copies=found.copies)
        for key, values in alone.items():
            together = batch[key][row : row + 1]
            if key == "text_tokens":
                together = together[:, : values.shape[1]]
            assert torch.equal(together, values), (key, row)
    plain = copies.batch(of_videos(pairs.videos), inputs=inputs, copies=found.copies)
    assert all(torch.equal(values, inputs.batch(pairs.videos)[key]) for key, values in plain.items())
    still = pairs.of_video["still"][:1]
    one = copies.Shown(np.array([NONE]), still[:, 1], still[:, 0], np.array([0]))
    features = copies.batch(one, inputs=inputs, copies=found.copies)["features"]
    assert torch.equal(features, features[:, :1].expand_as(features))


@pytest.mark.parametrize("name", NAMES)
def test_without_weight_training_is_what_it_was_before_copies_to_the_bit(world: World, name: str) -> None:
    bare = dataclasses.replace(world, features=world.features)
    plain, off = final(work(bare, name)), final(todo(world, name, **OFF))
    assert same(plain, off)
    assert not same(off, final(todo(world, name, **ON)))
    assert digest(work(bare, name)) == digest(todo(world, name, **OFF))


@pytest.mark.parametrize("name", NAMES)
def test_few_videos_learn_nothing_of_copies_and_the_table_says_so(world: World, name: str) -> None:
    count = int((world.splits["role"] == "train").sum())

    def asked(least: int) -> Any:
        return todo(world, name, train={"copies": {**copy_world.RANKED, "from_videos": least}})

    assert same(final(asked(count + 1)), final(todo(world, name, **OFF)))
    assert same(final(asked(count)), final(todo(world, name, **ON)))
    for least, learned in ((count + 1, False), (count, True)):
        opened, job = folds.open_work(asked(least)), Job(0, FINAL)
        found = examine.trivial(opened, job, opened.model().eval())
        assert bool(found["learned"].max()) == learned


@pytest.mark.parametrize(
    "changes",
    [{"weight": 0.4}, {"pairs": 5}, {"margin": 0.1}, {"empty_margin": 0.1}, {"foreign_prompts": False},
     {"praise": 0.9}],
    ids=str,
)  # fmt: skip
def test_every_setting_makes_another_model(world: World, changes: dict[str, object]) -> None:
    other = {"train": {"copies": {**copy_world.RANKED, **changes}}}
    assert digest(todo(world, **other)) != digest(todo(world, **ON))
    assert not same(final(todo(world, **other)), final(todo(world, **ON)))


def test_a_model_of_other_copies_is_another(world: World, tmp_path: Path) -> None:
    before = digest(todo(world, **ON))
    found = folds.open_work(todo(world, **ON))
    assert found.copies is not None
    plan = found.copies.plan.assign(learned=1)
    other = dataclasses.replace(found, copies=dataclasses.replace(found.copies, plan=plan))
    assert finished.digest(other, Job(0, FINAL)) != before


@pytest.mark.parametrize("name", NAMES)
def test_copies_computed_in_parts_take_the_step_of_the_whole_batch(world: World, name: str) -> None:
    ranked = {"copies": copy_world.RANKED, "epochs": 2}
    whole, parts = (
        final(todo(world, name, head__dropout=0.0, train={**ranked, "accumulate": parts})) for parts in (1, 3)
    )
    close(whole, parts)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_learned_of_copies_puts_them_below_their_originals(tmp_path: Path, name: str) -> None:
    made = feature_world.make(tmp_path, videos=100)
    copy_world.add(made.features, list(made.manifest["video_id"]), list(made.manifest["prompt"]))
    above = {}
    for how, ranked in (("off", OFF), ("on", ON)):
        changes = {"train": {**ranked["train"], "epochs": 12}}
        asked = todo(made, name, **changes)
        found = folds.loaded(folds.open_work(asked, with_copies=True))
        job = Job(0, FINAL)
        ready = training.prepare(found, job)
        outcome = training.train(found, job, ranks=ALONE)
        ready.model.load_state_dict({key: torch.from_numpy(value) for key, value in outcome.weights.items()})
        told = examine.trivial(found, job, ready.model)
        both = told.merge(outcome.scores, on=["video_id", "role", "repeat"], suffixes=("", "_own"))
        above[how] = (both["score"] > both["score_own"]).groupby(both["kind"]).mean()
    assert above["on"]["still"] < max(0.2, above["off"]["still"])
    assert above["on"]["black"] < max(0.2, above["off"]["black"])


def test_copies_are_examined_in_the_place_of_their_originals(world: World) -> None:
    asked = todo(world, **ON)
    found = folds.loaded(folds.open_work(asked, with_copies=True))
    job = Job(0, FINAL)
    model = training.prepare(found, job).model
    told = examine.trivial(found, job, model)
    assert list(told.columns) == list(SCORES.columns)
    rows = found.asked(job)
    assert set(told["role"]) == {"val", "test"}
    assert set(told["kind"]) == {*copy_world.KINDS, FOREIGN, PRAISE}
    counts = told.groupby("kind").size()
    assert counts["black"] == counts[FOREIGN] == counts[PRAISE] == counts["backwards"] == len(rows)
    learned = told.groupby("kind")["learned"].first()
    assert learned.to_dict() == {**copy_world.KINDS, FOREIGN: 1, PRAISE: 1}
    # One by one, by hand: a still of each row.
    assert found.copies is not None
    plan = found.copies.plan
    for row in told[told["kind"] == "still"].head(3).itertuples():
        copy = plan.index[plan["copy_id"] == f"still/{row.video_id}"].to_numpy()
        own = found.inputs.index([str(row.video_id)])
        shown = copies.Shown(np.array([NONE]), copy, own, np.array([0]))
        with torch.no_grad():
            score = model.eval()(copies.batch(shown, inputs=found.inputs, copies=found.copies)).score
        assert float(score[0]) == pytest.approx(float(row.score), abs=1e-5)
    off = folds.loaded(folds.open_work(todo(world, **OFF), with_copies=True))
    assert not examine.trivial(off, job, model)["learned"].any()


def test_a_branch_that_reads_no_prompt_scores_the_same_with_any(world: World) -> None:
    asked = todo(world, pss__enabled=False, sma__enabled=False, **ON)
    found = folds.loaded(folds.open_work(asked, with_copies=True))
    job = Job(0, FINAL)
    model = training.prepare(found, job).model
    told, own = examine.trivial(found, job, model), training.predict(found, job, model)
    for kind in (FOREIGN, PRAISE):
        assert list(told.loc[told["kind"] == kind, "score"]) == list(own["score"])


def test_without_copies_nothing_is_examined_and_nothing_learned(tmp_path: Path) -> None:
    made = feature_world.make(tmp_path)
    (made.features / "copies").mkdir()
    from msavqa.datasets import copies as planned

    planned.write(copy_world._plan([]).head(0), made.features / "copies" / "plan.parquet")
    found = folds.open_work(todo(made, **ON), with_copies=True)
    assert found.copies is None
    model = training.prepare(found, Job(0, FINAL)).model
    assert examine.trivial(found, Job(0, FINAL), model).empty


def test_the_ranking_loss_is_the_mean_of_hinges() -> None:
    original, copy = torch.tensor([1.0, 0.0, 2.0]), torch.tensor([0.0, 0.5, 1.9])
    found = losses.copy_loss(original=original, copy=copy, margin=torch.tensor([0.5, 0.5, 1.0]), sd=0.5)
    assert float(found) == pytest.approx((0 + (0.5 + 1.0) + (1.0 - 0.2)) / 3)


def test_a_deviation_of_mos_is_one_where_the_loss_fixes_the_scale_and_the_scores_own_where_not() -> None:
    from msavqa.learning import branch

    score = torch.tensor([0.0, 3.0, 6.0], requires_grad=True)
    assert float(branch.sd_of(branch_settings.branch("frame"), score)) == 1
    assert float(branch.sd_of(branch_settings.branch("segment"), score)) == 1
    found = branch.sd_of(branch_settings.branch("video"), score)
    assert float(found) == pytest.approx((6 + 1e-4) ** 0.5)
    assert not found.requires_grad
