"""From plan to file: the recordings of the sample world's three sets, and how one becomes an mp4."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from data.sample import distort, mp4, streams
from data.sample.generators import CAMERA, GENERATORS, PRACTICE, Generator, Take, draw_take
from data.sample.grammar import Scene, draw_prompt, draw_scene
from data.sample.scene import Look, draw_look, render

SETS = ("t2v", "ugc", "practice")


@dataclass(frozen=True)
class Recording:
    """One video as a plan: everything its file is made from."""

    name: str  # the file's name
    group: str  # videos of one group share the prompt
    prompt: str  # empty where none was given
    asked: Scene
    look: Look
    generator: Generator
    take: Take
    noise_key: tuple[int, int, int]  # seed, set and number: draws the distortions


def plan(name: str, count: int, *, seed: int, generators: int = len(GENERATORS)) -> list[Recording]:
    """The recordings of a set of `SETS`: `count` prompts (times `generators`) or `count` videos.

    A smaller count gives the beginning of the larger one. Fewer generators give some of the recordings that
    all of them would, and take turns: prompt i is filmed by those at i * generators and on, round and round.
    """
    if name == "t2v":
        return _plan_prompted(count, generators, seed)
    source = {"ugc": CAMERA, "practice": PRACTICE}[name]
    recordings = []
    for number in range(count):
        rng = streams.generator(seed, name, number)
        scene = draw_scene(rng)
        look, take = draw_look(len(scene.things), rng), draw_take(scene, source, rng)
        label = f"{number:04d}"
        key = (seed, SETS.index(name), number)
        recordings.append(Recording(f"{label}.mp4", label, "", scene, look, source, take, key))
    return recordings


def _plan_prompted(count: int, generators: int, seed: int) -> list[Recording]:
    rng = streams.generator(seed, "prompt")
    scenes: dict[Scene, str] = {}
    while len(scenes) < count:  # no two prompts ask for the same scene
        scene = draw_scene(rng)
        scenes.setdefault(scene, draw_prompt(scene, rng))
    recordings = []
    for number, (scene, prompt) in enumerate(scenes.items()):
        turn = range(number * generators, (number + 1) * generators)
        for place in sorted(one % len(GENERATORS) for one in turn):
            source = GENERATORS[place]
            rng = streams.generator(seed, "t2v", number, place)
            look, take = draw_look(len(scene.things), rng), draw_take(scene, source, rng)
            label = f"{number:04d}"
            key = (seed, SETS.index("t2v"), number * len(GENERATORS) + place)
            name = f"{label}_{source.name}.mp4"
            recordings.append(Recording(name, label, prompt, scene, look, source, take, key))
    return recordings


def shoot(recording: Recording) -> NDArray[np.uint8]:
    """The recording's frames before compression, RGB (frame, height, width, 3)."""
    clean = render(recording.take.shown, recording.look, changes=recording.take.changes)
    rng = np.random.default_rng([*recording.noise_key, len(streams.STREAMS)])
    return distort.distort(clean, recording.take.causes, rng=rng)


def film(recording: Recording) -> bytes:
    """The recording as the bytes of an mp4 file."""
    quantiser = distort.crf(recording.take.causes)
    return mp4.encode(shoot(recording), fps=recording.generator.fps, crf=quantiser)
