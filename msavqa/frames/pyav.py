"""Frames by PyAV, of any file: those of the ffmpeg command, bit for bit, or a refusal."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from av.filter import Graph
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from msavqa.frames.probe import VideoFacts
from msavqa.frames.sampling import Pixels, sample_indices
from msavqa.frames.video_file import opened, orientation, refused, shown_frames, upright


def read(
    path: str | Path,
    facts: VideoFacts,
    times: npt.NDArray[np.float64],
    *,
    frames: int,
    finish: Callable[[Pixels], Pixels],
) -> tuple[int, npt.NDArray[np.float64], dict[int, Pixels]]:
    """Presented frames, their times, and the sampled ones by presentation index, each through `finish`.

    Where there are more or fewer frames than packets, a second pass samples from the frames that came out.
    """
    wanted = sample_indices(frame_count=facts.frame_count, frames=frames)
    count, stamps, taken = _pass(path, wanted.tolist(), finish=finish)
    if count != facts.frame_count:
        wanted = sample_indices(frame_count=count, frames=frames)
        count, stamps, taken = _pass(path, wanted.tolist(), finish=finish)
        steps = np.diff(stamps)
        times = stamps - stamps[0] if bool(np.all(steps > 0)) else np.arange(count) / facts.fps
    return count, times, taken


def _pass(
    path: str | Path, wanted: Sequence[int], *, finish: Callable[[Pixels], Pixels]
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
                taken[index] = finish(upright(to_rgb(frame), turn=turn, mirrored=mirrored))
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
