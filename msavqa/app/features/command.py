"""`msavqa features`: what is in a store, whether it is whole, handed on as HDF5, taken over, cleaned up."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    help="Look at, check, export and import feature stores, and clean up behind them.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Place = Annotated[
    Path, typer.Argument(help="A store, such as features/sample/frame.zarr.", show_default=False)
]


HEAL = (
    "staged copies of damaged shards are removed; now delete what DVC's cache holds of each file below "
    '(`find -L "$(dvc cache dir)" -samefile FILE -delete`), delete the store and run `dvc pull`, or '
    "`dvc repro`, which computes the damaged shards alone"
)
LOOK = "the files are whole: look for what changed since then, the code, a library or the machine"


@app.callback()
def group() -> None:
    """Look at, check, export and import feature stores, and clean up behind them."""


@app.command(
    "info",
    help="Show a store's arrays, rows and fingerprint.",
    epilog="\b\nExample:\n  msavqa features info features/sample/frame.zarr",
)
def info(path: Place, as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Shows what is in a store."""
    import json
    from dataclasses import asdict

    from msavqa.app.features import look
    from msavqa.store import read as store

    found = look.info(store.open(path))
    if as_json:
        print(json.dumps(asdict(found), indent=2, default=str))
        return
    from rich.console import Console

    Console().print(look.table(found))


@app.command(
    "verify",
    help="Compare every byte of a store with its checksums, and compute some rows again.",
    epilog="\b\nExamples:\n  msavqa features verify features/sample/frame.zarr"
    "\n  msavqa features verify features/sample/frame.zarr --sample 20",
)
def verify(
    path: Place,
    sample: Annotated[int, typer.Option(help="Rows to compute again and compare.", min=0)] = 0,
    tolerance: Annotated[
        float,
        typer.Option(help="Allowed difference, as a part of the row's largest value; 0 asks for equal bits."),
    ] = 2e-3,
) -> None:
    """Checks a store; raises `ProblemsError` with every problem."""
    from msavqa.app.features import look
    from msavqa.ground.errors import ProblemsError
    from msavqa.store import publish
    from msavqa.store import read as store

    store.open(path)  # refused as no store before anything is asked of params.yaml
    if sample:
        from msavqa.app.features import recompute
        from msavqa.ground import params

        with recompute.of(path, data=params.read()) as (opened, compute):
            found = look.verify(opened, sample=sample, recompute=compute, tolerance=tolerance)
    else:
        found = look.verify(store.open(path))
    if found.damaged:
        publish.drop_damaged(store.open(path))
    if found.problems:
        raise ProblemsError(where=path, problems=found.problems, next_step=HEAL if found.damaged else LOOK)
    print(f"{path}: {found.files} files whole", end="")
    compared = f", {found.rows_compared} rows computed again, largest difference {found.max_abs_diff:.3g}"
    print(compared if sample else "")


@app.command(
    "adopt",
    help="Vouch for a store of which a change of the code changed no value: its stage computes nothing then.",
    epilog="\b\nExamples:\n  msavqa features adopt features/mine/frame.zarr"
    "\n  msavqa features adopt --all features/mine",
)
def adopt(
    path: Annotated[
        Path,
        typer.Argument(help="A store, or with --all a data set's folder, features/mine.", show_default=False),
    ],
    everything: Annotated[bool, typer.Option("--all", help="All stores of a data set at once.")] = False,
    rows: Annotated[
        int,
        typer.Option(help="Rows to compute again, from the videos, and compare before; 0: none.", min=0),
    ] = 3,
) -> None:
    """Puts finished stores' shards where the stages that write them look for them."""
    from msavqa.app.features import adopt

    for line in adopt.all_of(path, rows=rows) if everything else [adopt.one(path, rows=rows)]:
        print(line)


@app.command(
    "clean",
    help="Remove staged shards that no store below features/ holds: work of unfinished runs and older lists.",
    epilog="\b\nExample:\n  msavqa features clean",
)
def clean() -> None:
    """Frees what only unfinished runs and older lists of videos would use."""
    from msavqa.store import publish

    cleaned = publish.clean(keep=sorted(Path("features").glob("*/*.zarr")))
    print(f"{cleaned.shards} staged shards removed, {cleaned.bytes / 1e6:.1f} MB freed")


@app.command(
    "export",
    help="Write a store into one HDF5 file.",
    epilog="\b\nExample:\n  msavqa features export features/sample/frame.zarr frame.h5",
)
def export(
    path: Place, file: Annotated[Path, typer.Argument(help="The new file.", show_default=False)]
) -> None:
    """Exports a store."""
    from msavqa.app.features import hdf5
    from msavqa.store import read as store

    hdf5.export_store(store.open(path), file)
    print(f"{file}: {file.stat().st_size / 1e6:.1f} MB")


@app.command(
    "import",
    help="Make a store of an HDF5 file that `export` wrote.",
    epilog="\b\nExample:\n  msavqa features import frame.h5 features/sample/frame.zarr",
)
def import_(
    file: Annotated[
        Path, typer.Argument(help="A file that `msavqa features export` wrote.", show_default=False)
    ],
    path: Annotated[Path, typer.Argument(help="The store to make.", show_default=False)],
) -> None:
    """Imports a store."""
    from msavqa.app.features import hdf5

    report = hdf5.import_store(file, path)
    print(f"{path}: {report.rows} rows, {report.quarantined} quarantined")
