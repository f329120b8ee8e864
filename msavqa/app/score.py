"""`msavqa score`: one video and its prompt, every video of a folder, or every row of a csv."""

import os
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from msavqa.ground.errors import MsavqaError
from msavqa.machine.device import Device

HELP = "Predict how people would rate a video, or every video of a folder or a csv."
EXAMPLES = """\b
Examples:
  msavqa score some.mp4 --prompt "a red ball rolls left"
  msavqa score some.mp4 --prompt "a red ball rolls left" --json
  msavqa score --prompt "a dog" -- -odd-name.mp4
  msavqa score FOLDER --names '{generator}/{prompt}-{index}.mp4' --out scores.csv
  msavqa score FOLDER --names '{generator}+{key}.mp4' --prompts prompts.json --out scores.csv
  msavqa score --csv videos.csv --out scores.csv
  msavqa score --csv list.csv --video-column file --prompt-column text --out scores.csv

Of a folder, every file must be a video with a name of that form. Fields become columns of the scores, so
that `msavqa rank scores.csv` works on them: {generator} (or {model}), {prompt}, {key} (what --prompts
lists), {index} (digits), and any of yours. --prompts is a csv, .json ({file: prompt}, or records), .jsonl, or
.txt with a prompt per line in the order of the names.
A run that was stopped goes on where it was; rows that failed are tried again and keep their reason, and
so are videos whose content changed. An --out with scores of rows that are not asked for is refused. The exit
code is 2 where a row failed; the others are scored.
Videos of a csv are looked for beside the csv, or under --root. The model is the one that `dvc repro`
exported (runs/<dataset>/bundle), the folder in MSAVQA_BUNDLE, or --model."""


def command(
    video: Annotated[
        Path | None, typer.Argument(help="A video file, or a folder of them.", show_default=False)
    ] = None,
    prompt: Annotated[
        str | None, typer.Option(help="What the video was asked to show.", show_default=False)
    ] = None,
    names: Annotated[
        str | None, typer.Option(help="What names in the folder look like.", show_default=False)
    ] = None,
    prompts: Annotated[
        Path | None, typer.Option(help="A file with the folder's prompts.", show_default=False)
    ] = None,
    csv: Annotated[Path | None, typer.Option(help="Score every row of this csv.", show_default=False)] = None,
    out: Annotated[Path | None, typer.Option(help="Where the scores go, a csv.", show_default=False)] = None,
    root: Annotated[Path | None, typer.Option(help="Folder of the csv's videos.", show_default=False)] = None,
    video_column: Annotated[str, typer.Option(help="Column that names the file.")] = "video",
    prompt_column: Annotated[str, typer.Option(help="Column that holds the prompt.")] = "prompt",
    model: Annotated[Path | None, typer.Option(help="A bundle's folder.", show_default=False)] = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes that decode ahead (folder, csv).")] = 1,
    timeout: Annotated[
        float, typer.Option(min=1, max=86_400, help="Seconds that decoding one video may take.")
    ] = 60.0,
    device: Annotated[
        Device, typer.Option(help="Where the networks run; `auto` takes a GPU where torch sees one.")
    ] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print everything, as one line of JSON.")] = False,
) -> None:
    """Scores; see HELP."""
    if (video is None) == (csv is None):
        raise typer.BadParameter("give either a video, a folder or --csv")
    if video is not None and (video.is_dir() or names is not None or prompts is not None):
        if out is None or root is not None or as_json:
            raise typer.BadParameter("a folder needs --out, and takes neither --root nor --json")
        _folder(
            video, names=names, prompts=prompts, prompt=prompt, columns=(video_column, prompt_column),
            out=out, model=model or default_model(), workers=workers, timeout=timeout, device=device,
        )  # fmt: skip
    if names is not None or prompts is not None:
        raise typer.BadParameter("--names and --prompts go with a folder")
    if csv is not None:
        if out is None or prompt is not None or as_json:
            raise typer.BadParameter("--csv needs --out, and takes neither --prompt nor --json")
        from msavqa.score import table

        scored, failed = table.run(
            csv, out=out, root=root, video_column=video_column, prompt_column=prompt_column,
            model=model or default_model(), workers=workers, decode_seconds=timeout, device=device,
        )  # fmt: skip
        print(f"{out}: {scored} scored, {failed} failed")
        raise typer.Exit(2 if failed else 0)
    if prompt is None:
        raise typer.BadParameter('give --prompt (--prompt "" where there is none)')
    assert video is not None
    from msavqa.score import scorer as score

    with score.load(model or default_model(), decode_seconds=timeout, device=device) as scorer:
        found = scorer.score(video, prompt)
    if as_json:
        print(found.to_json())
        return
    print(found.line())
    for warning in found.warnings:
        print(f"warning: {warning}", file=sys.stderr)


def _folder(
    folder: Path,
    *,
    names: str | None,
    prompts: Path | None,
    prompt: str | None,
    columns: tuple[str, str],
    out: Path,
    model: Path,
    workers: int,
    timeout: float,
    device: Device,
) -> NoReturn:
    """Scores a folder's videos, and ends the command."""
    from msavqa.datasets import folder as folders
    from msavqa.score import listed, table

    table.check_out(out, None)
    found = folders.read(
        folder, pattern=names, prompts=prompts, prompt=prompt, video_column=columns[0],
        prompt_column=columns[1], taken=(*table.FIRST, *table.LAST), beside=(out, table.partial_of(out)),
    )  # fmt: skip
    for note in found.notes:
        print(f"note: {note}", file=sys.stderr)
    scored, failed = table.run_all(
        listed.of_folder(found, folder), out=out, model=model, workers=workers, decode_seconds=timeout,
        device=device,
    )  # fmt: skip
    print(f"{out}: {scored} scored, {failed} failed")
    raise typer.Exit(2 if failed else 0)


def default_model() -> Path:
    """The bundle in MSAVQA_BUNDLE, else the one that the pipeline exports of the first set of train_on."""
    if given := os.environ.get("MSAVQA_BUNDLE"):
        return Path(given)
    from msavqa.ground import params

    try:
        return Path("runs") / params.dataset_of(None) / "bundle"
    except MsavqaError:
        missing = "set in `train_on` of params.yaml" if params.PARAMS_FILE.is_file() else "params.yaml here"
        raise MsavqaError(
            what="Model bundle",
            where="--model",
            got=f"none, and no {missing} that would name one",
            expected="a bundle's folder",
            next_step="name it with --model or in MSAVQA_BUNDLE, or run from the project's root",
        ) from None
