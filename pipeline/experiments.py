"""`make exp-show`: what `dvc exp show` knows, in 120 columns: what was swept, SRCC, PLCC, intervals, seconds.

The choice of columns: a parameter is shown where two rows differ in it; a figure with its 95% interval beside
it; `seconds` is the training of all branches. Everything else is in `dvc exp show --only-changed`.
"""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from msavqa.errors import MsavqaError
from pipeline import stage

COLUMNS = 120
PARAMS, METRICS = "params.yaml", "reports/metrics.json"
FIGURES = ("srcc", "plcc")
SECONDS = "seconds"


class ShowError(MsavqaError):
    """A table of experiments that DVC does not give."""


@dataclass(frozen=True)
class Row:
    """One experiment, or the commit it started from."""

    name: str
    state: str
    """"" where it has its results; else "queued", "running" or "failed"."""
    params: Mapping[str, object]
    """Values by dotted path; of a queued one those it will run with."""
    metrics: Mapping[str, int | float]


def main(argv: Sequence[str] | None = None) -> None:
    """Prints the table."""
    stage.coordinates(argv, description=__doc__)
    done = subprocess.run(["dvc", "exp", "show", "--json"], text=True, capture_output=True, check=False)
    if done.returncode:
        raise ShowError(
            what="Experiments",
            where="dvc exp show --json",
            got=f"exit code {done.returncode}: {done.stderr.strip()}",
            expected="0",
            next_step="run it in a git repository with a DVC project and a commit",
        )
    show(rows(json.loads(done.stdout)))


def rows(shown: Sequence[Mapping[str, Any]]) -> list[Row]:
    """Workspace, commits and their experiments, in DVC's order, from `dvc exp show --json`."""
    found = []
    for base in shown:
        rev = str(base["rev"])
        found.append(_row(str(base.get("name") or (rev if rev == "workspace" else rev[:7])), base, ""))
        for one in base.get("experiments") or []:
            state = str((one.get("executor") or {}).get("state") or "")
            last = one["revs"][0]
            name = f"  {one.get('name') or last['rev'][:7]}"
            found.append(_row(name, last, "" if state == "success" else state))
    return found


def swept(found: Sequence[Row]) -> list[str]:
    """Dotted paths of the parameters in which two rows differ."""
    known = [row.params for row in found if row.params]
    names = dict.fromkeys(name for params in known for name in params)
    return [name for name in names if len({json.dumps(params.get(name)) for params in known}) > 1]


def show(found: Sequence[Row]) -> None:
    """Prints the rows; what does not fit goes on the next line, nothing is left out."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    named = swept(found)
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("experiment", overflow="fold")
    for name in named:
        table.add_column(name.replace(".", ".\n"), overflow="fold")
    for name in FIGURES:
        table.add_column(name.upper(), no_wrap=True)
        table.add_column("95%", no_wrap=True)
    table.add_column(SECONDS, justify="right", no_wrap=True)
    for row in found:
        cells = [f"{row.name} ({row.state})" if row.state else row.name]
        cells += [json.dumps(row.params[name]).strip('"') if name in row.params else "" for name in named]
        for name in FIGURES:
            cells += [_number(row, name), _interval(row, name)]
        table.add_row(*(Text(cell) for cell in (*cells, _number(row, SECONDS, digits=0))))
    Console(width=COLUMNS, file=sys.stdout).print(table)


def _row(name: str, shown: Mapping[str, Any], state: str) -> Row:
    data = shown.get("data") or {}
    params, metrics = (
        ((data.get(kind) or {}).get(path) or {}).get("data") or {}
        for kind, path in (("params", PARAMS), ("metrics", METRICS))
    )
    return Row(name, state or ("failed" if shown.get("error") else ""), dict(_flat(params)), metrics)


def _flat(block: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, object]]:
    for key, value in block.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _number(row: Row, name: str, *, digits: int = 3) -> str:
    return f"{row.metrics[name]:.{digits}f}" if name in row.metrics else ""


def _interval(row: Row, name: str) -> str:
    low, high = (_number(row, f"{name}_ci95_{end}") for end in ("low", "high"))
    return f"{low} to {high}" if low else ""


if __name__ == "__main__":
    stage.run(main)
