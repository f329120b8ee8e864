"""`msavqa init`: one whole params.yaml, from a preset, your own csv, or one of an earlier version."""

from pathlib import Path
from typing import Annotated

import typer

HELP = (
    "Write a whole params.yaml: a preset's, one for your own videos, or an earlier version's in today's form."
)
EXAMPLES = """\b
Examples:
  msavqa init --list                      (the presets, and what each is for)
  msavqa init --csv videos.csv --videos videos/   (your own: says what it guessed and what it left open)
  msavqa init --csv videos.csv --videos videos/ --preset csv_offline   (the same on toys, without a network)
  msavqa init --csv videos.csv --videos videos/ --names '{generator}/{prompt}-{index}.mp4'
  msavqa init --preset csv                (writes params.yaml, where there is none)
  msavqa init --convert params.yaml --out new.yaml"""
OWN_PRESET = "csv"
"""What your own videos stand on where no other preset is named."""


def command(
    preset: Annotated[
        str | None, typer.Option(help="A file of presets/, without .yaml.", show_default=False)
    ] = None,
    csv: Annotated[
        Path | None, typer.Option(help="Your table, one row per video; needs --videos.", show_default=False)
    ] = None,
    videos: Annotated[Path | None, typer.Option(help="The folder of its videos.", show_default=False)] = None,
    names: Annotated[str | None, typer.Option(help="What their names look like.", show_default=False)] = None,
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

    _check_words(preset, csv, videos, convert, listed, names=names)
    if listed:
        for name in presets.names():
            print(f"{name:14s} {presets.about(name)}")
        return
    _check_free(out)
    if csv is not None and videos is not None:
        _own(csv, videos=videos, preset=preset or OWN_PRESET, out=out, names=names)
        return
    _write(out, earlier.convert(convert) if convert is not None else presets.compose(str(preset)))
    print(f"{out}: written")


def _check_words(
    preset: str | None,
    csv: Path | None,
    videos: Path | None,
    convert: Path | None,
    listed: bool,
    *,
    names: str | None,
) -> None:
    """Raises `MsavqaError` for options that do not go together."""
    from msavqa.ground.errors import MsavqaError

    words = {
        "--preset": preset is not None,
        "--csv": csv is not None,
        "--videos": videos is not None,
        "--convert": convert is not None,
        "--list": listed,
    }
    given = [word for word, there in words.items() if there]
    if names is not None and "--csv" not in given:
        given.append("--names")
    if given in (
        ["--preset"],
        ["--convert"],
        ["--list"],
        ["--csv", "--videos"],
        ["--preset", "--csv", "--videos"],
    ):
        return
    own = "--csv" in given or "--videos" in given
    raise MsavqaError(
        what="Words",
        where="`msavqa init`",
        got=" and ".join(given) or "none",
        expected="--csv with --videos, and --preset at most"
        if own
        else "one of --preset, --csv, --convert and --list",
        next_step="`msavqa init --help` shows examples" if own else "`msavqa init --list` names the presets",
    )


def _own(csv: Path, *, videos: Path, preset: str, out: Path, names: str | None) -> None:
    """Writes settings for somebody's videos, and says how they came about."""
    from msavqa.app.own import settings
    from msavqa.app.own.guess import guess

    home = out.parent
    found = guess(csv, videos=videos, home=home, pattern=names)
    text = settings.compose(preset, found, home=home)
    said, left = settings.look(text)
    _write(out, text)
    print(f"{out}: written, from the preset {preset}\nguessed, each stands in the file:")
    for line in [*found.said, *said]:
        print(f"  - {line}")
    print("left open:")
    for line in [*found.open, *left]:
        print(f"  - {line}")
    if (home / "dvc.yaml").is_file():
        print("next: `msavqa data check`, then `dvc repro`")
    else:
        print(
            "next: `dvc repro` runs in a checkout of msavqa, and here is no dvc.yaml: make this file in one"
        )


def _check_free(out: Path) -> None:
    """Raises `MsavqaError` where a file is there: nothing is overwritten."""
    from msavqa.ground.errors import MsavqaError

    if out.exists() or out.is_symlink():
        raise MsavqaError(
            what="Settings",
            where=out,
            got="a file that is there",
            expected="none, for nothing is overwritten",
            next_step="move it away, or name another file with --out",
        )


def _write(out: Path, text: str) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    try:
        with out.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        _check_free(out)
        raise
