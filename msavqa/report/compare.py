"""Two runs on the same test videos: the difference of each metric with its paired bootstrap interval."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd

from msavqa.datasets import table_files, tables
from msavqa.datasets.splits import groups_of
from msavqa.evaluation import metrics
from msavqa.evaluation.metrics import Difference
from msavqa.ground.errors import MsavqaError
from msavqa.report import outside_run
from msavqa.report.outside_run import Tested

STATISTICS = {
    "SRCC": metrics.srcc,
    "PLCC": metrics.plcc,
    "KRCC": metrics.krcc,
    "(SRCC+PLCC)/2": metrics.average_score,
}


@dataclass(frozen=True)
class Comparison:
    """Each metric of run a and run b, and a - b."""

    run_a: str
    run_b: str
    videos: int
    repeats: int
    rows: tuple[int, int, int]
    """Test rows of both runs that are compared, and those that a and b have."""
    outside: tuple[bool, bool]
    """Whether a and b are another model's scores, which know of no test."""
    notes: tuple[str, ...]
    """On videos that other models' scores lack, a sentence each."""
    values: dict[str, tuple[float, float]]
    differences: dict[str, Difference]

    def to_dict(self) -> dict[str, object]:
        """Plain data; what is not a number is null."""
        plain = asdict(self)
        for one in plain["differences"].values():
            one.update({name: value if math.isfinite(value) else None for name, value in one.items()})
        plain["values"] = {
            name: [value if math.isfinite(value) else None for value in both]
            for name, both in self.values.items()
        }
        return plain

    def text(self) -> str:
        """A few lines for a terminal."""
        repeats = f", {self.repeats} repeats" if self.repeats > 1 else ""
        common, of_a, of_b = self.rows
        apart = f"; {common} of a's {of_a} and b's {of_b} rows are in common: their splits or features differ"
        apart = "" if common == of_a == of_b or any(self.outside) else apart
        kind = "rated" if all(self.outside) else "test"
        lines = [f"a = {self.run_a}", f"b = {self.run_b}", f"{self.videos} {kind} videos{repeats}{apart}"]
        for name, one in self.differences.items():
            a, b = self.values[name]
            lines.append(
                f"{name}  a {a:.4f}  b {b:.4f}  a-b {one.value:+.4f}  95% [{one.low:+.4f}, {one.high:+.4f}]"
                f"  p {one.p_value:.3g}  {_verdict(one)}"
            )
        return "\n".join([*lines, *(f"note: {note}" for note in self.notes)])


def compare(root: Path, run_a: str, run_b: str, *, dataset: str, resamples: int, seed: int) -> Comparison:
    """Compares the test predictions that both runs have, drawing as one what must not be parted.

    A run is a folder with predictions.parquet, such a file, `runs/<dataset>/controls:<control>`, a git
    revision or DVC experiment, whose ensemble is meant, or a csv of anybody's scores (`dover.csv`, or
    `dover.csv:<column>`), which is asked for the videos that the other run tests. Raises `MsavqaError` where
    a run is not found or the two share too few test videos.
    """
    manifest = tables.read_manifest(root / "data" / dataset / "manifest.parquet")
    labelled = manifest.loc[manifest["mos"].notna(), ["video_id", "mos"]]
    runs = [_tested(root, run, dataset, manifest) for run in (run_a, run_b)]
    tested = [run.rows.merge(labelled, on="video_id") for run in runs]
    keys = [key for key in ("repeat", "video_id", "mos") if all(key in rows for rows in tested)]
    both = tested[0].merge(tested[1], on=keys, suffixes=("_a", "_b"))
    if "repeat" not in both:
        both["repeat"] = 0
    both["group"] = both["video_id"].map(pd.Series(groups_of(manifest), index=manifest["video_id"]))
    if len(both) < 3:
        raise MsavqaError(
            what="Test videos in common",
            where=f"{run_a} and {run_b}",
            got=len(both),
            expected="at least 3 with a MOS",
            next_step="compare runs of the same dataset and split",
        )
    values, differences = {}, {}
    for name, statistic in STATISTICS.items():
        differences[name] = difference(both, statistic=statistic, resamples=resamples, seed=seed)
        values[name] = (_mean(both, "score_a", statistic), _mean(both, "score_b", statistic))
    return Comparison(
        run_a=run_a,
        run_b=run_b,
        videos=int(both["video_id"].nunique()),
        repeats=int(both["repeat"].nunique()),
        rows=(len(both), len(tested[0]), len(tested[1])),
        outside=(runs[0].outside, runs[1].outside),
        notes=_notes(runs, tested, names=(run_a, run_b)),
        values=values,
        differences=differences,
    )


