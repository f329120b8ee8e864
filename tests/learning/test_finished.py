"""A model that was trained before is taken as it is, one of other settings, labels, features, code is not."""

import dataclasses
import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from msavqa.ground import sources
from msavqa.learning import finished, folds, saved, side_by_side
from msavqa.learning.folds import FINAL, Job, Work
from msavqa.learning.gradients import Ranks
from tests import feature_world
from tests.feature_world import World
from tests.training import ALONE, final, same, work

JOB = Job(repeat=0, fold=FINAL)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return feature_world.make(tmp_path_factory.mktemp("world"))


def digest(todo: Work, job: Job = JOB) -> str:
    return finished.digest(folds.open_work(todo), job)


def test_what_was_trained_is_taken_to_the_bit_and_every_other_job_is_not(
    world: World, tmp_path: Path
) -> None:
    todo = dataclasses.replace(work(world), kept=tmp_path)
    jobs = folds.jobs(world.splits)
    assert finished.take(folds.open_work(todo), jobs, ranks=ALONE) == []
    trained = list(side_by_side.run(folds.open_work(todo), jobs[:2], ranks=ALONE))
    taken = finished.take(folds.open_work(todo), jobs, ranks=ALONE)
    assert [one.job for one in taken] == jobs[:2]
    assert all(same(*pair) for pair in zip(trained, taken, strict=True))
    assert [sorted(one.weights) != [] for one in taken] == [job.fold == FINAL for job in jobs[:2]]
    assert all(one.scores.dtypes.equals(other.scores.dtypes) for one, other in zip(trained, taken))


def test_a_process_that_does_not_lead_takes_what_the_leading_one_says(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    todo = dataclasses.replace(work(world), kept=tmp_path)
    outcome = final(todo)
    said: list[object] = []

    def gather(ranks: Ranks, mine: object) -> list[object]:
        said.append(mine)
        return [[outcome], mine]

    monkeypatch.setattr(Ranks, "gather", gather)
    found = finished.take(folds.open_work(todo), [outcome.job], ranks=Ranks(rank=1, count=2))
    assert (len(found), said) == (1, [[]])
    assert found[0] is outcome


def test_half_a_file_is_trained_again(world: World, tmp_path: Path) -> None:
    todo = dataclasses.replace(work(world), kept=tmp_path)
    final(todo)
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:100])
    assert finished.take(folds.open_work(todo), [JOB], ranks=ALONE) == []


def test_what_was_not_used_for_thirty_days_goes_away_and_what_is_taken_stays(
    world: World, tmp_path: Path
) -> None:
    todo = dataclasses.replace(work(world), kept=tmp_path)
    final(todo)
    (kept,) = tmp_path.iterdir()
    old = time.time() - 29 * 24 * 3600
    os.utime(kept, (old, old))
    for name, days in (("gone.safetensors", 31), ("gone.pt", 31), ("stays.pt", 29)):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (time.time() - days * 24 * 3600,) * 2)
    assert len(finished.take(folds.open_work(todo), [JOB], ranks=ALONE)) == 1
    assert {path.name for path in tmp_path.iterdir()} == {kept.name, "stays.pt"}
    assert time.time() - kept.stat().st_mtime < 60


@pytest.mark.parametrize(
    "changes",
    [
        {"head__width": 8}, {"optimiser__rate": 0.001}, {"loss__beta": 0.5}, {"pss__adapter_ratio": 0.25},
        {"train": {"seed": 1}}, {"train": {"epochs": 2}}, {"train": {"prompts": "shuffled"}},
        {"train": {"threads": 2}}, {"train": {"precision": "bf16"}}, {"train": {"ema": 0.5}},
    ],
    ids=str,
)  # fmt: skip
def test_a_model_of_other_settings_is_another(world: World, changes: dict[str, object]) -> None:
    assert digest(work(world, **changes)) != digest(work(world))


def test_a_model_of_another_job_is_another(world: World) -> None:
    assert len({digest(work(world), Job(0, fold)) for fold in (FINAL, 0, 1)}) == 3


@pytest.mark.parametrize(
    "changes",
    [
        {"train": {"processes": 3}}, {"train": {"resident": "stream"}}, {"train": {"evaluation_batch": 7}},
        {"train": {"checkpoint_seconds": 9.0}}, {"train": {"device": "auto"}},
    ],
    ids=str,
)  # fmt: skip
def test_where_and_how_it_is_computed_makes_no_other_model(world: World, changes: dict[str, object]) -> None:
    assert digest(work(world, **changes)) == digest(work(world))


