"""Vouching for stores: a store is staged where some rows, computed again from the videos, agree with it."""

from collections.abc import Iterator
from pathlib import Path

from msavqa.app.features import look, recompute
from msavqa.ground import params
from msavqa.ground.errors import MsavqaError
from msavqa.store import publish
from msavqa.store import read as store

TOLERANCE = 2e-3
"""Allowed difference, as a part of a row's largest value: another machine's rounding, no level of a pixel."""


def all_of(folder: Path, *, rows: int) -> Iterator[str]:
    """Adopts every store of a data set that params.yaml names, frames first; what to print, line by line."""
    data = params.read()
    found = sorted(folder.glob("*.zarr"), key=lambda path: (path.stem != "frames", path.stem))
    if not found:
        raise MsavqaError(
            what="Stores of a data set",
            where=folder,
            got="none",
            expected="a folder such as features/mine",
            next_step="name one, or a store without --all",
        )
    for path in found:
        if recompute.known(path, data=data):
            yield one(path, rows=rows)
        else:
            yield f"{path}: left alone, params.yaml names nothing that makes it"


def one(path: Path, *, rows: int) -> str:
    """Adopts a store; what to print.

    `rows` valid rows of it, spread from the first to the last, are computed again before. Raises
    `MsavqaError` where one differs, or where the store is not what params.yaml asks for.
    """
    found = store.open(path)
    chosen = look.spread(found, rows)
    if chosen:
        with recompute.of(path, data=params.read(), from_videos=True) as (opened, compute):
            _, problems = look.compare(opened, chosen, recompute=compute, tolerance=TOLERANCE)
        if problems:
            raise MsavqaError(
                what="Features of other code",
                where=path,
                got=problems[0],
                expected=f"what the code computes now ({len(chosen)} rows tried)",
                next_step="run `dvc repro`, which computes the store anew, or undo the change of the code",
            )
    count = publish.adopt(path, staging_root=recompute.staging_root(found))
    tried = f"{len(chosen)} rows computed again and equal" if chosen else "no row tried"
    return f"{path}: {tried}, {count} of {len(found.records.shards)} shards newly staged"
