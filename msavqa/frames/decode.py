"""A video file -> the frames we agreed on: RGB, upright, with their times.

    decoded = decode("a.mp4", frames=16, box=512)
    decoded.frames          # (16, height, width, 3) uint8

Frames are taken at presentation indices floor((i + 0.5) * n / N), and are those of the ffmpeg command, bit
for bit. The video is decoded from its first frame to its last, so that damage anywhere in it is found: then
it is refused (`DecodeError`), whichever frames were asked for. What no decoder can detect (bits flipped
inside a stream without checksums) stays undetected.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
from av.filter import Graph
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from PIL import Image

from msavqa.frames import decord
from msavqa.frames.probe import VideoFacts, probe_with_times
from msavqa.frames.video_file import DecodeError, opened, orientation, refused, shown_frames, upright

__all__ = ["DecodeError", "Decoded", "decode", "decoder_facts", "sample_indices", "shrink"]

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Decoded:
    """The sampled frames of one video.

    frames: (frame, height, width, 3) uint8, RGB, upright, pixels not square left as stored; times_seconds:
    (frame,) since the first presented frame; indices: (frame,) presentation index of each, repeated where
    the video has fewer frames than asked for; backend: name and version of the decoder; frame_count:
    presented frames of the whole video; fps: average frames a second, NaN where unknown; width, height: of
    the video itself, pixels, upright, where `frames` may be shrunk.
    """

    frames: Pixels
    times_seconds: npt.NDArray[np.float64]
    indices: npt.NDArray[np.int64]
    backend: str
    frame_count: int
    fps: float
    width: int
    height: int


def sample_indices(*, frame_count: int, frames: int) -> npt.NDArray[np.int64]:
    """Presentation indices of `frames` frames, the middles of equal parts: floor((i + 0.5) * n / N)."""
    if frame_count < 1 or frames < 1:
        raise ValueError(f"frame_count {frame_count} and frames {frames}: both at least 1")
    return (2 * np.arange(frames, dtype=np.int64) + 1) * frame_count // (2 * frames)


def decode(path: str | Path, *, frames: int, box: int | None) -> Decoded:
    """Samples `frames` frames of a video; one larger than box x box pixels is shrunk to fit, never enlarged.

    decord reads what it is exact on, PyAV the rest and whatever decord fails on or complains of. Holds the
    sampled frames only. It can hang or die with the decoder it calls, and is for one thread a process: run it
    in a worker (`workers.Pool`). Raises `DecodeError`.
    """
    facts, times = probe_with_times(path)
    count, taken = facts.frame_count, dict[int, Pixels]()
    backend = f"pyav {metadata.version('av')}"
    if decord.suits(facts):
        wanted = sample_indices(frame_count=count, frames=frames).tolist()
        name = f"decord {metadata.version('decord')}"
        taken = decord.read(path, facts, wanted=wanted, finish=lambda one: shrink(one, box=box))
        backend = name if taken else f"{backend} after {name}"
    if not taken:
        count, times, taken = read_by_pyav(path, facts, times, frames=frames, box=box)
    indices = sample_indices(frame_count=count, frames=frames)
    return Decoded(
        frames=np.stack([taken[index] for index in indices.tolist()]),
        times_seconds=times[indices],
        indices=indices,
        backend=backend,
        frame_count=count,
        fps=facts.fps,
        width=facts.width,
        height=facts.height,
    )


def shrink(frame: Pixels, *, box: int | None) -> Pixels:
    """A frame (height, width, 3) that fits box x box, aspect kept; one that fits already is returned as is.

    Antialiased bilinear, the filter of torchvision's own resize, by Pillow: the same bytes everywhere.
    """
    height, width = frame.shape[:2]
    if box is None or max(height, width) <= box:
        return frame
    scale = box / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(Image.fromarray(frame).resize(size, Image.Resampling.BILINEAR))


def decoder_facts() -> dict[str, str]:
    """Versions of everything that decides the pixels, for a store's fingerprint."""
    ffmpeg = ".".join(map(str, av.library_versions["libavcodec"]))
    return {name: metadata.version(name) for name in ("av", "decord", "pillow")} | {"libavcodec": ffmpeg}


def read_by_pyav(
    path: str | Path, facts: VideoFacts, times: npt.NDArray[np.float64], *, frames: int, box: int | None
) -> tuple[int, npt.NDArray[np.float64], dict[int, Pixels]]:
    """Presented frames, their times and the sampled ones by index.

    Where packets and frames are not one to one, the frames that came out decide, in a second pass.
    """
    wanted = sample_indices(frame_count=facts.frame_count, frames=frames)
    count, stamps, taken = _pass(path, wanted.tolist(), box=box)
    if count != facts.frame_count:
        wanted = sample_indices(frame_count=count, frames=frames)
        count, stamps, taken = _pass(path, wanted.tolist(), box=box)
        steps = np.diff(stamps)
        times = stamps - stamps[0] if bool(np.all(steps > 0)) else np.arange(count) / facts.fps
    return count, times, taken


def _pass(
    path: str | Path, wanted: Sequence[int], *, box: int | None
) -> tuple[int, npt.NDArray[np.float64], dict[int, Pixels]]:
    """Frames in all, the stamp of each in seconds (NaN where unknown), the wanted ones by index."""
    stamps: list[float] = []
    taken: dict[int, Pixels] = {}
    size: tuple[int, int] | None = None
    pending = set(wanted)
    with opened(path) as (container, stream):
        to_rgb = _rgb_converter(stream)
        for index, frame in enumerate(shown_frames(container, stream, path)):
            size = size or (frame.width, frame.height)
            if (frame.width, frame.height) != size:
                got = f"frames of {size[0]}x{size[1]} and of {frame.width}x{frame.height} pixels"
                raise refused(path, got, expected="frames of one size", next_step="cut it into parts")
            stamps.append(np.nan if frame.time is None else frame.time)
            if index in pending:
                turn, mirrored = orientation(frame, path)
                taken[index] = shrink(upright(to_rgb(frame), turn=turn, mirrored=mirrored), box=box)
    if not stamps:
        raise refused(path, "no frame")
    return len(stamps), np.array(stamps), taken


def _rgb_converter(stream: VideoStream) -> Callable[[VideoFrame], Pixels]:
    """Pixels as the ffmpeg command converts them: libavfilter tells swscale where chroma samples lie.

    PyAV's own `reformat` does not, which shifts chroma by half a pixel on formats without a special case
    (10 bits: up to 99 of 255 at edges).
    """
    graph = Graph()
    graph.threads = 1
    first, last = graph.add_buffer(template=stream), graph.add("buffersink")
    rgb = graph.add("format", "rgb24")
    first.link_to(rgb)
    rgb.link_to(last)
    graph.configure()

    def convert(frame: VideoFrame) -> Pixels:
        graph.push(frame)
        return np.asarray(graph.vpull().to_ndarray(), dtype=np.uint8)

    return convert
