"""`msavqa data check`: are params.yaml, a dataset's labels and its files in order, before anything runs?"""

from typing import Annotated

import typer

app = typer.Typer(help="Look after datasets.", no_args_is_help=True, rich_markup_mode=None)

EXAMPLES = """\b
Examples:
  msavqa data check                       (the first data set of `train_on`)
  msavqa data check my_videos --no-files  (labels only: do not look for the videos)"""


@app.callback()
def group() -> None:
    """Look after datasets."""


@app.command(
    "check",
    help="Name every mistake of params.yaml at once, then every one of a dataset's labels.",
    epilog=EXAMPLES,
)
def check(
    dataset: Annotated[
        str | None, typer.Argument(help="A name under `datasets` in params.yaml.", show_default=False)
    ] = None,
    files: Annotated[bool, typer.Option(help="Look for every video.")] = True,
) -> None:
    """Raises what is wrong with params.yaml, then what the reader refuses; else prints what to look at and
    a line of counts."""
    import math

    from msavqa.check import params as whole_params
    from msavqa.datasets import looks
    from msavqa.datasets import read as datasets
    from msavqa.ground import params
    from msavqa.ground.errors import ProblemsError

    data = params.read()
    if found := whole_params.problems(data):
        raise ProblemsError(where=params.PARAMS_FILE, problems=found, next_step="mend them and run again")
    name = dataset or str(data["train_on"][0])  # there, or it had been a problem
    labels, rows = datasets.read(data, name, check_files=files)
    for note in rows.notes:
        print(f"{name}: {note}")
    known = [row.mos for row in rows if math.isfinite(row.mos)]
    prompts = {row.prompt for row in rows if row.prompt}
    generators = {row.generator for row in rows if row.generator}
    low, high = labels.mos_range
    scale = f", MOS {min(known):g} to {max(known):g} on {low:g}-{high:g}" if known else ", no MOS"
    for note in looks.of(rows, scale=labels.mos_range):
        print(f"{name}: {note}")
    print(
        f"{name}: {len(rows)} videos, {len(prompts)} prompts, {len(generators)} generators, "
        f"{len(known)} with a MOS{scale}: no mistakes"
    )