def test_without_prompts_nothing_that_reads_them_makes_another_model(world: World) -> None:
    """So that a changed block `pss` pre-trains nothing again."""
    off = {"pss__enabled": False, "sma__enabled": False}
    plain = digest(work(world, **off))
    assert digest(work(world, **off, pss__adapter_ratio=0.25, sma__queries=1)) == plain
    assert digest(work(world, **off, train={"prompts": "shuffled"})) == plain


def test_a_branchs_name_and_what_it_is_said_to_start_from_make_no_other_model(world: World) -> None:
    named = dataclasses.replace(work(world, start="segment"), branch="another")
    assert digest(named) == digest(work(world))


def _labels(todo: Work) -> Work:
    return dataclasses.replace(todo, manifest=todo.manifest.assign(mos=todo.manifest["mos"] + 1))


def _weights(todo: Work) -> Work:
    return dataclasses.replace(todo, manifest=todo.manifest.assign(weight=2.0))


def _prompts(todo: Work) -> Work:
    prompts = todo.manifest["prompt"].to_numpy()[::-1]
    return dataclasses.replace(todo, manifest=todo.manifest.assign(prompt=prompts))


def _roles(todo: Work) -> Work:
    """A test row that is none: the model stays, its predictions do not."""
    last = todo.splits.index[todo.splits["role"] == "test"][-1]
    return dataclasses.replace(todo, splits=todo.splits.drop(index=last))


@pytest.mark.parametrize("change", [_labels, _weights, _prompts, _roles])
def test_a_model_of_other_rows_is_another(world: World, change: Callable[[Work], Work]) -> None:
    assert digest(change(work(world))) != digest(work(world))


def test_a_model_that_is_asked_for_other_rows_of_its_repeat_has_other_predictions(tmp_path: Path) -> None:
    """The row is still there in another repeat, so that the features are of the same videos."""
    todo = work(feature_world.make(tmp_path, videos=20, repeats=2))
    mine = (todo.splits["repeat"] == 0) & (todo.splits["role"] == "test")
    fewer = dataclasses.replace(todo, splits=todo.splits.drop(index=todo.splits.index[mine][0]))
    found, other = folds.open_work(todo), folds.open_work(fewer)
    assert found.inputs.ids == other.inputs.ids
    assert finished.digest(found, JOB) != finished.digest(other, JOB)


@pytest.mark.parametrize(("column", "value"), [("sha256", "another file's"), ("status", "quarantined")])
def test_a_model_of_other_features_is_another(world: World, column: str, value: str) -> None:
    found, other = folds.open_work(work(world)), folds.open_work(work(world))
    other.inputs.sources["features"].store.rows.loc[0, column] = value
    assert finished.digest(found, JOB) != finished.digest(other, JOB)


def test_a_model_of_another_start_is_another(world: World, tmp_path: Path) -> None:
    def started(number: int) -> Work:
        path = tmp_path / f"{number}.safetensors"
        saved.save({"x": np.full(1, number)}, path)
        return dataclasses.replace(work(world), start=path)

    assert len({digest(work(world)), digest(started(1)), digest(started(2))}) == 3


def test_a_model_of_other_code_or_another_torch_is_another(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The training's own code and the kind's; no other kind's, and nothing that examines what is trained."""

    def of(*modules: str) -> str:
        asked.append(modules)
        return "some code"

    asked: list[tuple[str, ...]] = []
    before = digest(work(world))
    with monkeypatch.context() as patched:
        patched.setattr(sources, "digest", of)
        assert digest(work(world)) != before
    assert asked == [("msavqa.learning.training", "msavqa.branches.frame")]
    closure = {path.as_posix() for modules in asked for name in modules for path in sources.closure(name)}
    learning = {path for path in closure if path.startswith(("msavqa/learning/", "msavqa/branches/"))}
    assert {"msavqa/learning/losses.py", "msavqa/learning/fit.py", "msavqa/branches/frame.py"} < learning
    others = {"branches/segment.py", "branches/video.py", "learning/examine.py", "learning/side_by_side.py"}
    assert not {f"msavqa/{name}" for name in others} & closure
    assert not {path for path in closure if path.startswith("msavqa/evaluation/")} - {
        "msavqa/evaluation/metrics.py"
    }
    monkeypatch.setattr(torch, "__version__", "1.0")
    assert digest(work(world)) != before


def test_a_finished_file_is_there_whole_with_the_models_own_tensors(world: World, tmp_path: Path) -> None:
    outcome = final(dataclasses.replace(work(world), kept=tmp_path))
    (file,) = tmp_path.iterdir()
    held = load_file(file)
    assert set(held) == {"score", *(f"weights.{name}" for name in outcome.weights)}
    assert np.array_equal(held["score"], outcome.scores["score"])
