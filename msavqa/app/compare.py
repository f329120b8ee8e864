"""`msavqa compare`: is one run, or another model, better than another, or is it luck?"""

from pathlib import Path
from typing import Annotated

import typer

HELP = "Compare two runs, or a run and other models' scores, on the same videos by a paired bootstrap."
EXAMPLES = """\b
Examples:
  msavqa compare runs/sample/ensemble runs/sample/branches/frame
  msavqa compare runs/sample/ensemble runs/sample/controls:trees
  msavqa compare main my-experiment          (git revisions or DVC experiments: their ensembles)
  msavqa compare a/predictions.parquet b/predictions.parquet --json
  msavqa compare runs/sample/ensemble dover.csv
  msavqa compare main videoscore.csv:alignment

A csv holds anybody's scores (DOVER, FAST-VQA, Q-Align, VideoScore): a column `video`, and `score` or the one
that is named behind a colon. Higher is better. Both are compared on the same videos, those that a run tests;
videos that the csv lacks are counted and named."""


def command(
    run_a: Annotated[
        str, typer.Argument(help="A folder, a file, FOLDER:CONTROL, a csv, a revision or an experiment.")
    ],
    run_b: Annotated[str, typer.Argument(help="The other one.")],
    dataset: Annotated[
        str | None, typer.Option(help="Whose labels (default: the first of train_on).", show_default=False)
    ] = None,
    resamples: Annotated[int, typer.Option(min=100, help="Bootstrap draws.")] = 2000,
    seed: Annotated[int, typer.Option(min=0, help="Of the draws.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Compares two runs, as HELP says."""
    import json

    from msavqa.ground import params
    from msavqa.report import compare

    chosen = params.dataset_of(dataset)
    found = compare.compare(Path(), run_a, run_b, dataset=chosen, resamples=resamples, seed=seed)
    print(json.dumps(found.to_dict(), indent=2, allow_nan=False) if as_json else found.text())
