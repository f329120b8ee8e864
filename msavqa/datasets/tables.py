"""Columns, units and ranges of all tables that stages write, and how each is read and written.

    data/<set>/                   manifest.parquet, splits.parquet
    runs/.../                     predictions, shuffled, controls, attention (parquet), history.csv
    reports/                      ablation.csv, <set>/plots/*.csv

Writing refuses what does not fit its columns and gives the same bytes for the same rows; reading refuses a
file that somebody else made to look like one. Row order is part of a table: the manifest keeps the order of
the data set's own label file, which one evaluation protocol shuffles.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pandera.pandas as pandera

from msavqa.datasets import table_files
from msavqa.datasets.dimensions import MOS_OF, SCORE_OF, further
from msavqa.ground.errors import ProblemsError

ROLES = ("train", "val", "test")
PREDICTED_ROLES = ("oof", "val", "test")
STATUSES = ("ok", "unreadable")

_FILLED = pandera.Check.str_length(min_value=1)
_POSITIVE = pandera.Check.gt(0)
_NOT_NEGATIVE = pandera.Check.ge(0)
_SHARES = pandera.Check(
    lambda cell: len(cell) > 0 and min(cell) >= 0 and abs(sum(cell) - 1) < 1e-3,
    element_wise=True,
    name="shares",
    error="shares",
)
_SEVERAL = pandera.Check(lambda cell: len(cell) > 1, element_wise=True, name="several", error="several")
_FINITE = pandera.Check(lambda column: column.abs() < np.inf, name="is_finite", error="is_finite")


def _text(*checks: pandera.Check, unique: bool = False) -> pandera.Column:
    return pandera.Column(str, list(checks), unique=unique)


def _number(*checks: pandera.Check, unknown: bool = False) -> pandera.Column:
    return pandera.Column("float64", list(checks), nullable=unknown)


def _correlation(*, unknown: bool = True) -> pandera.Column:
    return _number(pandera.Check.in_range(-1, 1), unknown=unknown)


def _count(*checks: pandera.Check) -> pandera.Column:
    return pandera.Column("int64", list(checks))


MANIFEST = pandera.DataFrameSchema(
    {
        "video_id": _text(_FILLED, unique=True),  # the video's path as the label file writes it
        "path": _text(_FILLED, unique=True),  # relative to the dataset's root, '/' between folders
        "prompt": _text(),  # exactly as written; "" where the dataset has none
        "mos": _number(_FINITE, unknown=True),  # on the dataset's own scale; NaN where not published
        "mos_se": _number(_NOT_NEGATIVE, unknown=True),  # standard error of mos, same scale
        MOS_OF: pandera.Column("float64", [_FINITE], nullable=True, required=False, regex=True),
        "generator": _text(),  # the text-to-video model; "" unknown
        "group": _text(),  # videos that must not be parted by a prompt-disjoint split; "" none
        "given_split": _text(),  # the dataset's own split; "" none
        "weight": _number(_POSITIVE, _FINITE),  # a row's weight in training; 1 where not given
        "quality_true": _number(_FINITE, unknown=True),  # quality without raters' noise: of simulated sets
        # One per rater that counts, NaN: did not rate; not there where a set has no single raters.
        "ratings": pandera.Column(object, _SEVERAL, required=False),
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
SCORED: Mapping[str, pandera.Column] = {
    "repeat": _count(_NOT_NEGATIVE),
    "video_id": _text(_FILLED),
    "role": _text(pandera.Check.isin(PREDICTED_ROLES)),  # oof: a train row by a model that never saw it
    "score": _number(_FINITE),  # a branch's raw output, any scale; never a label
}
PREDICTIONS = pandera.DataFrameSchema(
    {**SCORED, SCORE_OF: pandera.Column("float64", [_FINITE], required=False, regex=True)},
    unique=["repeat", "video_id"],
    strict=True,
)
CONTROLS = pandera.DataFrameSchema(
    {**SCORED, "control": _text(_FILLED)},  # the control's name: one score each a video
    unique=["repeat", "video_id", "control"],
    strict=True,
)
ATTENTION = pandera.DataFrameSchema(
    {
        "repeat": _count(_NOT_NEGATIVE),
        "video_id": _text(_FILLED),
        "attention": pandera.Column(object, _SHARES),  # SMA's on each sampled frame, in order; sums to one
    },
    unique=["repeat", "video_id"],
    strict=True,
)
HISTORY = pandera.DataFrameSchema(
    {
        "repeat": _count(_NOT_NEGATIVE),
        "epoch": _count(_POSITIVE),  # from 1
        "rate": _number(_NOT_NEGATIVE),  # the optimiser's, at the epoch's end
        "loss": _number(_FINITE),  # mean over the epoch's batches
        # On the validation rows, where there are three or more; nothing is chosen by them.
        "val_srcc": pandera.Column("float64", pandera.Check.in_range(-1, 1), nullable=True, required=False),
        "val_plcc": pandera.Column("float64", pandera.Check.in_range(-1, 1), nullable=True, required=False),
    },
    unique=["repeat", "epoch"],
    strict=True,
)
ABLATION = pandera.DataFrameSchema(
    {
        "dataset": _text(_FILLED),
        "model": _text(_FILLED),
        "srcc": _correlation(),  # on test videos, mean over repeats; low, high: 95%
        "low": _correlation(),
        "high": _correlation(),
        "plcc": _correlation(),
        "plcc_low": _correlation(),
        "plcc_high": _correlation(),
        "against": _text(),  # the model that `step` counts from; "" none
        "step": _number(pandera.Check.in_range(-2, 2), unknown=True),  # difference of SRCC
        "step_low": _number(pandera.Check.in_range(-2, 2), unknown=True),
        "step_high": _number(pandera.Check.in_range(-2, 2), unknown=True),
        "p_value": _number(pandera.Check.in_range(0, 1), unknown=True),  # two-sided
        "repeats": _count(_POSITIVE),
        "videos": _count(_POSITIVE),
        "settings": _text(_FILLED),  # digest of params.yaml
        "revision": _text(),  # git's
    },
    unique=["dataset", "model"],
    strict=True,
)
_SCALE: dict[str, pandera.Column] = {"mos": _number(_FINITE), "score": _number(_FINITE)}  # on the set's scale
PLOTS: Mapping[str, pandera.DataFrameSchema] = {
    "scatter": pandera.DataFrameSchema(
        {
            "repeat": _count(_NOT_NEGATIVE),
            "video_id": _text(_FILLED),
            "generator": _text(),
            **_SCALE,
            "low": _number(_FINITE, unknown=True),  # of the interval about score
            "high": _number(_FINITE, unknown=True),
        },
        strict=True,
    ),
    "calibration": pandera.DataFrameSchema(
        {
            "bin": _count(_POSITIVE),
            "videos": _count(_POSITIVE),
            "score": _number(_FINITE),  # means of the bin
            "mos": _number(_FINITE),
            "mos_se": _number(_NOT_NEGATIVE, unknown=True),
            "inside_interval": _number(pandera.Check.in_range(0, 1)),  # share of the videos
        },
        strict=True,
    ),
    "comparison": pandera.DataFrameSchema(
        {"predictor": _text(_FILLED), "srcc": _correlation(), "low": _correlation(), "high": _correlation()},
        strict=True,
    ),
    "generators": pandera.DataFrameSchema(
        {
            "generator": _text(_FILLED),
            "videos": _count(_POSITIVE),
            **_SCALE,
            "srcc": _correlation(),
            "plcc": _correlation(),
            "rmse": _number(_NOT_NEGATIVE, unknown=True),  # on the set's scale
        },
        strict=True,
    ),
}
"""reports/<data set>/plots/<name>.csv, all of test rows."""


def read_manifest(path: Path) -> pd.DataFrame:
    """The videos of one dataset, one row each, in the order of its label file; all of `MANIFEST`."""
    return table_files.read_parquet(path, MANIFEST)


def write_manifest(table: pd.DataFrame, path: Path) -> None:
    """Check against `MANIFEST` and write; refuses, and writes nothing, what does not fit."""
    table_files.write_parquet(table, path, MANIFEST)


def files_of(manifest: pd.DataFrame, *, root: Path) -> dict[str, Path]:
    """Where each video's file lies, by its id, in the manifest's order."""
    return {
        str(video): root / path for video, path in zip(manifest["video_id"], manifest["path"], strict=True)
    }


def read_splits(path: Path) -> pd.DataFrame:
    """Who is trained on and tested on in each repeat; all of `SPLITS`."""
    return table_files.read_parquet(path, SPLITS)


def write_splits(table: pd.DataFrame, path: Path) -> None:
    """Check against `SPLITS` and write; refuses, and writes nothing, what does not fit."""
    table_files.write_parquet(table, path, SPLITS)


def read_predictions(path: Path) -> pd.DataFrame:
    """Raw scores of one branch or of the ensemble, without labels; all of `PREDICTIONS`."""
    return table_files.read_parquet(path, PREDICTIONS)


def write_predictions(table: pd.DataFrame, path: Path) -> None:
    """Check against `PREDICTIONS` and write; refuses, and writes nothing, what does not fit."""
    table_files.write_parquet(table, path, PREDICTIONS)


def read_controls(path: Path) -> pd.DataFrame:
    """Raw scores of all controls, told apart by the column `control`; all of `CONTROLS`."""
    return table_files.read_parquet(path, CONTROLS)


def write_controls(table: pd.DataFrame, path: Path) -> None:
    """Check against `CONTROLS` and write; refuses, and writes nothing, what does not fit."""
    table_files.write_parquet(table, path, CONTROLS)


def read_attention(path: Path) -> pd.DataFrame:
    """Where SMA looked in the final models' rows; all of `ATTENTION`, no row without SMA."""
    return table_files.read_parquet(path, ATTENTION)


