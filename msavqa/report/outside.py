"""Scores of any model beside people's ratings or votes: the figures that reviewers ask for."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from msavqa.datasets import score_tables
from msavqa.datasets.score_tables import Column
from msavqa.evaluation import agreement, pair_accuracy
from msavqa.evaluation.agreement import Scored
from msavqa.evaluation.metrics import Interval
from msavqa.evaluation.pair_accuracy import Pairs
from msavqa.ground.errors import MsavqaError, ProblemsError

VOTES = {
    "left": 1, "leftvote": 1, "right": -1, "rightvote": -1, "tie": 0, "tievote": 0, "both_bad": 0,
    "bothbad_vote": 0, "both_good": 0,
}  # fmt: skip
"""What people may say of two videos, in GenAI-Bench's words too: both bad is a tie."""
LEAST = 3
"""Videos, or pairs, below which nothing is said."""
SHOWN = {
    "srcc": "SRCC", "plcc": "PLCC", "plcc_logistic": "PLCC after a 4-parameter logistic", "krcc": "KRCC",
    "rmse": "RMSE", "bias": "bias (score - MOS)", "interval_coverage": "share of MOS inside low..high",
    "within_generator_srcc": "SRCC within a generator", "across_generators_srcc": "SRCC of generators' means",
    "pair_accuracy": "pairs of one prompt ordered rightly",
    "pair_accuracy_with_ties": "the same, ties included",
}  # fmt: skip


@dataclass(frozen=True)
class Evaluation:
    """Figures with their intervals over prompts."""

    scores: str
    people: str
    counts: Mapping[str, int]
    figures: Mapping[str, Interval]
    tie: float | None
    """Difference of scores up to which two count as a tie; None where no ties were asked about."""
    notes: Sequence[str]

    def to_json(self) -> str:
        """Everything as JSON; what is not a number is null."""
        plain = asdict(self)
        for one in plain["figures"].values():
            one.update({name: value if math.isfinite(value) else None for name, value in one.items()})
        return json.dumps(plain, indent=2, allow_nan=False)

    def text(self) -> str:
        """A few lines for a terminal."""
        counts = ", ".join(f"{value} {name}" for name, value in self.counts.items())
        lines = [f"{self.scores} against {self.people}: {counts}"]
        width = max(len(SHOWN[name]) for name in self.figures)
        for name, one in self.figures.items():
            bounds = f"  95% [{one.low:.3f}, {one.high:.3f}]" if math.isfinite(one.low) else ""
            lines.append(f"{SHOWN[name]:<{width}}  {one.value:.3f}{bounds}")
        return "\n".join([*lines, *(f"note: {note}" for note in self.notes)])


def against_labels(
    scores: Path, labels: Path, *, score_column: str, mos_column: str, resamples: int, seed: int
) -> Evaluation:
    """Scores of videos against their MOS, matched by the column `video`.

    Prompts and generators come from the labels, from the scores where the labels have none; `low` and `high`
    of the scores are their interval. Raises `ProblemsError` for tables that are wrong, `MsavqaError` for too
    few videos in common.
    """
    texts = {
        "video": Column("video", "the file's name"),
        "prompt": Column("prompt", "", needed=False, filled=False),
        "generator": Column("generator", "", needed=False, filled=False),
    }
    scored = score_tables.read_columns(
        scores,
        texts=texts,
        numbers={
            "score": Column(score_column, "--score-column", filled=False),
            "low": Column("low", "", needed=False, filled=False),
            "high": Column("high", "", needed=False, filled=False),
        },
        once=["video", "prompt"],
    )
    rated = score_tables.read_columns(
        labels,
        texts=texts,
        numbers={"mos": Column(mos_column, "--mos-column", filled=False)},
        once=["video", "prompt"],
    )
    rated = rated[rated["mos"].notna()]
    by_prompt = bool((rated["prompt"] != "").all() and (scored["prompt"] != "").all())
    keys = ["video", "prompt"] if by_prompt else ["video"]
    both = rated.merge(scored, on=keys, suffixes=("", "_scored"), how="left", indicator=True)
    notes = _lacking(both, scores)
    both = both[both["score"].notna()]
    if len(both) < LEAST:
        raise _too_few(len(both), "videos", scores, labels, rated["video"], scored["video"])
    if not by_prompt:
        both["prompt"] = both["prompt"].where(both["prompt"] != "", both["prompt_scored"])
    both["generator"] = both["generator"].where(both["generator"] != "", both["generator_scored"])
    known = bool(both["low"].notna().all() and both["high"].notna().all())
    figures = agreement.of(
        Scored(
            score=both["score"].to_numpy(dtype=np.float64),
            mos=both["mos"].to_numpy(dtype=np.float64),
            prompt=both["prompt"].to_numpy(dtype=str),
            generator=both["generator"].to_numpy(dtype=str),
            low=both["low"].to_numpy(dtype=np.float64) if known else None,
            high=both["high"].to_numpy(dtype=np.float64) if known else None,
        ),
        resamples=resamples,
        seed=seed,
    )
    if not (both["prompt"] != "").any():
        notes.append("no prompts: every video is drawn alone, and pairs of one prompt are unknown")
    counts = {
        "videos": len(both),
        "prompts": int(both.loc[both["prompt"] != "", "prompt"].nunique()),
        "generators": int(both.loc[both["generator"] != "", "generator"].nunique()),
    }
    return Evaluation(scores.name, labels.name, counts, figures, None, notes)


