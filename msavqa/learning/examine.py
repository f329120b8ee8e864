"""What a trained model is asked beside its scores: the same videos with other prompts, and where SMA looked.

Training imports nothing of it: a changed control trains no model anew.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import torch

from msavqa.learning import fit, folds
from msavqa.learning.branch import Branch
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
