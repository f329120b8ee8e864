"""What a trained model is asked beside its scores: other prompts, trivial videos, and where SMA looked.

Training imports nothing of it: a changed control trains no model anew.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from msavqa.datasets.copies import FOREIGN, PRAISE, SCORES
from msavqa.learning import fit, folds, training
from msavqa.learning.branch import Branch
from msavqa.learning.copies import NONE, Shown, batch, of_videos
from msavqa.learning.folds import Job, Opened
from msavqa.learning.inputs import OF_PROMPTS, Inputs, Source
from msavqa.learning.pixels import Rows


def shuffled(opened: Opened, job: Job, model: Branch) -> pd.DataFrame:
    """The rows that the job's model scores, once more with one another's prompts, `tables.PREDICTIONS`.

    No rows where that changes nothing: no prompt is read, or all are one.
    """
    work, rows = opened.work, opened.asked(job)
    videos = opened.inputs.index(list(rows["video_id"]))
    seed = [work.train.seed, job.repeat]
    others = with_other_prompts(opened.inputs, videos=videos, prompts=folds.prompts(work), seed=seed)
    if others is None:
        return opened.scored(job, np.zeros(len(rows))).head(0)
    return opened.scored(job, fit.predict(model, inputs=others, videos=videos, settings=work.train))


def trivial(opened: Opened, job: Job, model: Branch) -> pd.DataFrame:
    """What copies of the rows that the job's model scores score in their place, `datasets.copies.SCORES`.

    Frames that show nothing are asked with each row's prompt; of those, the model has learned from none. No
    rows where there are no copies.
    """
    copies, rows = opened.copies, opened.asked(job)
    if copies is None:
        return pd.DataFrame([], columns=list(SCORES.columns))
    videos = opened.inputs.index(list(rows["video_id"]))
    number = dict(zip(rows["video_id"], videos.tolist(), strict=True))
    none = np.full(len(videos), NONE, dtype=np.int64)
    settings, learns, found = opened.work.train.copies, training.learns_of_copies(opened, job), []

    def add(kind: str, learned: int, score: npt.NDArray[np.float64], of: pd.DataFrame) -> None:
        told = of[["video_id", "role"]].reset_index(drop=True)
        found.append(told.assign(repeat=job.repeat, kind=kind, learned=learned, score=score))

    for kind, part in copies.plan.groupby("kind", sort=False):
        learned = int(part["learned"].iloc[0]) if learns else 0
        if (part["video_id"] != "").any():
            here = part[part["video_id"].isin(number)]
            of = rows.set_index("video_id", drop=False).loc[here["video_id"]]
            own = here["video_id"].map(number).to_numpy(dtype=np.int64)
            shown = replace(of_videos(own), video=none[: len(here)], copy=here.index.to_numpy(dtype=np.int64))
        else:
            tested = part.index[part["number"] % 2 == 1].to_numpy(dtype=np.int64)
            of = rows
            shown = replace(of_videos(videos), video=none, copy=np.resize(tested, len(videos)))
        if len(shown):
            add(str(kind), learned, _scores(opened, model, shown), of)
    other = shuffled(opened, job, model)
    own_scores = fit.predict(model, inputs=opened.inputs, videos=videos, settings=opened.work.train)
    learned = int(settings.foreign_prompts and learns)
    add(FOREIGN, learned, other["score"].to_numpy() if len(other) else own_scores, rows)
    praised = replace(opened.inputs, sources={**opened.inputs.sources, **copies.praised_otherwise})
    score = fit.predict(model, inputs=praised, videos=videos, settings=opened.work.train)
    add(PRAISE, int(settings.praise > 0 and learns), score, rows)
    return pd.concat(found, ignore_index=True)[list(SCORES.columns)]


def _scores(opened: Opened, model: Branch, shown: Shown) -> npt.NDArray[np.float64]:
    assert opened.copies is not None
    size, scores = opened.work.train.evaluation_batch, []
    for start in range(0, len(shown), size):
        part = shown.at(np.arange(start, min(start + size, len(shown))))
        with fit.asking(model, inputs=opened.inputs, settings=opened.work.train):
            scores.append(model(batch(part, inputs=opened.inputs, copies=opened.copies)).score)
    return torch.cat(scores).double().cpu().numpy()


def attention(opened: Opened, job: Job, model: Branch) -> pd.DataFrame:
    """Where SMA looked in those rows: repeat, video_id, attention (frame,); no rows without SMA."""
    rows = opened.asked(job).assign(repeat=job.repeat)[["repeat", "video_id"]]
    videos = opened.inputs.index(list(rows["video_id"]))
    found = fit.outputs(model, inputs=opened.inputs, videos=videos, settings=opened.work.train)
    looks = [row for one in found if one.attention is not None for row in one.attention.float().tolist()]
    return rows.head(len(looks)).assign(attention=pd.Series(looks, dtype=object))


def givers(prompts: Sequence[str], *, seed: Sequence[int]) -> Rows:
    """A permutation (video,): whose prompt each video gets, never one of its own text where that is possible.

    Videos lie in a random order by prompt and each takes the prompt that lies as many places on as the most
    frequent prompt has videos: no smaller step leaves that prompt, and none leaves more of it.
    """
    random = np.random.default_rng(seed)
    _, numbers, counts = np.unique(np.asarray(prompts, dtype=object), return_inverse=True, return_counts=True)
    shuffled = random.permutation(len(prompts))
    ranks = random.permutation(len(counts))[numbers]
    order = shuffled[np.argsort(ranks[shuffled], kind="stable")]
    found = np.empty(len(prompts), dtype=np.int64)
    found[order] = np.roll(order, -int(counts.max()))
    return found


def with_other_prompts(
    inputs: Inputs, *, videos: Rows, prompts: Mapping[str, str], seed: Sequence[int]
) -> Inputs | None:
    """Features in which these videos (video,) have one another's prompts; `prompts` is by video id.

    None where that changes nothing: no prompt is read, or all are one.
    """
    own = [prompts[inputs.ids[video]] for video in videos]
    of_prompts = {key: one for key, one in inputs.sources.items() if key.startswith(OF_PROMPTS)}
    read = {key: one for key, one in of_prompts.items() if isinstance(one, Source)}
    if not read or len(set(own)) < 2:
        return None
    others = videos[givers(own, seed=seed)]
    moved = {}
    for key, source in read.items():
        rows, places = source.rows.copy(), source.places.clone()
        rows[videos] = source.rows[others]
        places[torch.from_numpy(videos)] = source.places[torch.from_numpy(others)]
        moved[key] = replace(source, rows=rows, places=places)
    return replace(inputs, sources={**inputs.sources, **moved})
