"""DVCLive's files while a model trains: each epoch is there when it ends, and nothing else is touched."""

import json
import subprocess
from pathlib import Path

import pandas as pd
import pytest

from msavqa.ground import stage
from msavqa.learning import live


def rows(folder: Path, name: str) -> list[tuple[int, float]]:
    table = pd.read_csv(folder / "plots" / "metrics" / f"{name}.tsv", sep="\t")
    return list(table.itertuples(index=False, name=None))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path / "dvclive" / "workspace" / "frame"


def test_each_epoch_can_be_read_as_soon_as_it_ends(folder: Path) -> None:
    with live.following(folder) as follow:
        for epoch, loss in ((1, 0.5), (2, 0.25)):
            follow({"epoch": epoch, "loss": loss, "val_srcc": float("nan")})
            assert json.loads((folder / "metrics.json").read_text())["loss"] == loss
            assert rows(folder, "loss")[-1] == (epoch, loss)
    assert rows(folder, "loss") == [(1, 0.5), (2, 0.25)]
    assert json.loads((folder / "metrics.json").read_text())["step"] == 2


def test_another_run_replaces_the_files_of_an_older_one(folder: Path) -> None:
    for loss in (0.5, 0.1):
        with live.following(folder) as follow:
            follow({"epoch": 1, "loss": loss})
    assert rows(folder, "loss") == [(1, 0.1)]


def test_no_dvc_yaml_is_written_and_no_experiment_made(folder: Path, tmp_path: Path) -> None:
    with live.following(folder) as follow:
        follow({"epoch": 1, "loss": 1.0})
    assert [path.name for path in tmp_path.iterdir()] == ["dvclive"]
    assert not list(tmp_path.rglob("dvc.yaml"))


def test_a_repository_without_a_commit_trains_all_the_same(folder: Path, tmp_path: Path) -> None:
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    subprocess.run(["dvc", "init", "--quiet"], cwd=tmp_path, check=True)
    with live.following(folder) as follow:
        follow({"epoch": 1, "loss": 1.0})


def test_nothing_is_followed_where_dvc_does_not_run_the_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DVC_ROOT", raising=False)
    assert stage.live_folder("frame") is None
    with live.following(None) as follow:
        follow({"epoch": 1, "loss": 1.0})


def test_a_queued_experiment_shows_in_the_project_under_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DVC_ROOT", "project")
    monkeypatch.delenv("DVC_EXP_NAME", raising=False)
    assert stage.live_folder("frame") == Path("project/dvclive/workspace/frame")
    monkeypatch.setenv("DVC_EXP_NAME", "wrong-doge")
    assert stage.live_folder("frame") == Path("project/dvclive/wrong-doge/frame")
