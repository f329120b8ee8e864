"""`msavqa rank`: which generator is better, and may one say so?"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    import msavqa.evaluation.generator_error

HELP = "Say which generators are better than which, from a csv of scores."
EXAMPLES = """\b
Examples:
  msavqa score --csv videos.csv --out scores.csv && msavqa rank scores.csv --videos videos.csv
  msavqa rank scores.csv --ratings ratings.csv
  msavqa rank scores.csv --model runs/sample/bundle
  msavqa rank dover.csv --score-column dover --generator-column model
  msavqa rank scores.csv --html leaderboard.html --videos FOLDER
  msavqa rank scores.csv --json

The csv needs columns generator, prompt and score, one row per video; whose scores they are does not matter.
Tables of `msavqa score FOLDER --names PATTERN` have them. Those of `msavqa score --csv` have no generator:
--videos names the csv that was scored, which has it. Where videos lie beside that csv, or in the folder that
--videos names instead, the page shows examples.
Every interval is over prompts: it says how far the figure would move with other prompts of the same kind.
A pair is decided where a paired t-test over the prompts that both have, corrected by Holm over all pairs,
is below 5%. A row with an empty score failed: it is counted and named, and --failed says what it counts as.
--ratings names a csv with generator, prompt and rating (and video, where only some videos of a prompt are
rated): people's ratings of some of the videos make intervals that hold however wrong the scores are.
--model names the bundle that made the scores. It knows by how much it misjudges a generator as a whole, and
all intervals take that in."""


def command(
    scores: Annotated[Path, typer.Argument(help="A csv with a row per video.", show_default=False)],
    videos: Annotated[
        Path | None,
        typer.Option(
            help="The csv that was scored, which names each video's generator; or the folder of the videos.",
            show_default=False,
        ),
    ] = None,
    ratings: Annotated[
        Path | None, typer.Option(help="A csv of people's ratings of some of them.", show_default=False)
    ] = None,
    score_column: Annotated[str, typer.Option(help="Column that holds the score.")] = "score",
    generator_column: Annotated[str, typer.Option(help="Column that names the generator.")] = "generator",
    prompt_column: Annotated[str, typer.Option(help="Column that holds the prompt.")] = "prompt",
    rating_column: Annotated[str, typer.Option(help="Column of --ratings that holds the rating.")] = "rating",
    failed: Annotated[
        Literal["drop", "worst"],
        typer.Option(help="What a video without a score counts as: nothing, or the lowest score of all."),
    ] = "drop",
    tie: Annotated[float, typer.Option(min=0, help="Two scores at most so far apart are a tie.")] = 0.0,
    model_error: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="By how much the scores misjudge a generator as a whole (standard deviation, in scores).",
            show_default=False,
        ),
    ] = None,
    model: Annotated[
        Path | None,
        typer.Option(help="The bundle that made the scores: it knows its --model-error.", show_default=False),
    ] = None,
    html: Annotated[
        Path | None, typer.Option(help="Write the leaderboard as a page.", show_default=False)
    ] = None,
    resamples: Annotated[int, typer.Option(min=100, help="Bootstrap draws.")] = 2000,
    seed: Annotated[int, typer.Option(min=0, help="Of the draws.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Ranks; see HELP."""
    from dataclasses import replace

    from msavqa.datasets import score_tables
    from msavqa.datasets.score_tables import Columns
    from msavqa.ground.errors import MsavqaError
    from msavqa.report import leaderboard, leaderboard_shown

    given = [
        option
        for option, value in (("--ratings", ratings), ("--model-error", model_error), ("--model", model))
        if value is not None
    ]
    if len(given) > 1:
        raise typer.BadParameter(f"{' and '.join(given)} say how far to trust the scores: give one of them")
    if html is not None and not html.resolve().parent.is_dir():
        raise MsavqaError(
            what="Page",
            where=html,
            got="no such folder",
            expected="a file in a folder that is there",
            next_step="make the folder or choose another --html",
        )
    wanted = Columns(value=score_column, generator=generator_column, prompt=prompt_column)
    folder = videos if videos is not None and videos.is_dir() else None
    rows = score_tables.read(scores, wanted, videos=videos if folder is None else None)
    rated = None
    if ratings is not None:
        asked = Columns(
            value=rating_column, generator=generator_column, prompt=prompt_column, option="--rating-column"
        )
        rated = score_tables.read(ratings, asked)
    found = leaderboard.build(
        rows, ratings=rated, failed=failed, tie=tie,
        model_error=model_error if model is None else _error_of(model), resamples=resamples, seed=seed,
        source=scores.name,
    )  # fmt: skip
    if html is not None:
        examples = []
        if videos is not None:
            from msavqa.app import films

            order = [one.name for one in found.generators]
            examples = films.of(rows, folder=folder or videos.parent, order=order)
            if folder is not None and not examples:
                note = f"no video of this table lies in {folder}, so the page has no examples"
                found = replace(found, notes=[*found.notes, note])
        leaderboard_shown.write_page(found, html, examples=examples)
    if as_json:
        print(found.to_json())
    else:
        leaderboard_shown.show(found)


def _error_of(model: Path) -> "msavqa.evaluation.generator_error.GeneratorError":
    """What a bundle says of itself; raises `MsavqaError` where it says nothing."""
    from msavqa.bundle import contents
    from msavqa.ground.errors import MsavqaError

    told, _ = contents.read(model)
    if told.generator_error is None:
        raise MsavqaError(
            what="Error per generator",
            where=model,
            got="a bundle that does not know it",
            expected="one whose test videos name at least 2 generators",
            next_step="export it again from a finished run, or say what you assume with --model-error",
        )
    return told.generator_error
