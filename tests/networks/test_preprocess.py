"""Views of a video: fixed, in place, the same on every machine; resizing against Pillow's own."""

import numpy as np
import pytest
import torch
from PIL import Image

from msavqa.networks import preprocess
from msavqa.networks.preprocess import CENTRE


def pictures(height: int, width: int, *, count: int = 2) -> np.ndarray:
    """Smooth pictures with some noise, (count, height, width, 3) uint8."""
    random = np.random.default_rng(0)
    small = random.integers(0, 256, (count, 6, 8, 3), dtype=np.uint8)
    large = [
        np.asarray(Image.fromarray(one).resize((width, height), Image.Resampling.BICUBIC)) for one in small
    ]
    noise = random.integers(-9, 10, (count, height, width, 3))
    return np.clip(np.stack(large).astype(int) + noise, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize(("height", "width"), [(120, 200), (200, 120), (64, 64), (30, 50)])
def test_resizing_is_pillows_own_within_two_levels(
    interpolation: preprocess.Interpolation, height: int, width: int
) -> None:
    frames = pictures(height, width)
    found = preprocess.resized(frames, short_side=48, interpolation=interpolation)
    size = (round(width * 48 / min(height, width)), round(height * 48 / min(height, width)))
    method = Image.Resampling.BILINEAR if interpolation == "bilinear" else Image.Resampling.BICUBIC
    reference = np.stack([np.asarray(Image.fromarray(one).resize(size, method)) for one in frames])
    assert found.dtype == torch.uint8
    off = np.abs(found.permute(0, 2, 3, 1).numpy().astype(int) - reference.astype(int))
    assert off.max() <= 2
    assert off.mean() < 0.2


def test_frames_of_the_right_size_are_not_touched() -> None:
    frames = pictures(48, 70)
    found = preprocess.resized(frames, short_side=48, interpolation="bicubic")
    assert np.array_equal(found.permute(0, 2, 3, 1).numpy(), frames)


def test_view_zero_is_the_centre_crop() -> None:
    pixels = torch.arange(7 * 11).reshape(1, 7, 11)
    found = preprocess.cropped(pixels, size=5, view=CENTRE)
    assert torch.equal(found, pixels[:, 1:6, 3:8])


def test_views_follow_from_the_id_alone_and_differ() -> None:
    views = preprocess.views("a.mp4", 5)
    assert views[0] == CENTRE
    assert views[:3] == preprocess.views("a.mp4", 3)
    assert len(set(views)) == 5
    assert set(views[1:]).isdisjoint(preprocess.views("b.mp4", 5))
    assert views[1].top == pytest.approx(0.567945, abs=1e-6), "cached views of earlier runs would be stale"


def test_a_flipped_view_is_the_mirror_of_its_crop() -> None:
    pixels = torch.arange(3 * 8 * 9).reshape(3, 8, 9)
    view = preprocess.View(top=1.0, left=0.0, flip=True, start=0.0)
    assert torch.equal(preprocess.cropped(pixels, size=4, view=view), pixels[:, 4:, :4].flip(-1))


@pytest.mark.parametrize("frames", [1, 2, 7, 16, 33])
@pytest.mark.parametrize("count", [1, 4, 8])
@pytest.mark.parametrize("start", [0.0, 0.5, 0.999])
def test_key_frames_lie_one_in_each_segment(frames: int, count: int, start: float) -> None:
    index = preprocess.key_frames(frames, count, start=start)
    assert len(index) == count
    edges = np.arange(count + 1) * frames / count
    assert ((index >= np.floor(edges[:-1])) & (index < np.ceil(edges[1:]))).all()


def test_fragments_are_unscaled_patches_each_from_its_own_cell() -> None:
    height, width, size = 90, 140, 8
    rows, columns = np.mgrid[:height, :width]
    pixels = torch.from_numpy(np.stack([rows, columns, rows])).to(torch.uint8)[None]
    for view in preprocess.views("a.mp4", 4):
        plain = preprocess.View(view.top, view.left, False, view.start) if view != CENTRE else CENTRE
        mosaic = preprocess.fragments(pixels, size=size, view=plain)[0]
        assert mosaic.shape == (3, 7 * size, 7 * size)
        for cell in range(7):
            row, column = mosaic[0, cell * size, 0], mosaic[1, 0, cell * size]
            assert cell * height // 7 <= int(row) <= (cell + 1) * height // 7 - size
            assert cell * width // 7 <= int(column) <= (cell + 1) * width // 7 - size
            patch = mosaic[0, cell * size : (cell + 1) * size, :size]
            assert torch.equal(
                patch, patch[0, 0] + torch.arange(size, dtype=torch.uint8)[:, None].expand(size, size)
            )


def test_fragments_larger_than_their_cells_stay_inside_the_picture() -> None:
    pixels = torch.zeros(1, 3, 50, 50, dtype=torch.uint8)
    assert preprocess.fragments(pixels, size=10, view=preprocess.views("a", 2)[1]).shape == (1, 3, 70, 70)


def test_normalised_pixels_have_the_networks_mean_and_sd() -> None:
    pixels = torch.tensor([0, 128, 255], dtype=torch.uint8).view(1, 3, 1, 1)
    found = preprocess.normalised(pixels, mean_sd=preprocess.CLIP_MEAN_SD).flatten()
    mean, sd = (torch.tensor(part) for part in preprocess.CLIP_MEAN_SD)
    torch.testing.assert_close(found, (torch.tensor([0.0, 128 / 255, 1.0]) - mean) / sd)
