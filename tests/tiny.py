"""A tiny world in a clone of its own: the whole project, a dozen rated videos, small networks."""

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import yaml

from tests import warm
from tests.conftest import ROOT

# What makes the sample world tiny; its networks are shipped. Keys are dotted paths into the two params files.
TINY_WORLD: dict[str, object] = {
    "videos.prompts": 12,
    "videos.generators": 1,
    "videos.ugc": 12,
}
TINY_PARAMS: dict[str, object] = {
    "split.test_fraction": 0.4,
    "split.validation_fraction": 0.3,
    "split.folds": 2,
    "pretrain_split.test_fraction": 0.4,
    "pretrain_split.folds": 2,
    "copies.videos": 5,
    "copies.left_out_videos": 2,
    "copies.empty": 2,
    "copies.noise": 2,
    "pretrain.epochs": 1,
    "train.epochs": 2,
    "train.least_steps": 0,
    "train.processes": 1,
    "controls.trees": 20,
    "report.bootstrap.resamples": 100,
    "report.films": 1,
}


OUTER = {"DVC_ROOT", "DVC_STAGE", "MAKEFLAGS", "MAKELEVEL", "MFLAGS"}
"""What DVC or make tell the processes they start: a test's own commands are not theirs."""


def run(*command: str, cwd: Path, ok: bool = True, **environment: str) -> str:
    """Runs one command with this Python's own scripts first on PATH; returns stdout and stderr together.

    `python -m`, `dvc` and `msavqa`, its own and those of the stages, begin warm (`tests.warm`).
    """
    variables = {key: value for key, value in os.environ.items() if key not in OUTER}
    first = [str(one) for one in (warm.folder(), Path(sys.executable).parent) if one is not None]
    variables["PATH"] = os.pathsep.join([*first, variables["PATH"]])
    variables |= {"OMP_NUM_THREADS": "1", **environment}
    done = subprocess.run(
        command,
        cwd=cwd,
        env=variables,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    assert not ok or done.returncode == 0, (
        f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout[-6000:]}"
    )
    return done.stdout


def edit(path: Path, changes: dict[str, object]) -> None:
    """Sets dotted keys of a YAML file that must all exist already."""
    data = yaml.safe_load(path.read_text(encoding="utf-8"))
    for dotted, value in changes.items():
        *above, last = dotted.split(".")
        block = data
        for key in above:
            block = block[key]
        assert last in block, f"{path.name} has no {dotted}"
        block[last] = value
    path.write_text(yaml.safe_dump(data, sort_keys=False, allow_unicode=True), encoding="utf-8")


def checkout(target: Path) -> Path:
    """A git repository with this tree's files as they are now (uncommitted ones too) and the tiny params."""
    listed = run("git", "ls-files", "--cached", "--others", "--exclude-standard", cwd=ROOT).splitlines()
    for name in listed:
        if (ROOT / name).is_file() and not (ROOT / name).is_symlink():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)
    kept = Path("msavqa/trunks/measures/__pycache__")  # of the handcrafted measures, where they are compiled
    (target / kept).mkdir()
    for code in (ROOT / kept).glob("*.nb[ci]"):
        shutil.copy2(code, target / kept / code.name)
    shutil.copy2(ROOT / "presets/sample.yaml", target / "params.yaml")  # whatever is being tried out here
    edit(target / "data/sample/params.yaml", TINY_WORLD)
    edit(target / "params.yaml", TINY_PARAMS)
    commit(target, "tiny world", first=True)
    return target


def clone(repo: Path, target: Path, *, remote: str | None = None, **options: str) -> Path:
    """A git clone with no DVC cache of its own; `remote` becomes its default remote."""
    run("git", "clone", "--quiet", str(repo), str(target), cwd=repo.parent)
    run("git", "config", "user.email", "test@example.org", cwd=target)
    run("git", "config", "user.name", "test", cwd=target)
    if remote is not None:
        add_remote(target, remote, **options)
    return target


def add_remote(repo: Path, url: str, **options: str) -> None:
    """Makes `url` the default remote, in the machine's own configuration (nothing to commit)."""
    run("dvc", "remote", "add", "--local", "--default", "--force", "team", url, cwd=repo)
    for key, value in options.items():
        run("dvc", "remote", "modify", "--local", "team", key, value, cwd=repo)


def commit(repo: Path, message: str, *, first: bool = False) -> None:
    """Commits everything in a test's own repository."""
    if first:
        run("git", "init", "--quiet", "--initial-branch=main", cwd=repo)
        run("git", "config", "user.email", "test@example.org", cwd=repo)
        run("git", "config", "user.name", "test", cwd=repo)
    run("git", "add", "--all", cwd=repo)
    run("git", "commit", "--quiet", "--allow-empty", "-m", message, cwd=repo)


def repro(repo: Path, *arguments: str) -> list[str]:
    """Runs `dvc repro`; returns the names of the stages that really ran, in order."""
    return stages_run(run("dvc", "repro", *arguments, cwd=repo))


def wait_for_queue(repo: Path, *, seconds: float = 300) -> None:
    """Waits until DVC's queue has no task left to end; all of them must have succeeded."""
    deadline = time.monotonic() + seconds
    while "0 active, 0 idle" not in (said := run("dvc", "queue", "status", cwd=repo)):
        assert time.monotonic() < deadline, said
        time.sleep(1)
    assert not re.search("Failed|Queued|Running", said), said


def stages_run(output: str) -> list[str]:
    """Names of the stages that DVC says it ran."""
    return re.findall(r"^Running stage '([^']+)'", output, flags=re.MULTILINE)
