"""Real networks on real people's ratings: `make real` trains on FETV's videos and says what that is worth.

    python -m benchmarks.real [--data ../shared/data/fetv] [--into .msavqa/real] [--presets csv_small ...]

The folder holds `videos.csv` (video, prompt, mos, generator) and the videos that it names. Each preset runs
in a project of its own below `--into`; this checkout's params.yaml, features and runs stay as they are, and
what was made already is not made again. Printed, with 95% intervals: SRCC and within-generator SRCC of the
ensemble, its difference to the predictor without pixels and to extra-trees on the same test videos, and of
the first preset to each other one. Prints JSON.
"""

import argparse
import json
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from msavqa.report import compare

DATA = Path("../shared/data/fetv")
HIDDEN = Path("msavqa/trunks/measures/__pycache__")
"""Compiled loops: numba would make them again."""
FIGURES = ("srcc", "within_generator_srcc", "srcc_over_no_pixel", "srcc_over_trees")
CONTROLS = ("no_pixel", "trees", "no_reference", "clipsim")


def main(argv: Sequence[str] | None = None) -> None:
    """Runs every preset and prints what each reached; says so where the data are absent."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--into", type=Path, default=Path(".msavqa/real"))
    parser.add_argument("--presets", nargs="+", default=["csv_small", "csv_offline"])
    asked = parser.parse_args(argv)
    if not (asked.data / "videos.csv").is_file():
        print(f"no rated videos in {asked.data}: name a folder with videos.csv and its videos by --data")
        return
    projects = {preset: asked.into / preset for preset in asked.presets}
    for preset, project in projects.items():
        prepare(project, data=asked.data.resolve(), preset=preset)
        run("dvc", "repro", cwd=project)
    print(json.dumps(found(projects), indent=2))


def prepare(project: Path, *, data: Path, preset: str) -> None:
    """A project of this tree's files, the videos and the preset's settings; one that is there is renewed."""
    listed = run("git", "ls-files", "--cached", "--others", "--exclude-standard").splitlines()
    made = {"params.yaml", "dvc.lock", "weights/dvc.lock", "data/sample/dvc.lock"}
    for name in listed:
        result = Path(name).parts[0] == "reports" and len(Path(name).parts) > 2
        if name not in made and not result and Path(name).is_file():
            (project / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(name, project / name)
    if HIDDEN.is_dir():
        shutil.copytree(HIDDEN, project / HIDDEN, dirs_exist_ok=True)
    if not (project / ".git").is_dir():
        run("git", "init", "--quiet", cwd=project)
    rows = pd.read_csv(data / "videos.csv")
    rows["video"] = rows["video"].str.removeprefix("videos/")
    rows.to_csv(project / "videos.csv", index=False)
    if not (project / "videos").exists():
        shutil.copytree(data / "videos", project / "videos")
    (project / "params.yaml").unlink(missing_ok=True)
    words = ("init", "--csv", "videos.csv", "--videos", "videos", "--preset", preset)
    run(sys.executable, "-m", "msavqa.app.cli", *words, cwd=project)


def found(projects: Mapping[str, Path]) -> dict[str, Any]:
    """What every preset's report says, and the first one's difference to each other."""
    first, *others = projects
    told: dict[str, Any] = {}
    for preset, project in projects.items():
        metrics = json.loads((project / "reports/mine/metrics.json").read_text(encoding="utf-8"))
        told[preset] = {"verdict": metrics["verdict"], "videos": metrics["videos"]} | {
            name: [round(metrics[f"{name}{end}"], 3) for end in ("", "_ci95_low", "_ci95_high")]
            for name in FIGURES
            if name in metrics
        }
        told[preset] |= {
            name: round(metrics[f"control_{name}_srcc"], 3)
            for name in CONTROLS
            if f"control_{name}_srcc" in metrics
        }
    for other in others:
        mine, theirs = (str((projects[one] / "runs/mine/ensemble").resolve()) for one in (first, other))
        said = compare.compare(projects[first], mine, theirs, dataset="mine", resamples=2000, seed=0)
        one = said.differences["SRCC"]
        told[first][f"srcc_over_{other}"] = [round(value, 3) for value in (one.value, one.low, one.high)]
    return told


def run(*command: str, cwd: Path | None = None) -> str:
    """A command's standard output; what it says beside that is shown. Ends with the command's own status."""
    done = subprocess.run(command, cwd=cwd, text=True, stdout=subprocess.PIPE, check=False)
    if done.returncode:
        print(done.stdout, file=sys.stderr)
        sys.exit(done.returncode)
    return done.stdout


if __name__ == "__main__":
    main()
