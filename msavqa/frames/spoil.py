"""Trivial videos, made of frames: spoilt copies of a video, and frames that show nothing.

    SPOILT["still"](frames=frames, other=other, random=np.random.default_rng(0))
    EMPTY["noise"](frames=16, height=96, width=96, random=np.random.default_rng(0))

Frames are uint8 (frame, height, width, 3), RGB. A copy has the size and the number of frames of its video.
All that is drawn comes from `random`, so the same seed gives the same copy. Nobody would rate such a copy as
high as its video: a score that does so can be fooled.
"""

import io
from collections.abc import Callable, Mapping
from typing import Any

import av
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

Pixels = npt.NDArray[np.uint8]
Spoil = Callable[..., Pixels]
VERSION = 1
"""Of what the copies look like: raised by whoever changes that, so that no old one passes for a new one."""
BLUR = (0.012, 0.04)
"""Standard deviation of the Gaussian blur, as a share of the short side: 6 to 20 pixels of 512."""
STRONG_CRF = (40, 51)
"""How strongly H.264 compresses a spoilt copy; 51 is the most it can."""
STILL_CRF = (1, 30)
"""The same of a still that went through the codec: from nothing to see to plain blocks."""
BLOCKS = (8, 16)
"""Squares along the short side of a pixelated picture."""


def still(*, frames: Pixels, other: Pixels | None, random: np.random.Generator) -> Pixels:
    """One frame, drawn at random, shown all the time."""
    return np.repeat(frames[random.integers(len(frames))][None], len(frames), axis=0)


def coded_still(*, frames: Pixels, other: Pixels | None, random: np.random.Generator) -> Pixels:
    """The same after H.264 at a CRF that is drawn: nothing moves but what the codec adds."""
    shown = still(frames=frames, other=other, random=random)
    return coded(frames=shown, crf=float(random.uniform(*STILL_CRF)))


def shuffled(*, frames: Pixels, other: Pixels | None, random: np.random.Generator) -> Pixels:
    """The frames in an order that is drawn; of two or more frames never their own."""
    order = np.arange(len(frames))
    while len(frames) > 1 and np.array_equal(order, np.arange(len(frames))):
        order = random.permutation(len(frames))
    return frames[order]


def backwards(*, frames: Pixels, other: Pixels | None, random: np.random.Generator) -> Pixels:
    """The last frame first."""
    return np.ascontiguousarray(frames[::-1])


def replaced(*, frames: Pixels, other: Pixels | None, random: np.random.Generator) -> Pixels:
    """Another video from the middle on, or up to it; that one's frames in the size of these."""
    assert other is not None, "half of it comes from another video"
    count, half = len(frames), len(frames) // 2
    size = frames.shape[2], frames.shape[1]
    taken = np.arange(count) * len(other) // count
    fitted = np.stack(
        [np.asarray(Image.fromarray(other[one]).resize(size, Image.Resampling.BILINEAR)) for one in taken]
    )
    first = np.arange(count) < half
    own = first if random.integers(2) else ~first
    return np.where(own[:, None, None, None], frames, fitted)