def against_votes(scores: Path, votes: Path, *, score_column: str, resamples: int, seed: int) -> Evaluation:
    """Scores of videos against choices between two: columns left, right, vote and, where known, prompt.

    A vote is left, right, tie or both_bad (a tie). Raises as `against_labels`.
    """
    scored = score_tables.read_columns(
        scores,
        texts={"video": Column("video", "the file's name")},
        numbers={"score": Column(score_column, "--score-column", filled=False)},
        once=["video"],
    )
    asked = score_tables.read_columns(
        votes,
        texts={
            "left": Column("left", "a file's name"),
            "right": Column("right", "a file's name"),
            "vote": Column("vote", "what people chose"),
            "prompt": Column("prompt", "", needed=False, filled=False),
        },
        numbers={},
    )
    strange = asked[~asked["vote"].isin(list(VOTES))]
    if len(strange):
        raise ProblemsError(
            where=votes,
            problems=[
                f"line {line}: vote {vote!r} is none of left, right, tie, both_bad"
                for line, vote in zip(strange["line"].tolist(), strange["vote"].tolist(), strict=True)
            ],
            next_step=score_tables.NEXT_STEP,
        )
    known = scored.set_index("video")["score"]
    gap = asked["left"].map(known) - asked["right"].map(known)
    notes = []
    if lost := int(gap.isna().sum()):
        named = asked.loc[gap.isna(), ["left", "right"]].to_numpy(dtype=object).ravel().tolist()
        without = [name for name in named if name not in known.index or math.isnan(known[name])]
        notes.append(f"{lost} of {len(asked)} pairs lack a score and do not count, of {without[0]!r} for one")
    asked, gap = asked[gap.notna()], gap[gap.notna()]
    if len(asked) < LEAST:
        raise _too_few(len(asked), "pairs", scores, votes, asked["left"], scored["video"])
    alone = [f"\0{line}" for line in asked["line"].tolist()]
    prompt = np.where(asked["prompt"] == "", alone, asked["prompt"])
    pairs = Pairs(
        people=np.array([VOTES[vote] for vote in asked["vote"].tolist()], dtype=np.int64),
        gap=gap.to_numpy(dtype=np.float64),
        prompt=np.unique(prompt.astype(str), return_inverse=True)[1].astype(np.int64),
    )
    figures = {"pair_accuracy": pair_accuracy.without_ties(pairs, resamples=resamples, seed=seed)}
    figures["pair_accuracy_with_ties"], tie = pair_accuracy.with_ties(pairs, resamples=resamples, seed=seed)
    notes.append(f"scores that differ by at most {tie:g} count as a tie, which fits these votes best")
    counts = {"pairs": len(asked), "preferences": int((pairs.people != 0).sum())}
    return Evaluation(scores.name, votes.name, counts, figures, tie, notes)


def _lacking(both: pd.DataFrame, scores: Path) -> list[str]:
    """On rated videos without a row, or without a score, among the scores."""
    found = []
    for lacking, said in (
        (both["_merge"] == "left_only", f"have no row in {scores.name}"),
        ((both["_merge"] == "both") & both["score"].isna(), "have a row without a score"),
    ):
        if lacking.any():
            first = both.loc[lacking, "video"].iloc[0]
            found.append(
                f"{int(lacking.sum())} of {len(both)} rated videos {said} and do not count, {first!r} for one"
            )
    return found


def _too_few(
    count: int, what: str, scores: Path, people: Path, asked: "pd.Series[str]", scored: "pd.Series[str]"
) -> MsavqaError:
    first = f", such as {asked.iloc[0]!r} there and {scored.iloc[0]!r} here" if len(asked) else ""
    return MsavqaError(
        what=f"Rated {what} with a score",
        where=f"{scores} and {people}",
        got=f"{count}{first}",
        expected=f"at least {LEAST}",
        next_step="name videos alike in both tables",
    )
