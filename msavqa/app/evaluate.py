"""`msavqa evaluate`: how well do scores, whoever made them, agree with people?"""

import sys
from pathlib import Path
from typing import Annotated

import typer

HELP = "Compare a model's bundle, or a csv of scores, with people's ratings or votes."
EXAMPLES = """\b
Examples:
  msavqa evaluate scores.csv --labels ratings.csv
  msavqa evaluate dover.csv --score-column dover --labels ratings.csv --mos-column MOS
  msavqa evaluate runs/sample/bundle --labels ratings.csv --out scores.csv
  msavqa evaluate scores.csv --pairs votes.csv
  msavqa evaluate scores.csv --labels ratings.csv --json

Videos are matched by the column `video`. The ratings' columns prompt and generator give figures within a
generator and over pairs of one prompt, and say what intervals draw as one; the columns low and high of the
scores give their coverage. --pairs names a csv with left, right and vote (left, right, tie or both_bad)
for sets in which people chose between two videos.
Given a bundle's folder, it first scores the rated videos into --out, and goes on where it was stopped. They
are looked for beside the csv, or under --root."""


def command(
    scores: Annotated[
        Path, typer.Argument(help="A csv with video and score, or a bundle's folder.", show_default=False)
    ],
    labels: Annotated[Path | None, typer.Option(help="A csv with video and mos.", show_default=False)] = None,
    pairs: Annotated[
        Path | None, typer.Option(help="A csv with left, right and vote.", show_default=False)
    ] = None,
    score_column: Annotated[str, typer.Option(help="Column that holds the score.")] = "score",
    mos_column: Annotated[str, typer.Option(help="Column of --labels that holds the rating.")] = "mos",
    out: Annotated[Path | None, typer.Option(help="Where a bundle's scores go.", show_default=False)] = None,
    root: Annotated[
        Path | None, typer.Option(help="Folder of the videos that a bundle scores.", show_default=False)
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes that decode ahead (bundle).")] = 1,
    resamples: Annotated[int, typer.Option(min=100, help="Bootstrap draws.")] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Of the draws.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Evaluates; see HELP."""
    from msavqa.report import outside

    if scores.is_dir():
        scores = _scored(scores, labels=labels, out=out, root=root, workers=workers)
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


def _scored(model: Path, *, labels: Path | None, out: Path | None, root: Path | None, workers: int) -> Path:
    """The csv of a bundle's scores of the rated videos; failed rows are counted by the evaluation."""
    from msavqa.score import table

    if labels is None or out is None:
        raise typer.BadParameter(
            "a bundle needs --labels, whose videos it scores, and --out for their scores"
        )
    scored, failed = table.run(
        labels, out=out, root=root, video_column="video", prompt_column="prompt", model=model,
        workers=workers, decode_seconds=60.0,
    )  # fmt: skip
    print(f"{out}: {scored} scored, {failed} failed", file=sys.stderr)
    return out
