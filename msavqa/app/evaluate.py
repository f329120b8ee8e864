"""`msavqa evaluate`: how well do scores, whoever made them, agree with people?"""

from pathlib import Path
from typing import Annotated

import typer

HELP = "Compare a csv of scores with people's ratings or votes."
EXAMPLES = """\b
Examples:
  msavqa evaluate scores.csv --labels ratings.csv
  msavqa evaluate dover.csv --score-column dover --labels ratings.csv --mos-column MOS
  msavqa evaluate scores.csv --pairs votes.csv
  msavqa evaluate scores.csv --labels ratings.csv --json

Videos are matched by the column `video`. The ratings' columns prompt and generator give figures within a
generator and over pairs of one prompt, and say what intervals draw as one; the columns low and high of the
scores give their coverage. --pairs names a csv with left, right and vote (left, right, tie or both_bad)
for sets in which people chose between two videos. To ask this of a model of ours on another data set:
msavqa score --csv ratings.csv --out scores.csv, then this command."""


def command(
    scores: Annotated[Path, typer.Argument(help="A csv with video and score.", show_default=False)],
    labels: Annotated[Path | None, typer.Option(help="A csv with video and mos.", show_default=False)] = None,
    pairs: Annotated[
        Path | None, typer.Option(help="A csv with left, right and vote.", show_default=False)
    ] = None,
    score_column: Annotated[str, typer.Option(help="Column that holds the score.")] = "score",
    mos_column: Annotated[str, typer.Option(help="Column of --labels that holds the rating.")] = "mos",
    resamples: Annotated[int, typer.Option(min=100, help="Bootstrap draws.")] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Of the draws.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Evaluates; see HELP."""
    from msavqa.report import outside

    if labels is not None and pairs is None:
        found = outside.against_labels(
            scores, labels, score_column=score_column, mos_column=mos_column, resamples=resamples, seed=seed
        )
    elif pairs is not None and labels is None:
        found = outside.against_votes(
            scores, pairs, score_column=score_column, resamples=resamples, seed=seed
        )
    else:
        raise typer.BadParameter("give either --labels or --pairs")
    print(found.to_json() if as_json else found.text())