def difference(rows: pd.DataFrame, *, statistic: metrics.Statistic, resamples: int, seed: int) -> Difference:
    """statistic(score_a) - statistic(score_b) of test rows, the mean over repeats, all rows of a group drawn
    as one; `rows` has repeat, group, mos, score_a and score_b, all of them known."""
    return metrics.paired_bootstrap(
        score_a=rows["score_a"].to_numpy(),
        score_b=rows["score_b"].to_numpy(),
        mos=rows["mos"].to_numpy(),
        statistic=statistic,
        groups=rows["group"].to_numpy(),
        repeats=rows["repeat"].to_numpy(),
        resamples=resamples,
        seed=seed,
    )


def _mean(rows: pd.DataFrame, column: str, statistic: metrics.Statistic) -> float:
    parts = [part for _, part in rows.groupby("repeat") if len(part) > 1]  # as `paired_bootstrap` counts
    found = [statistic(score=part[column].to_numpy(), mos=part["mos"].to_numpy()) for part in parts]
    return float(sum(found) / len(found))


def _tested(root: Path, run: str, dataset: str, manifest: pd.DataFrame) -> Tested:
    name, _, column = run.partition(":")
    if Path(name).suffix.lower() in outside_run.SUFFIXES:
        return outside_run.read(root / name, column=column or "score", manifest=manifest, dataset=dataset)
    table = _read(root, run, dataset)
    return Tested(table.loc[table["role"] == "test", ["repeat", "video_id", "score"]], outside=False)


def _notes(
    runs: Sequence[Tested], tested: Sequence[pd.DataFrame], *, names: Sequence[str]
) -> tuple[str, ...]:
    """On the videos that one has and the other lacks; a run of ours is asked for none but its test videos."""
    notes = [note for run in runs for note in run.notes]
    for one, other in ((0, 1), (1, 0)):
        if runs[one].outside:
            of = "rated ones of the other" if runs[other].outside else "test videos"
            notes += outside_run.lacking(
                tested[other]["video_id"], tested[one]["video_id"], name=names[one], of=of
            )
    return tuple(notes)


def _read(root: Path, run: str, dataset: str) -> pd.DataFrame:
    folder, _, control = run.partition(":")
    path = root / folder
    if path.is_dir():
        path = path / "predictions.parquet"
    if path.is_file():
        runs = root / "runs" / dataset
        return _read_control(path, control, runs=runs) if control else _read_predictions(path)
    return _read_revision(root, run, f"runs/{dataset}/ensemble/predictions.parquet")


def _read_predictions(path: Path) -> pd.DataFrame:
    """A table of predictions; raises `MsavqaError` for any other file, `TableError` for a broken one."""
    columns = table_files.columns(path)
    if "control" in columns:
        names = sorted(set(tables.read_controls(path)["control"]))
        raise MsavqaError(
            what="Run",
            where=path,
            got=f"{len(names)} controls",
            expected="one run",
            next_step=f"write {path.parent if path.stem == 'predictions' else path}:<control> for one of "
            f"{', '.join(names)}",
        )
    if not {"repeat", "video_id", "role", "score"} <= columns:
        raise MsavqaError(
            what="Run",
            where=path,
            got="a file that is no table of predictions",
            expected="a predictions.parquet",
            next_step="name a run's folder, such as runs/<dataset>/ensemble",
        )
    return tables.read_predictions(path)


def _read_control(path: Path, control: str, *, runs: Path) -> pd.DataFrame:
    """A control's predictions: of the stage `controls`, or of the ensemble with others' prompts beside it."""
    if "control" not in table_files.columns(path):
        raise MsavqaError(
            what="Control",
            where=path,
            got=control,
            expected="a run of several controls",
            next_step=f"write {path.parent} alone, or {runs / 'controls'}:<control>",
        )
    files = {file.resolve() for file in (path, path.parent.parent / "ensemble" / "controls.parquet")}
    found = pd.concat(
        [tables.read_controls(file) for file in sorted(files) if file.is_file()], ignore_index=True
    )
    if control not in set(found["control"]):
        raise MsavqaError(
            what="Control",
            where=path,
            got=control,
            expected=f"one of {', '.join(sorted(found['control'].unique()))}",
            next_step=f"write {path.parent}:<control>",
        )
    return found[found["control"] == control]


def _read_revision(root: Path, revision: str, path: str) -> pd.DataFrame:
    import tempfile

    import dvc.api  # slow to import, and rarely needed
    from dvc.exceptions import DvcException
    from scmrepo.exceptions import SCMError

    try:
        content = dvc.api.read(path, repo=str(root), rev=revision, mode="rb")
    except (DvcException, SCMError, OSError) as error:
        raise MsavqaError(
            what="Run",
            where=revision,
            got=f"no such file, and as a revision: {' '.join(str(error).split())}",
            expected="a folder with predictions.parquet, such a file, a csv of scores, a git revision or a "
            "DVC experiment",
            next_step="see `dvc exp list` for names, and `dvc pull` what the cache lacks",
        ) from error
    with tempfile.NamedTemporaryFile(suffix=".parquet") as file:
        file.write(content)
        file.flush()
        return tables.read_predictions(Path(file.name))


def _verdict(one: Difference) -> str:
    if one.low > 0:
        return "a is better"
    return "b is better" if one.high < 0 else "no difference shown"
