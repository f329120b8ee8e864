"""What an installation refuses, it refuses in one sentence."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT


@pytest.fixture
def older(tmp_path: Path) -> Path:
    """A copy of what an install reads, and a folder `older` that makes any Python say that it is 3.10."""
    (tmp_path / "older").mkdir()
    (tmp_path / "older" / "sitecustomize.py").write_text(
        "import sys\nfrom collections import namedtuple\n"
        "named = namedtuple('version_info', 'major minor micro releaselevel serial')\n"
        "sys.version_info = named(3, 10, 12, 'final', 0)\n",
        encoding="utf-8",
    )
    for name in ("Makefile", "pyproject.toml", "constraints.txt", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / "msavqa").mkdir()
    (tmp_path / "msavqa" / "__init__.py").touch()
    return tmp_path


def run(*command: str, cwd: Path, **environment: str) -> tuple[int, str]:
    known = {key: value for key, value in os.environ.items() if not key.startswith("MAKE")}
    done = subprocess.run(
        command, cwd=cwd, env=known | environment, capture_output=True, text=True, check=False, timeout=120
    )
    return done.returncode, done.stdout + done.stderr


def test_make_says_in_one_sentence_that_python_is_too_old(older: Path) -> None:
    python = f"env PYTHONPATH={older / 'older'} {sys.executable}"
    code, said = run("make", "--no-print-directory", "install", f"PYTHON={python}", cwd=older)
    sentence, makes_own = said.splitlines()
    assert sentence == (
        "Python 3.10 is too old: msavqa needs 3.11 or newer; name one that you have, as in make repro "
        "PYTHON=python3.11"
    )
    assert makes_own.startswith("make: *** ")
    assert code == 2
    assert not (older / ".venv").exists()


def test_pip_says_in_one_sentence_that_python_is_too_old(older: Path) -> None:
    words = [
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
        "--no-build-isolation",
        "--target",
        "there",
        ".",
    ]
    code, said = run(sys.executable, "-m", "pip", *words, cwd=older, PYTHONPATH=str(older / "older"))
    (sentence,) = [line for line in said.splitlines() if line.startswith("ERROR")]
    assert sentence == "ERROR: Package 'msavqa' requires a different Python: 3.10.12 not in '>=3.11'"
    assert code == 1
    assert not (older / "there").exists()
