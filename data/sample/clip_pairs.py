"""Frames and captions that teach the small CLIP: clean scenes from streams of their own."""

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from data.sample import streams
from data.sample.grammar import (
    BACKGROUNDS,
    COLOURS,
    SHAPES,
    VALUES,
    Scene,
    attributes_of,
    draw_prompt,
    draw_scene,
    value_at,
    with_value,
)
from data.sample.scene import FRAMES, background, draw_look, render
from msavqa.ground.progress import track
from msavqa.machine.processes import Pool

if TYPE_CHECKING:
    from torch import Tensor

PART_SECONDS = 600  # wall clock that one part may take
PARTS = 4  # that a stream is drawn in, each from a stream of its own: processes change nothing of the pairs
TEXTURES_PER_BACKGROUND = 20  # of each part, panned by the look: drawing one takes longer than a frame
ATTRIBUTES = len(COLOURS) * len(SHAPES) + len(COLOURS) + len(SHAPES) + len(BACKGROUNDS)


@dataclass(frozen=True)
class Pairs:
    """Frames with a true caption and wrong ones each."""

    frames: NDArray[np.uint8]  # (pair, height, width, 3)
    captions: list[str]  # one a pair
    wrong: list[list[str]]  # (which, pair): captions with one attribute changed that a frame can show
    attributes: "Tensor"  # (pair, ATTRIBUTES) float 0/1, see `attributes_shown`


def draw_pairs(stream: str, count: int, *, wrong: int, seed: int, workers: int) -> Pairs:
    """So many pairs from one stream, each with `wrong` wrong captions, drawn by so many processes."""
    sizes = [len(part) for part in np.array_split(np.arange(count), PARTS)]
    draw = partial(_draw_part, stream, wrong=wrong, seed=seed)
    if workers == 1:
        return _joined([draw(part) for part in enumerate(sizes)])
    with Pool(draw, workers=min(workers, PARTS), timeout_seconds=PART_SECONDS, what="Part") as pool:
        drawn = track(pool.map(enumerate(sizes)), description="drawing frames", total=PARTS, unit="parts")
        return _joined([outcome.result() for outcome in drawn])


@dataclass(frozen=True)
class _Part:
    """A part of some `Pairs`; its attributes (pair, ATTRIBUTES) wait in numpy, for a worker has no torch."""

    frames: NDArray[np.uint8]
    captions: list[str]
    wrong: list[list[str]]
    attributes: NDArray[np.float32]


def _joined(parts: list[_Part]) -> Pairs:
    import torch  # here, so that workers start without it

    return Pairs(
        np.concatenate([part.frames for part in parts]),
        [caption for part in parts for caption in part.captions],
        [
            [caption for part in parts for caption in part.wrong[which]]
            for which in range(len(parts[0].wrong))
        ],
        torch.from_numpy(np.concatenate([part.attributes for part in parts])),
    )


def _draw_part(stream: str, part: tuple[int, int], *, wrong: int, seed: int) -> _Part:
    number, count = part
    rng = streams.generator(seed, stream, number)
    textures = {
        (name, number): background(name, int(rng.integers(2**31)))
        for name in BACKGROUNDS
        for number in range(TEXTURES_PER_BACKGROUND)
    }
    frames, captions, attributes = [], [], []
    wrongs: list[list[str]] = [[] for _ in range(wrong)]
    for _ in range(count):
        scene = draw_scene(rng)
        look = draw_look(len(scene.things), rng)
        texture = textures[scene.background, int(rng.integers(TEXTURES_PER_BACKGROUND))]
        frames.append(render(scene, look, frames=[int(rng.integers(FRAMES))], texture=texture)[0])
        captions.append(draw_prompt(scene, rng))
        attributes.append(attributes_shown(scene))
        for column in wrongs:
            column.append(draw_prompt(draw_lookalike(scene, rng), rng))
    return _Part(np.stack(frames), captions, wrongs, np.stack(attributes))


def draw_lookalike(scene: Scene, rng: np.random.Generator) -> Scene:
    """The scene with one other colour, shape or background."""
    places = [place for place in attributes_of(scene) if place[1] != "motion"]
    place = places[int(rng.integers(len(places)))]
    others = [value for value in VALUES[place[1]] if value != value_at(scene, place)]
    return with_value(scene, place, str(rng.choice(others)))


def attributes_shown(scene: Scene) -> NDArray[np.float32]:
    """What a frame of the scene shows, 0/1: coloured shapes, colours, shapes, background."""
    pairs = np.zeros((len(COLOURS), len(SHAPES)), np.float32)
    for thing in scene.things:
        pairs[COLOURS.index(thing.colour), SHAPES.index(thing.shape)] = 1
    behind = np.zeros(len(BACKGROUNDS), np.float32)
    behind[BACKGROUNDS.index(scene.background)] = 1
    return np.concatenate([pairs.ravel(), pairs.max(1), pairs.max(0), behind])
