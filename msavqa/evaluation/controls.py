"""What a model must beat: predictors that see no pixel, no time, or no training of ours.

    no_pixel      mean MOS of the prompt + mean MOS of the generator, of training rows: nothing is looked at
    no_reference  how sharp the frames look by scikit-image's perceptual blur (Crete et al. 2007): no opinion,
                  no training, no prompt; cached beside the handcrafted statistics, see `perceptual_blur`
    clipsim       mean cosine of prompt and frames by CLIP, untrained
    trees         extra-trees on handcrafted statistics and zero-shot CLIP scalars

A model that does not beat `no_pixel` has learned who made the video; one that does not beat `trees` has not
earned its networks.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pandas as pd
from pydantic import Field

from msavqa.ground.params import Settings

Floats = npt.NDArray[np.float64]
SCALARS = (
    "clipsim_mean", "clipsim_min", "clipsim_max", "clipsim_sd", "clipsim_drop", "frames_step_mean",
    "frames_step_max", "frames_drift",
)  # fmt: skip
"""Names of `clip_scalars`' columns."""


class ControlSettings(Settings):
    """The block `controls`."""

    text: str
    """Whose prompt vectors the controls compare: a key of `texts`."""
    image: str
    """Whose frame vectors: a key of `trunks`, of the same CLIP."""
    trees: int = Field(gt=0)
    min_leaf: int = Field(gt=0)
    """Fewest videos in a leaf of a tree."""
    features: float = Field(gt=0, le=1)
    """Share of the features that a split may choose from."""
    seed: int = Field(ge=0)
    shrinkage: float = Field(ge=0)
    """Of the no-pixel control: videos of the overall mean that every prompt's and generator's mean is mixed
    with; 0 is the plain mean."""


def no_pixel(learned: pd.DataFrame, asked: pd.DataFrame, *, shrinkage: float) -> Floats:
    """Scores (video,) of `asked` (prompt, generator) from the labels of `learned` (prompt, generator, mos).

    mean + prompt's deviation + generator's deviation; what training has not seen deviates by nothing. An
    empty prompt or generator is unknown, not a group.
    """
    overall = float(learned["mos"].mean())
    score = np.full(len(asked), overall)
    for column in ("prompt", "generator"):
        known = learned[learned[column] != ""]
        groups = (known["mos"] - overall).groupby(known[column])
        deviation = groups.sum() / (groups.count() + shrinkage)
        score += asked[column].map(deviation).fillna(0.0).to_numpy(dtype=np.float64)
    return score


def clip_scalars(*, text: npt.NDArray[np.floating], frames: npt.NDArray[np.floating]) -> Floats:
    """Eight zero-shot measures per video (`SCALARS`), (video, 8), from unit vectors of CLIP's joint space.

    text (video, dim), frames (video, frame, dim): mean, least, largest and standard deviation of the frames'
    cosine with the prompt, last quarter's mean minus the first's; mean and largest distance between
    neighbouring frames, distance of the last frame from the first.
    """
    vectors = np.asarray(frames, dtype=np.float64)
    cosine = np.einsum("vfd,vd->vf", vectors, np.asarray(text, dtype=np.float64))
    quarter = max(1, cosine.shape[1] // 4)
    step = (
        np.linalg.norm(np.diff(vectors, axis=1), axis=2)
        if vectors.shape[1] > 1
        else np.zeros((len(vectors), 1))
    )
    columns = [
        cosine.mean(axis=1),
        cosine.min(axis=1),
        cosine.max(axis=1),
        cosine.std(axis=1),
        cosine[:, -quarter:].mean(axis=1) - cosine[:, :quarter].mean(axis=1),
        step.mean(axis=1),
        step.max(axis=1),
        np.linalg.norm(vectors[:, -1] - vectors[:, 0], axis=1),
    ]
    return np.stack(columns, axis=1)


def clipsim(*, text: npt.NDArray[np.floating], frames: npt.NDArray[np.floating]) -> Floats:
    """CLIPSim, (video,): mean cosine of the prompt (video, dim) with the frames (video, frame, dim)."""
    found: Floats = clip_scalars(text=text, frames=frames)[:, SCALARS.index("clipsim_mean")]
    return found


def trees(learned: Floats, mos: Floats, asked: Floats, *, settings: ControlSettings) -> Floats:
    """Scores (video,) of `asked` (video, feature) by extra-trees of `learned` (video, feature) and mos."""
    from sklearn.ensemble import ExtraTreesRegressor  # slow to import, and not needed to read settings

    forest = ExtraTreesRegressor(
        n_estimators=settings.trees,
        min_samples_leaf=settings.min_leaf,
        max_features=settings.features,
        random_state=settings.seed,
        n_jobs=-1,
    ).fit(learned, mos)
    forest.n_jobs = 1  # threads would add up the trees in the order in which they end
    found: Floats = forest.predict(asked)
    return found


def predictions(
    known: pd.DataFrame,
    tested: pd.DataFrame,
    *,
    repeat: int,
    control: str,
    predict: Callable[[pd.DataFrame, pd.DataFrame], Floats],
) -> pd.DataFrame:
    """One control's scores of one repeat as rows of `tables.CONTROLS`, made as a branch's are.

    `known` are the repeat's learning rows with their features, `tested` its test rows (no mos). Each fold's
    training rows are scored by `predict(learned, asked)` from the other folds, the rest from all of them.
    """
    training = known[known["role"] == "train"]
    asked = pd.concat([known[known["role"] == "val"], tested], ignore_index=True)
    found = [asked[["video_id", "role"]].assign(score=predict(training, asked))]
    for fold in sorted(training["fold"].unique()):
        rows = training[training["fold"] == fold]
        score = predict(training[training["fold"] != fold], rows)
        found.append(rows[["video_id"]].assign(role="oof", score=score))
    table = pd.concat(found, ignore_index=True).assign(repeat=repeat, control=control)
    return table[["repeat", "video_id", "role", "score", "control"]]