def recoloured(*, frames: Pixels, other: Pixels | None, random: np.random.Generator) -> Pixels:
    """Other colours in a part of the picture, from some moment on: red, green and blue change places."""
    count, height, width = frames.shape[:3]
    start = int(random.integers(max(1, count // 4), max(2, 3 * count // 4)))
    share = random.uniform(0.4, 0.8, size=2)
    top, left = (random.uniform(size=2) * (1 - share) * (height, width)).astype(int)
    rows, columns = (
        slice(top, top + int(share[0] * height) + 1),
        slice(left, left + int(share[1] * width) + 1),
    )
    found = frames.copy()
    turned = [1, 2, 0] if random.integers(2) else [2, 0, 1]
    found[start:, rows, columns] = frames[start:, rows, columns][..., turned]
    return found


def blurred(*, frames: Pixels, other: Pixels | None, random: np.random.Generator) -> Pixels:
    """A Gaussian blur of every frame, of a strength that is drawn."""
    radius = float(random.uniform(*BLUR)) * min(frames.shape[1:3])
    soft = [np.asarray(Image.fromarray(one).filter(ImageFilter.GaussianBlur(radius))) for one in frames]
    return np.stack(soft)


def compressed(*, frames: Pixels, other: Pixels | None, random: np.random.Generator) -> Pixels:
    """What is left of the frames behind H.264 at a CRF near its end."""
    return coded(frames=frames, crf=float(random.uniform(*STRONG_CRF)))


def pixelated(*, frames: Pixels, other: Pixels | None, random: np.random.Generator) -> Pixels:
    """Squares of one colour in the place of the picture."""
    height, width = frames.shape[1:3]
    side = max(2, min(height, width) // int(random.integers(BLOCKS[0], BLOCKS[1] + 1)))
    small = max(1, width // side), max(1, height // side)
    return np.stack(
        [
            np.asarray(
                Image.fromarray(one)
                .resize(small, Image.Resampling.BOX)
                .resize((width, height), Image.Resampling.NEAREST)
            )
            for one in frames
        ]
    )


def flickering(*, frames: Pixels, other: Pixels | None, random: np.random.Generator) -> Pixels:
    """Every other frame much darker."""
    dark = 1 - float(random.uniform(0.4, 0.7)) * (np.arange(len(frames)) % 2)
    return np.asarray((frames * dark[:, None, None, None]).round(), dtype=np.uint8)


def black(*, frames: int, height: int, width: int, random: np.random.Generator) -> Pixels:
    """Nothing."""
    return np.zeros((frames, height, width, 3), dtype=np.uint8)


def white(*, frames: int, height: int, width: int, random: np.random.Generator) -> Pixels:
    """Nothing, in light."""
    return np.full((frames, height, width, 3), 255, dtype=np.uint8)


def flat(*, frames: int, height: int, width: int, random: np.random.Generator) -> Pixels:
    """One colour, drawn."""
    colour = random.integers(0, 256, size=3).astype(np.uint8)
    return np.broadcast_to(colour, (frames, height, width, 3)).copy()


def noise(*, frames: int, height: int, width: int, random: np.random.Generator) -> Pixels:
    """Independent pixels, grey or of all colours, fine or in grains of some pixels, every frame its own."""
    grain, colours = int(random.integers(1, 4)), (1, 3)[int(random.integers(2))]
    middle, spread = random.uniform(90, 165), random.uniform(30, 90)
    rows, columns = -(-height // grain), -(-width // grain)
    found = random.normal(middle, spread, size=(frames, rows, columns, colours))
    pixels = np.asarray(found.round().clip(0, 255), dtype=np.uint8)
    large = pixels.repeat(grain, axis=1).repeat(grain, axis=2)[:, :height, :width]
    return np.broadcast_to(large, (frames, height, width, 3)).copy()


def frozen_noise(*, frames: int, height: int, width: int, random: np.random.Generator) -> Pixels:
    """One picture of noise, shown all the time."""
    return np.repeat(noise(frames=1, height=height, width=width, random=random), frames, axis=0)


def stripes(*, frames: int, height: int, width: int, random: np.random.Generator) -> Pixels:
    """Stripes or squares of two colours, which may move."""
    side = max(1, int(random.uniform(0.04, 0.2) * min(height, width)))
    speed = int(random.integers(0, side + 1))
    rows, columns = np.arange(height), np.arange(width)
    two = random.integers(0, 256, size=(2, 3)).astype(np.uint8)
    kind = int(random.integers(3))
    found = []
    for number in range(frames):
        across = (columns + number * speed) // side % 2
        down = (rows // side % 2)[:, None]
        place = (across[None], (down + across) % 2, ((rows + number * speed) // side % 2)[:, None])[kind]
        found.append(two[np.broadcast_to(place, (height, width))])
    return np.stack(found)


def flashing(*, frames: int, height: int, width: int, random: np.random.Generator) -> Pixels:
    """Another colour in every frame."""
    colours = random.integers(0, 256, size=(frames, 1, 1, 3)).astype(np.uint8)
    return np.broadcast_to(colours, (frames, height, width, 3)).copy()


SPOILT: Mapping[str, Spoil] = {
    "still": still, "coded_still": coded_still, "shuffled": shuffled, "backwards": backwards,
    "replaced": replaced, "recoloured": recoloured, "blurred": blurred, "compressed": compressed,
    "pixelated": pixelated, "flickering": flickering,
}  # fmt: skip
"""Copies of a video, by kind: `frames`, `other` (another video's, which `replaced` reads), `random`."""
EMPTY: Mapping[str, Spoil] = {
    "black": black, "white": white, "flat": flat, "noise": noise, "frozen_noise": frozen_noise,
    "stripes": stripes, "flashing": flashing,
}  # fmt: skip
"""Frames that show nothing, by kind: `frames`, `height`, `width`, `random`."""


def coded(*, frames: Pixels, crf: float) -> Pixels:
    """The frames there and back through H.264 (PyAV's x264), 4:2:0; the same frames give the same ones.

    Odd sizes are filled up by their last row and column on the way. `crf` is 0 to 51.
    """
    count, height, width = frames.shape[:3]
    even = np.pad(frames, ((0, 0), (0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    file = io.BytesIO()
    # One thread, and no macroblock tree: it reads memory that it has not written (data/sample/mp4.py).
    options = {"crf": f"{crf:.2f}", "preset": "veryfast", "threads": "1", "x264-params": "mbtree=0"}
    with av.open(file, "w", format="mp4") as container:
        stream: Any = container.add_stream("libx264", rate=8, options=options)
        stream.pix_fmt, stream.height, stream.width = "yuv420p", *even.shape[1:3]
        for one in even:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(one, format="rgb24")))
        container.mux(stream.encode())
    file.seek(0)
    with av.open(file, "r") as written:
        shown = [frame.to_ndarray(format="rgb24") for frame in written.decode(video=0)]
    assert len(shown) == count
    return np.asarray(np.stack(shown)[:, :height, :width], dtype=np.uint8)
