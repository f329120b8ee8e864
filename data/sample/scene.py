"""Draws a scene of the sample world: frames of flat, outlined things before a textured background (numpy).

Edges are anti-aliased from signed distances, motion is sub-pixel, and the background pans by a whole pixel
a frame, so that no frame is softer than its neighbours and a frozen frame is always one that should move.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, gaussian_filter1d

from data.sample.grammar import Scene, Thing

FRAMES = 16
PIXELS = 96

RGB = {
    "red": (205, 35, 40),
    "green": (35, 160, 60),
    "blue": (35, 75, 205),
    "yellow": (240, 215, 45),
    "purple": (135, 50, 175),
    "orange": (245, 130, 25),
    "white": (242, 242, 242),
    "pink": (245, 140, 190),
}
Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Change:
    """A semantic mutation: from frame `start` until before `stop`, thing `index` is another, or none."""

    index: int
    start: int
    stop: int
    becomes: Thing | None


@dataclass(frozen=True)
class Look:
    """All that a prompt leaves open: places, sizes, tilt, light, texture. None of it changes the quality."""

    centres: tuple[
        tuple[float, float], ...
    ]  # (x, y) in parts of the frame's side, at the middle of the video
    radii: tuple[float, ...]  # in parts of the frame's side
    tilts: tuple[float, ...]  # radians
    pan: tuple[int, int]  # background's pixels per frame, along x and y
    softness: float  # pixels of natural blur of the background
    light: tuple[float, float]  # brightness of the first and of the last frame
    tint: tuple[float, float, float]  # factor on red, green and blue
    texture_seed: int


def draw_look(things: int, rng: np.random.Generator) -> Look:
    """The open points of a scene with so many things, drawn at random."""
    if things == 1:
        centres = [(0.5 + rng.uniform(-0.07, 0.07), 0.5 + rng.uniform(-0.07, 0.07))]
        radii = [rng.uniform(0.23, 0.30)]
    else:
        left, right = ((x + rng.uniform(-0.02, 0.02), 0.5 + rng.uniform(-0.1, 0.1)) for x in (0.26, 0.74))
        centres = [left, right] if rng.random() < 0.5 else [right, left]
        radii = [rng.uniform(0.17, 0.20) for _ in range(2)]
    pans = [(x, y) for x in (-1, 0, 1) for y in (-1, 0, 1) if (x, y) != (0, 0)]
    return Look(
        centres=tuple(centres),
        radii=tuple(radii),
        tilts=tuple(rng.uniform(-0.2, 0.2) for _ in range(things)),
        pan=pans[int(rng.integers(len(pans)))],
        softness=max(0.0, rng.uniform(-0.6, 0.9)),
        light=(rng.uniform(0.85, 1.1), rng.uniform(0.85, 1.1)),
        tint=(rng.uniform(0.94, 1.06), rng.uniform(0.94, 1.06), rng.uniform(0.94, 1.06)),
        texture_seed=int(rng.integers(2**31)),
    )


def render(
    scene: Scene,
    look: Look,
    *,
    changes: Sequence[Change] = (),
    frames: Sequence[int] | None = None,
    texture: Floats | None = None,
) -> NDArray[np.uint8]:
    """The scene's frames, RGB of shape (frame, height, width, 3), `PIXELS` a side.

    `frames` picks among the numbers 0 to `FRAMES - 1`; `texture` is a background made before.
    """
    numbers = range(FRAMES) if frames is None else frames
    canvas = background(scene.background, look.texture_seed) if texture is None else texture
    if look.softness > 0:
        canvas = gaussian_filter(canvas, sigma=(look.softness, look.softness, 0))
    shown = np.empty((len(numbers), PIXELS, PIXELS, 3), np.float32)
    for place, number in enumerate(numbers):
        x, y = (FRAMES + step * (number - FRAMES // 2) for step in look.pan)
        shown[place] = canvas[y : y + PIXELS, x : x + PIXELS]
        for index, thing in enumerate(_things_at(scene, number, changes)):
            if thing is not None:
                _draw(shown[place], thing, look, index, number, single=len(scene.things) == 1)
    times = np.asarray(numbers, np.float32) / (FRAMES - 1)
    light = look.light[0] + (look.light[1] - look.light[0]) * times
    shown *= light[:, None, None, None] * np.asarray(look.tint, np.float32)
    levels: NDArray[np.uint8] = np.clip(shown + 0.5, 0, 255).astype(np.uint8)
    return levels


def _things_at(scene: Scene, number: int, changes: Sequence[Change]) -> list[Thing | None]:
    things: list[Thing | None] = list(scene.things)
    for change in changes:
        if change.start <= number < change.stop:
            becomes, motion = change.becomes, scene.things[change.index].motion
            things[change.index] = None if becomes is None else replace(becomes, motion=motion)
    return things


_STEP = {"left": (-1.0, 0.0), "right": (1.0, 0.0), "up": (0.0, -1.0), "down": (0.0, 1.0)}


def _draw(frame: Floats, thing: Thing, look: Look, index: int, number: int, *, single: bool) -> None:
    """Blends one thing into one frame, touching only the pixels it can cover."""
    time = number / (FRAMES - 1) - 0.5  # -0.5 to 0.5
    travel = 0.36 if single else 0.16
    step = _STEP.get(thing.motion, (0.0, 0.0))
    x, y = (PIXELS * (centre + travel * time * s) for centre, s in zip(look.centres[index], step))
    radius = PIXELS * look.radii[index] * (0.85 + 0.5 * time if thing.motion == "grow" else 1.0)
    reach = int(radius * 1.3) + 2
    left, top = max(0, int(x) - reach), max(0, int(y) - reach)
    right, bottom = min(PIXELS, int(x) + reach), min(PIXELS, int(y) + reach)
    across = np.arange(left, right, dtype=np.float32)[None, :] + 0.5 - np.float32(x)
    down = np.arange(top, bottom, dtype=np.float32)[:, None] + 0.5 - np.float32(y)
    cos, sin = np.float32(np.cos(look.tilts[index])), np.float32(np.sin(look.tilts[index]))
    u, v = (across * cos + down * sin) / radius, (down * cos - across * sin) / radius
    distance = (SHAPE_DISTANCE[thing.shape](u, v) * radius)[..., None]  # pixels, negative inside
    shade = 1.04 - 0.12 * (u + v)[..., None]
    outline = np.clip(distance + 2.3, 0, 1)  # a dark rim two pixels wide
    paint = np.asarray(RGB[thing.colour], np.float32) * np.clip(shade, 0.8, 1.2) * (1 - 0.6 * outline)
    cover = np.clip(0.5 - distance, 0, 1)
    patch = frame[top:bottom, left:right]
    patch += cover * (np.minimum(paint, 255) - patch)


def _circle(u: Floats, v: Floats) -> Floats:
    return np.asarray(np.hypot(u, v) - 1)


def _ring(u: Floats, v: Floats) -> Floats:
    return np.asarray(np.abs(np.hypot(u, v) - 0.74) - 0.26)


def _square(u: Floats, v: Floats) -> Floats:
    return np.asarray(np.maximum(np.abs(u), np.abs(v)) - 0.86)


def _triangle(u: Floats, v: Floats) -> Floats:
    side = np.float32(np.sqrt(3) / 2) * np.abs(u) - 0.5 * v
    return np.asarray(np.maximum(side - 0.5, v - 0.7))


def _cross(u: Floats, v: Floats) -> Floats:
    along = np.maximum(np.abs(u) - 1, np.abs(v) - 0.34)
    return np.asarray(np.minimum(along, np.maximum(np.abs(v) - 1, np.abs(u) - 0.34)))


def _star(u: Floats, v: Floats) -> Floats:
    angle = np.mod(np.arctan2(u, -v), 2 * np.pi / 5)
    angle = np.minimum(angle, 2 * np.pi / 5 - angle)  # folded onto half an arm; 0 is the arm's point
    reach = np.hypot(u, v)
    x, y = reach * np.cos(angle), reach * np.sin(angle)
    tip, notch = (1.15, 0.0), (0.5 * np.cos(np.pi / 5), 0.5 * np.sin(np.pi / 5))
    edge = (notch[1] - tip[1], tip[0] - notch[0])
    length = float(np.hypot(*edge))
    return np.asarray(((x - tip[0]) * edge[0] + (y - tip[1]) * edge[1]) / length)


SHAPE_DISTANCE: dict[str, Callable[[Floats, Floats], Floats]] = {
    "circle": _circle,
    "square": _square,
    "triangle": _triangle,
    "star": _star,
    "cross": _cross,
    "ring": _ring,
}


def background(name: str, seed: int) -> Floats:
    """A background's texture, RGB 0-255, larger than a frame by what the pan can need on every side."""
    rng = np.random.default_rng(seed)
    side = PIXELS + 2 * FRAMES
    y, x = np.mgrid[0:side, 0:side].astype(np.float32)
    grain = rng.standard_normal((side, side), dtype=np.float32)
    strength = np.float32(rng.uniform(0.6, 1.4))  # of the texture
    if name == "brick wall":
        high, wide = rng.integers(8, 13), rng.integers(18, 27)
        row = y // high
        along = x + (row % 2) * (wide // 2)
        bricks = rng.standard_normal((side, side))[row.astype(int), (along // wide).astype(int)]
        mortar = (y % high < 1.5) | (along % wide < 1.5)
        tone = 1 + 0.09 * strength * bricks + 0.03 * grain
        return _paint((140, 82, 66), np.where(mortar, 1.35, tone))
    if name == "grassy field":
        blades = 2.2 * gaussian_filter1d(grain, 2.0, axis=0) + gaussian_filter(grain, 4) * 4
        return _paint((96, 132, 58), 1 + 0.13 * strength * blades)
    if name == "sandy beach":
        ripples = np.sin((y + 3 * np.sin(x / rng.uniform(9, 16))) * rng.uniform(0.35, 0.7))
        return _paint((208, 184, 134), 1 + strength * (0.05 * gaussian_filter(grain, 0.5) + 0.05 * ripples))
    if name == "night sky":
        sky = np.asarray((20, 24, 58), np.float32) + 14 * gaussian_filter(grain, 8)[..., None] * 8
        stars = (grain > 2.9 - 0.3 * strength).astype(np.float32)
        lit: NDArray[np.float32] = np.clip(sky + 190 * gaussian_filter(stars, 0.45)[..., None], 0, 255)
        return lit.astype(np.float32)
    if name == "calm sea":
        swell = np.sin(
            y * rng.uniform(0.3, 0.6) + 2 * np.sin(x / rng.uniform(10, 20)) + gaussian_filter(grain, 3) * 9
        )
        return _paint((52, 118, 150), 1 + strength * (0.1 * swell + 0.03 * gaussian_filter(grain, 0.6)))
    if name == "checkered floor":
        tile = rng.integers(10, 17)
        odd = ((x // tile) + (y // tile)) % 2
        return _paint((150, 150, 154), 1 + 0.3 * strength * (odd - 0.5) + 0.02 * grain)
    raise ValueError(f"no such background in the sample world: {name!r}")


def _paint(rgb: tuple[int, int, int], tone: Floats) -> Floats:
    painted = np.asarray(rgb, np.float32) * tone[..., None].astype(np.float32)
    return np.asarray(np.clip(painted, 0, 255))
