"""reports/ablation.csv with what it was made from: the settings' digest and the git revision.

The file belongs to git and is a dependency of the stage `report`, so that a clone shows it after `make
repro`; it holds column names alone where no sweep has run. The report says whether its settings are the
table's own.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

ABLATION_FILE = Path("reports/ablation.csv")
BLOCKS = (
    "dataset", "pretrain_dataset", "split", "pretrain_split", "decode", "trunks", "pretrain", "branches",
    "train", "controls", "ensemble",
)  # fmt: skip
"""Of params.yaml: what a model's figures come from; a sweep sets split.seeds itself."""


@dataclass(frozen=True)
class Ablation:
    """The table that `make ablation` wrote on a dataset, `msavqa.report.ablation.COLUMNS`."""

    rows: pd.DataFrame
    revision: str
    same: bool
    """Whether params.yaml says now what it said when the table was made, as far as `BLOCKS` go."""


def digest(data: Mapping[str, Any]) -> str:
    """Short name of the settings behind a table, from the whole params file."""
    kept = {name: data.get(name) for name in BLOCKS}
    kept["split"] = {key: value for key, value in (kept["split"] or {}).items() if key != "seeds"}
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()[:12]


def write(found: pd.DataFrame, path: Path, *, data: Mapping[str, Any], revision: str) -> None:
    """Writes a table beside the settings and the revision it was made from."""
    path.parent.mkdir(parents=True, exist_ok=True)
    found = found.assign(settings=digest(data), revision=revision)
    found.to_csv(path, index=False, float_format="%.6f")


def read(path: Path, dataset: str, data: Mapping[str, Any]) -> Ablation | None:
    """The table that stands in a file; None where there is none on this dataset."""
    if not path.is_file():
        return None
    found = pd.read_csv(path, dtype={"dataset": str, "settings": str, "revision": str})
    rows = found[found["dataset"] == dataset].fillna({"against": ""})
    if rows.empty:
        return None
    first = rows.iloc[0]
    return Ablation(rows=rows, revision=str(first["revision"]), same=first["settings"] == digest(data))
