"""Six simulated text-to-video models, each failing in its own way, and what each makes of a prompt."""

from dataclasses import dataclass, replace

import numpy as np

from data.sample.grammar import COLOURS, SHAPES, Scene, draw_misreading, misalignment
from data.sample.quality import Causes
from data.sample.scene import FRAMES, Change

# Strength of a mutation by its kind; an episode that goes back again is seen twice and counts more.
MUTATION_KIND = {"vanishes": 0.8, "shape": 0.65, "colour": 0.65}
MUTATION_RETURNS = 0.2
TRACE = 0.06  # every video has a trace of every technical and temporal cause


@dataclass(frozen=True)
class Generator:
    """One model: how often (0-1) each failing strikes, and how it reads prompts."""

    name: str
    fps: int
    blur: float
    noise: float
    blocking: float
    flicker: float
    judder: float
    frozen: float
    mutation: float
    wrong: tuple[float, float, float, float]  # probability of 0, 1, 2, 3 wrong attributes


GENERATORS = (
    Generator("aurora", 8, 0.40, 0.05, 0.15, 0.10, 0.10, 0.10, 0.15, (0.60, 0.25, 0.10, 0.05)),
    Generator("basalt", 8, 0.10, 0.15, 0.25, 0.15, 0.15, 0.15, 0.60, (0.50, 0.30, 0.15, 0.05)),
    Generator("cobalt", 6, 0.20, 0.55, 0.20, 0.40, 0.15, 0.15, 0.35, (0.45, 0.30, 0.15, 0.10)),
    Generator("dune", 6, 0.20, 0.15, 0.65, 0.15, 0.20, 0.40, 0.35, (0.45, 0.30, 0.15, 0.10)),
    Generator("ember", 8, 0.20, 0.20, 0.20, 0.15, 0.15, 0.15, 0.30, (0.15, 0.25, 0.30, 0.30)),
    Generator("fjord", 4, 0.45, 0.40, 0.40, 0.25, 0.45, 0.25, 0.45, (0.30, 0.30, 0.25, 0.15)),
)
# The videos that play LSVQ: recorded, not generated, so no prompt to miss and nothing that mutates.
CAMERA = Generator("camera", 8, 0.45, 0.45, 0.45, 0.0, 0.0, 0.0, 0.0, (1.0, 0.0, 0.0, 0.0))
# The videos that pre-train the backbones: every technical and temporal cause, often.
PRACTICE = Generator("practice", 8, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.0, (1.0, 0.0, 0.0, 0.0))


@dataclass(frozen=True)
class Take:
    """What a generator makes of a scene: what it shows, what changes in it, and what is wrong with it."""

    shown: Scene
    changes: tuple[Change, ...]
    causes: Causes


def draw_take(asked: Scene, generator: Generator, rng: np.random.Generator) -> Take:
    """One video of the asked scene by one generator, as a plan."""
    wrong = int(rng.choice(4, p=generator.wrong))
    shown = draw_misreading(asked, wrong=wrong, rng=rng)
    strengths = {
        name: _strength(getattr(generator, name), rng)
        for name in ("blur", "noise", "blocking", "flicker", "judder", "frozen")
    }
    causes = Causes(**strengths, misalignment=misalignment(asked, shown))
    if rng.random() >= generator.mutation:
        return Take(shown, (), causes)
    change, strength = draw_change(shown, rng)
    return Take(shown, (change,), replace(causes, mutation=strength))


def _strength(probability: float, rng: np.random.Generator) -> float:
    """A cause's strength: at least a tenth where it strikes, a trace where not, none where it never can."""
    strikes, value = rng.random() < probability, rng.random()
    if probability == 0:
        return 0.0
    return 0.1 + 0.9 * value if strikes else TRACE * value


def draw_change(shown: Scene, rng: np.random.Generator) -> tuple[Change, float]:
    """A semantic mutation of the scene in the middle of the video, and its strength."""
    kind = str(rng.choice(list(MUTATION_KIND)))
    index = int(rng.integers(len(shown.things)))
    thing = shown.things[index]
    becomes = None
    if kind == "colour":
        becomes = replace(thing, colour=str(rng.choice([c for c in COLOURS if c != thing.colour])))
    elif kind == "shape":
        becomes = replace(thing, shape=str(rng.choice([s for s in SHAPES if s != thing.shape])))
    returns = rng.random() < 0.5
    start = int(rng.integers(FRAMES // 4, FRAMES * 5 // 8))
    stop = start + int(rng.integers(3, 6)) if returns else FRAMES
    return Change(index, start, stop, becomes), MUTATION_KIND[kind] + MUTATION_RETURNS * returns
