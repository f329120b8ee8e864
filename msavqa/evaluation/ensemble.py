"""Eqs. 8-9: branch scores, standardised by frozen constants, become one by a weighted sum of sigmoids.

    Q = sum_k w_k sigmoid(z_k),   z_k = (score_k - mean_k) / sd_k,   w_k >= 0,   sum_k w_k = 1

Everything is fitted on out-of-fold scores of training rows. A raw score of a 0-100 scale would saturate the
sigmoid, and constants of the evaluated set would make a video's score depend on its neighbours.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from pydantic import Field
from scipy import optimize
from scipy.special import expit

from msavqa.evaluation.metrics import ranks
from msavqa.ground.errors import MsavqaError
from msavqa.ground.params import Settings

Floats = npt.NDArray[np.float64]
OTHER_PROMPTS = "shuffled_prompts"
"""Name of the control that tells what the prompts are good for."""


class EnsembleSettings(Settings):
    """The block `ensemble`."""

    branches: Literal["all"] | Annotated[list[str], Field(min_length=1)]
    """Whose scores are joined: every branch's of params.yaml, or these."""
    shrinkage: float = Field(ge=0, le=1)
    """Towards equal weights: 0 keeps the fitted ones, 1 is a plain mean. Fitted weights swing between
    seeds and often drop a branch whose errors would have averaged out."""
    seed: int = Field(ge=0)
    """Of the search for weights."""

    def of(self, known: Iterable[str]) -> list[str]:
        """Names of the branches that are joined, of those that there are; raises `MsavqaError` for others."""
        there = list(known)
        if self.branches == "all":
            return there
        missing = sorted(set(self.branches) - set(there))
        if missing:
            raise MsavqaError(
                what="Branches",
                where="ensemble.branches",
                got=f"{', '.join(missing)}, of which there are no predictions",
                expected=f"some of {', '.join(there)}",
                next_step="train these branches, or name others in ensemble.branches",
            )
        return list(self.branches)


@dataclass(frozen=True)
class Ensemble:
    """Frozen constants and weights of one repeat; lists follow `branches`."""

    branches: list[str]
    mean: list[float]
    sd: list[float]
    fitted: list[float]
    """Weights that maximise (SRCC + PLCC) / 2 on the rows fitted on."""
    weights: list[float]
    """The fitted ones, shrunken: what is used."""

    def combine(self, scores: Mapping[str, npt.ArrayLike]) -> Floats:
        """Q of Eq. 9, (video,), in 0..1, from raw scores (video,) of every branch."""
        joined: Floats = _sigmoids(self._columns(scores), self.mean, self.sd) @ np.asarray(self.weights)
        return joined

    def contributions(self, scores: Mapping[str, npt.ArrayLike]) -> dict[str, Floats]:
        """What each branch adds to Q, (video,) each."""
        parts = _sigmoids(self._columns(scores), self.mean, self.sd) * np.asarray(self.weights)
        return {branch: parts[:, place] for place, branch in enumerate(self.branches)}

    def to_dict(self) -> dict[str, list[str] | list[float]]:
        """Plain data for ensemble.json; `Ensemble(**data)` reads it back."""
        return asdict(self)

    def _columns(self, scores: Mapping[str, npt.ArrayLike]) -> Floats:
        return np.stack([np.asarray(scores[branch], dtype=np.float64) for branch in self.branches], axis=1)


def fit(scores: Mapping[str, npt.ArrayLike], *, mos: npt.ArrayLike, settings: EnsembleSettings) -> Ensemble:
    """Constants and weights from out-of-fold scores (video,) of each branch and the same rows' mos.

    The search is scipy's differential evolution over the simplex: (SRCC + PLCC) / 2 is a step function of the
    weights. The same input gives the same weights. Raises `MsavqaError` where a branch does not vary.
    """
    columns = np.stack([np.asarray(column, dtype=np.float64) for column in scores.values()], axis=1)
    mean, sd = columns.mean(axis=0), columns.std(axis=0)
    flat = [branch for branch, spread in zip(scores, sd, strict=True) if not spread > 0]
    if flat:
        raise MsavqaError(
            what="Scores",
            where=f"the out-of-fold rows of branch {flat[0]!r}",
            got="one value for all videos",
            expected="scores that vary",
            next_step="train the branch for more epochs, or leave it out of ensemble.branches",
        )
    parts = _sigmoids(columns, mean, sd)
    fitted = _search(parts, np.asarray(mos, dtype=np.float64), settings.seed)
    shrunken = (1 - settings.shrinkage) * fitted + settings.shrinkage / len(scores)
    return Ensemble(
        branches=list(scores),
        mean=mean.tolist(),
        sd=sd.tolist(),
        fitted=fitted.tolist(),
        weights=shrunken.tolist(),
    )


