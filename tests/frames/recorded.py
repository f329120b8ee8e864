"""Small videos of many kinds, and what the ffmpeg commands say of them: a truth for machines without ffmpeg.

    python -m tests.frames.recorded

makes tests/frames/recorded anew; it needs the commands `ffmpeg` and `ffprobe`. Encoders differ from machine
to machine, so the files are kept too: `truth.json` is of their very bytes.
"""

import hashlib
import json
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from tests import media

FOLDER = Path(__file__).parent / "recorded"
QUIET = "log-level=none"
KINDS: dict[str, dict[str, Any]] = {
    "h264.mp4": {"options": {"bf": "3"}},
    "open gop.mp4": {"options": {"x264-params": f"open-gop=1:keyint=6:{QUIET}"}},
    "hevc.mkv": {"codec": "libx265", "options": {"x265-params": QUIET}},
    "hevc 10 bits.mp4": {
        "codec": "libx265", "pixel_format": "yuv420p10le", "options": {"x265-params": QUIET},
    },
    "av1.mkv": {"codec": "libsvtav1", "options": {"svtav1-params": "lp=1"}},
    "vp8 with hidden frames.webm": {
        "codec": "libvpx", "options": {"auto-alt-ref": "1", "lag-in-frames": "12"},
    },
    "vp9.webm": {"codec": "libvpx-vp9"},
    "no duration.webm": {"codec": "libvpx-vp9", "container": {"live": "1"}},
    "transparent.webm": {"codec": "libvpx-vp9", "pixel_format": "yuva420p", "options": {"auto-alt-ref": "0"}},
    "4:4:4.mkv": {"pixel_format": "yuv444p"},
    "10 bits.mp4": {"pixel_format": "yuv420p10le"},
    "b frames.avi": {"codec": "mpeg4", "options": {"bf": "2"}},
    "motion jpeg.mov": {"codec": "mjpeg", "pixel_format": "yuvj420p"},
    "palette.gif": {"codec": "gif", "pixel_format": "rgb8"},
    "odd sizes.mkv": {"pixel_format": "yuv444p", "height": 47, "width": 65},
    "h263.3gp": {"codec": "h263", "height": 96, "width": 128, "rate": 25},
    "one pixel.mkv": {"codec": "ffv1", "pixel_format": "yuv444p", "height": 1, "width": 1},
    "turned 90.mp4": {"turn": 90, "height": 64, "width": 96},
    "turned 180.mp4": {"turn": 180, "height": 64, "width": 96},
    "turned 270.mov": {"turn": 270, "height": 64, "width": 96},
    "mirrored.mp4": {"matrix": (-1, 0, 0, 1), "height": 64, "width": 96},
    "transposed.mp4": {"matrix": (0, 1, 1, 0), "height": 64, "width": 96},
    "edit list.mp4": {"before": 9, "options": {"bf": "2"}},
    "uneven times.mkv": {"stamps": [number * number for number in range(20)]},
}  # fmt: skip
"""How each is made: words of `media.write`, and its pictures' size."""

NUMBERED = tuple(KINDS)[: list(KINDS).index("odd sizes.mkv")]
"""Those whose 20 frames show their number, eight a second."""
BY_PYAV = (
    "hevc 10 bits.mp4", "av1.mkv", "transparent.webm", "10 bits.mp4", "b frames.avi", "motion jpeg.mov",
    "h263.3gp", "palette.gif", "one pixel.mkv", "mirrored.mp4", "transposed.mp4", "edit list.mp4",
)  # fmt: skip
READ_BY = {name: "pyav" if name in BY_PYAV else "decord" for name in KINDS}
READ_BY["no duration.webm"] = "pyav after decord"
"""Who reads which where decord may."""


@cache
def truth() -> dict[str, dict[str, Any]]:
    """What was recorded, per file: its digest, the size of its picture, ffprobe's facts, its frames' digests.

    `times` is null where ffprobe knows none (B frames in AVI).
    """
    found: dict[str, dict[str, Any]] = json.loads((FOLDER / "truth.json").read_text(encoding="utf-8"))
    return found


def digest(content: bytes | media.Pixels) -> str:
    """Sixteen letters of a file, or of one frame's pixels."""
    data = content if isinstance(content, bytes) else np.ascontiguousarray(content).tobytes()
    return hashlib.sha256(data).hexdigest()[:16]


def asked(path: Path) -> dict[str, Any]:
    """What ffprobe and ffmpeg say of a file now."""
    entries = "stream=codec_name,pix_fmt,width,height:stream_side_data=rotation"
    entries += ":frame=best_effort_timestamp_time"
    command = ["ffprobe", "-v", "error", "-select_streams", "v:0", "-show_frames", "-show_entries", entries]
    done = subprocess.run([*command, "-of", "json", str(path)], capture_output=True, check=True)
    said = json.loads(done.stdout)
    (stream,) = said["streams"]
    turn = next((one["rotation"] for one in stream.get("side_data_list", []) if "rotation" in one), 0)
    height, width = stream["height"], stream["width"]
    if turn % 180:
        height, width = width, height
    pixels = media.ffmpeg_frames(path, height=height, width=width)
    assert pixels is not None
    shown = [frame.get("best_effort_timestamp_time") for frame in said["frames"]]
    times = None if None in shown else [round(float(one) - float(shown[0]), 6) for one in shown]
    return {
        "file": digest(path.read_bytes()), "codec": stream["codec_name"], "pixel_format": stream["pix_fmt"],
        "height": height, "width": width, "times": times,
        "frames": [digest(frame) for frame in pixels],
    }  # fmt: skip


def main() -> None:
    """Makes every file and records what ffmpeg says of it."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir()
    found = {}
    for name, how in KINDS.items():
        words = dict(how)
        size = {side: words.pop(side) for side in ("height", "width") if side in words}
        path = media.write(FOLDER / f"made{Path(name).suffix}", media.numbered(20, **size), **words)
        found[name] = asked(path.rename(FOLDER / name))
    lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(facts)}" for name, facts in found.items())
    (FOLDER / "truth.json").write_text(f"{{\n{lines}\n}}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
