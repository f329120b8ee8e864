"""The store under DVC: outs removed before every run, cached read-only, one copy of the bytes on disk."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from typer.testing import CliRunner

from msavqa.app.features import look
from msavqa.app.features.command import app
from msavqa.ground.errors import ProblemsError
from msavqa.store import read as store
from tests.stores import World, flip, tree

pytestmark = pytest.mark.pipeline

STAGE = """
import time
from pathlib import Path
from tests.stores import World
count = int(Path("count.txt").read_text())
world = World(Path("."), [str(n) for n in range(count)], [f"content{n}" for n in range(count)])

def compute(rows):
    while Path("pause").exists() and 0 not in rows:
        time.sleep(0.1)
    return world.compute(rows)

world.write(staging_root=None, compute=compute)
Path("computed.txt").write_text(" ".join(map(str, world.computed)))
"""
DVC_YAML = """
stages:
  tiny:
    cmd: {python} stage.py
    deps: [count.txt]
    outs: [features/tiny.zarr]
"""


@pytest.fixture
def repo(tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small repository with the project's DVC settings and one stage that writes the tiny store."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(root))
    run("git", "init", "-q")
    dvc("init", "-q")
    shutil.copy(root / ".dvc" / "config", ".dvc/config")
    shutil.copy(root / ".dvcignore", ".dvcignore")
    Path("features").mkdir()
    Path("stage.py").write_text(STAGE)
    Path("dvc.yaml").write_text(DVC_YAML.format(python=sys.executable))
    return tmp_path


def run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True)


def dvc(*arguments: str) -> None:
    run(sys.executable, "-m", "dvc", *arguments)


def computed_for(count: int) -> str:
    """Runs the stage for so many rows; the numbers of the rows that it had to compute."""
    Path("count.txt").write_text(str(count))
    dvc("repro", "-q")
    return Path("computed.txt").read_text()


def test_dvc_runs_share_staging_and_keep_one_copy_of_the_bytes(repo: Path) -> None:
    assert computed_for(10) == "0 1 2 3 4 5 6 7 8 9"
    chunk = Path("features/tiny.zarr/tokens/c/0/0/0")
    places = [file for file in repo.rglob("*") if file.is_file() and os.path.samefile(file, chunk)]
    assert sorted(file.relative_to(repo).parts[0] for file in places) == [".dvc", ".msavqa", "features"]
    assert computed_for(11) == "10"
    assert look.verify(store.open("features/tiny.zarr")).problems == ()
    shutil.rmtree("features/tiny.zarr")
    dvc("checkout", "-q")
    assert look.verify(store.open("features/tiny.zarr")).problems == ()
    assert not list(repo.rglob("*.partial"))


def test_a_killed_dvc_run_leaves_no_store_and_the_next_one_ends_in_the_same_bytes(repo: Path) -> None:
    Path("pause").touch()
    Path("count.txt").write_text("10")
    run_of_dvc = subprocess.Popen(
        [sys.executable, "-m", "dvc", "repro", "-q"], stderr=subprocess.DEVNULL, start_new_session=True
    )
    while not list(repo.glob(".msavqa/*/*/manifest.json")):
        assert run_of_dvc.poll() is None
        time.sleep(0.05)
    everything = [psutil.Process(run_of_dvc.pid), *psutil.Process(run_of_dvc.pid).children(recursive=True)]
    for process in everything:
        process.kill()
    run_of_dvc.wait()
    psutil.wait_procs(everything)
    assert not Path("features/tiny.zarr").exists()
    Path("pause").unlink()
    assert computed_for(10) == "4 5 6 7 8 9"
    (repo / "fresh").mkdir()
    fresh = World(repo / "fresh")
    fresh.write()
    assert tree(Path("features/tiny.zarr")) == tree(fresh.path)


def test_a_store_from_dvcs_cache_can_be_adopted_where_staging_is_gone(repo: Path) -> None:
    from msavqa.store import shards

    computed_for(10)
    shutil.rmtree(".msavqa")
    assert shards.adopt("features/tiny.zarr", staging_root=Path(".msavqa")) == 3
    assert computed_for(11) == "10"


@pytest.mark.parametrize("name", ["tokens/c/1/0/0", "rows.parquet"])
def test_what_verify_says_of_a_damaged_store_heals_it(repo: Path, name: str) -> None:
    computed_for(10)
    before = tree(Path("features/tiny.zarr"))
    flip(Path("features/tiny.zarr", name))
    error = CliRunner().invoke(app, ["verify", "features/tiny.zarr"]).exception
    assert isinstance(error, ProblemsError)
    (command,) = (part for part in str(error).split("`") if part.startswith("find "))
    assert command == 'find -L "$(dvc cache dir)" -samefile FILE -delete'
    (file,) = (problem.split(": got")[0].removeprefix("Damaged file in ") for problem in error.problems)
    command = command.replace("dvc", f"{sys.executable} -m dvc", 1).replace("FILE", file)
    run("bash", "-c", command)
    shutil.rmtree("features/tiny.zarr")
    dvc("repro", "-q")
    assert Path("computed.txt").read_text() == ("4 5 6 7" if name.startswith("tokens") else "")
    assert tree(Path("features/tiny.zarr")) == before
    shutil.rmtree("features/tiny.zarr")
    dvc("checkout", "-q")
    assert tree(Path("features/tiny.zarr")) == before
