"""`make table2`: the result that stands in reports/ beside published ones, each with its protocol."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from msavqa.ground import params, stage
from msavqa.ground.errors import MsavqaError
from msavqa.report import published


def main(argv: Sequence[str] | None = None) -> None:
    """Prints the table; what was made on our dataset under our protocol stands in bold."""
    from rich.console import Console
    from rich.table import Table

    parser = argparse.ArgumentParser(prog="python -m pipeline.table2", description=__doc__)
    parser.add_argument("--dataset", help="whose result (default: the first of train_on)")
    dataset = params.dataset_of(parser.parse_args(argv).dataset)
    metrics = Path("reports") / dataset / "metrics.json"
    if not metrics.is_file():
        raise MsavqaError(
            what="Metrics",
            where=metrics,
            got="no such file",
            expected="a report",
            next_step="run `make repro`",
        )
    found = json.loads(metrics.read_text(encoding="utf-8"))
    rows, sentence = published.table(published.read(), found, params.read(), dataset=dataset)
    table = Table("model", "SRCC", "PLCC", "dataset", "protocol", "source", "note")
    for row in rows.to_dict("records"):
        figures = (f"{row['srcc']:.3f}", f"{row['plcc']:.3f}")
        protocol = row["protocol"] or "not stated"
        cells = (row["model"], *figures, row["dataset"], protocol, row["source"], row["note"])
        table.add_row(*cells, style="bold" if row["same"] else None)
    console = Console(width=160)
    console.print(table)
    console.print(sentence, highlight=False)


if __name__ == "__main__":
    stage.run(main)
