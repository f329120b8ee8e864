"""Real H.264 in mp4, there and back (PyAV): one thread, so that the same frames give the same bytes."""

import io
from collections.abc import Mapping
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray


def encode(frames: NDArray[np.uint8], *, fps: int, crf: float) -> bytes:
    """RGB frames (frame, height, width, 3), even in height and width, as the bytes of an mp4 file."""
    buffer = io.BytesIO()
    # x264's macroblock tree reads memory that it has not written: the same frames gave several files.
    options: Mapping[str, str] = {
        "crf": f"{crf:.2f}", "preset": "veryfast", "threads": "1", "x264-params": "mbtree=0"
    }  # fmt: skip
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=fps, options=dict(options))
        stream.pix_fmt = "yuv420p"
        stream.height, stream.width = frames.shape[1:3]
        for image in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
    return buffer.getvalue()


def decode(path: Path) -> NDArray[np.uint8]:
    """All frames of a file in the order of showing, RGB (frame, height, width, 3)."""
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])
