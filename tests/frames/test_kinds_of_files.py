"""What a file is: how long it lasts, a picture, a playlist, encrypted, or shown otherwise than it is read."""

import json
import shutil
import subprocess
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from msavqa.frames.decode import decode
from msavqa.frames.probe import probe
from msavqa.frames.video_file import DecodeError
from tests import media
from tests.conftest import skip_or_fail

WHOLE = "a video file that decodes from its first frame to its last"
SLOWER = "setpts='PTS*(1+N/8)'"


def film(path: Path, *words: str, seconds: float = 2, source: str = "testsrc2", change: str = "null") -> Path:
    """A test picture in motion, 96x64 at 8 frames per second, by the ffmpeg command."""
    if shutil.which("ffmpeg") is None:
        skip_or_fail("no ffmpeg command", needs="ffmpeg")
    made = f"{source}=size=96x64:rate=8:duration={seconds},{change}"
    command = ["ffmpeg", "-v", "error", "-y", "-f", "lavfi", "-i", made, *words, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return path


def shown_seconds(path: Path) -> float:
    """From the first frame to the end of the last, as ffprobe says: of the file, else by its packets."""
    asked = "format=duration:packet=pts_time,dts_time,duration_time"
    command = [
        "ffprobe",
        "-v",
        "error",
        "-select_streams",
        "v",
        "-show_entries",
        asked,
        "-of",
        "json",
        str(path),
    ]
    found = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    if "duration" in found["format"]:
        return float(found["format"]["duration"])
    times = [float(packet.get("pts_time", packet.get("dts_time"))) for packet in found["packets"]]
    return max(times) - min(times) + float(found["packets"][-1]["duration_time"])


def refusal(path: Path) -> str:
    with pytest.raises(DecodeError) as refused:
        decode(path, frames=2, box=None, backend="pyav")
    return str(refused.value).removeprefix(f"Video in {path}: ")


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("even.mp4", "null", []),
        ("even.gif", "null", []),
        ("even.apng", "null", ["-f", "apng"]),
        ("slower.mp4", SLOWER, ["-fps_mode", "vfr"]),
        ("slower.gif", SLOWER, ["-fps_mode", "vfr"]),
        ("slower.webm", SLOWER, ["-fps_mode", "vfr"]),
        ("slower.avi", SLOWER, ["-fps_mode", "vfr", "-c:v", "mpeg4"]),
        ("reordered.avi", SLOWER, ["-fps_mode", "vfr", "-c:v", "libx264", "-bf", "3"]),
        ("half.avi", "setpts=2*PTS", ["-fps_mode", "vfr", "-c:v", "mpeg4"]),
        ("half, reordered.avi", "setpts=2*PTS", ["-fps_mode", "vfr", "-c:v", "mpeg4", "-bf", "2"]),
        ("moving picture.avi", "null", ["-c:v", "mjpeg"]),
        ("stream.ts", "null", []),
    ],
)
def test_a_video_lasts_as_long_as_its_frames_are_shown(
    tmp_path: Path, name: str, change: str, words: list[str]
) -> None:
    path = film(tmp_path / name, *words, change=change)
    facts, decoded = probe(path), decode(path, frames=4, box=None, backend="pyav")
    assert facts.duration_seconds == pytest.approx(shown_seconds(path), abs=0.13)  # a frame at most
    assert decoded.duration_seconds == pytest.approx(facts.duration_seconds)
    assert decoded.times_seconds[-1] < decoded.duration_seconds
    if name.startswith(("slower", "half", "reordered")):  # what frames and rate say is far off
        assert abs(decoded.frame_count / decoded.fps - decoded.duration_seconds) > 0.1 or name == "slower.gif"


@settings(max_examples=10)
@given(st.lists(st.integers(2, 60), min_size=2, max_size=12))
def test_a_gif_lasts_the_sum_of_its_delays(
    tmp_path_factory: pytest.TempPathFactory, delays: list[int]
) -> None:
    from PIL import Image

    path = tmp_path_factory.mktemp("gif") / "delays.gif"
    pictures = [Image.fromarray(one) for one in media.numbered(len(delays))]
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=[10 * one for one in delays])
    assert probe(path).duration_seconds == pytest.approx(sum(delays) / 100, abs=1e-6)


def test_real_odd_files_last_as_long_as_ffprobe_says(shared_data: Path) -> None:
    if shutil.which("ffprobe") is None:
        skip_or_fail("no ffprobe command", needs="ffmpeg")
    checked = 0
    for path in sorted((shared_data / "odd_videos").iterdir()):
        try:
            facts = probe(path)
        except DecodeError:
            continue
        if facts.codec != "h264" or "awesome" in path.name:  # with sound that outlasts the pictures
            continue
        assert facts.duration_seconds == pytest.approx(shown_seconds(path), abs=1.01 / facts.fps), path
        checked += 1
    assert checked >= 8


