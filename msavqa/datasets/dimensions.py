"""Further dimensions of quality in a data set's tables, beside the columns of the first.

    columns.mos: {overall: q, sharp: s} -> manifest: mos, mos_sharp; predictions: score, score_sharp

The first named dimension has the plain columns; controls, splits, familiarity and the verdict speak of it.
"""

import math
import re
from collections.abc import Mapping
from typing import Annotated, Any

import pandas as pd
from pydantic import AfterValidator, StringConstraints

NAME = r"[A-Za-z][A-Za-z0-9_]*"
TAKEN = "se"
"""No dimension's name: `mos_se` is the standard error."""
MOS_OF = rf"mos_(?!{TAKEN}$){NAME}"
SCORE_OF = rf"score_{NAME}"


def _free(name: str) -> str:
    if name == TAKEN:
        raise ValueError(f"a dimension cannot be called {TAKEN}: `mos_{TAKEN}` is the standard error")
    return name


Dimension = Annotated[str, StringConstraints(pattern=f"^{NAME}$"), AfterValidator(_free)]


def further(table: pd.DataFrame) -> list[str]:
    """Names of the dimensions beside the first, in the order of a manifest's or predictions' columns."""
    names = [str(name) for name in table]
    return [name.split("_", 1)[1] for name in names if re.fullmatch(f"{MOS_OF}|{SCORE_OF}", name)]


def named(data: Mapping[str, Any], dataset: str) -> list[str]:
    """Names of all dimensions of a data set of params.yaml, the first one first; none where it has one."""
    mos = (data["datasets"][dataset].get("columns") or {}).get("mos")
    return list(mos) if isinstance(mos, Mapping) and len(mos) > 1 else []


def of(table: pd.DataFrame, name: str | None) -> pd.DataFrame:
    """A manifest or predictions as if a further dimension were the only one; None: as if the first were.

    What is known of the first alone is left out: standard errors, truth, single ratings. Rows without a score
    of the dimension are left out.
    """
    others = [column for column in map(str, table) if re.fullmatch(f"{MOS_OF}|{SCORE_OF}", column)]
    found = table.drop(columns=others)
    if name is None:
        return found
    for column in ("mos", "score"):
        if f"{column}_{name}" in table:
            found[column] = table[f"{column}_{name}"]
    unknown = {column: math.nan for column in ("mos_se", "quality_true") if column in found}
    return found.drop(columns="ratings", errors="ignore").assign(**unknown)
