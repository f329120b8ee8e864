"""Tables III and IV of the paper: runs of a sweep -> one line a model, its interval, a paired difference.

    sweep = ablation.read("presets/sweeps/ablation.yaml")
    ablation.overrides(sweep, "no-sma", branches=["frame"])   # ["split.seeds=[0,1]", "branches.frame.sma..."]
    ablation.table(sweep, runs, dataset="sample", manifest=manifest, settings=settings)

Only test rows are counted. What is compared stands on the same test videos of the same splits, whose prompts
are drawn as one in all repeats.

The table is reports/ablation.csv, beside each row the settings' digest and the git revision it was made from.
The file belongs to git and is a dependency of the stage `report`, so that a clone shows it after `make
repro`; it holds column names alone where no sweep has run. The report says whether its settings are the
table's own.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
from pydantic import Field, model_validator

from msavqa.datasets import tables
from msavqa.datasets.splits import Seed
from msavqa.evaluation import ensemble as ensembles
from msavqa.evaluation import metrics
from msavqa.evaluation.ensemble import EnsembleSettings
from msavqa.ground import params
from msavqa.ground.errors import MsavqaError
from msavqa.ground.params import Settings
from msavqa.report import compare, numbers, results
from msavqa.report.numbers import BootstrapSettings
from msavqa.report.results import Results

ABLATION_FILE = Path("reports/ablation.csv")
OURS = "ours"
"""The line of a sweep that is the model itself."""
READING = "our reading of the paper"
MEASURED = "handcrafted measures"
"""In the name of a line: what it takes away of ours or gives to our reading, so that like meets like."""
COLUMNS = (
    "dataset", "model", "srcc", "low", "high", "plcc", "plcc_low", "plcc_high", "against", "step", "step_low",
    "step_high", "p_value", "repeats", "videos",
)  # fmt: skip
"""Of the table: SRCC and PLCC on test videos with 95% intervals, the mean over repeats; `step` is the
difference of SRCC to the line named in `against`, p two-sided."""
BLOCKS = (
    "pretrain_on", "split", "pretrain_split", "decode", "texts", "trunks", "pretrain", "branches", "train",
    "controls", "ensemble",
)  # fmt: skip
"""Of params.yaml: what a model's figures come from; a sweep sets split.seeds itself."""


class Line(Settings):
    """One line of the table; without `branches` and `control` it is the run's own ensemble."""

    model: str = Field(min_length=1)
    run: str
    branches: Literal["best"] | Annotated[list[str], Field(min_length=1)] | None = None
    """Of params.yaml; joined again by weights fitted out of fold; `best` is the single one with the highest
    SRCC on the test videos, which nobody could have chosen beforehand."""
    control: str | None = None
    against: str | None = None
    """The `model` of the line that this one is compared with."""


class Sweep(Settings):
    """A sweep file: experiments and the table made of them."""

    seeds: list[Seed] = Field(min_length=1)
    """`split.seeds` of every run: one repeat each."""
    resamples: int = Field(ge=100)
    seed: Seed
    """Of the bootstrap."""
    runs: dict[str, dict[str, Any]] = Field(min_length=1)
    """Name -> dotted keys of params.yaml with their values; `*` stands for every branch."""
    lines: list[Line] = Field(min_length=1)

    @model_validator(mode="after")
    def _names_exist(self) -> "Sweep":
        models = [line.model for line in self.lines]
        for line in self.lines:
            if line.run not in self.runs:
                raise ValueError(f"line {line.model!r} is of run {line.run!r}, which is not in `runs`")
            if line.against is not None and line.against not in models:
                raise ValueError(f"line {line.model!r} is against {line.against!r}, which is no line's model")
            if models.count(line.model) > 1:
                raise ValueError(f"two lines are called {line.model!r}")
        return self


@dataclass(frozen=True)
class Run:
    """What one experiment predicted, as `msavqa.datasets.tables` has it."""

    splits: pd.DataFrame
    branches: Mapping[str, pd.DataFrame]
    ensemble: pd.DataFrame
    controls: pd.DataFrame