PICTURE = "got a picture, expected a video of several frames; give the video itself."


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("one.png", []),
        ("one.jpg", []),
        ("one.jpeg", []),
        ("one.gif", []),
        ("one.apng", ["-f", "apng"]),
        ("one.bmp", []),
        ("one.tiff", []),
        ("one.webp", []),
        ("one.mp4", ["-f", "image2", "-c:v", "png"]),  # by its content, not by its name
        ("one.avif", ["-c:v", "libaom-av1"]),
    ],
)
def test_a_picture_is_no_video_in_whatever_format(tmp_path: Path, name: str, words: list[str]) -> None:
    path = film(tmp_path / name, "-frames:v", "1", *words)
    assert refusal(path) == PICTURE


def test_a_video_of_one_frame_is_read(tmp_path: Path) -> None:
    path = film(tmp_path / "one.mp4", "-frames:v", "1")
    assert (probe(path).frame_count, probe(path).duration_seconds) == (1, 0.125)


def test_a_moving_webp_is_called_that(tmp_path: Path) -> None:
    path = film(tmp_path / "moving.webp")
    assert refusal(path) == (f"got an animated WebP, expected {WHOLE}; turn it into a GIF or an mp4 first.")


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("#EXTM3U\n#EXTINF:2,\nsecret.ts\n", "m3u8"),
        ("\ufeff#EXTM3U\nhttp://127.0.0.1:9/secret.ts\n", "m3u8"),
        ("ffconcat version 1.0\nfile secret.ts\n", "concat"),
        ("# a list\nfile 'secret.ts'\n", "concat"),
        ('<?xml version="1.0"?>\n<MPD xmlns="urn:mpeg:dash:schema:mpd:2011">\n', "dash"),
        ("[playlist]\nFile1=secret.ts\n", "pls"),
        ("<asx version='3.0'>\n", "asx"),
    ],
)
@pytest.mark.parametrize("name", ["list.m3u8", "list.txt", "list.mp4"])
def test_a_playlist_is_named_as_such_and_what_it_names_is_not_opened(
    tmp_path: Path, text: str, kind: str, name: str
) -> None:
    (tmp_path / "secret.ts").write_bytes(b"x")
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    assert refusal(path) == (
        f"got a playlist ({kind}), which only names other files, expected {WHOLE}; give a video itself."
    )


def test_another_kind_of_file_is_named_without_a_list_of_those_that_are_read(tmp_path: Path) -> None:
    path = tmp_path / "words.srt"
    path.write_text(
        "1\n00:00:01,000 --> 00:00:02,000\na red ball\n\n2\n00:00:03,000 --> 00:00:04,000\nrolls\n"
    )
    assert refusal(path) == f"got ffmpeg's kind 'srt', expected {WHOLE}; replace the file or leave it out."


def test_an_encrypted_video_is_called_that(tmp_path: Path) -> None:
    key = [
        "-encryption_key",
        "76a6c65c5ea762046bd749a2e632ccbb",
        "-encryption_kid",
        "a7e61c373e219033c21091fa607bf3b8",
    ]
    path = film(tmp_path / "locked.mp4", "-encryption_scheme", "cenc-aes-ctr", *key)
    assert refusal(path) == f"got an encrypted video, expected {WHOLE}; decrypt it first, or leave it out."


BT2020 = ["-pix_fmt", "yuv420p10le", "-color_primaries", "bt2020", "-colorspace", "bt2020nc", "-color_trc"]
HDR = ["-c:v", "libx265", "-x265-params", "log-level=none", *BT2020]


@pytest.mark.parametrize(
    ("words", "change", "said"),
    [
        ([], "null", []),
        (
            [*HDR, "smpte2084"],
            "null",
            ["HDR (smpte2084): its colours are read as an ordinary video's, so it looks pale"],
        ),
        (
            [*HDR, "arib-std-b67"],
            "null",
            ["HDR (arib-std-b67): its colours are read as an ordinary video's, so it looks pale"],
        ),
        (
            [],
            "setsar=2/1",
            ["pixels that are not square (2:1): frames are read as stored, so they look squeezed"],
        ),
        (
            ["-c:v", "libx264", "-flags", "+ilme+ildct", "-x264opts", "tff=1"],
            "null",
            ["interlaced: both fields are read as one frame, so what moves looks combed"],
        ),
    ],
)
@pytest.mark.parametrize("backend", ["pyav", "decord"])
def test_what_a_viewer_sees_otherwise_is_said(
    tmp_path: Path, words: list[str], change: str, said: list[str], backend: str
) -> None:
    path = film(tmp_path / "odd.mp4", *words, change=change)
    assert list(decode(path, frames=4, box=None, backend=backend).peculiar) == said  # type: ignore[arg-type]


@settings(max_examples=8)
@given(st.fractions(min_value=Fraction(1, 4), max_value=4, max_denominator=8))
def test_pixels_of_any_shape_are_said_and_square_ones_are_not(
    tmp_path_factory: pytest.TempPathFactory, shape: Fraction
) -> None:
    path = film(
        tmp_path_factory.mktemp("shape") / "a.mp4", change=f"setsar={shape.numerator}/{shape.denominator}"
    )
    told = [] if shape == 1 else [f"pixels that are not square ({shape.numerator}:{shape.denominator})"]
    assert [sentence.split(": frames")[0] for sentence in probe(path).peculiar] == told
