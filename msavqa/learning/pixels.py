"""A network's input for each video, made of its stored frames: what a whole trained backbone reads."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from msavqa.networks import preprocess
from msavqa.store.read import Store

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class PixelSource:
    """A network's input for each video, from frames.zarr."""

    store: Store
    """The trunk's own: its fingerprint says how frames are prepared."""
    frames: Store
    rows: Rows
    """Row of `frames` for each video."""
    threads: ThreadPoolExecutor

    @property
    def views(self) -> int:
        """Crops, flips and starts that training draws from."""
        return int(self.store.fingerprint["views"])

    @property
    def single_frames(self) -> int:
        """Frames of a video, where the network looks at all of them, each by itself; else 0."""
        alone = self.store.fingerprint["kind"] == "image" and self.store.fingerprint["frames"] == "all"
        return int(self.frames.spec("frames").shape[0]) if alone else 0

    @property
    def width(self) -> int:
        """Features of a frame or time behind the network."""
        return int(self.store.attributes["architecture"]["width"])

    def take(self, videos: Rows, view: Rows, device: torch.device) -> Tensor:
        """uint8 (video, frame, 3, crop, crop) for image, (video, 3, frame, crop, crop) for video networks.

        `view` is one each, (video,), or of single frames one each, (video, frame).
        """
        wanted = zip(videos.tolist(), view.tolist(), strict=True)
        return torch.stack(list(self.threads.map(lambda pair: self._one(*pair), wanted))).to(device)

    def _one(self, video: int, view: int | list[int]) -> Tensor:
        row = int(self.rows[video])
        height, width = (int(self.frames.rows[name].iloc[row]) for name in ("height", "width"))
        pixels = self.frames.read("frames", [row])[0, :, :height, :width]
        how: Mapping[str, Any] = self.store.fingerprint
        sizes: dict[str, Any] = {name: how[name] for name in ("resize", "crop", "interpolation")}
        looks = preprocess.views(self.frames.ids[row], self.views)
        if isinstance(view, list) and self.single_frames:
            each = [looks[number % self.views] for number in view]
            crops = [
                preprocess.image_views(one[None], looks=[look], key="all", **sizes)[0][0]
                for one, look in zip(pixels, each, strict=True)
            ]
            return torch.cat(crops)
        look = looks[(view if isinstance(view, int) else view[0]) % self.views]
        if how["kind"] == "image":
            found, _ = preprocess.image_views(pixels, looks=[look], key=how["frames"], **sizes)
        else:
            found = preprocess.video_views(pixels, looks=[look], sampling=how["sampling"], **sizes)
        return found[0]
