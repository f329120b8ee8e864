"""Columns, units and ranges of the tables between stages: manifest, splits, predictions, controls.

Each table is one parquet file. Writing refuses what does not fit its columns and gives the same bytes for
the same rows; reading refuses a file that somebody else made to look like one. Row order is part of a table:
the manifest keeps the order of the dataset's own label file, which one evaluation protocol shuffles.
"""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pandera.pandas as pandera
import pyarrow as pa
import pyarrow.parquet as pq
from pandera.errors import SchemaErrors

from msavqa.ground.errors import ProblemsError

ROLES = ("train", "val", "test")
PREDICTED_ROLES = ("oof", "val", "test")
STATUSES = ("ok", "unreadable")
_ARROW = {"float64": pa.float64(), "int64": pa.int64()}  # the rest is text

_AGAIN = "delete it and run `dvc repro`"

_FILLED = pandera.Check.str_length(min_value=1)
_POSITIVE = pandera.Check.gt(0)
_NOT_NEGATIVE = pandera.Check.ge(0)
_FINITE = pandera.Check(lambda column: column.abs() < np.inf, name="is_finite", error="is_finite")


def _text(*checks: pandera.Check, unique: bool = False) -> pandera.Column:
    return pandera.Column(str, list(checks), unique=unique)


def _number(*checks: pandera.Check, unknown: bool = False) -> pandera.Column:
    return pandera.Column("float64", list(checks), nullable=unknown)


def _count(*checks: pandera.Check) -> pandera.Column:
    return pandera.Column("int64", list(checks))


MANIFEST = pandera.DataFrameSchema(
    {
        "video_id": _text(_FILLED, unique=True),  # the video's path as the label file writes it
        "path": _text(_FILLED, unique=True),  # relative to the dataset's root, '/' between folders
        "prompt": _text(),  # exactly as written; "" where the dataset has none
        "mos": _number(_FINITE, unknown=True),  # on the dataset's own scale; NaN where not published
        "mos_se": _number(_NOT_NEGATIVE, unknown=True),  # standard error of mos, same scale
        "generator": _text(),  # the text-to-video model; "" unknown
        "group": _text(),  # videos that must not be parted by a prompt-disjoint split; "" none
        "given_split": _text(),  # the dataset's own split; "" none
        "weight": _number(_POSITIVE, _FINITE),  # a row's weight in training; 1 where not given
        "quality_true": _number(
            _FINITE, unknown=True
        ),  # quality without raters' noise: simulated datasets only
        "sha256": _text(pandera.Check.str_matches(r"^[0-9a-f]{64}$")),  # of the file's bytes
        "size_bytes": _count(_NOT_NEGATIVE),
        "container": _text(),  # the facts from here to rotation_degrees are empty where unreadable
        "codec": _text(),
        "fps": _number(_POSITIVE, unknown=True),  # mean frames per second
        "frame_count": _count(pandera.Check.ge(-1)),  # -1: the container does not say
        "width": _count(_NOT_NEGATIVE),  # pixels, upright
        "height": _count(_NOT_NEGATIVE),
        "duration_seconds": _number(_NOT_NEGATIVE, unknown=True),
        "rotation_degrees": _count(),
        "status": _text(pandera.Check.isin(STATUSES)),
        "error": _text(),  # why the file is unreadable; "" where it is ok
    },
    strict=True,
)
SPLITS = pandera.DataFrameSchema(
    {
        "repeat": _count(_NOT_NEGATIVE),  # position in split.seeds
        "video_id": _text(_FILLED),
        "role": _text(pandera.Check.isin(ROLES)),
        "fold": _count(pandera.Check.ge(-1)),  # 0..folds-1 for train rows, -1 for the others
    },
    unique=["repeat", "video_id"],
    strict=True,
)
PREDICTIONS = pandera.DataFrameSchema(
    {
        "repeat": _count(_NOT_NEGATIVE),
        "video_id": _text(_FILLED),
        "role": _text(pandera.Check.isin(PREDICTED_ROLES)),  # oof: a train row by a model that never saw it
        "score": _number(_FINITE),  # a branch's raw output, any scale; never a label
    },
    unique=["repeat", "video_id"],
    strict=True,
)
CONTROLS = pandera.DataFrameSchema(
    {**PREDICTIONS.columns, "control": _text(_FILLED)},  # the control's name: one score each a video
    unique=["repeat", "video_id", "control"],
    strict=True,
)


def read_manifest(path: Path) -> pd.DataFrame:
    """The videos of one dataset, one row each, in the order of its label file; all of `MANIFEST`."""
    return _read(path, MANIFEST)


def write_manifest(table: pd.DataFrame, path: Path) -> None:
    """Check against `MANIFEST` and write; refuses, and writes nothing, what does not fit."""
    _write(table, path, MANIFEST)


def read_splits(path: Path) -> pd.DataFrame:
    """Who is trained on and tested on in each repeat; all of `SPLITS`."""
    return _read(path, SPLITS)


def write_splits(table: pd.DataFrame, path: Path) -> None:
    """Check against `SPLITS` and write; refuses, and writes nothing, what does not fit."""
    _write(table, path, SPLITS)


def read_predictions(path: Path) -> pd.DataFrame:
    """Raw scores of one branch or of the ensemble, without labels; all of `PREDICTIONS`."""
    return _read(path, PREDICTIONS)


def write_predictions(table: pd.DataFrame, path: Path) -> None:
    """Check against `PREDICTIONS` and write; refuses, and writes nothing, what does not fit."""
    _write(table, path, PREDICTIONS)


