"""`msavqa init`: one whole params.yaml, from a preset or from one of an earlier version."""

from pathlib import Path
from typing import Annotated

import typer

HELP = "Write a whole params.yaml: a preset's, or an earlier version's in today's form."
EXAMPLES = """\b
Examples:
  msavqa init --list                      (the presets, and what each is for)
  msavqa init --preset csv                (writes params.yaml, where there is none)
  msavqa init --convert params.yaml --out new.yaml"""


def command(
    preset: Annotated[
        str | None, typer.Option(help="A file of presets/, without .yaml.", show_default=False)
    ] = None,
    convert: Annotated[
        Path | None, typer.Option(help="A params.yaml of an earlier version.", show_default=False)
    ] = None,
    listed: Annotated[bool, typer.Option("--list", help="List the presets.")] = False,
    out: Annotated[Path, typer.Option(help="The file to write; one that is there stays as it is.")] = Path(
        "params.yaml"
    ),
) -> None:
    """Writes the file, or lists the presets; `MsavqaError` where that cannot be done."""
    from msavqa.check import convert as earlier
    from msavqa.check import presets
    from msavqa.ground.errors import MsavqaError

    words = {"--preset": preset is not None, "--convert": convert is not None, "--list": listed}
    given = [word for word, there in words.items() if there]
    if len(given) != 1:
        raise MsavqaError(
            what="Words",
            where="`msavqa init`",
            got=" and ".join(given) or "none",
            expected="one of --preset, --convert and --list",
            next_step="`msavqa init --list` names the presets",
        )
    if preset is not None:
        text = presets.compose(preset)
    elif convert is not None:
        text = earlier.convert(convert)
    else:
        for name in presets.names():
            print(f"{name:14s} {presets.about(name)}")
        return
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with out.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise MsavqaError(
            what="Settings",
            where=out,
            got="a file that is there",
            expected="none, for nothing is overwritten",
            next_step="move it away, or name another file with --out",
        ) from None
    print(f"{out}: written")