@dataclass(frozen=True)
class Ablation:
    """The table that `make ablation` wrote on a dataset."""

    rows: pd.DataFrame
    """`COLUMNS`."""
    revision: str
    ours: float | None
    """SRCC of the run's own ensemble, the model that the report is about; None where no line is called so."""
    same: bool
    """Whether params.yaml says now what it said when the table was made, as far as `BLOCKS` go."""

    @property
    def compared(self) -> int:
        """How many differences the table holds."""
        return int((self.rows["against"] != "").sum())

    @property
    def unlike(self) -> bool:
        """Whether it sets our model, with its handcrafted measures, against a reading without them."""
        return bool(((self.rows["model"] == OURS) & (self.rows["against"] == READING)).any())

    @property
    def alike(self) -> bool:
        """Whether it has lines that compare the two with the same measures."""
        return bool(self.rows["model"].str.contains(MEASURED, regex=False).any())


def read(path: Path) -> Sweep:
    """A sweep file; raises `ProblemsError` with all that is wrong in it."""
    return params.block({"sweep": params.read(path)}, "sweep", Sweep, where=path)


def overrides(sweep: Sweep, run: str, *, branches: Sequence[str]) -> list[str]:
    """What `dvc exp run --set-param` is given for one run, `key=value` each; `branches` are all there are."""
    settings: dict[str, Any] = {"split.seeds": list(sweep.seeds)}
    for key, value in sweep.runs[run].items():
        names = [key.replace("*", branch) for branch in branches] if "*" in key else [key]
        settings |= dict.fromkeys(names, value)
    return [f"{key}={_plain(value)}" for key, value in settings.items()]


def read_run(root: Path, dataset: str, *, branches: Sequence[str]) -> Run:
    """The results of these branches that stand in the project's folders now."""
    runs = root / "runs" / dataset
    return Run(
        splits=tables.read_splits(root / "data" / dataset / "splits.parquet"),
        branches=results.read_branches(runs, branches),
        ensemble=tables.read_predictions(runs / "ensemble" / "predictions.parquet"),
        controls=tables.read_controls(runs / "controls" / "predictions.parquet"),
    )


def table(
    sweep: Sweep,
    runs: Mapping[str, Run],
    *,
    dataset: str,
    manifest: pd.DataFrame,
    settings: EnsembleSettings,
) -> pd.DataFrame:
    """One row per line of the sweep, `COLUMNS`; raises `MsavqaError` where its runs tested other videos."""
    tested, shown = _side_by_side(sweep, runs, manifest, settings)
    joined = Results(dataset, (0.0, 1.0), manifest, tested, (), (), {}, pd.DataFrame(), {})
    how = BootstrapSettings(resamples=sweep.resamples, seed=sweep.seed)
    found = []
    for line in sweep.lines:
        srcc = numbers.interval(joined, line.model, statistic=metrics.srcc, settings=how)
        plcc = numbers.interval(joined, line.model, statistic=metrics.plcc, settings=how)
        row = {"model": shown[line.model], "srcc": srcc.value, "low": srcc.low, "high": srcc.high}
        row |= {"plcc": plcc.value, "plcc_low": plcc.low, "plcc_high": plcc.high}
        if line.against is not None:
            pair = tested.assign(
                score_a=tested[line.model], score_b=tested[line.against], group=joined.groups
            )
            step = compare.difference(
                pair, statistic=metrics.srcc, resamples=sweep.resamples, seed=sweep.seed
            )
            row |= {"against": shown[line.against], "step": step.value, "p_value": step.p_value}
            row |= {"step_low": step.low, "step_high": step.high}
        found.append(row)
    lines = pd.DataFrame(found).assign(
        dataset=dataset, repeats=tested["repeat"].nunique(), videos=tested["video_id"].nunique()
    )
    return lines.reindex(columns=list(COLUMNS))


def digest(data: Mapping[str, Any]) -> str:
    """Short name of the settings behind a table, from the whole params file."""
    kept = {name: data.get(name) for name in BLOCKS}
    kept["split"] = {key: value for key, value in (kept["split"] or {}).items() if key != "seeds"}
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()[:12]


