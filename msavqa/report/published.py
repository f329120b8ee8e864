"""Table II of the paper: this project's result beside published ones, each with the protocol behind it.

Published numbers stand in docs/published.csv, none without a source. Where a source does not say how it
parted training from test, the protocol is empty. A number made on other data or under another protocol than
ours is no comparison: a predictor that reads no pixel gains 0.16 SRCC on T2VQA-DB where test prompts are in
training.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pandera.pandas as pandera

from msavqa.datasets import table_files
from msavqa.datasets.splits import PROTOCOLS

PUBLISHED = Path("docs/published.csv")
OURS = "msavqa, this run"
QMME_SEEDS = list(range(1, 11))
"""T2VQA's own ten splits."""
_FILLED = pandera.Check.str_length(min_value=1)
_CORRELATION = pandera.Check.in_range(-1, 1)
SCHEMA = pandera.DataFrameSchema(
    {
        "model": pandera.Column(str, _FILLED),
        "dataset": pandera.Column(str, _FILLED),  # the name of its reader in msavqa/datasets/readers
        "srcc": pandera.Column("float64", _CORRELATION),
        "plcc": pandera.Column("float64", _CORRELATION),
        "protocol": pandera.Column(str, pandera.Check.isin(["", *PROTOCOLS])),
        "source": pandera.Column(str, _FILLED),
        "note": pandera.Column(str),
    },
    strict=True,
)


def read(path: Path = PUBLISHED) -> pd.DataFrame:
    """Published results, one row each; raises `tables.TableError` for rows that are not whole."""
    step = "mend it: a published number has its source and a protocol that is known, or none"
    return table_files.read_csv(path, SCHEMA, next_step=step)


def table(
    published: pd.DataFrame, found: Mapping[str, int | float], data: Mapping[str, Any], *, dataset: str
) -> tuple[pd.DataFrame, str]:
    """Ours and the published results, our dataset first, best SRCC first, and a sentence on which compare.

    `found` is reports/<dataset>/metrics.json, `data` the whole params file. The column `same` is true where
    dataset and protocol, of qmme_8_2 its seeds too, are ours.
    """
    reader, protocol = str(data["datasets"][dataset]["reader"]), str(data["split"]["protocol"])
    name = dataset if reader == "csv" else reader
    repeats = int(found["repeats"])
    spread = f", SRCC ± {found['srcc_sd']:.3f}" if "srcc_sd" in found else ""
    ours = {
        "model": OURS, "dataset": name, "srcc": found["srcc"], "plcc": found["plcc"], "protocol": protocol,
        "source": f"reports/{dataset}/metrics.json",
        "note": f"{repeats} repeat{'s' if repeats > 1 else ''}{spread}",
    }  # fmt: skip
    joined = pd.concat([pd.DataFrame([ours]), published], ignore_index=True)
    joined["same"] = (joined["dataset"] == name) & (joined["protocol"] == protocol)
    other_seeds = protocol == "qmme_8_2" and list(data["split"]["seeds"]) != QMME_SEEDS
    if other_seeds:
        joined["same"] &= joined["model"] == OURS
    sentence = (
        f"{int(joined['same'].sum()) - 1} of {len(published)} published results are on {name} under "
        f"{protocol}, as ours is; the others are no comparison"
    )
    if other_seeds:
        sentence += "; qmme_8_2's published results are means over split.seeds 1 to 10, ours is not"
    joined["elsewhere"] = joined["dataset"] != name
    order = joined.sort_values(["elsewhere", "srcc"], ascending=[True, False], ignore_index=True)
    return order.drop(columns="elsewhere"), sentence
