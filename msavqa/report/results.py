"""Everything the report speaks of: test rows joined with their labels, and who was left out and why.

Nothing that learns imports it: what fits or chooses reads no label of a test row.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from msavqa.datasets import tables
from msavqa.datasets.splits import groups_of
from msavqa.evaluation import calibration, familiarity
from msavqa.evaluation.calibration import Calibration, CalibrationSettings
from msavqa.evaluation.familiarity import Familiarity
from msavqa.ground.errors import MsavqaError


@dataclass(frozen=True)
class Results:
    """One dataset's predictions beside its labels.

    `tested` has one row per repeat and test video with a MOS: repeat, video_id, prompt, generator,
    given_split, mos, mos_se, quality_true, raw (the ensemble's score), score (calibrated, MOS scale), low,
    high (its interval), half_width (half of it, where the video is like those of training and the range does
    not cut it), familiarity (NaN where it cannot be told), then one raw column per branch and control.
    """

    dataset: str
    mos_range: tuple[float, float]
    manifest: pd.DataFrame
    tested: pd.DataFrame
    branches: tuple[str, ...]
    controls: tuple[str, ...]
    calibrations: Mapping[int, Calibration]
    quarantined: pd.DataFrame
    """video_id, stage, error: videos that no stage after it could use."""
    counts: Mapping[str, int]

    @property
    def repeats(self) -> list[int]:
        """Numbers of the repeats, in order."""
        return sorted(int(one) for one in self.tested["repeat"].unique())

    @property
    def once(self) -> pd.DataFrame:
        """One row of `tested` per video: that of the first repeat that tests it."""
        return self.tested.sort_values("repeat", kind="stable").drop_duplicates("video_id")

    @property
    def groups(self) -> pd.Series:
        """What the bootstrap draws as one, (row,): what `prompt_disjoint` would not part."""
        return self.tested["video_id"].map(
            pd.Series(groups_of(self.manifest), index=self.manifest["video_id"])
        )


def collect(
    *,
    dataset: str,
    mos_range: tuple[float, float],
    manifest: pd.DataFrame,
    splits: pd.DataFrame,
    ensemble: pd.DataFrame,
    branches: Mapping[str, pd.DataFrame],
    controls: pd.DataFrame,
    decoded: pd.DataFrame,
    unread: Mapping[str, Sequence[str]],
    distances: pd.DataFrame,
    likeness: Mapping[int, Familiarity],
    settings: CalibrationSettings,
) -> Results:
    """Joins tables (columns as `msavqa.datasets.tables` and a store's rows have them) into `Results`.

    `unread` names, by branch, the videos of which its stores hold no features. `distances` (columns as
    predictions have them) are log distances to the training videos, `likeness` says by repeat what these are
    like.
    Raises `MsavqaError` where no test video has both a MOS and a prediction.
    """
    groups = groups_of(manifest)
    calibrations = {
        repeat: calibration.fit_predictions(
            ensemble[ensemble["repeat"] == repeat],
            manifest,
            settings=settings,
            mos_range=mos_range,
            distances=_of(distances, repeat),
            groups=groups,
        )
        for repeat in sorted(int(one) for one in ensemble["repeat"].unique())
    }
    tested = _test_rows(ensemble).rename(columns={"score": "raw"})
    for branch, table in branches.items():
        tested = tested.merge(_test_rows(table).rename(columns={"score": branch}), how="left")
    names = sorted(str(name) for name in controls["control"].unique())
    for name in names:
        rows = _test_rows(controls[controls["control"] == name]).rename(columns={"score": name})
        tested = tested.merge(rows, how="left", on=["repeat", "video_id"])
    facts = ["video_id", "prompt", "generator", "given_split", "mos", "mos_se", "quality_true"]
    tested = tested.merge(manifest[facts], how="left", on="video_id")
    unlabelled = int(tested.loc[tested["mos"].isna(), "video_id"].nunique())
    tested = tested[tested["mos"].notna()].reset_index(drop=True)
    if tested.empty:
        raise MsavqaError(
            what="Test predictions",
            where=f"runs/{dataset}/ensemble/predictions.parquet",
            got="no test video with a MOS",
            expected="at least 1",
            next_step="give the test videos a MOS or choose another split.protocol",
        )
    for repeat, fitted in calibrations.items():
        rows = tested[tested["repeat"] == repeat]
        raw = rows["raw"].to_numpy()
        distance = rows["video_id"].map(_of(distances, repeat)).to_numpy(dtype=np.float64)
        share = likeness[repeat].share(distance)
        unlike = share <= likeness[repeat].bound(settings.familiarity_bound)
        bounds = fitted.interval(raw, distance=distance, unlike=unlike)
        tested.loc[rows.index, "score"] = fitted.mos(raw)
        tested.loc[rows.index, ["low", "high"]] = np.stack(bounds, axis=1)
        tested.loc[rows.index, "half_width"] = fitted.half_widths(raw, distance=distance)
        tested.loc[rows.index, "familiarity"] = share
    quarantined = _quarantined(manifest, decoded, unread)
    first = splits[splits["repeat"] == splits["repeat"].min()]
    return Results(
        dataset=dataset,
        mos_range=mos_range,
        manifest=manifest,
        tested=tested,
        branches=tuple(branches),
        controls=tuple(names),
        calibrations=calibrations,
        quarantined=quarantined,
        counts={
            "videos": len(manifest),
            "videos_train": int((first["role"] == "train").sum()),
            "videos_val": int((first["role"] == "val").sum()),
            "videos_test": int((tested["repeat"] == tested["repeat"].min()).sum()),
            "videos_test_without_mos": unlabelled,
            "videos_quarantined": len(quarantined),
            "prompts": _prompts(manifest),
            "prompts_test": _prompts(tested),
            "repeats": int(tested["repeat"].nunique()),
        },
    )


def read_branches(folder: Path, names: Sequence[str]) -> dict[str, pd.DataFrame]:
    """Predictions of each of these branches under `runs/<dataset>`."""
    paths = {name: folder / "branches" / name / "predictions.parquet" for name in names}
    return {name: tables.read_predictions(path) for name, path in paths.items()}


def read_controls(folder: Path) -> pd.DataFrame:
    """All controls under `runs/<dataset>`: the stage's, and the ensemble given other videos' prompts."""
    paths = (folder / "controls" / "predictions.parquet", folder / "ensemble" / "controls.parquet")
    return pd.concat([tables.read_controls(path) for path in paths], ignore_index=True)


def read_likeness(folder: Path) -> dict[int, Familiarity]:
    """What the training videos of each repeat are like, under `runs/<dataset>`."""
    files = (folder / "ensemble" / "familiarity").glob("repeat*.safetensors")
    return {int(file.stem.removeprefix("repeat")): familiarity.load(file) for file in files}


def _of(distances: pd.DataFrame, repeat: int) -> dict[str, float]:
    rows = distances[distances["repeat"] == repeat]
    return dict(zip(rows["video_id"], rows["score"], strict=True))


def _test_rows(table: pd.DataFrame) -> pd.DataFrame:
    return table.loc[table["role"] == "test", ["repeat", "video_id", "score"]]


def _prompts(rows: pd.DataFrame) -> int:
    """How many different ones; an empty prompt is none."""
    return int(rows.loc[rows["prompt"] != "", "prompt"].nunique())


def _quarantined(
    manifest: pd.DataFrame, decoded: pd.DataFrame, unread: Mapping[str, Sequence[str]]
) -> pd.DataFrame:
    """video_id, stage, error: the first stage that left a video out."""
    unreadable = manifest.loc[manifest["status"] != "ok", ["video_id", "error"]].assign(stage="index")
    undecoded = decoded.loc[decoded["status"] != "ok", ["id", "error"]].rename(columns={"id": "video_id"})
    lost = [
        (video, f"no features of it; rows.parquet of the {branch} branch's stores says why", "extract")
        for branch, videos in unread.items()
        for video in videos
    ]
    unextracted = pd.DataFrame(lost, columns=["video_id", "error", "stage"], dtype="object")
    rows = pd.concat([unreadable, undecoded.assign(stage="decode"), unextracted])
    rows = rows[["video_id", "stage", "error"]]
    return rows.drop_duplicates("video_id").reset_index(drop=True)