def write_table(found: pd.DataFrame, path: Path, *, data: Mapping[str, Any], revision: str) -> None:
    """Writes a table beside the settings and the revision it was made from."""
    tables.write_ablation(found.assign(settings=digest(data), revision=revision), path)


def read_table(path: Path, dataset: str, data: Mapping[str, Any]) -> Ablation | None:
    """The table that stands in a file; None where there is none on this dataset."""
    if not path.is_file():
        return None
    found = tables.read_ablation(path)
    rows = found[found["dataset"] == dataset]
    if rows.empty:
        return None
    first = rows.iloc[0]
    ours = rows.loc[rows["model"] == OURS, "srcc"]
    return Ablation(
        rows=rows,
        revision=str(first["revision"]),
        ours=None if ours.empty else float(ours.iloc[0]),
        same=first["settings"] == digest(data),
    )


def _side_by_side(
    sweep: Sweep, runs: Mapping[str, Run], manifest: pd.DataFrame, settings: EnsembleSettings
) -> tuple[pd.DataFrame, dict[str, str]]:
    """All lines' scores of the test rows with a MOS, one column per line; and how each line is shown."""
    facts = manifest.loc[manifest["mos"].notna(), ["video_id", "mos"]]
    tested: pd.DataFrame | None = None
    shown = {line.model: line.model for line in sweep.lines}
    for line in sweep.lines:
        scores, branch = _scores(line, runs[line.run], manifest, settings)
        if branch:
            shown[line.model] = f"{line.model}: {branch}"
        rows = scores.loc[scores["role"] == "test", ["repeat", "video_id", "score"]]
        rows = rows.merge(facts, on="video_id").rename(columns={"score": line.model})
        if tested is None:
            tested = rows
            continue
        both = tested.merge(rows[["repeat", "video_id", line.model]], on=["repeat", "video_id"])
        if not len(both) == len(tested) == len(rows):
            raise MsavqaError(
                what="Test rows",
                where=f"line {line.model!r}",
                got=f"{len(rows)} of which {len(both)} are also {sweep.lines[0].model!r}'s",
                expected=f"the same {len(tested)}",
                next_step="look for features that one run's stores lack, with `msavqa features info`",
            )
        tested = both
    assert tested is not None
    return tested.reset_index(drop=True), shown


def _scores(
    line: Line, run: Run, manifest: pd.DataFrame, settings: EnsembleSettings
) -> tuple[pd.DataFrame, str]:
    """Predictions of one line, and the branch that `best` means."""
    if line.control is not None:
        return run.controls[run.controls["control"] == line.control], ""
    if line.branches is None:
        return run.ensemble, ""
    if line.branches == "best":
        found = {branch: _srcc(scores, manifest) for branch, scores in run.branches.items()}
        best = max(found, key=lambda branch: found[branch])
        return run.branches[best], best
    chosen = settings.model_copy(update={"branches": list(line.branches)})
    joined = [
        ensembles.join(
            run.branches,
            tables.learning_labels(manifest, run.splits, repeat=repeat),
            settings=chosen,
            repeat=repeat,
        )[1]
        for repeat in sorted(int(one) for one in run.splits["repeat"].unique())
    ]
    return pd.concat(joined, ignore_index=True), ""


def _srcc(predictions: pd.DataFrame, manifest: pd.DataFrame) -> float:
    rows = predictions[predictions["role"] == "test"].merge(manifest[["video_id", "mos"]], on="video_id")
    rows = rows[rows["mos"].notna()]
    parts = [part for _, part in rows.groupby("repeat")]
    return float(np.mean([metrics.srcc(score=part["score"], mos=part["mos"]) for part in parts]))


def _plain(value: Any) -> str:
    """A value as DVC's command line reads it."""
    if isinstance(value, list):
        return f"[{','.join(map(_plain, value))}]"
    return value if isinstance(value, str) else json.dumps(value)
