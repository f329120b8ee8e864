"""One video file's columns of the manifest: its content's sha256, its size, and what a probe says of it."""

import hashlib
import math
from pathlib import Path

from msavqa.videos.probe import probe
from msavqa.videos.video_file import DecodeError

UNKNOWN: dict[str, object] = {
    "container": "",
    "codec": "",
    "fps": math.nan,
    "frame_count": -1,
    "width": 0,
    "height": 0,
    "duration_seconds": math.nan,
    "rotation_degrees": 0,
    "status": "unreadable",
}
"""What is known of a video that cannot be probed."""


def describe(path: Path) -> dict[str, object] | str:
    """A file's columns of the manifest, or why its bytes cannot be read. Can hang or die with ffmpeg."""
    try:
        known = identity(path)
    except OSError as error:
        return f"{str(path)!r} could not be read ({error.strerror})"
    try:
        facts = probe(path)
    except DecodeError as error:
        return {**known, **UNKNOWN, "error": str(error)}
    return {
        **known,
        "container": facts.container,
        "codec": facts.codec,
        "fps": facts.fps if facts.fps > 0 else math.nan,
        "frame_count": facts.frame_count,
        "width": facts.width,
        "height": facts.height,
        "duration_seconds": facts.duration_seconds,
        "rotation_degrees": facts.rotation_degrees,
        "status": "ok",
        "error": "",
    }


def identity(path: Path) -> dict[str, object]:
    """The sha256 of a file's content and its size; raises `OSError` where it cannot be read."""
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return {"sha256": sha256, "size_bytes": path.stat().st_size}
