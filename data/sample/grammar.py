"""What a scene of the sample world says: its grammar, its prompts, and the way back from prompt to scene.

A scene has one or two things (a colour, a shape and a motion each) before a background. `prompt_of` words
a scene in one of several ways; `parse` reads any of those wordings back.
"""

import re
from dataclasses import dataclass, replace
from itertools import product

import numpy as np

COLOURS = ("red", "green", "blue", "yellow", "purple", "orange", "white", "pink")
SHAPES = ("circle", "square", "triangle", "star", "cross", "ring")
MOTIONS = ("left", "right", "up", "down", "still", "grow")
BACKGROUNDS = ("brick wall", "grassy field", "sandy beach", "night sky", "calm sea", "checkered floor")

TWO_THINGS_PROBABILITY = 0.4
MOST_ATTRIBUTES_WRONG = 3


@dataclass(frozen=True)
class Thing:
    """One object: its colour, its shape and how it moves."""

    colour: str
    shape: str
    motion: str


@dataclass(frozen=True)
class Scene:
    """One or two things before a background. Two things differ in colour and in shape."""

    things: tuple[Thing, ...]
    background: str


@dataclass(frozen=True)
class Wording:
    """One way to say a scene: a sentence, the word that joins two things, and the form of the verb."""

    sentence: str
    join: str
    verbs: dict[str, str]


_MOVES = {
    "left": "moves left",
    "right": "moves right",
    "up": "moves up",
    "down": "moves down",
    "still": "stays still",
    "grow": "grows bigger",
}
_MOVING = {
    "left": "moving to the left",
    "right": "moving to the right",
    "up": "rising upwards",
    "down": "sinking downwards",
    "still": "standing still",
    "grow": "growing bigger",
}
WORDINGS = (
    Wording("{things} in front of {background}", " and ", _MOVES),
    Wording("in front of {background}, {things}", " while ", _MOVES),
    Wording("a video of {things}, with {background} behind", " next to ", _MOVING),
    Wording("{background} with {things}", " and ", _MOVING),
    Wording("an animation: {things}. The background is {background}.", ", and ", _MOVES),
)


def _article(noun: str) -> str:
    return ("an " if noun[0] in "aeiou" else "a ") + noun


def prompt_of(scene: Scene, *, wording: int) -> str:
    """The scene in words, by the wording of the given number (0 to `len(WORDINGS) - 1`)."""
    chosen = WORDINGS[wording]
    things = [f"{_article(t.colour)} {t.shape} {chosen.verbs[t.motion]}" for t in scene.things]
    return chosen.sentence.format(things=chosen.join.join(things), background=_article(scene.background))


def _pattern(wording: Wording, count: int) -> re.Pattern[str]:
    verbs = "|".join(re.escape(verb) for verb in wording.verbs.values())
    thing = rf"an? ({'|'.join(COLOURS)}) ({'|'.join(SHAPES)}) ({verbs})"
    things = re.escape(wording.join).join([thing] * count)
    background = rf"an? (?P<background>{'|'.join(BACKGROUNDS)})"
    sentence = re.escape(wording.sentence).replace(r"\{things\}", things)
    return re.compile(sentence.replace(r"\{background\}", background))


_PATTERNS = [(w, count, _pattern(w, count)) for w, count in product(WORDINGS, (1, 2))]


def parse(prompt: str) -> Scene:
    """The scene a prompt of this grammar describes. Raises `ValueError` for any other text."""
    for wording, count, pattern in _PATTERNS:
        found = pattern.fullmatch(prompt)
        if found is None:
            continue
        motion_of = {verb: motion for motion, verb in wording.verbs.items()}
        background = found["background"]
        words = [g for i, g in enumerate(found.groups(), 1) if i != pattern.groupindex["background"]]
        triples = [words[3 * i : 3 * i + 3] for i in range(count)]
        return Scene(tuple(Thing(c, s, motion_of[v]) for c, s, v in triples), background)
    raise ValueError(f"not a sentence of the sample world's grammar: {prompt!r}")


def draw_scene(rng: np.random.Generator) -> Scene:
    """A scene drawn evenly from the grammar."""
    count = 2 if rng.random() < TWO_THINGS_PROBABILITY else 1
    colours = rng.permutation(COLOURS)[:count]
    shapes = rng.permutation(SHAPES)[:count]
    motions = rng.choice(MOTIONS, size=count)
    things = tuple(Thing(str(c), str(s), str(m)) for c, s, m in zip(colours, shapes, motions))
    return Scene(things, str(rng.choice(BACKGROUNDS)))


def draw_prompt(scene: Scene, rng: np.random.Generator) -> str:
    """The scene in a wording drawn evenly."""
    return prompt_of(scene, wording=int(rng.integers(len(WORDINGS))))


VALUES = {"colour": COLOURS, "shape": SHAPES, "motion": MOTIONS, "background": BACKGROUNDS}
# How much a wrong attribute counts, and how often it is the one a generator gets wrong.
ATTRIBUTE_WEIGHT = {"colour": 1.0, "shape": 1.0, "background": 1.0, "motion": 0.5}


def attributes_of(scene: Scene) -> list[tuple[int, str]]:
    """The places where a scene can be wrong: (number of the thing, attribute); -1 for the background."""
    of_things = [(i, a) for i in range(len(scene.things)) for a in ("colour", "shape", "motion")]
    return [*of_things, (-1, "background")]


def value_at(scene: Scene, place: tuple[int, str]) -> str:
    """The scene's value at one of its `attributes_of`."""
    index, attribute = place
    return scene.background if index < 0 else str(getattr(scene.things[index], attribute))


def with_value(scene: Scene, place: tuple[int, str], value: str) -> Scene:
    """The scene with another value at one of its `attributes_of`."""
    index, attribute = place
    if index < 0:
        return replace(scene, background=value)
    things = list(scene.things)
    things[index] = replace(things[index], **{attribute: value})
    return replace(scene, things=tuple(things))


def draw_misreading(scene: Scene, *, wrong: int, rng: np.random.Generator) -> Scene:
    """The scene as a generator that gets `wrong` attributes (0 to 3) wrong would show it."""
    places = attributes_of(scene)
    weights = np.array([ATTRIBUTE_WEIGHT[attribute] for _, attribute in places])
    for number in rng.choice(len(places), size=wrong, replace=False, p=weights / weights.sum()):
        place = places[int(number)]
        others = [value for value in VALUES[place[1]] if value != value_at(scene, place)]
        scene = with_value(scene, place, str(rng.choice(others)))
    return scene


def misalignment(asked: Scene, shown: Scene) -> float:
    """How far what is shown is from what was asked, 0 (all right) to 1 (three attributes' worth wrong).

    The weights of the wrong attributes, summed and divided by three. A thing too many or too few counts as
    all its attributes; two things are compared in the order that agrees best.
    """
    first, second = sorted((asked.things, shown.things), key=len)
    orders = [second, second[::-1]] if len(second) == 2 else [second]
    background = ATTRIBUTE_WEIGHT["background"] * (asked.background != shown.background)
    wrong = background + min(_difference(first, order) for order in orders)
    return float(min(1.0, wrong / MOST_ATTRIBUTES_WRONG))


def _difference(fewer: tuple[Thing, ...], more: tuple[Thing, ...]) -> float:
    named = ("colour", "shape", "motion")
    differing = (a for x, y in zip(fewer, more) for a in named if getattr(x, a) != getattr(y, a))
    missing = (a for _ in more[len(fewer) :] for a in named)
    return sum(ATTRIBUTE_WEIGHT[a] for a in (*differing, *missing))
