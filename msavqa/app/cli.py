"""The command `msavqa`: begin, score videos, export a model, compare runs, look after data and features."""

import io
import os
import sys
from collections.abc import Sequence
from importlib import metadata
from typing import Annotated

import typer

from msavqa.app import compare, data, evaluate, export, init, rank, score, submission, ui
from msavqa.app.features import command
from msavqa.ground.errors import MsavqaError, full_disk, no_right

app = typer.Typer(
    name="msavqa",
    help="How good is an AI-generated video, as people would rate it?",
    epilog="Train with `dvc repro`; then: msavqa score some.mp4 --prompt 'a red ball rolls left'",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def _say_version(asked: bool) -> bool:
    if asked:
        print(f"msavqa {metadata.version('msavqa')}")
        raise typer.Exit
    return asked


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_say_version, is_eager=True, help="Say which msavqa this is."),
    ] = False,
) -> None:
    """Options that come before any command. `_say_version` does all the work."""


app.command("init", help=init.HELP, epilog=init.EXAMPLES)(init.command)
app.command("score", help=score.HELP, epilog=score.EXAMPLES)(score.command)
app.command("export", help=export.HELP, epilog=export.EXAMPLES)(export.command)
app.command("compare", help=compare.HELP, epilog=compare.EXAMPLES)(compare.command)
app.command("rank", help=rank.HELP, epilog=rank.EXAMPLES)(rank.command)
app.command("evaluate", help=evaluate.HELP, epilog=evaluate.EXAMPLES)(evaluate.command)
app.command("submission", help=submission.HELP, epilog=submission.EXAMPLES)(submission.command)
app.command("ui", help=ui.HELP, epilog=ui.EXAMPLES)(ui.command)
app.add_typer(data.app, name="data")
app.add_typer(command.app, name="features")


def main(argv: Sequence[str] | None = None) -> None:
    """Runs one command; a refusal is printed as its sentence, as is a full disk or a missing right, and ends
    the process with 2."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # names and prompts that the terminal cannot show
    try:
        try:
            app(args=None if argv is None else list(argv), prog_name="msavqa")
        finally:
            sys.stdout.flush()
    except MsavqaError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        if refused := no_right(error, where="the output"):
            print(f"error: {refused}", file=sys.stderr)
            sys.exit(2)
        refusal = full_disk(error, where="the output")
        if refusal is None:
            raise
        print(f"error: {refusal}", file=sys.stderr)
        os._exit(2)  # leaving in order would flush what cannot be written once more


if __name__ == "__main__":
    main()
