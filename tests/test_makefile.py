"""What `make` runs, in which order; every program is a stand-in that says its words."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.tiny import OUTER

STAND_IN = """#!/bin/sh
echo "$(basename "$0") $*" >> "{log}"
case "$*" in *"-m venv"*) mkdir -p .venv/bin
for name in python dvc ruff mypy lint-imports; do cp "$0" .venv/bin/$name; done;; esac
"""
PIP = "python -m pip install --quiet --no-compile --constraint constraints.txt --editable ."


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A checkout in which nothing is installed."""
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    (tmp_path / "a python").write_text(STAND_IN.format(log=tmp_path / "log"), encoding="utf-8")
    (tmp_path / "a python").chmod(0o755)
    return tmp_path


def make(bare: Path, *words: str, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was run, a line a program."""
    for name in OUTER:
        monkeypatch.delenv(name, raising=False)
    (bare / "log").write_text("", encoding="utf-8")
    command = ["make", "PYTHON=./a\\ python", *words]
    subprocess.run(command, cwd=bare, check=True, capture_output=True, timeout=60)
    return (bare / "log").read_text(encoding="utf-8").splitlines()


def pip(ran: list[str]) -> list[str]:
    return [line for line in ran if "--editable" in line]


def test_tests_of_a_bare_checkout_are_installed_for_in_one_go(
    bare: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert pip(make(bare, "test", monkeypatch=monkeypatch)) == [f"{PIP}[dev]"]
    assert pip(make(bare, "test", monkeypatch=monkeypatch)) == []


def test_tests_after_a_run_install_what_is_left(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert pip(make(bare, "repro", monkeypatch=monkeypatch)) == [PIP]
    assert pip(make(bare, "check", monkeypatch=monkeypatch)) == [f"{PIP}[dev]"]
    assert pip(make(bare, "test", monkeypatch=monkeypatch)) == []
    (bare / "pyproject.toml").touch()
    assert pip(make(bare, "test", monkeypatch=monkeypatch)) == [f"{PIP}[dev]"]


def test_every_test_runs_once_beside_the_pipeline_or_behind_it(
    bare: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = make(bare, "test", monkeypatch=monkeypatch)
    beside, behind = [line for line in ran if line.startswith("python -m pytest")]
    folders = re.findall(r"tests/\w+", beside)
    assert beside == f"python -m pytest -q {' '.join(folders)}"
    assert [word for word in behind.split() if "tests" in word] == [f"--ignore={name}" for name in folders]
    assert ran.index(behind) == len(ran) - 1
    assert {"dvc repro", "ruff check .", "mypy ", "lint-imports "} <= set(ran)
    for file in (file for name in folders for file in (ROOT / name).rglob("*.py")):
        said = re.findall(
            r"mark\.(?:sample|pipeline)|tiny_world|tests\.sample", file.read_text(encoding="utf-8")
        )
        assert said == [], f"{file}: its test needs what make repro makes, it cannot run beside it"
