"""Opening a video file safely, and saying in one sentence what is wrong with it.

Damage is never passed over: ffmpeg conceals it by default, so here a decoder stops at the first error it
detects, and whatever ffmpeg reports as an error refuses the file with ffmpeg's own words.
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import av
import av.error
import av.logging
import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from msavqa.ground.errors import MsavqaError

# One file is one video. Playlists and image patterns (hls, dash, concat, image2) would let a file open
# other files or addresses, so they are not read at all, whatever the name ends in. Nor are pictures, of
# whatever format: one rule, `a_picture`.
CONTAINERS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,gif,flv,mpegts,mpeg,mpegvideo,m4v,asf,ogg,nut,h264,hevc,ivf,"
    "obu,apng,yuv4mpegpipe,mxf,dv,rm,wtv,swf,mp3,aac,flac,wav"
)
_OPTIONS = {"format_whitelist": CONTAINERS, "protocol_whitelist": "file"}
_LFS_HEAD = b"version https://git-lfs"
_HEAD_BYTES = 4096
_PLAYLISTS = {
    r"#EXTM3U": "m3u8",
    r"ffconcat version|(#.*\s+)*file\s+\S": "concat",
    r"(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)?<MPD\b": "dash",
    r"\[playlist\]": "pls",
    r"<asx\b": "asx",
}
"""How files that name other files begin."""
_PICTURES = ("gif", "apng")
_STILLS = (b"\xff\xd8\xff", b"BM", b"II*\0", b"MM\0*")
"""How JPEG, BMP and TIFF begin."""
_PICTURE_BRANDS = ("avif", "heic", "heix", "mif1")


class DecodeError(MsavqaError):
    """A file that gives no frames, or not all of them, with the reason in one sentence."""


class AbsentError(DecodeError):
    """A file that cannot be opened at all; nothing is known of its content."""


def refused(
    path: str | Path,
    got: str,
    *,
    expected: str = "a video file that decodes from its first frame to its last",
    next_step: str = "replace the file or leave it out",
) -> DecodeError:
    """The sentence for one refused video file."""
    return DecodeError(what="Video", where=path, got=got, expected=expected, next_step=next_step)


@contextmanager
def opened(path: str | Path) -> Iterator[tuple[InputContainer, VideoStream]]:
    """The container and its video stream, one thread, strict about damage; closed at the end.

    The path is made absolute first: a leading dash or a colon in a name is never an option or a protocol.
    Every error ffmpeg raises or logs inside the block, in this thread, becomes a `DecodeError`.
    """
    _refuse_what_is_no_media(path)
    av.logging.set_skip_repeated(False)
    before = av.logging.get_level()
    av.logging.set_level(av.logging.ERROR)
    try:
        with av.logging.Capture(local=True) as said:
            try:
                with av.open(os.path.abspath(path), container_options=_OPTIONS) as container:
                    stream = _video_stream(container, path)
                    yield container, stream
            except av.error.FFmpegError as error:
                got = _reason(said) or f"nothing that ffmpeg can read ({error.strerror})"
                if kind := _not_listed(said):
                    raise a_picture(path) if kind == "picture" else refused(path, kind) from error
                raise refused(path, got) from error
            if reason := _reason(said):
                raise refused(path, reason)
    finally:
        av.logging.set_level(before)


def shown_frames(container: InputContainer, stream: VideoStream, path: str | Path) -> Iterator[VideoFrame]:
    """Frames in presentation order, to the end of the file.

    Raises `DecodeError` at the first frame that the decoder marks as damaged.
    """
    for number, frame in enumerate(container.decode(stream)):
        if frame.is_corrupt:
            raise refused(path, f"frame {number} damaged")
        yield frame


def is_picture(container: InputContainer) -> bool:
    """Whether a container is one of pictures: with a single frame it then holds a picture."""
    return (
        container.format.name in _PICTURES
        or container.format.name.endswith("_pipe")
        or container.metadata.get("major_brand", "").strip() in _PICTURE_BRANDS
    )


def a_picture(path: str | Path) -> DecodeError:
    """The refusal of a picture, one rule for all formats: a still has no quality as a video."""
    return refused(path, "a picture", expected="a video of several frames", next_step="give the video itself")


def orientation(frame: VideoFrame, path: str | Path) -> tuple[int, bool]:
    """Clockwise degrees (0, 90, 180, 270) and whether to flip left-right first, from the display matrix.

    The rule of ffmpeg's `autorotate`. Raises `DecodeError` for a turn that is no multiple of 90 degrees.
    """
    side_data: Any = frame.side_data  # PyAV's own annotation knows other keys only
    try:
        matrix = bytes(side_data["DISPLAYMATRIX"])
    except KeyError:
        return 0, False
    a, b, _, c, d, *_ = np.frombuffer(matrix, dtype=np.int32).astype(np.float64) / 65536
    # Rows of the matrix are where the x and the y axis of the stored picture go; y points down.
    mirrored = bool(a * d - b * c < 0)
    if mirrored:
        a, b = -a, -b
    degrees = float(np.degrees(np.arctan2(b, a))) % 360
    turn = round(degrees / 90) * 90 % 360
    if abs((degrees - turn + 180) % 360 - 180) > 1:
        raise refused(
            path,
            f"a rotation of {degrees:.0f} degrees",
            expected="a multiple of 90",
            next_step="turn it with ffmpeg first",
        )
    return turn, mirrored


def upright(pixels: np.ndarray, *, turn: int, mirrored: bool) -> np.ndarray:
    """A stored picture (height, width, channel) turned as a viewer sees it."""
    flipped = pixels[:, ::-1] if mirrored else pixels
    return np.ascontiguousarray(np.rot90(flipped, k=-turn // 90))


def no_video(path: str | Path) -> str:
    """What a file is that its first bytes show to be no video, as half a sentence; "" for all others.

    A damaged or empty video is one. Raises `OSError` where the file cannot be read.
    """
    with Path(path).open("rb") as stream:
        head = stream.read(_HEAD_BYTES)
    if head.startswith(_LFS_HEAD):
        return "a git-LFS pointer"
    if kind := _playlist(head):
        return f"a playlist ({kind})"
    still = head.startswith(_STILLS) or (head.startswith(b"\x89PNG") and b"acTL" not in head)
    return "a picture" if still or (head[:4] == b"RIFF" and head[8:12] == b"WEBP") else ""


def _refuse_what_is_no_media(path: str | Path) -> None:
    file = Path(path)
    try:
        if not file.exists():
            raise _absent(path, "no such file", "check name and folder")
        if any("\udc80" <= letter <= "\udcff" for letter in str(file)):  # how Python keeps such bytes
            raise _absent(path, "a name that is not UTF-8", "rename it")
        if not file.is_file():
            raise _absent(path, "a folder" if file.is_dir() else "no regular file", "name one file")
        with file.open("rb") as stream:
            head = stream.read(_HEAD_BYTES)
    except OSError as error:
        raise _absent(path, error.strerror or str(error), "check its name and rights") from error
    if not head:
        raise refused(path, "0 bytes", next_step="download it again or leave it out")
    if head.startswith(_LFS_HEAD):
        raise refused(path, "a git-LFS pointer", next_step="run `git lfs pull` where it came from")
    if kind := _playlist(head):
        step = "give a video itself"
        raise refused(path, f"a playlist ({kind}), which only names other files", next_step=step)
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        if head[12:16] == b"VP8X" and head[20:21] and head[20] & 2:
            raise refused(path, "an animated WebP", next_step="turn it into a GIF or an mp4 first")
        raise a_picture(path)


def _playlist(head: bytes) -> str:
    """The kind of playlist that a file begins like, "" for none."""
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if b"\0" in text:
        return ""
    words = text.decode("latin-1")
    return next((kind for form, kind in _PLAYLISTS.items() if re.match(form, words, re.I | re.S)), "")


def _absent(path: str | Path, got: str, next_step: str) -> AbsentError:
    return AbsentError(what="Video", where=path, got=got, expected="a video file", next_step=next_step)


def _video_stream(container: InputContainer, path: str | Path) -> VideoStream:
    streams = [s for s in container.streams.video if not s.disposition & av.stream.Disposition.attached_pic]
    if not streams:
        kinds = sorted({stream.type for stream in container.streams})
        raise refused(path, f"no video stream, only {' and '.join(kinds) or 'an empty container'}")
    best = container.streams.best("video")
    stream = next((one for one in streams if best is not None and one.index == best.index), streams[0])
    if stream.codec_context is None:
        raise refused(path, "a video stream in a codec that is not known here")
    stream.codec_context.thread_count = 1
    stream.codec_context.options = {"err_detect": "crccheck+bitstream+buffer+explode"}
    return stream


def _not_listed(said: list[tuple[int, str, str]]) -> str:
    """What a file is whose format is not among `CONTAINERS`: "picture", or half a sentence; "" for others."""
    for level, source, text in said:
        if level <= av.logging.ERROR and "not on whitelist" in text:
            kind = source.split(",")[0]
            return "picture" if kind.endswith("_pipe") or kind == "image2" else f"ffmpeg's kind {kind!r}"
    return ""


def _reason(said: list[tuple[int, str, str]]) -> str:
    """What ffmpeg said first, without addresses of its memory, as half a sentence; empty if nothing."""
    for level, source, text in said:
        if level <= av.logging.ERROR and text.strip():
            return f"ffmpeg's {source.split(',')[0]}: {text.strip().rstrip('.')}"
    return ""
