"""What a video file is, asked without decoding it: codec, size, rate, rotation, presented frames.

Only PyAV's demuxer and the first frame are used, so a probe costs milliseconds. The counts are of what a
viewer sees: packets that an edit list discards and frames that are never shown are left out.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import numpy.typing as npt
from av.packet import Packet
from av.video.stream import VideoStream

from msavqa.frames import peculiar
from msavqa.frames.video_file import a_picture, is_picture, opened, orientation, refused, shown_frames


@dataclass(frozen=True)
class VideoFacts:
    """One video as a viewer sees it.

    container, codec, pixel_format: ffmpeg's names; bit_depth: bits per component; fps: average frames
    per second (NaN where unknown); frame_count: presented frames; width, height: pixels, upright;
    duration_seconds: from the first frame shown to the end of the last, by their times, not by count and
    rate (NaN where unknown);
    rotation_degrees: clockwise turn that makes the stored picture upright, one of 0, 90, 180, 270;
    mirrored: a flip beside the turn; has_edit_list: stored frames are left out when it is played;
    has_alpha: transparency, which frames here ignore; peculiar: what a viewer sees otherwise, in sentences.
    """

    container: str
    codec: str
    pixel_format: str
    bit_depth: int
    has_alpha: bool
    fps: float
    frame_count: int
    width: int
    height: int
    duration_seconds: float
    rotation_degrees: int
    mirrored: bool
    has_edit_list: bool
    peculiar: tuple[str, ...]


def probe(path: str | Path) -> VideoFacts:
    """The facts of a video file; its first frame is decoded, the others are counted.

    Raises `DecodeError` for a file that is missing, empty, encrypted, a picture, no video, or whose first
    frame is damaged.
    """
    return probe_with_times(path)[0]


def probe_with_times(path: str | Path) -> tuple[VideoFacts, npt.NDArray[np.float64]]:
    """The facts and, from the packets, the time of every presented frame, (frame,) in seconds, ascending.

    Times count from the first presented frame. Raises `DecodeError` as `probe` does.
    """
    with opened(path) as (container, stream):
        count = _count(container.demux(stream))
        if count.encrypted:
            raise refused(path, "an encrypted video", next_step="decrypt it first, or leave it out")
        if count.shown == 1 and is_picture(container):
            raise a_picture(path)
    with opened(path) as (container, stream):
        frame = next(shown_frames(container, stream, path), None)
        if frame is None or count.shown == 0:
            raise refused(path, "no frame")
        turn, mirrored = orientation(frame, path)
        turned = turn in (90, 270)
        rate = stream.average_rate or stream.guessed_rate
        fps = float(rate) if rate else math.nan
        tick = stream.time_base or Fraction(0)
        times = _times(count.stamps, tick=tick, fps=fps)
        last = float(count.last_ticks * tick) or 1 / fps
        facts = VideoFacts(
            container=container.format.name,
            codec=stream.codec.canonical_name,
            pixel_format=frame.format.name,
            bit_depth=max(part.bits for part in frame.format.components),
            has_alpha=stream.metadata.get("alpha_mode") == "1"
            or any(part.is_alpha for part in frame.format.components),
            fps=fps,
            frame_count=count.shown,
            width=frame.height if turned else frame.width,
            height=frame.width if turned else frame.height,
            duration_seconds=float(times[-1]) + last,
            rotation_degrees=turn,
            mirrored=mirrored,
            has_edit_list=count.discarded > 0,
            peculiar=peculiar.of(stream, frame),
        )
    return facts, times


@dataclass(frozen=True)
class _Count:
    shown: int
    discarded: int
    stamps: list[int | None]
    last_ticks: int
    encrypted: bool


def _count(packets: "Iterable[Packet[VideoStream]]") -> _Count:
    """Presented and discarded frames, the presented ones' stamps and the last one's duration, in ticks.

    Where packets are stored in another order than frames are shown, a packet's duration is that to the next
    one stored; so the last frame's is taken from the last packet, which has none after it.
    """
    discarded, stamps, last = 0, list[int | None](), 0
    encrypted = False
    for packet in packets:
        encrypted = encrypted or packet.has_sidedata("encryption_info")
        if packet.size == 0 or _is_hidden(packet):
            continue
        if packet.is_discard:
            discarded += 1
            continue
        stamps.append(packet.pts)
        last = packet.duration or 0
    return _Count(len(stamps), discarded, stamps, last, encrypted)


def _times(stamps: Sequence[int | None], *, tick: Fraction, fps: float) -> npt.NDArray[np.float64]:
    """Seconds since the first presented frame; frames are `1 / fps` apart where the file says nothing."""
    known = np.array(sorted(stamp for stamp in stamps if stamp is not None), dtype=np.int64)
    if len(stamps) == 1:
        return np.zeros(1)
    if len(known) < len(stamps) or tick == 0 or np.any(np.diff(known) <= 0):
        return np.arange(len(stamps)) / fps
    return np.asarray((known - known[0]) * tick.numerator / tick.denominator, dtype=np.float64)


def _is_hidden(packet: "Packet[VideoStream]") -> bool:
    """Whether a VP8 packet is a reference that is never shown (bit 4 of its first byte, RFC 6386 9.1)."""
    return packet.stream.codec.canonical_name == "vp8" and not bytes(packet)[0] & 0x10
