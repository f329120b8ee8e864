"""NTIRE 2024's submission for videos whose MOS is withheld: a zip of output.txt and readme.txt.

    output.txt    one line per video, `name,score`    readme.txt    the five lines that the challenge asks for

The ranking is by (SRCC + PLCC) / 2, so any scale of scores will do; the order of lines is the label file's.
"""

import math
import os
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from msavqa.ground.errors import ProblemsError

_EPOCH = (1980, 1, 1, 0, 0, 0)  # the zip's dates: the same scores give the same bytes


@dataclass(frozen=True, kw_only=True)
class Readme:
    """What readme.txt says of the method."""

    seconds_per_video: float
    cpu_only: bool
    extra_data: bool  # anything beside the challenge's own training videos was learned from
    large_language_model: bool
    description: str  # one line

    def text(self) -> str:
        """The file's five lines, in the challenge's own words."""
        return (
            f"Runtime per video [s] : {self.seconds_per_video:.3f}\n"
            f"CPU[1] / GPU[0] : {int(self.cpu_only)}\n"
            f"Extra Data [1] / No Extra Data [0] : {int(self.extra_data)}\n"
            f"LLM [1] / No LLM [0] : {int(self.large_language_model)}\n"
            f"Other description : {' '.join(self.description.split())}\n"
        )


def withheld_scores(
    manifest: pd.DataFrame, predictions: pd.DataFrame, *, split: str | None
) -> dict[str, float]:
    """Score of every video without a MOS, the mean over repeats (all score all of them), in manifest order.

    `split` is the part of the dataset (`val`, `test`) that the challenge's phase asks for; None is for a
    dataset that withholds the MOS of one part only. Raises `ProblemsError` naming each video that has no
    score, where no MOS is withheld, and where it is not clear of which part.
    """
    withheld = manifest[manifest["mos"].isna()]
    parts = sorted(set(withheld["given_split"]))
    if split is not None:
        withheld = withheld[withheld["given_split"] == split]
    elif len(parts) > 1:
        problem = f"MOS are withheld in {' and '.join(repr(part) for part in parts)}"
        raise ProblemsError(where="the manifest", problems=[problem], next_step="name one with --split")
    if withheld.empty:
        problem = "every video has a MOS, none is withheld"
        if split is not None:
            known = f", but in {', '.join(repr(part) for part in parts)}" if parts else ""
            problem = f"no MOS is withheld in {split!r}{known}"
        raise ProblemsError(where="the manifest", problems=[problem], next_step="check `labels`")
    tested = predictions[predictions["role"] == "test"]
    means = tested.groupby("video_id")["score"].mean()
    reasons = dict(zip(withheld["video_id"], withheld["error"], strict=True))
    problems = [
        f"no score for {name!r}{f' ({reason})' if reason else ''}"
        for name, reason in reasons.items()
        if name not in means.index
    ]
    if problems:
        step = "the challenge wants all of them: mend the videos and run `dvc repro`"
        raise ProblemsError(where="the predictions", problems=problems, next_step=step)
    return {name: float(means[name]) for name in withheld["video_id"]}


def write(path: Path, *, scores: Mapping[str, float], readme: Readme) -> None:
    """The zip at `path`, replaced as a whole; raises `ProblemsError` for names or scores it cannot hold."""
    problems = [
        f"{name!r} has the score {score}" for name, score in scores.items() if not math.isfinite(score)
    ]
    problems += [f"{name!r} holds a comma or a line end" for name in scores if set(name) & set(",\r\n")]
    if not scores:
        problems.append("no scores")
    if problems:
        raise ProblemsError(where=path, problems=problems, next_step="mend them, nothing was written")
    files = {
        "output.txt": "".join(f"{name},{score!r}\n" for name, score in scores.items()),
        "readme.txt": readme.text(),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.partial")
    with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(zipfile.ZipInfo(name, _EPOCH), text.encode("utf-8"), zipfile.ZIP_DEFLATED)
    os.replace(partial, path)
