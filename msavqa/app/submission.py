"""`msavqa submission`: scores of videos whose MOS is withheld, as the zip that NTIRE's challenge takes."""

from pathlib import Path
from typing import Annotated

import typer

HELP = "Pack the scores of videos whose MOS is withheld as NTIRE's video track takes them."
EXAMPLES = """\b
Examples:
  msavqa submission --out submission.zip --seconds 0.4
  msavqa submission --out val.zip --seconds 0.4 --split val
  msavqa submission --out submission.zip --seconds 0.05 --gpu --note "three branches, five seeds"

The scores are the ensemble's, the mean over the repeats of split.seeds. With split.protocol
prompt_disjoint some of the rated videos are tested on as well, and the report says what to expect."""


def command(
    out: Annotated[Path, typer.Option(help="The zip to write.", show_default=False)],
    seconds: Annotated[float, typer.Option(min=0, help="Runtime of one video.", show_default=False)],
    dataset: Annotated[
        str | None, typer.Option(help="Whose videos (default: the first of train_on).", show_default=False)
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(help="The phase's part: val or test, where both are withheld.", show_default=False),
    ] = None,
    cpu: Annotated[bool, typer.Option("--cpu/--gpu", help="Where that was measured.")] = True,
    extra_data: Annotated[
        bool, typer.Option(help="Learned from more than the challenge's videos, such as LSVQ.")
    ] = True,
    note: Annotated[str, typer.Option(help="One line on the method.")] = "MSA-VQA, msavqa",
) -> None:
    """Packs scores for the challenge, as HELP says."""
    from msavqa.datasets import tables
    from msavqa.ground import params
    from msavqa.score import submission

    name = params.dataset_of(dataset)
    manifest = tables.read_manifest(Path("data") / name / "manifest.parquet")
    predicted = tables.read_predictions(Path("runs") / name / "ensemble" / "predictions.parquet")
    scores = submission.withheld_scores(manifest, predicted, split=split)
    readme = submission.Readme(
        seconds_per_video=seconds,
        cpu_only=cpu,
        extra_data=extra_data,
        large_language_model=False,
        description=note,
    )
    submission.write(out, scores=scores, readme=readme)
    print(f"{out}: {len(scores)} scores, the mean of {predicted['repeat'].nunique()} repeats")
