"""Small videos whose frames say their own number, and the ffmpeg command's view of any video."""

import os
import shutil
import subprocess
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import pytest

Pixels = npt.NDArray[np.uint8]
BITS = 8


def numbered(count: int, *, height: int = 48, width: int = 64) -> Pixels:
    """Pictures (frame, height, width, 3) with their number as black and white stripes, first bit left.

    The upper half is red over the left two stripes, so that every turn and flip can be told.
    """
    pictures = np.zeros((count, height, width, 3), np.uint8)
    for number, picture in enumerate(pictures):
        for bit in range(BITS):
            stripe = slice(bit * width // BITS, (bit + 1) * width // BITS)
            picture[:, stripe] = 235 if number >> bit & 1 else 20
        picture[: height // 2, : width // 4] = (200, 30, 30)
    return pictures


def number_of(picture: Pixels) -> int:
    """The number that a picture of `numbered` shows, however compressed."""
    height, width = picture.shape[:2]
    lower = picture[height * 5 // 8 : height * 7 // 8]
    middles = [(2 * bit + 1) * width // (2 * BITS) for bit in range(BITS)]
    return sum(1 << bit for bit, x in enumerate(middles) if lower[:, x].mean() > 128)


def write(
    path: Path,
    pictures: Pixels,
    *,
    codec: str = "libx264",
    rate: int = 8,
    pixel_format: str = "yuv420p",
    stamps: Sequence[int] | None = None,
    before: int = 0,
    turn: int = 0,
    matrix: tuple[int, int, int, int] | None = None,
    options: dict[str, str] | None = None,
    container: dict[str, str] | None = None,
) -> Path:
    """Encodes pictures; frame i is shown at `stamps[i]` (default i) of `rate` ticks per second.

    `before` frames lie before time zero, so that an mp4 gets an edit list that hides them; `turn` is written
    as rotation metadata, clockwise degrees; `matrix` (a, b, c, d) instead, for flips.
    `options` are the encoder's, `container` the muxer's.
    """
    with av.open(str(path), "w", options=container or {}) as file:
        stream: Any = file.add_stream(codec, rate=rate, options=options or {})
        stream.height, stream.width = pictures.shape[1:3]
        stream.pix_fmt = pixel_format
        stream.codec_context.time_base = Fraction(1, rate)
        if turn:
            stream.set_display_rotation(-turn)
        if matrix:
            a, b, c, d = (number << 16 for number in matrix)
            stream.set_display_matrix([a, b, 0, c, d, 0, 0, 0, 1 << 30])
        packets = []
        for index, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format=pixel_format)
            frame.pts = index if stamps is None else stamps[index]
            frame.time_base = Fraction(1, rate)
            packets += stream.encode(frame)
        for packet in [*packets, *stream.encode(None)]:
            if before:
                packet.pts -= before * round(Fraction(1, rate) / packet.time_base)
                packet.dts -= before * round(Fraction(1, rate) / packet.time_base)
            file.mux(packet)
    return path


def flip_bits(source: Path, target: Path, *, at: Sequence[float]) -> Path:
    """A copy with one bit flipped in the bytes at these fractions of the file."""
    content = bytearray(source.read_bytes())
    for fraction in at:
        content[int(len(content) * fraction)] ^= 0x10
    target.write_bytes(content)
    return target


def ffmpeg_frames(path: Path, *, height: int, width: int, choose: str = "") -> Pixels | None:
    """Presented frames (frame, height, width, 3) as the ffmpeg command gives them; None where there is none.

    `choose` is an expression of its `select` filter.
    """
    if shutil.which("ffmpeg") is None:
        if "ffmpeg" in os.environ.get("MSAVQA_NO_SKIPS", "").split(","):
            pytest.fail("no ffmpeg command")
        return None
    filters = ["-vf", f"select={choose}"] if choose else []
    command = ["ffmpeg", "-v", "error", "-i", str(path.absolute()), "-map", "0:v:0", *filters]
    command += ["-vsync", "passthrough", "-pix_fmt", "rgb24", "-f", "rawvideo", "-"]
    done = subprocess.run(command, capture_output=True, check=True)
    return np.frombuffer(done.stdout, np.uint8).reshape(-1, height, width, 3)


def check_as_ffmpeg_shows(
    path: Path, frames: Pixels, *, indices: npt.NDArray[np.int64] | None = None, count: int | None = None
) -> None:
    """Frames are those of the ffmpeg command to the bit: all, or those at `indices` of `count`.

    Where there is no such command, tests/frames/recorded holds what it says of such files.
    """
    truth = ffmpeg_frames(path, height=frames.shape[1], width=frames.shape[2])
    if truth is not None:
        assert len(truth) == (len(frames) if count is None else count)
        np.testing.assert_array_equal(frames, truth if indices is None else truth[indices])
