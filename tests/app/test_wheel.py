"""A wheel, installed far from the checkout: the command works from what the wheel holds."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml

from tests import media, synthetic
from tests.conftest import ROOT

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy of what git tracks: a build leaves folders beside its sources."""
    folder = tmp_path_factory.mktemp("built")
    tracked = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(tracked, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    needed = ("msavqa/", "presets/", "pyproject.toml", "README.md", "LICENSE")
    for name in filter(lambda name: name.startswith(needed) and (ROOT / name).exists(), listed.split("\0")):
        (folder / "source" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / "source" / name, follow_symlinks=False)
    pip(["wheel", "--wheel-dir", str(folder), "--no-build-isolation", f"{folder}/source"])
    (made,) = folder.glob("*.whl")
    return made


@pytest.fixture(scope="module")
def far(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose `site` holds the installed wheel and nothing else of ours."""
    folder = tmp_path_factory.mktemp("far")
    pip(["install", "--target", str(folder / "site"), str(wheel)])
    return folder


def pip(words: list[str]) -> None:
    """Runs pip without a registry and without dependencies: this environment has them."""
    command = [sys.executable, "-m", "pip", words[0], "--quiet", "--no-index", "--no-deps", *words[1:]]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr


def msavqa(*words: object, far: Path, cwd: Path | None = None) -> str:
    """What the installed command prints."""
    done = subprocess.run(
        [str(far / "site" / "bin" / "msavqa"), *map(str, words)],
        cwd=cwd or far, capture_output=True, text=True, check=False, timeout=300,
        env={**os.environ, "PYTHONPATH": str(far / "site"), "COLUMNS": "200"},
    )  # fmt: skip
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


def test_the_wheel_holds_every_file_of_the_library_and_every_preset(wheel: Path) -> None:
    held = {name for name in zipfile.ZipFile(wheel).namelist() if name.startswith("msavqa/")}
    library = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "msavqa").rglob("*")
        if path.suffix in {".py", ".html", ".css", ".js", ".json", ".typed"}
    }
    presets = {f"msavqa/presets/{path.name}" for path in (ROOT / "presets").glob("*.yaml")}
    assert held == library | presets


def test_the_command_is_that_of_the_wheel(far: Path) -> None:
    code = "import msavqa; print(msavqa.__file__)"
    said = subprocess.run(
        [sys.executable, "-c", code], cwd=far, check=True, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(far / "site")},
    )  # fmt: skip
    assert Path(said.stdout.strip()).is_relative_to(far)
    assert "msavqa score some.mp4" in msavqa("--help", far=far)
    assert msavqa("--version", far=far) == "msavqa 0.1.0\n"


def test_init_finds_the_presets_that_travel_in_the_wheel(far: Path, tmp_path: Path) -> None:
    listed = msavqa("init", "--list", far=far, cwd=tmp_path)
    assert {path.stem for path in (ROOT / "presets").glob("*.yaml")} <= set(listed.split())
    msavqa("init", "--preset", "csv", far=far, cwd=tmp_path)
    written = yaml.safe_load((tmp_path / "params.yaml").read_text(encoding="utf-8"))
    assert written["train_on"] == ["mine"]
    assert written["train"]["epochs"] > 0


def test_a_bundle_scores_a_video(far: Path, random_bundle: Path, tmp_path: Path) -> None:
    shutil.copytree(random_bundle, tmp_path / "model")
    media.write(tmp_path / "some.mp4", media.numbered(8))
    said = msavqa(
        "score", "some.mp4", "--prompt", "a red ball", "--model", "model", "--json", far=far, cwd=tmp_path
    )
    assert json.loads(said)["video"] == "some.mp4"


def test_two_runs_are_compared(far: Path, tmp_path: Path) -> None:
    made = synthetic.project(tmp_path, videos=120, repeats=1)
    runs = sorted((made / "runs" / synthetic.DATASET).rglob("frame/predictions.parquet"))
    said = msavqa("compare", "--resamples", 100, runs[0].parent, runs[0], far=far, cwd=made)
    assert said.count("no difference shown") == 4
