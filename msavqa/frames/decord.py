"""Frames by decord, for the files it is exact on; whatever it fails on or complains of is left to PyAV.

Measured against the ffmpeg command: exact on H.264, HEVC, VP8 and VP9 of 8 bits in 4:2:0 or 4:4:4, turned or
not. It refuses AV1 and GIF, is silently wrong on MPEG-4 with B-frames in AVI, on edit lists (it counts what
is never shown) and on 10 bits, and it passes damaged frames on: its ffmpeg only prints what it concealed, so
that print is caught here, and anything printed means that PyAV has to judge. In 240 files with flipped bits
nothing that PyAV finds was missed so.
"""

import contextlib
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt

from msavqa.frames.probe import VideoFacts

Pixels = npt.NDArray[np.uint8]
_CONTAINERS = ("mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm")
_CODECS = ("h264", "hevc", "vp8", "vp9")
_PIXEL_FORMATS = ("yuv420p", "yuv444p")


def suits(facts: VideoFacts) -> bool:
    """Whether decord is exact on such a file, by what was measured (see above)."""
    return (
        facts.container in _CONTAINERS
        and facts.codec in _CODECS
        and facts.pixel_format in _PIXEL_FORMATS
        and not facts.has_edit_list
        and not facts.has_alpha
        and not facts.mirrored
    )


def read(
    path: str | Path, facts: VideoFacts, *, wanted: list[int], finish: Callable[[Pixels], Pixels]
) -> dict[int, Pixels]:
    """The wanted frames by presentation index, upright, each through `finish`; none where PyAV has to read.

    While it runs, this process's stderr (file descriptor 2) goes to a temporary file.
    """
    import decord  # brings an ffmpeg of its own: only where it is used

    taken: dict[int, Pixels] = {}
    ahead = set(wanted)
    decord.logging.set_level(decord.logging.INFO)  # where ffmpeg says that it conceals errors
    try:
        with _stderr_caught() as complaints:
            reader = decord.VideoReader(os.path.abspath(path), ctx=decord.cpu(0), num_threads=1)
            if len(reader) != facts.frame_count:
                return {}
            for index in range(len(reader)):
                if index not in ahead:
                    reader.skip_frames(1)
                    continue
                frame = reader.next().asnumpy()
                if frame.shape != (facts.height, facts.width, 3):
                    return {}
                taken[index] = finish(frame)
            del reader
            complained = os.fstat(complaints.fileno()).st_size > 0
    except (decord.DECORDError, decord.DECORDLimitReachedError, StopIteration, RuntimeError, AssertionError):
        return {}
    return {} if complained else taken


@contextlib.contextmanager
def _stderr_caught() -> Iterator[IO[bytes]]:
    """Sends file descriptor 2, where C libraries print, to a temporary file that is yielded."""
    sys.stderr.flush()
    with tempfile.TemporaryFile() as caught:
        saved = os.dup(2)
        os.dup2(caught.fileno(), 2)
        try:
            yield caught
        finally:
            os.dup2(saved, 2)
            os.close(saved)
