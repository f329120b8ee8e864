"""Measures of fine detail: against scipy and by what blur, compression and block borders do to them."""

import numpy as np
import pytest
from scipy import fft, ndimage

from msavqa.trunks.measures.texture_statistics import QUANTILES, TEXTURE, texture

NAMES = list(TEXTURE)


def picture(*, seed: int = 0, side: int = 96) -> np.ndarray:
    """One frame of smooth shapes with weak grain, (1, side, side) float32."""
    random = np.random.default_rng(seed)
    shapes = 60 * (ndimage.gaussian_filter(random.normal(size=(side, side)), 8) > 0)
    return (90 + shapes + random.normal(0, 3, (side, side))).astype(np.float32)[None]


def value(frame: np.ndarray, name: str) -> float:
    return float(texture(frame)[0, NAMES.index(name)])


def wiped(frame: np.ndarray, *, step: float) -> np.ndarray:
    """What a codec does: 4 x 4 cosine coefficients rounded to multiples of `step`."""
    side = frame.shape[-1] // 4
    blocks = frame.reshape(side, 4, side, 4).transpose(0, 2, 1, 3)
    coefficients = np.round(fft.dctn(blocks, axes=(2, 3), norm="ortho") / step) * step
    back = fft.idctn(coefficients, axes=(2, 3), norm="ortho")
    return back.transpose(0, 2, 1, 3).reshape(frame.shape).astype(np.float32)


def test_detail_is_the_quantile_of_scipys_laplacian() -> None:
    frame = picture()
    expected = np.abs(ndimage.laplace(frame[0], mode="nearest")).ravel()
    for q in QUANTILES:
        assert value(frame, f"detail_{q:g}") == pytest.approx(
            np.log1p(np.quantile(expected, q, method="nearest")), rel=0.02
        )


def test_bands_are_those_of_scipys_cosine_transform() -> None:
    frame = picture()
    blocks = frame.astype(np.float64).reshape(24, 4, 24, 4).transpose(0, 2, 1, 3)
    found = np.abs(fft.dctn(blocks, axes=(2, 3), norm="ortho"))
    order = np.add.outer(np.arange(4), np.arange(4))
    bands = {"band_low": order == 1, "band_middle": (order > 1) & (order < 4), "band_high": order > 3}
    for name, band in bands.items():
        assert value(frame, name) == pytest.approx(np.log1p(found[..., band].mean()), rel=1e-5)
    assert value(frame, "band_zero") == pytest.approx((found[..., order > 1] < 0.5).mean(), abs=1e-3)
    assert value(frame, "activity_0.5") == pytest.approx(
        np.log1p(np.quantile(blocks.std(axis=(2, 3)), 0.5, method="nearest")), rel=1e-5
    )


def test_a_blur_takes_all_detail_and_compression_the_weak() -> None:
    frame = picture()
    blurred, compressed = ndimage.gaussian_filter(frame, (0, 2, 2)), wiped(frame, step=16)
    assert value(blurred, "detail_0.99") < 0.7 * value(frame, "detail_0.99")
    assert value(compressed, "detail_0.99") > 0.8 * value(frame, "detail_0.99")
    for changed in (blurred, compressed):
        assert value(changed, "detail_0.5") < 0.7 * value(frame, "detail_0.5")


def test_compression_empties_blocks_and_bands() -> None:
    found = [
        [value(wiped(picture(), step=step), name) for step in (1, 8, 24)] for name in ("flat", "band_zero")
    ]
    for one in found:
        assert one == sorted(one)
        assert one[-1] > one[0] + 0.2
    assert value(wiped(picture(), step=24), "band_high") < value(picture(), "band_high")


def test_a_grid_is_seen_at_its_own_size() -> None:
    tiles = np.kron(np.random.default_rng(0).uniform(90, 110, (6, 6)), np.ones((16, 16)))[None]
    gridded = (picture() + tiles).astype(np.float32)
    assert value(gridded, "grid_16") > value(picture(), "grid_16") + 0.1
    fine = np.kron(np.random.default_rng(0).uniform(90, 110, (24, 24)), np.ones((4, 4)))[None]
    assert value((picture() + fine).astype(np.float32), "grid_4") > value(picture(), "grid_4") + 0.1


@pytest.mark.parametrize("size", [(96, 96), (5, 7), (1, 1), (3, 40)])
def test_any_size_gives_finite_numbers(size: tuple[int, int]) -> None:
    found = texture(np.random.default_rng(0).uniform(0, 255, (2, *size)).astype(np.float32))
    assert found.shape == (2, len(TEXTURE))
    assert np.isfinite(found).all()