def write_attention(table: pd.DataFrame, path: Path) -> None:
    """Check against `ATTENTION` and write; refuses, and writes nothing, what does not fit."""
    table_files.write_parquet(table, path, ATTENTION)


def write_history(records: Iterable[Mapping[str, int | float]], path: Path) -> None:
    """Check against `HISTORY` and write, six digits; refuses, and writes nothing, what does not fit."""
    table_files.write_csv(pd.DataFrame(list(records)), path, HISTORY, digits="%.6g")


def read_ablation(path: Path) -> pd.DataFrame:
    """One row per model of the sweeps, all of `ABLATION`; no row where none has run."""
    return table_files.read_csv(path, ABLATION, next_step="run `make ablation` to make it again")


def write_ablation(table: pd.DataFrame, path: Path) -> None:
    """Check against `ABLATION` and write, six decimals; refuses, and writes nothing, what does not fit."""
    table_files.write_csv(table.fillna({"against": ""}), path, ABLATION, digits="%.6f")


def write_plots(tables: Mapping[str, pd.DataFrame], folder: Path) -> None:
    """Writes each table as `<name>.csv`, checked against `PLOTS`; what else stood in the folder goes away."""
    for old in set(folder.glob("*.csv")) - {folder / f"{name}.csv" for name in tables}:
        old.unlink()
    for name, table in tables.items():
        table_files.write_csv(table.round(6), folder / f"{name}.csv", PLOTS[name])


def learning_labels(manifest: pd.DataFrame, splits: pd.DataFrame, *, repeat: int) -> pd.DataFrame:
    """All that a model may learn from in one repeat: the train and val rows, no test row.

    Columns video_id, mos (the dataset's own scale), weight, `mos_<name>` of further dimensions, role ("train"
    or "val"), fold; in manifest order. Test rows are left out so that no caller can fit on them by mistake.
    Raises `ProblemsError` where the repeat does not exist or splits and manifest are not of one dataset.
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
    known = manifest[["video_id", "mos", "weight", *(f"mos_{name}" for name in further(manifest))]]
    return known.merge(learning, on="video_id", how="inner", validate="one_to_one")
