"""Handcrafted measures: each answers to its own cause, and to nothing that is not there."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage, stats

from msavqa.trunks.measures import frame_statistics
from msavqa.trunks.measures.frame_statistics import NAMES, measure
from tests import clips


def scene(*, frames: int = 8, size: int = 96, seed: int = 0) -> np.ndarray:
    """A steady, moderately textured video, (frame, size, size, 3) uint8."""
    random = np.random.default_rng(seed)
    picture = ndimage.gaussian_filter(random.normal(size=(size, size, 3)), (2, 2, 0))
    picture = 128 + 40 * picture / picture.std()
    return np.tile(np.clip(picture, 0, 255).astype(np.uint8), (frames, 1, 1, 1))


def noisy(frames: np.ndarray, sigma: float) -> np.ndarray:
    noise = np.random.default_rng(1).normal(0, sigma, frames.shape)
    return np.clip(frames + noise, 0, 255).astype(np.uint8)


def value(frames: np.ndarray, name: str) -> float:
    return float(measure(frames)[NAMES.index(name)])


def test_names_are_at_least_eighteen_and_different() -> None:
    assert len(NAMES) == len(set(NAMES)) >= 18


@pytest.mark.parametrize(
    ("name", "worse"),
    [
        ("sharpness_log", lambda v: ndimage.gaussian_filter(v, (0, 2, 2, 0))),
        ("gradient", lambda v: ndimage.gaussian_filter(v, (0, 2, 2, 0))),
        ("high_frequency", lambda v: ndimage.gaussian_filter(v, (0, 2, 2, 0))),
        ("contrast", lambda v: 128 + (v.astype(int) - 128) // 2),
        ("brightness", lambda v: v // 2),
        ("colourfulness", lambda v: np.repeat(v.mean(-1, keepdims=True), 3, axis=-1)),
        ("saturation", lambda v: np.repeat(v.mean(-1, keepdims=True), 3, axis=-1)),
        ("entropy", lambda v: v // 64 * 64),
        ("mscn_neighbours", lambda v: noisy(v, 20)),
    ],
)
def test_a_measure_falls_with_its_cause(name: str, worse: object) -> None:
    changed = np.clip(worse(scene()), 0, 255).astype(np.uint8)  # type: ignore[operator]
    assert value(changed, name) < 0.9 * value(scene(), name)


@pytest.mark.parametrize(
    "name", ["noise_sigma", "noise_flat", "noise_temporal", "difference", "mscn_variance"]
)
def test_a_measure_rises_with_noise(name: str) -> None:
    assert value(noisy(scene(), 12), name) > 1.2 * value(noisy(scene(), 4), name)


def test_noise_sigma_is_the_standard_deviation_that_was_added() -> None:
    grey = np.full((4, 96, 96, 1), 128)
    noise = np.random.default_rng(0).normal(0, 6, grey.shape)
    frames = np.repeat(np.round(grey + noise), 3, axis=-1).astype(np.uint8)
    assert value(frames, "noise_sigma") == pytest.approx(6, rel=0.05)


def test_blockiness_is_the_ratio_of_steps_at_borders_and_inside() -> None:
    blocks = np.random.default_rng(0).integers(60, 200, (12, 12)).repeat(8, axis=0).repeat(8, axis=1)
    frames = np.tile(blocks[None, :, :, None], (2, 1, 1, 3)).astype(np.uint8)
    assert value(frames, "blockiness") > 20
    assert value(scene(), "blockiness") == pytest.approx(1, abs=0.2)


def test_flicker_answers_to_brightness_that_swings() -> None:
    swing = np.array([0, 20] * 4)[:, None, None, None]
    frames = np.clip(scene() // 2 + swing, 0, 255).astype(np.uint8)
    assert value(frames, "flicker") == pytest.approx(40, abs=1)
    assert value(frames, "brightness_change") == pytest.approx(20, abs=1)


def test_frozen_is_the_share_of_repeated_frames() -> None:
    moving = np.stack([np.roll(scene()[0], 3 * step, axis=1) for step in range(8)])
    assert value(moving, "frozen") == 0
    frozen = moving[[0, 1, 1, 1, 4, 5, 5, 7]]
    assert value(frozen, "frozen") == pytest.approx(3 / 7)


def test_judder_answers_to_uneven_motion() -> None:
    even = np.stack([np.roll(scene()[0], 2 * step, axis=1) for step in range(8)])
    uneven = even[[0, 0, 2, 2, 4, 4, 6, 6]]
    assert value(uneven, "judder") > value(even, "judder") + 1


def test_a_colour_that_changes_in_the_middle_is_a_jump_of_the_histogram() -> None:
    frames = scene()
    changed = frames.copy()
    changed[4:, 20:60, 20:60] = changed[4:, 20:60, 20:60, ::-1] // 2
    for name in ("histogram_jump", "histogram_drift", "chroma_jump", "difference_peak"):
        assert value(frames, name) < value(changed, name), name
    assert value(changed, "structure_lowest") < 0.99 < value(frames, "structure_lowest")


def test_a_steady_video_changes_in_nothing() -> None:
    found = dict(zip(NAMES, measure(scene()), strict=True))
    steady = [
        "flicker",
        "difference",
        "difference_sd",
        "histogram_jump",
        "chroma_jump",
        "sharpness_log_over_time",
    ]
    assert {name: float(found[name]) for name in steady} == pytest.approx(
        dict.fromkeys(steady, 0.0), abs=1e-4
    )
    assert found["frozen"] == 1


def test_frames_that_lie_anywhere_in_memory_measure_the_same() -> None:
    frames = clips.videos(1, frames=6, size=80)[0].frames
    expected = measure(frames)
    kept = frames.copy()
    kept.flags.writeable = False  # as a part of a store is
    np.testing.assert_array_equal(measure(kept), expected)
    mirrored = np.ascontiguousarray(frames[:, :, ::-1])
    np.testing.assert_array_equal(measure(mirrored[:, :, ::-1]), expected)


def test_contrast_normalised_luminance_is_that_of_scipy() -> None:
    frame = noisy(scene(frames=1), 6)
    luminance = frame[0] @ np.array([0.299, 0.587, 0.114])
    mean = ndimage.gaussian_filter(luminance, 7 / 6, truncate=3.0)
    square = ndimage.gaussian_filter(luminance**2, 7 / 6, truncate=3.0)
    mscn = (luminance - mean) / (np.sqrt(square - mean**2) + 1)
    assert value(frame, "mscn_variance") == pytest.approx(mscn.var(), rel=1e-4)
    assert value(frame, "mscn_kurtosis") == pytest.approx(stats.kurtosis(mscn.ravel()), abs=1e-3)
    assert value(frame, "mscn_neighbours") == pytest.approx((mscn[:, 1:] * mscn[:, :-1]).mean(), rel=1e-3)


def test_noise_in_flat_parts_is_that_of_scipys_high_pass() -> None:
    frame = noisy(scene(frames=1), 6)
    luminance = frame[0] @ np.array([0.299, 0.587, 0.114])
    high = np.abs(luminance - ndimage.uniform_filter(luminance, 3))
    across, down = (
        ndimage.correlate1d(luminance, [-0.5, 0, 0.5], axis=axis, mode="nearest") for axis in (1, 0)
    )
    activity, magnitude = (
        values.reshape(12, 8, 12, 8).mean(axis=(1, 3)) for values in (np.hypot(across, down), high)
    )
    expected = np.median(magnitude[activity <= np.quantile(activity, 0.1)])
    assert value(frame, "noise_flat") == pytest.approx(expected, rel=1e-4)


@given(
    frames=st.integers(1, 4), height=st.integers(1, 20), width=st.integers(1, 20), seed=st.integers(0, 9),
    flat=st.booleans(),
)  # fmt: skip
def test_every_video_has_finite_measures(frames: int, height: int, width: int, seed: int, flat: bool) -> None:
    shape = (frames, height, width, 3)
    pixels = np.full(shape, seed * 28) if flat else np.random.default_rng(seed).integers(0, 256, shape)
    found = measure(pixels.astype(np.uint8))
    assert found.shape == (len(NAMES),)
    assert np.isfinite(found).all()


def test_every_measure_belongs_to_exactly_one_group() -> None:
    grouped = [name for names in frame_statistics.GROUPS.values() for name in names]
    assert sorted(grouped) == sorted(frame_statistics.NAMES)
