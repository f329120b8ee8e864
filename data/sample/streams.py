"""Random numbers of the sample world: one seed, and a stream of its own for every use."""

import numpy as np

# Every use has its own number, so that no scene, look or rating is drawn twice for two purposes.
STREAMS = ("prompt", "t2v", "ugc", "practice", "rating", "clip_train", "clip_test", "backbone")


def generator(seed: int, stream: str, *numbers: int) -> np.random.Generator:
    """The random generator of one stream; further numbers (which prompt, which video) divide it."""
    return np.random.default_rng([seed, STREAMS.index(stream), *numbers])
