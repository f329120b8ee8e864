"""The control of shuffled prompts: features of videos, each beside the prompt of another one."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch

from msavqa.learning.inputs import Inputs, Rows, Source


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


def beside(inputs: Inputs, *, videos: Rows, prompts: Mapping[str, str], seed: Sequence[int]) -> Inputs | None:
    """Features in which these videos (video,) have one another's prompts; `prompts` is by video id.

    None where that changes nothing: no prompt is read, or all are one.
    """
    own = [prompts[inputs.ids[video]] for video in videos]
    read = {
        key: one for key, one in inputs.sources.items() if key.startswith("text_") and isinstance(one, Source)
    }
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
