"""Frames as a network wants them: the views of a video, resized, cropped, cut to fragments; still uint8.

A view is one fixed way to look at a video. View 0 is for evaluation: centre crop, key frames in the middles
of equal parts. The others are for training and differ in place, flip and start; they follow from the video's
id and the view's number alone, so that a cached view never changes.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from torch import Tensor

Interpolation = Literal["bilinear", "bicubic"]
Sampling = Literal["resize", "fragments"]
GRID = 7
"""Zoom-VQA's and FAST-VQA's fragments: 7 x 7 patches of 48 pixels make 336."""
CLIP_MEAN_SD = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))
IMAGENET_MEAN_SD = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""Mean and standard deviation of red, green and blue in 0..1, as the networks were trained."""


@dataclass(frozen=True)
class View:
    """Where to look: top and left as fractions of the room a crop has, start as a fraction of a segment."""

    top: float
    left: float
    flip: bool
    start: float


CENTRE = View(top=0.5, left=0.5, flip=False, start=0.5)


def views(video_id: str, count: int) -> list[View]:
    """The first `count` views of a video; the same for the same id on every machine."""
    return [CENTRE if number == 0 else _random_view(video_id, number) for number in range(count)]


def _random_view(video_id: str, number: int) -> View:
    digest = hashlib.sha256(f"{number}:{video_id}".encode()).digest()
    top, left, start = (int.from_bytes(digest[at : at + 4], "big") / 2**32 for at in (0, 4, 8))
    return View(top=top, left=left, flip=bool(digest[12] & 1), start=start)


def key_frames(frames: int, count: int | Literal["all"], *, start: float) -> npt.NDArray[np.int64]:
    """Which of `frames` frames a view takes: floor((i + start) frames / count); all of them for `all`.

    start 0.5 is the middle of each of the `count` equal segments, 0 their first frame. Frames repeat where
    there are fewer than asked for.
    """
    if count == "all":
        return np.arange(frames)
    return np.floor((np.arange(count) + start) * frames / count).astype(np.int64).clip(0, frames - 1)


def resized(frames: npt.NDArray[np.uint8], *, short_side: int, interpolation: Interpolation) -> "Tensor":
    """Frames (frame, height, width, 3) with their short side made `short_side` pixels, antialiased.

    Gives uint8 (frame, 3, height, width); frames of that size already are not touched.
    """
    import torch
    from torch.nn import functional

    pixels = torch.from_numpy(np.require(frames, requirements=["C", "W"])).permute(0, 3, 1, 2)
    height, width = pixels.shape[-2:]
    if min(height, width) == short_side:
        return pixels
    scale = short_side / min(height, width)
    # Never below the short side, whatever the rounding of the long one.
    size = (max(short_side, round(height * scale)), max(short_side, round(width * scale)))
    return functional.interpolate(pixels, size=size, mode=interpolation, antialias=True)


def cropped(pixels: "Tensor", *, size: int, view: View) -> "Tensor":
    """The `size` x `size` part of (..., height, width) pixels that a view looks at, flipped or not."""
    height, width = pixels.shape[-2:]
    top, left = round(view.top * (height - size)), round(view.left * (width - size))
    part = pixels[..., top : top + size, left : left + size]
    return part.flip(-1) if view.flip else part


def fragments(pixels: "Tensor", *, size: int, view: View) -> "Tensor":
    """A mosaic of 7 x 7 unscaled patches of `size` pixels, one a cell, the same in all frames.

    FAST-VQA's sampling: technical quality at its own scale, from all over the picture. View 0 takes the
    middle of every cell, other views a place of their own in each.
    """
    height, width = pixels.shape[-2:]
    if view == CENTRE:
        places = np.full((GRID, GRID, 2), 0.5)
    else:
        seed = [int(part * 2**32) for part in (view.top, view.left, view.start)]
        places = np.random.default_rng(seed).random((GRID, GRID, 2))
    mosaic = pixels.new_empty((*pixels.shape[:-2], GRID * size, GRID * size))
    for row in range(GRID):
        for column in range(GRID):
            top = _place(row, height, size, places[row, column, 0])
            left = _place(column, width, size, places[row, column, 1])
            patch = pixels[..., top : top + size, left : left + size]
            mosaic[..., row * size : (row + 1) * size, column * size : (column + 1) * size] = patch
    return mosaic.flip(-1) if view.flip else mosaic


def _place(cell: int, length: int, size: int, fraction: float) -> int:
    """The first pixel of a patch inside its cell; inside the picture where cells are smaller than patches."""
    start, end = cell * length // GRID, (cell + 1) * length // GRID
    return int(min(start + fraction * max(end - start - size, 0), length - size))


def normalised(pixels: "Tensor", *, mean_sd: tuple[tuple[float, ...], tuple[float, ...]]) -> "Tensor":
    """uint8 (row, 3, ...) pixels as float32 with the mean and sd that a network was trained with."""
    import torch

    shape = (1, 3, *[1] * (pixels.ndim - 2))
    mean, sd = (torch.tensor(part, device=pixels.device).view(shape) * 255 for part in mean_sd)
    return (pixels.float() - mean) / sd


def image_views(
    frames: npt.NDArray[np.uint8],
    *,
    looks: Sequence[View],
    key: int | Literal["all"],
    resize: int,
    crop: int,
    interpolation: Interpolation,
) -> "tuple[Tensor, npt.NDArray[np.int32]]":
    """Crops of the (key) frames of a video: uint8 (view, frame, 3, crop, crop), and which frames they are.

    Each frame is resized once, whatever views need it.
    """
    import torch

    index = [key_frames(len(frames), key, start=look.start) for look in looks]
    needed, place = np.unique(np.concatenate(index), return_inverse=True)
    pixels = resized(frames[needed], short_side=resize, interpolation=interpolation)
    chosen = zip(np.split(place, len(looks)), looks, strict=True)
    crops = [cropped(pixels[torch.from_numpy(which)], size=crop, view=look) for which, look in chosen]
    return torch.stack(crops), np.stack(index).astype(np.int32)


def video_views(
    frames: npt.NDArray[np.uint8],
    *,
    looks: Sequence[View],
    resize: int,
    crop: int,
    interpolation: Interpolation,
    sampling: Sampling,
) -> "Tensor":
    """Crops or fragments of all frames of a video, uint8 (view, 3, frame, crop, crop)."""
    import torch

    pixels = resized(frames, short_side=resize, interpolation=interpolation)
    parts = [
        cropped(pixels, size=crop, view=look)
        if sampling == "resize"
        else fragments(pixels, size=crop // GRID, view=look)
        for look in looks
    ]
    return torch.stack([part.transpose(0, 1) for part in parts])
