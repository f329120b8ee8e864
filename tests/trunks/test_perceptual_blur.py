"""The no-reference control: scikit-image's metric, of which frames, read by nothing else."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy import ndimage
from skimage.measure import blur_effect

from msavqa.store import read as store
from msavqa.trunks.measures import perceptual_blur, statistics
from msavqa.trunks.measures.perceptual_blur import sharpness
from msavqa.trunks.run.network import Video
from pipeline import controls
from tests import branch_settings, feature_world


def pictures(frames: int = 1, *, size: int = 64, seed: int = 0, sigma: float = 0.0) -> np.ndarray:
    """Textured frames, each another one, (frame, size, size, 3), blurred by a Gaussian of sigma pixels."""
    random = np.random.default_rng(seed)
    grain = ndimage.gaussian_filter(random.normal(size=(frames, size, size, 3)), (0, 1, 1, 0))
    found = ndimage.gaussian_filter(128 + 40 * grain / grain.std(), (0, sigma, sigma, 0))
    return np.clip(found, 0, 255).astype(np.uint8)


def test_it_is_one_less_the_mean_of_the_metric_over_four_frames() -> None:
    frames = pictures(10)
    blurs = []
    for place in (1, 3, 6, 8):
        red, green, blue = np.moveaxis(frames[place] / 255, -1, 0)
        blurs.append(blur_effect(0.299 * red + 0.587 * green + 0.114 * blue))
    assert sharpness(frames) == pytest.approx(1 - np.mean(blurs))


@pytest.mark.parametrize(
    ("frames", "places"), [(1, [0]), (3, [0, 1, 2]), (4, [0, 1, 2, 3]), (16, [2, 6, 10, 14])]
)
def test_frames_are_the_middles_of_equal_parts(frames: int, places: list[int]) -> None:
    assert perceptual_blur.places(frames).tolist() == places


@given(seed=st.integers(0, 50), sigma=st.floats(0.0, 2.0), more=st.floats(0.5, 2.0))
def test_a_blur_lowers_it(seed: int, sigma: float, more: float) -> None:
    assert sharpness(pictures(seed=seed, sigma=sigma + more)) < sharpness(pictures(seed=seed, sigma=sigma))


@given(
    frames=st.integers(1, 6), height=st.integers(1, 9), width=st.integers(1, 9), seed=st.integers(0, 9),
    flat=st.booleans(),
)  # fmt: skip
def test_every_video_has_a_sharpness_from_0_to_1(
    frames: int, height: int, width: int, seed: int, flat: bool
) -> None:
    shape = (frames, height, width, 3)
    pixels = np.full(shape, seed * 28) if flat else np.random.default_rng(seed).integers(0, 256, shape)
    found = sharpness(pixels.astype(np.uint8))
    assert 0 <= found <= 1
    if flat or min(height, width) < 4:
        assert found == pytest.approx(0)


def test_the_trunk_keeps_it_in_an_array_of_its_own() -> None:
    network = statistics.load()
    videos = [Video("a", pictures(6)), Video("b", pictures(2, sigma=1.0))]
    found = network(videos)
    assert {spec.name: spec.shape for spec in statistics.specs()} == {
        name: values.shape[1:] for name, values in found.items()
    }
    expected = [[sharpness(video.frames)] for video in videos]
    np.testing.assert_allclose(found["no_reference"], expected, rtol=1e-6)
    assert "no_reference" not in statistics.attributes()["statistics"]


def test_the_trees_do_not_read_it_and_the_control_reads_nothing_else(tmp_path: Path) -> None:
    world = feature_world.make(tmp_path)
    rows, features, found = controls.usable(
        world.manifest, world.features, text="clip_text", image="clip_image"
    )
    measured = store.open(world.features / "statistics.zarr")
    places = measured.index(list(rows["video_id"]))
    groups = [measured.read(group, places) for group in ("spatial", "temporal", "change")]
    np.testing.assert_array_equal(features[:, 8:], np.concatenate(groups, axis=1))
    np.testing.assert_array_equal(found, measured.read("no_reference", places)[:, 0])


def test_no_branch_may_read_it() -> None:
    with pytest.raises(ValidationError, match="input_value='no_reference'"):
        branch_settings.branch("frame", statistics=["no_reference"])