def join(
    predictions: Mapping[str, pd.DataFrame], known: pd.DataFrame, *, settings: EnsembleSettings, repeat: int
) -> tuple[Ensemble, pd.DataFrame]:
    """One repeat: the ensemble fitted on its out-of-fold rows, and its scores of all rows as predictions.

    `predictions` maps every branch there is to its table; `known` is `tables.learning_labels` of the repeat,
    so no test label can reach the weights. A row counts where every branch has scored it.
    """
    names = settings.of(predictions)
    table = _side_by_side(predictions, names, repeat)
    learned = table[table["role"] == "oof"].merge(known[["video_id", "mos"]], on="video_id", how="inner")
    learned = learned[learned["mos"].notna()]
    if len(learned) < 3:
        raise MsavqaError(
            what="Out-of-fold rows",
            where=f"repeat {repeat}",
            got=len(learned),
            expected="at least 3 rows that every branch has scored",
            next_step="train on more videos or choose fewer split.folds",
        )
    fitted = fit({branch: learned[branch] for branch in names}, mos=learned["mos"], settings=settings)
    score = fitted.combine({branch: table[branch] for branch in names})
    return fitted, table[["repeat", "video_id", "role"]].assign(score=score)


def with_other_prompts(
    fitted: Ensemble,
    predictions: Mapping[str, pd.DataFrame],
    shuffled: Mapping[str, pd.DataFrame],
    *,
    repeat: int,
) -> pd.DataFrame:
    """The control `shuffled_prompts` of one repeat: what the same ensemble says of branches' scores made with
    other videos' prompts. A branch that reads no prompt keeps its scores; no rows where none reads any."""
    now = {branch: shuffled[branch][shuffled[branch]["repeat"] == repeat] for branch in fitted.branches}
    read = any(len(rows) for rows in now.values())
    given = {branch: rows if len(rows) else predictions[branch] for branch, rows in now.items()}
    table = _side_by_side(given, fitted.branches, repeat)
    table = table[(table["role"] != "oof") & read]
    score = fitted.combine({branch: table[branch] for branch in fitted.branches})
    return table[["repeat", "video_id", "role"]].assign(score=score, control=OTHER_PROMPTS)


def of_copies(fitted: Ensemble, scores: Mapping[str, pd.DataFrame], *, repeat: int) -> pd.DataFrame:
    """What the ensemble says of trivial videos of one repeat, from the branches' tables of their scores
    (`datasets.copies.SCORES`); a copy counts where every branch has scored it."""
    keys = ["repeat", "video_id", "role", "kind", "learned"]
    joined: pd.DataFrame | None = None
    for branch in fitted.branches:
        rows = scores[branch][scores[branch]["repeat"] == repeat].rename(columns={"score": branch})
        joined = rows if joined is None else joined.merge(rows, on=keys, how="inner", validate="one_to_one")
    assert joined is not None
    score = fitted.combine({branch: joined[branch] for branch in fitted.branches})
    return joined[keys].assign(score=score)


def _side_by_side(
    predictions: Mapping[str, pd.DataFrame], branches: Sequence[str], repeat: int
) -> pd.DataFrame:
    joined: pd.DataFrame | None = None
    for branch in branches:
        rows = predictions[branch]
        keys = ["repeat", "video_id", "role"]
        rows = rows.loc[rows["repeat"] == repeat, [*keys, "score"]].rename(columns={"score": branch})
        joined = rows if joined is None else joined.merge(rows, on=keys, how="inner", validate="one_to_one")
    assert joined is not None
    return joined.reset_index(drop=True)


def _search(parts: Floats, mos: Floats, seed: int) -> Floats:
    count = parts.shape[1]
    if count == 1:
        return np.ones(1)

    # (SRCC + PLCC) / 2 of `metrics`, with all that depends on mos alone computed once.
    unit_mos, unit_rank = _unit(mos), _unit(ranks(mos))

    def loss(raw: Floats) -> float:
        score = parts @ (raw / raw.sum())
        return -float(_unit(score) @ unit_mos + _unit(ranks(score)) @ unit_rank) / 2

    found = optimize.differential_evolution(
        loss, bounds=[(1e-6, 1.0)] * count, seed=seed, popsize=12, maxiter=40, tol=1e-6, polish=False
    )
    weights: Floats = found.x / found.x.sum()
    return weights


def _unit(values: Floats) -> Floats:
    away: Floats = values - values.mean()
    return away / (np.linalg.norm(away) + 1e-12)


def _sigmoids(columns: Floats, mean: npt.ArrayLike, sd: npt.ArrayLike) -> Floats:
    found: Floats = expit((columns - np.asarray(mean)) / np.asarray(sd))
    return found