def read_controls(path: Path) -> pd.DataFrame:
    """Raw scores of all controls, told apart by the column `control`; all of `CONTROLS`."""
    return _read(path, CONTROLS)


def write_controls(table: pd.DataFrame, path: Path) -> None:
    """Check against `CONTROLS` and write; refuses, and writes nothing, what does not fit."""
    _write(table, path, CONTROLS)


def learning_labels(manifest: pd.DataFrame, splits: pd.DataFrame, *, repeat: int) -> pd.DataFrame:
    """All that anything that learns may know of one repeat: its train and val rows, no test row.

    Columns video_id, mos (the dataset's own scale), weight, role ("train" or "val"), fold; in manifest
    order. Test rows are left out here so that no caller can fit on them by mistake. Raises `ProblemsError`
    where the repeat does not exist or splits and manifest are not of one dataset.
    """
    rows = splits.loc[splits["repeat"] == repeat, ["video_id", "role", "fold"]]
    problems = [] if len(rows) else [f"repeat {repeat}: the splits hold {sorted(set(splits['repeat']))}"]
    strangers = sorted(set(rows["video_id"]) - set(manifest["video_id"]))
    if strangers:
        problems.append(f"{len(strangers)} videos are not in the manifest, the first is {strangers[0]!r}")
    if problems:
        raise ProblemsError(
            where="splits", problems=problems, next_step="run `dvc repro` to split this manifest"
        )
    learning = rows[rows["role"] != "test"]
    known = manifest[["video_id", "mos", "weight"]]
    return known.merge(learning, on="video_id", how="inner", validate="one_to_one")


def _read(path: Path, schema: pandera.DataFrameSchema) -> pd.DataFrame:
    if not path.is_file():
        raise ProblemsError(where=path, problems=["no such file"], next_step="run `dvc repro` to make it")
    try:
        table = pq.read_table(path).to_pandas()
    except pa.ArrowInvalid as error:
        problem = f"not a parquet file: {' '.join(str(error).split())}"
        raise ProblemsError(where=path, problems=[problem], next_step=_AGAIN) from error
    return checked(table, schema, where=path, next_step=_AGAIN)


def _write(table: pd.DataFrame, path: Path, schema: pandera.DataFrameSchema) -> None:
    right = checked(table, schema, where=path, next_step="mend what makes this table")
    fields = [
        pa.field(name, _ARROW.get(str(column.dtype), pa.string()), nullable=column.nullable)
        for name, column in schema.columns.items()
    ]
    arrays = [pa.array(right[field.name], field.type, from_pandas=True) for field in fields]
    path.parent.mkdir(parents=True, exist_ok=True)
    # A rename, never an edit in place: DVC's cache may hold the old file by hardlink.
    partial = path.with_name(f"{path.name}.partial")
    pq.write_table(pa.Table.from_arrays(arrays, schema=pa.schema(fields)), partial, compression="zstd")
    os.replace(partial, path)


def checked(
    table: pd.DataFrame, schema: pandera.DataFrameSchema, *, where: object, next_step: str
) -> pd.DataFrame:
    """The table with the schema's columns and types; raises `ProblemsError` with all that is wrong."""
    try:
        right = schema.validate(_widened(table.reset_index(drop=True), schema), lazy=True)
        return right[list(schema.columns)]
    except SchemaErrors as error:
        cases = error.failure_cases.astype({"column": object, "check": str})
        # Cases of the table as a whole have no column, those of unique rows one a column: say each once.
        cases["column"] = cases["column"].where(cases["schema_context"] == "Column", "")
        # A column of the wrong type fails its other checks too, by nature.
        typed = cases["check"].str.startswith("dtype(")
        cases = cases[typed | (cases["column"] == "") | ~cases["column"].isin(cases["column"][typed])]
        groups = cases.groupby(["column", "check"], sort=False)
        problems = [_sentence(str(column), str(check), rows) for (column, check), rows in groups]
        raise ProblemsError(where=where, problems=problems, next_step=next_step) from error


def _widened(table: pd.DataFrame, schema: pandera.DataFrameSchema) -> pd.DataFrame:
    """Numbers in the column's own width where no value can change (float32 to float64); the rest as it is."""
    if table.empty:  # pandas cannot know the types of no values
        return table.astype({name: str(c.dtype) for name, c in schema.columns.items() if name in table})
    changes = {
        name: str(column.dtype)
        for name, column in schema.columns.items()
        if name in table
        and isinstance(table[name].dtype, np.dtype)
        and str(column.dtype) in ("int64", "float64")
        and np.can_cast(table[name].dtype, str(column.dtype), casting="safe")
    }
    return table.astype(changes)


def _sentence(column: str, check: str, cases: pd.DataFrame) -> str:
    got = cases["failure_case"].iloc[0]
    got = got.item() if isinstance(got, np.generic) else got
    if check == "column_in_dataframe":
        return f"column {got!r} is missing"
    if check == "column_in_schema":
        return f"column {got!r} is not one of this table's"
    if check == "multiple_fields_uniqueness":
        alike = cases["index"].nunique()
        return f"{alike} rows do not differ in their key, the first is row {int(cases['index'].iloc[0])}"
    if check.startswith("dtype("):
        return f"column {column!r} holds {got}, expected {check[7:-2]}"
    rows = "1 row fails" if len(cases) == 1 else f"{len(cases)} rows fail"
    return f"column {column!r}: {rows} {check}, the first is row {int(cases['index'].iloc[0])} with {got!r}"
