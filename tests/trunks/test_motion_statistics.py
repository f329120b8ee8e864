"""Measures of motion: known pans are found to the pixel, and only what motion cannot explain is left."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from msavqa.trunks.measures.motion_statistics import MOTION, motion


def texture(*, side: int = 160, seed: int = 0) -> np.ndarray:
    """A large textured picture, (side, side) float32 in 40..210."""
    grain = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=(side, side)), 1.5)
    return np.clip(125 + 30 * grain / grain.std(), 40, 210).astype(np.float32)


def pan(places: list[tuple[int, int]], *, seed: int = 0, side: int = 96) -> np.ndarray:
    """Frames cut out of one picture at these places (down, across), (frame, side, side)."""
    picture = texture(seed=seed)
    return np.stack([picture[y : y + side, x : x + side] for y, x in places])


def value(frames: np.ndarray, name: str) -> float:
    return motion(frames)[list(MOTION).index(name)]


def steady(down: int, across: int, frames: int = 10) -> list[tuple[int, int]]:
    return [(30 + down * number, 30 + across * number) for number in range(frames)]


@given(down=st.integers(-3, 3), across=st.integers(-3, 3), seed=st.integers(0, 50))
def test_a_steady_pan_is_found_and_leaves_nothing(down: int, across: int, seed: int) -> None:
    frames = pan(steady(down, across), seed=seed)
    assert value(frames, "shift") == pytest.approx(np.hypot(down, across))
    assert value(frames, "shift_sd") == value(frames, "shift_jerk") == 0
    assert value(frames, "shift_still") == float(down == across == 0)
    # The gain of brightness is that of the shared part, so nothing at all is left.
    assert value(frames, "residual") == pytest.approx(0, abs=1e-3)


def test_a_shaken_pan_has_jerk_and_steps_back() -> None:
    order = [0, 1, 3, 2, 4, 6, 5, 7, 8, 10]
    shaken = pan([(30, 30 + number) for number in order])
    assert value(shaken, "shift_jerk") > 1
    assert value(shaken, "shift_back") == pytest.approx(2 / 9)
    assert value(pan(steady(0, 1)), "shift_back") == 0


def test_a_change_of_brightness_is_no_residual() -> None:
    frames = pan(steady(1, 0))
    flickering = frames * np.array([1, 0.9, 1.1, 0.95, 1.05, 1, 0.9, 1.1, 1, 1], np.float32)[:, None, None]
    plain = np.abs(np.diff(flickering, axis=0)).mean()
    assert np.expm1(value(flickering, "residual")) < 0.02 * plain


def test_a_thing_that_vanishes_stands_out_in_one_place_at_one_time() -> None:
    frames = pan(steady(1, 1))
    mutated = frames.copy()
    mutated[:5, 40:60, 40:60] = 20
    for name in ("residual_peak", "residual_cell", "residual_cell_peak", "return_change"):
        assert value(mutated, name) > value(frames, name) + 0.3, name


def test_an_episode_that_goes_back_is_seen_twice() -> None:
    frames = pan(steady(0, 0))
    gone, back = frames.copy(), frames.copy()
    gone[5:, 40:60, 40:60] = 20
    back[5:7, 40:60, 40:60] = 20
    assert value(gone, "residual_cell_second") < 0.1 < value(back, "residual_cell_second")
    assert value(back, "return_change") < 0.1 < value(gone, "return_change")


@pytest.mark.parametrize("shape", [(1, 96, 96), (2, 96, 96), (3, 5, 7), (2, 1, 1), (16, 8, 3)])
def test_any_size_gives_finite_numbers(shape: tuple[int, int, int]) -> None:
    frames = np.random.default_rng(0).uniform(0, 255, shape).astype(np.float32)
    for shown in (frames, np.zeros_like(frames)):
        found = motion(shown)
        assert len(found) == len(MOTION)
        assert np.isfinite(found).all()
    if shape[0] == 1:
        assert motion(frames) == [0.0] * len(MOTION)
