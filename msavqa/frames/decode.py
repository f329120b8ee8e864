"""A video file -> the frames we agreed on: RGB, upright, with their times.

    decoded = decode("a.mp4", frames=16, box=512, backend="pyav")
    decoded.frames          # (16, height, width, 3) uint8

Frames are taken at presentation indices floor((i + 0.5) * n / N), and are those of the ffmpeg command, bit
for bit, by either backend. The video is decoded from its first frame to its last, so that damage anywhere in
it is found: then it is refused (`DecodeError`), whichever frames were asked for. What no decoder can detect
(bits flipped inside a stream without checksums) stays undetected.
"""

from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

import av
import numpy as np
import numpy.typing as npt

from msavqa.frames import decord, pyav
from msavqa.frames.probe import probe_with_times
from msavqa.frames.sampling import Pixels, sample_indices, shrink
from msavqa.frames.video_file import DecodeError

__all__ = ["Backend", "DecodeError", "Decoded", "decode", "decoder_facts"]

Backend = Literal["pyav", "decord"]


@dataclass(frozen=True)
class Decoded:
    """The sampled frames of one video.

    frames: (frame, height, width, 3) uint8, RGB, upright, pixels not square left as stored; times_seconds:
    (frame,) since the first presented frame; indices: (frame,) presentation index of each, repeated where
    the video has fewer frames than asked for; backend: name and version of the decoder; frame_count:
    presented frames of the whole video; fps: average frames per second, NaN where unknown; duration_seconds:
    from the first frame shown to the end of the last, by their times; width, height: of the video itself,
    pixels, upright, where `frames` may be shrunk; peculiar: what a viewer sees otherwise, in sentences.
    """

    frames: Pixels
    times_seconds: npt.NDArray[np.float64]
    indices: npt.NDArray[np.int64]
    backend: str
    frame_count: int
    fps: float
    duration_seconds: float
    width: int
    height: int
    peculiar: tuple[str, ...]


def decode(path: str | Path, *, frames: int, box: int | None, backend: Backend) -> Decoded:
    """Samples `frames` frames of a video; one larger than box x box pixels is shrunk to fit, never enlarged.

    `pyav` reads every file; `decord` reads what it is exact on and leaves to PyAV the rest, and whatever it
    fails on or complains of. Holds the sampled frames only. It can hang or die with the decoder it calls, and
    is for one thread per process: run it in a worker (`processes.Pool`). Raises `DecodeError`.
    """

    def finish(frame: Pixels) -> Pixels:
        return shrink(frame, box=box)

    facts, times = probe_with_times(path)
    count, taken = facts.frame_count, dict[int, Pixels]()
    last_seconds = facts.duration_seconds - float(times[-1])
    said = f"pyav {metadata.version('av')}"
    if backend == "decord" and decord.suits(facts):
        wanted = sample_indices(frame_count=count, frames=frames).tolist()
        name = f"decord {metadata.version('decord')}"
        taken = decord.read(path, facts, wanted=wanted, finish=finish)
        said = name if taken else f"{said} after {name}"
    if not taken:
        count, times, taken = pyav.read(path, facts, times, frames=frames, finish=finish)
    indices = sample_indices(frame_count=count, frames=frames)
    return Decoded(
        frames=np.stack([taken[index] for index in indices.tolist()]),
        times_seconds=times[indices],
        indices=indices,
        backend=said,
        frame_count=count,
        fps=facts.fps,
        duration_seconds=float(times[-1]) + last_seconds,
        width=facts.width,
        height=facts.height,
        peculiar=facts.peculiar,
    )


def decoder_facts(backend: Backend) -> dict[str, str]:
    """Versions of everything that decides a backend's pixels, for a store's fingerprint."""
    packages = ("av", "pillow") if backend == "pyav" else ("av", "decord", "pillow")
    ffmpeg = ".".join(map(str, av.library_versions["libavcodec"]))
    return {name: metadata.version(name) for name in packages} | {"libavcodec": ffmpeg}
