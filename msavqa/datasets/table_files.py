"""A table as a file, parquet or csv: checked against its columns on both ways, written whole or not at all.

What does not fit is refused with every reason; the same rows give the same bytes. `msavqa.datasets.tables`
says which tables there are.
"""

import os
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pandera.pandas as pandera
import pyarrow as pa
import pyarrow.parquet as pq
from pandera.errors import SchemaErrors

from msavqa.ground.errors import ProblemsError

# The rest is text; `object` is a list of numbers a row.
_ARROW = {"float64": pa.float64(), "int64": pa.int64(), "object": pa.list_(pa.float64())}
AGAIN = "delete it and run `dvc repro`"


def read_parquet(path: Path, schema: pandera.DataFrameSchema) -> pd.DataFrame:
    """The table with all columns of its schema; refuses a missing file and another table."""
    _is_there(path)
    try:
        table = pq.read_table(path).to_pandas()
    except pa.ArrowInvalid as error:
        problem = f"not a parquet file: {' '.join(str(error).split())}"
        raise ProblemsError(where=path, problems=[problem], next_step=AGAIN) from error
    return checked(table, schema, where=path, next_step=AGAIN)


def columns(path: Path) -> set[str]:
    """The names of a parquet file's columns, without its rows; none where it is no parquet file."""
    try:
        return set(pq.read_schema(path).names)
    except pa.ArrowInvalid:
        return set()


def write_parquet(table: pd.DataFrame, path: Path, schema: pandera.DataFrameSchema) -> None:
    """Writes the schema's columns, in its order."""
    right = checked(table, schema, where=path, next_step="mend what makes this table")
    fields = [
        pa.field(name, _ARROW.get(str(column.dtype), pa.string()), nullable=column.nullable)
        for name, column in _of(schema, right)
    ]
    arrays = [pa.array(right[field.name], field.type, from_pandas=True) for field in fields]
    whole = pa.Table.from_arrays(arrays, schema=pa.schema(fields))
    _replace(path, lambda partial: pq.write_table(whole, partial, compression="zstd"))


def read_csv(path: Path, schema: pandera.DataFrameSchema, *, next_step: str = AGAIN) -> pd.DataFrame:
    """Reads a csv (UTF-8, commas) as `read_parquet` does; an empty cell is an unknown number, or no text."""
    _is_there(path)
    numbers = [name for name, column in schema.columns.items() if str(column.dtype) in ("int64", "float64")]
    texts = {name: str for name in schema.columns if name not in numbers}
    try:
        table = pd.read_csv(
            path, dtype=texts, keep_default_na=False, na_values={name: [""] for name in numbers}
        )
    except (ValueError, UnicodeDecodeError) as error:
        problem = f"not a csv: {' '.join(str(error).split())}"
        raise ProblemsError(where=path, problems=[problem], next_step=next_step) from error
    return checked(table, schema, where=path, next_step=next_step)


def write_csv(
    table: pd.DataFrame, path: Path, schema: pandera.DataFrameSchema, *, digits: str | None = None
) -> None:
    """Writes the schema's columns as UTF-8 with LF; `digits` formats floats (`%.6g`), None: all of them."""
    right = checked(table, schema, where=path, next_step="mend what makes this table")
    text = right.to_csv(index=False, lineterminator="\n", float_format=digits)
    _replace(path, lambda partial: partial.write_text(text, encoding="utf-8"))


def _is_there(path: Path) -> None:
    if not path.is_file():
        raise ProblemsError(where=path, problems=["no such file"], next_step="run `dvc repro` to make it")


def _replace(path: Path, write: Callable[[Path], object]) -> None:
    """A rename, never an edit in place: DVC's cache may hold the old file by hardlink."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.partial")
    write(partial)
    os.replace(partial, path)


def checked(
    table: pd.DataFrame, schema: pandera.DataFrameSchema, *, where: object, next_step: str
) -> pd.DataFrame:
    """The table with the schema's columns and types; raises `ProblemsError` with all that is wrong."""
    try:
        right = schema.validate(_widened(table.reset_index(drop=True), schema), lazy=True)
        return right[[name for name, _ in _of(schema, right)]]
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


def _of(schema: pandera.DataFrameSchema, table: pd.DataFrame) -> list[tuple[str, pandera.Column]]:
    """The schema's columns that a table has, in its order; one that stands for several by each one's name."""
    found: list[tuple[str, pandera.Column]] = []
    for name, column in schema.columns.items():
        names = [str(one) for one in table if re.fullmatch(name, str(one))] if column.regex else [name]
        found += [(one, column) for one in names if one in table]
    return found


def _widened(table: pd.DataFrame, schema: pandera.DataFrameSchema) -> pd.DataFrame:
    """Numbers in the width of their column where no value can change (float32 to float64)."""
    if table.empty:  # pandas cannot know the types of no values
        return table.astype({name: str(column.dtype) for name, column in _of(schema, table)})
    changes = {
        name: str(column.dtype)
        for name, column in _of(schema, table)
        if isinstance(held := table[name].dtype, np.dtype)
        and str(column.dtype) in ("int64", "float64")
        and np.can_cast(held, str(column.dtype), casting="safe")
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
