"""`make ablation`: a sweep of DVC experiments, one after the other -> reports/ablation.csv and a table.

Each run is `dvc exp run --name ablation-<run>` here in the workspace, so that data which neither git nor DVC
tracks are seen too and every cached store is used. In the end params.yaml is what it was and `dvc repro`
brings its results back, from DVC's cache.
"""

import argparse
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from msavqa.datasets import tables
from msavqa.evaluation.ensemble import EnsembleSettings
from msavqa.ground import params, stage
from msavqa.ground.errors import MsavqaError
from msavqa.report import ablation, page
from msavqa.report.ablation import ABLATION_FILE, Run, Sweep

SWEEP = Path("presets/sweeps/ablation.yaml")
PREFIX = "ablation-"


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the sweep, writes the table and draws the report again with it."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.ablation", description=__doc__)
    parser.add_argument("--sweep", type=Path, default=SWEEP, help=f"the sweep file (default {SWEEP})")
    parser.add_argument("--dataset", help="on which (default: the first of train_on)")
    given = parser.parse_args(argv)
    sweep, dataset, data = ablation.read(given.sweep), params.dataset_of(given.dataset), params.read()
    runs = experiments(sweep, dataset, branches=list(data["branches"]))
    dvc("repro", quiet=True)
    found = ablation.table(
        sweep,
        runs,
        dataset=dataset,
        manifest=tables.read_manifest(Path("data") / dataset / "manifest.parquet"),
        settings=params.block(data, "ensemble", EnsembleSettings),
    )
    ablation.write_table(found, ABLATION_FILE, data=data, revision=page.revision(Path()))
    dvc("repro", "--force", "--single-item", f"report@{dataset}", quiet=True)
    show(found)


def experiments(sweep: Sweep, dataset: str, *, branches: Sequence[str]) -> dict[str, Run]:
    """Runs every experiment and keeps what it predicted; params.yaml is put back whatever happens."""
    before, found = params.PARAMS_FILE.read_bytes(), dict[str, Run]()
    known = dvc("exp", "list", "--name-only", quiet=True).split()
    try:
        for number, run in enumerate(sweep.runs, start=1):
            started, name = time.monotonic(), f"{PREFIX}{run}"
            if name in known:
                dvc("exp", "remove", name, quiet=True)
            params.PARAMS_FILE.write_bytes(before)
            changes = ablation.overrides(sweep, run, branches=branches)
            settings = [part for one in changes for part in ("--set-param", one)]
            dvc("exp", "run", "--name", name, *settings, f"report@{dataset}")
            found[run] = ablation.read_run(Path(), dataset, branches=branches)
            seconds = time.monotonic() - started
            print(f"[{number}/{len(sweep.runs)}] {name}: {seconds:.0f} s", flush=True)
    finally:
        params.PARAMS_FILE.write_bytes(before)
    return found


def dvc(*words: str, quiet: bool = False) -> str:
    """One command of DVC; raises `MsavqaError` where it fails. `quiet` keeps its output for the caller."""
    done = subprocess.run(["dvc", *words], text=True, stdout=subprocess.PIPE if quiet else None, check=False)
    if done.returncode:
        raise MsavqaError(
            what="Command",
            where=f"dvc {' '.join(words)}",
            got=f"exit code {done.returncode}",
            expected="0",
            next_step="read its output above, mend it and run `make ablation` again: what is done is cached",
        )
    return done.stdout or ""


def show(found: pd.DataFrame) -> None:
    """Prints the table, a difference that its interval keeps from zero in bold."""
    from rich.console import Console
    from rich.table import Table

    first = found.iloc[0]
    title = f"{first['dataset']}: {first['videos']} test videos, {first['repeats']} repeats, 95% intervals"
    names = ("model", "SRCC", "", "PLCC", "against", "difference", "", "p")
    table = Table(*names, title=title, title_justify="left")
    for row in found.to_dict("records"):
        figures = (f"{row['srcc']:.3f}", f"{row['low']:.3f} to {row['high']:.3f}", f"{row['plcc']:.3f}")
        cells = [row["model"], *figures, "", "", "", ""]
        if isinstance(row["against"], str):
            sure = row["step_low"] > 0 or row["step_high"] < 0
            step = f"{row['step']:+.3f}"
            cells[4:] = [
                row["against"],
                f"[bold]{step}[/bold]" if sure else step,
                f"{row['step_low']:+.3f} to {row['step_high']:+.3f}",
                f"{row['p_value']:.3f}",
            ]
        table.add_row(*cells)
    console = Console(width=160)
    console.print(table)
    compared = int(found["against"].notna().sum())
    console.print(
        f"Intervals draw prompts and hold the trained models fixed; {compared} differences, not corrected"
    )
    console.print(f"{ABLATION_FILE}; the runs: dvc exp show", highlight=False)


if __name__ == "__main__":
    stage.run(main)
