"""`make exp-show`: what `dvc exp show` knows, in 120 columns: what was swept, SRCC, PLCC, intervals, seconds.

The choice of columns: a parameter is shown where two rows differ in it, as `branches.*` where all branches
agree; more than `MOST_COLUMNS` of them become one column `changed`: what a row sets otherwise than its
commit; a figure with its 95% interval beside it; `seconds` is the training of all branches. Everything else
is in `dvc exp show --only-changed`.
"""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from msavqa.ground.errors import MsavqaError
from pipeline import stage

COLUMNS = 120
MOST_COLUMNS = 3
PARAMS, METRICS = "params.yaml", "reports/metrics.json"
FIGURES = ("srcc", "plcc")
SECONDS = "seconds"


@dataclass(frozen=True)
class Row:
    """One experiment, or the commit it started from."""

    name: str
    state: str
    """"" where it has its results; else "queued", "running" or "failed"."""
    params: Mapping[str, object]
    """Values by dotted path; of a queued one those it will run with."""
    metrics: Mapping[str, int | float]
    base: Mapping[str, object]
    """Values of the commit that it started from; its own where it is one."""


def main(argv: Sequence[str] | None = None) -> None:
    """Prints the table."""
    stage.coordinates(argv, description=__doc__)
    done = subprocess.run(["dvc", "exp", "show", "--json"], text=True, capture_output=True, check=False)
    if done.returncode:
        raise MsavqaError(
            what="Experiments",
            where="dvc exp show --json",
            got=f"exit code {done.returncode}: {done.stderr.strip()}",
            expected="0",
            next_step="run it in a git repository with a DVC project and a commit",
        )
    show(rows(json.loads(done.stdout)))


def rows(shown: Sequence[Mapping[str, Any]]) -> list[Row]:
    """Workspace, commits and their experiments, in DVC's order, from `dvc exp show --json`."""
    found, last_commit = [], _params(shown[1] if len(shown) > 1 else shown[0])
    for base in shown:
        rev = str(base["rev"])
        began = last_commit if rev == "workspace" else _params(base)
        name = str(base.get("name") or (rev if rev == "workspace" else rev[:7]))
        found.append(_row(name, base, "", began))
        for one in base.get("experiments") or []:
            state = str((one.get("executor") or {}).get("state") or "")
            last = one["revs"][0]
            name = f"  {one.get('name') or last['rev'][:7]}"
            found.append(_row(name, last, "" if state == "success" else state, began))
    return found


def swept(found: Sequence[Row]) -> list[str]:
    """Dotted paths of the parameters in which two rows differ, `branches.*` where all branches agree."""
    known = [row.params for row in found if row.params]
    names = dict.fromkeys(name for params in known for name in params)
    differ = [name for name in names if len({json.dumps(params.get(name)) for params in known}) > 1]
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

    named = swept(found)
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
        cells = [f"{row.name} ({row.state})" if row.state else row.name]
        cells += ["\n".join(changed(row))] if many else [_value(row, name) for name in named]
        for name in FIGURES:
            cells += [_number(row, name), _interval(row, name)]
        table.add_row(*(Text(cell) for cell in (*cells, _number(row, SECONDS, digits=0))))
    Console(width=COLUMNS, file=sys.stdout).print(table)


def _folded(name: str, known: Sequence[Mapping[str, object]]) -> str:
    """`branches.frame.x` as `branches.*.x` where several branches have x, in every row all the same."""
    block, *_, key = name.split(".", 2)
    if block != "branches":
        return name
    each = [[one for path, one in params.items() if _is_of_a_branch(path, key)] for params in known]
    agree = all(len(values) > 1 and all(one == values[0] for one in values) for values in each)
    return f"branches.*.{key}" if agree else name


def _is_of_a_branch(path: str, key: str) -> bool:
    return path.startswith("branches.") and path.split(".", 2)[-1] == key


def _row(name: str, shown: Mapping[str, Any], state: str, base: Mapping[str, object]) -> Row:
    metrics = _read(shown, "metrics", METRICS)
    return Row(name, state or ("failed" if shown.get("error") else ""), _params(shown), metrics, base)


def _params(shown: Mapping[str, Any]) -> dict[str, object]:
    return dict(_flat(_read(shown, "params", PARAMS)))


def _read(shown: Mapping[str, Any], kind: str, path: str) -> dict[str, Any]:
    found: dict[str, Any] = (((shown.get("data") or {}).get(kind) or {}).get(path) or {}).get("data") or {}
    return found


def _flat(block: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, object]]:
    for key, value in block.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _value(row: Row, name: str) -> str:
    """One parameter of a row; of `branches.*` any branch's."""
    key = name.removeprefix("branches.*.")
    for path, value in row.params.items():
        if path == name or (key != name and _is_of_a_branch(path, key)):
            return _plain(value)
    return ""


def _plain(value: object) -> str:
    return json.dumps(value).strip('"')


def _number(row: Row, name: str, *, digits: int = 3) -> str:
    return f"{row.metrics[name]:.{digits}f}" if name in row.metrics else ""


def _interval(row: Row, name: str) -> str:
    low, high = (_number(row, f"{name}_ci95_{end}") for end in ("low", "high"))
    return f"{low} to {high}" if low else ""


if __name__ == "__main__":
    stage.run(main)
