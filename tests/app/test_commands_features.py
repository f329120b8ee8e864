"""`msavqa features` on the tiny store, as a user types it."""

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from msavqa.app.features.command import app
from msavqa.ground.errors import ProblemsError
from tests.stores import BAD, World, flip, tree


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    made = World(tmp_path_factory.mktemp("commands"))
    made.sha256s[5] = BAD
    made.write()
    return made


def say(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_info_shows_a_table_or_json(world: World) -> None:
    assert "10 (9 valid, 1 quarantined)" in say("info", world.path).stdout
    assert json.loads(say("info", world.path, "--json").stdout)["fingerprint"]["cut"] == "pooled"


def test_verify_counts_whole_files_and_says_how_to_heal_damaged_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    world = World(tmp_path)
    world.write()
    before = tree(world.path)
    assert say("verify", world.path).stdout == f"{world.path}: 16 files whole\n"
    file = world.path / "tokens" / "c" / "1" / "0" / "0"
    flip(file)
    error = say("verify", world.path).exception
    assert isinstance(error, ProblemsError)
    assert error.problems[0].startswith(f"Damaged file in {file}: got sha256 ")
    assert str(error).split(":\n")[0] == (
        f"1 problem in {world.path}; staged copies of damaged shards are removed; now delete what DVC's "
        'cache holds of each file below (`find -L "$(dvc cache dir)" -samefile FILE -delete`), delete the '
        "store and run `dvc pull`, or `dvc repro`, which computes the damaged shards alone"
    )
    shutil.rmtree(world.path)
    world.computed.clear()
    world.write()
    assert world.computed == [4, 5, 6, 7]
    assert tree(world.path) == before


def test_export_and_import_say_what_they_made(world: World, tmp_path: Path) -> None:
    assert say("export", world.path, tmp_path / "tiny.h5").stdout.startswith(f"{tmp_path / 'tiny.h5'}: 0.")
    made = say("import", tmp_path / "tiny.h5", tmp_path / "back.zarr")
    assert made.stdout == f"{tmp_path / 'back.zarr'}: 10 rows, 1 quarantined\n"
    assert tree(tmp_path / "back.zarr") == tree(world.path)


def test_adopt_stages_every_shard_once(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    for count in (3, 0):
        said = say("adopt", world.path, "--rows", 0).stdout
        assert said == f"{world.path}: no row tried, {count} of 3 shards newly staged\n"


def test_clean_keeps_what_the_stores_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    made = World(tmp_path)
    path = tmp_path / "features" / "mine" / "tiny.zarr"
    path.parent.mkdir(parents=True)
    made.write(path=path)
    made.ids.append("77")
    made.sha256s.append("new")
    made.write(path=path)
    assert say("clean").stdout == "1 staged shards removed, 0.0 MB freed\n"
    assert say("clean").stdout == "0 staged shards removed, 0.0 MB freed\n"
    made.computed.clear()
    made.write(path=path)
    assert made.computed == []
