"""Stage `report DATASET`: predictions + labels -> reports/<dataset>/{metrics.json, report.html, plots/}."""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from msavqa.ground import params, stage

REPORTS = Path("reports")
SHOWN = (
    "srcc", "srcc_ci95_low", "srcc_ci95_high", "plcc", "krcc", "rmse", "noise_ceiling_srcc",
    "srcc_of_ceiling", "within_generator_srcc", "interval_coverage", "videos_test", "videos_quarantined",
)  # fmt: skip
COMMIT = (
    "To compare later runs with this one, commit it now: "
    '`git add --all && git commit -m "feat: first results"`. '
    "Without it `dvc metrics diff`, `make exp-show` and `msavqa compare HEAD` have nothing to compare with."
)
"""What `make repro` ends with while results wait for a commit."""


def main(argv: Sequence[str] | None = None) -> None:
    """Makes the report; `--show` prints the table of those that stand, of every data set of train_on."""
    given = list(sys.argv[1:] if argv is None else argv)
    if given == ["--show"]:
        for dataset in params.read()["train_on"]:
            file = REPORTS / str(dataset) / "metrics.json"
            if file.is_file():
                show(json.loads(file.read_text(encoding="utf-8")), dataset=str(dataset))
            else:
                print(f"{dataset}: no report yet, `make repro` makes it")
        if waiting():
            print(COMMIT)
        return
    from msavqa.report import build  # slow to import, and not needed to show the table

    (dataset,) = stage.coordinates(given, "dataset", description=__doc__)
    content = build.build(Path(), dataset, params.read())
    build.write(content, REPORTS / dataset)
    show({"verdict": content.verdict.sentence, **content.metrics}, dataset=dataset)


def waiting() -> bool:
    """Whether results wait for a commit: git knows neither of this dvc.lock nor of these figures."""
    command = ("git", "status", "--porcelain", "--untracked-files=all", "--", "*dvc.lock", REPORTS)
    try:
        done = subprocess.run(command, text=True, capture_output=True, check=False)
    except FileNotFoundError:  # no git
        return False
    return done.returncode == 0 and bool(done.stdout.strip())


def show(found: Mapping[str, Any], *, dataset: str) -> None:
    """Prints the verdict, the headline, each branch and control, and where the page is."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"{dataset}: on test videos", title_justify="left", show_header=False)
    each = (name for name in found if name.endswith("_srcc") and "_within_" not in name)
    for name in dict.fromkeys([*SHOWN, *each]):
        if name in found:
            value = found[name]
            table.add_row(name, f"{value:.3f}" if isinstance(value, float) else str(value))
    console = Console()
    if "verdict" in found:  # a report of before has none
        console.print(found["verdict"], style="bold", highlight=False, markup=False)
    console.print(table)
    console.print(f"report: {REPORTS / dataset / 'report.html'}", highlight=False)


if __name__ == "__main__":
    stage.run(main)
