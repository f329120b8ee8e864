"""`msavqa export`: a trained run becomes a model bundle."""

from pathlib import Path
from typing import Annotated

import typer

from msavqa.ground.errors import MsavqaError

HELP = "Make a model bundle: a folder that scores without data, DVC or git."
EXAMPLES = """\b
Examples:
  msavqa export --out my-model
  msavqa export --dataset t2vqa_db --repeat 2 --out my-model
  msavqa score some.mp4 --prompt "a dog" --model my-model"""


def command(
    out: Annotated[Path, typer.Option(help="The folder to make; must not exist.", show_default=False)],
    dataset: Annotated[
        str | None, typer.Option(help="Whose run (default: the first of train_on).", show_default=False)
    ] = None,
    repeat: Annotated[int, typer.Option(min=0, help="Which repeat's model.")] = 0,
) -> None:
    """Exports a bundle, as HELP says."""
    from msavqa.bundle import export
    from msavqa.ground import params

    if out.exists():
        raise MsavqaError(
            what="Folder of a new bundle",
            where=out,
            got="something that exists",
            expected="a new name",
            next_step="choose another --out or remove it first",
        )
    chosen = params.dataset_of(dataset)
    made = export.export(Path(), chosen, params.read(), repeat=repeat, out=out)
    size = sum(file.stat().st_size for file in out.rglob("*") if file.is_file())
    print(f"{out}: model {made.digest[:12]}, {size / 1e6:.1f} MB")
