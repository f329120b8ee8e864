"""`make exp-show`: what `dvc exp show --only-changed` knows, in 120 columns, each figure beside its interval.

DVC finds the experiments, what differs between them, and their figures. What its own table cannot do in 120
columns is done here: a parameter on which all branches agree is one column, `branches.*`; more than
`MOST_COLUMNS` of them become the one column `changed`: what a row sets otherwise than its commit. `seconds`
is the training of all branches. Figures are those of the first data set of train_on.
"""

import csv
import dataclasses
import io
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from msavqa.ground import params, stage
from msavqa.ground.errors import MsavqaError

COLUMNS = 120
MOST_COLUMNS = 3
FIGURES = ("srcc", "plcc")
SECONDS = "seconds"
WORKSPACE = "workspace"
KEPT = r".*(srcc|plcc)(_ci95_(low|high))?$|.*seconds$"
"""Columns that DVC leaves out only where no row has them."""
WHAT = r"^(Experiment|rev|typ|State)$"
"""Columns that say what a row is. Without experiments all rows agree in some, and DVC leaves those out."""
COMMAND = ("dvc", "exp", "show", "--csv", "--only-changed", "--keep", f"{KEPT}|{WHAT}", "--precision", "12")


@dataclass(frozen=True)
class Row:
    """One experiment, or the commit it started from."""

    name: str
    """Of an experiment two spaces further in."""
    params: Mapping[str, str]
    """Values by dotted path, of those in which two rows differ; of a queued one those it will run with."""
    metrics: Mapping[str, float]
    base: Mapping[str, str]
    """Values of the commit that it started from."""


def main(argv: Sequence[str] | None = None) -> None:
    """Prints the table."""
    stage.coordinates(argv, description=__doc__)
    done = subprocess.run(COMMAND, text=True, capture_output=True, check=False)
    if done.returncode:
        raise MsavqaError(
            what="Experiments",
            where="dvc exp show",
            got=f"exit code {done.returncode}: {done.stderr.strip()}",
            expected="0",
            next_step="run it in a git repository with a DVC project and a commit",
        )
    show(rows(done.stdout, blocks=list(params.read()), dataset=params.dataset_of(None)))


def rows(text: str, *, blocks: Sequence[str], dataset: str) -> list[Row]:
    """Workspace, commits and their experiments, in DVC's order, from DVC's csv.

    `blocks` are the first level of params.yaml: what stands under them is a parameter, the rest are figures,
    of which those of `dataset` count where several data sets have theirs, and files.
    """
    found: list[Row] = []
    base: Mapping[str, str] = {}
    for line in csv.DictReader(io.StringIO(text)):
        values = {_unprefixed(name, dataset): value for name, value in line.items()}
        settings = {name: value for name, value in values.items() if name.split(".")[0] in blocks}
        figures = {
            name: float(value)
            for name, value in values.items()
            if value
            and re.match(KEPT, name)
            and "/" not in name  # a path is a dependency: runs/sample/seconds
        }
        if line["typ"] == "baseline":
            base, name = settings, line["rev"]
        else:
            name = f"  {line['Experiment'] or line['rev']}"
        state = line.get("State", "").lower()
        name += f" ({state})" if state not in ("", "success") else ""
        found.append(Row(name, settings, figures, base))
    if len(found) > 1 and found[0].name == WORKSPACE:  # DVC's first row: compared with the commit below it
        found[0] = dataclasses.replace(found[0], base=found[1].base)
    return found


def columns(found: Sequence[Row]) -> list[str]:
    """Dotted paths of the parameters in which rows differ, `branches.*` where all branches agree."""
    known = [row.params for row in found]
    differ = (name for name in (known[0] if known else ()) if len({one.get(name) for one in known}) > 1)
    return list(dict.fromkeys(_folded(name, known) for name in differ))


def changed(row: Row) -> list[str]:
    """What a row sets otherwise than the commit that it started from, `key=value` each."""
    names = [name for name, value in row.params.items() if row.base.get(name) != value]
    return list(dict.fromkeys(f"{_folded(name, [row.params])}={_plain(row.params[name])}" for name in names))


def show(found: Sequence[Row]) -> None:
    """Prints the rows; what does not fit goes on the next line, nothing is left out."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    named = columns(found)
    many = len(named) > MOST_COLUMNS
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("experiment", overflow="fold")
    for name in ["changed"] if many else named:
        table.add_column(name.replace(".", ".\n"), overflow="fold")
    for name in FIGURES:
        table.add_column(name.upper(), no_wrap=True)
        table.add_column("95%", no_wrap=True)
    table.add_column(SECONDS, justify="right", no_wrap=True)
    for row in found:
        cells = [row.name]
        cells += ["\n".join(changed(row))] if many else [_value(row, name) for name in named]
        for name in FIGURES:
            cells += [_number(row, name), _interval(row, name)]
        table.add_row(*(Text(cell) for cell in (*cells, _number(row, SECONDS, digits=0))))
    Console(width=COLUMNS, file=sys.stdout).print(table)


def _unprefixed(name: str, dataset: str) -> str:
    """A name without the file, which DVC puts before it where two files have one of that name."""
    return name.removeprefix("params.yaml:").removeprefix(f"reports/{dataset}/metrics.json:")


def _folded(name: str, known: Sequence[Mapping[str, str]]) -> str:
    """`branches.frame.x` as `branches.*.x` where several branches have x, in every row all the same."""
    block, *_, key = name.split(".", 2)
    if block != "branches":
        return name
    each = [[one for path, one in params.items() if _is_of_a_branch(path, key)] for params in known]
    agree = all(len(values) > 1 and len(set(values)) == 1 for values in each)
    return f"branches.*.{key}" if agree else name


def _is_of_a_branch(path: str, key: str) -> bool:
    return path.startswith("branches.") and path.split(".", 2)[-1] == key


def _value(row: Row, name: str) -> str:
    """One parameter of a row; of `branches.*` any branch's."""
    key = name.removeprefix("branches.*.")
    of_branches = (value for path, value in row.params.items() if key != name and _is_of_a_branch(path, key))
    return _plain(row.params.get(name) or next(of_branches, ""))


def _plain(value: str) -> str:
    """A value as YAML writes it, of which DVC's csv writes Python's."""
    return {"True": "true", "False": "false"}.get(value, value.replace("'", ""))


def _number(row: Row, name: str, *, digits: int = 3) -> str:
    return f"{row.metrics[name]:.{digits}f}" if name in row.metrics else ""


def _interval(row: Row, name: str) -> str:
    low, high = (_number(row, f"{name}_ci95_{end}") for end in ("low", "high"))
    return f"{low} to {high}" if low else ""


if __name__ == "__main__":
    stage.run(main)
