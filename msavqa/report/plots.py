"""The report's curves as tables for `dvc plots`, one file a figure."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

DIGITS = 6


def write(folder: Path, tables: Mapping[str, pd.DataFrame]) -> None:
    """Writes each table as `<name>.csv` (UTF-8, LF); what else stood in the folder goes away."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.csv"):
        old.unlink()
    for name, table in tables.items():
        text = table.round(DIGITS).to_csv(index=False, lineterminator="\n")
        (folder / f"{name}.csv").write_text(text, encoding="utf-8")
