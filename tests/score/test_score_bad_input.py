"""The whole list of bad input, by the command line: a score or one sentence each, the other rows scored."""

import csv
import hashlib
import shutil
import subprocess
import sys
import wave
from pathlib import Path

import pytest

from tests import media
from tests.app.test_cli import msavqa
from tests.conftest import ROOT

WHOLE = "a video file that decodes from its first frame to its last"
LEAVE = "replace the file or leave it out"
REFUSED = {
    "text.mp4": f"got ffmpeg's mov: moov atom not found, expected {WHOLE}; {LEAVE}.",
    "sound.wav": f"got no video stream, only audio, expected {WHOLE}; {LEAVE}.",
    "empty.mp4": f"got 0 bytes, expected {WHOLE}; download it again or leave it out.",
    "missing.mp4": "got no such file, expected a video file; check name and folder.",
}
PROMPTS = {
    "long": "a red ball " * 910,
    "chinese": "一只红色的球向左滚动",
    "emoji": "🔴⬅️ 👩‍🚀",
    "quotes": 'a "ball", red\nand round',
}
CUT = "prompt cut: longer than the text encoder reads, its end was left out"


def make(folder: Path) -> dict[str, str]:
    """Every kind of odd file under `folder`: name -> a warning that its score carries, or nothing."""
    (folder / "text.mp4").write_text("not a video", encoding="utf-8")
    (folder / "empty.mp4").touch()
    with wave.open(str(folder / "sound.wav"), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(bytes(16_000))
    pictures = media.numbered(8)
    media.write(folder / "plain.mp4", pictures)
    media.write(folder / "one.mp4", pictures[:1])
    media.write(folder / "pixel.mp4", pictures[:, :1, :1], pixel_format="yuv444p")
    media.write(folder / "av1.mkv", pictures, codec="libsvtav1")
    media.write(folder / "ten bits.mp4", pictures, pixel_format="yuv420p10le")
    media.write(folder / "-turned.mp4", pictures, turn=90)
    media.write(folder / " --vfr  .mp4", pictures, stamps=[0, 1, 2, 5, 6, 7, 8, 11])
    return {
        "plain.mp4": "",
        "one.mp4": "one frame: nothing moves, so motion and consistency say nothing",
        "pixel.mp4": "very small: 1x1 pixels",
        "av1.mkv": "",
        "ten bits.mp4": "",
        "-turned.mp4": "",
        " --vfr  .mp4": "",
    }


def test_every_bad_row_of_a_csv_costs_itself_alone(random_bundle: Path, tmp_path: Path) -> None:
    scored = make(tmp_path)
    asked = [(name, "a ball") for name in (*scored, *REFUSED, "plain.mp4")]
    asked += [("plain.mp4", prompt) for prompt in PROMPTS.values()]
    with (tmp_path / "videos.csv").open("w", encoding="utf-8-sig", newline="") as file:  # a BOM and CRLF
        csv.writer(file).writerows([("video", "prompt"), *asked])
    words = ("score", "--csv", "videos.csv", "--out", "scores.csv", "--model", random_bundle)
    good = len(asked) - len(REFUSED)
    done = msavqa(*words, cwd=tmp_path, code=2)
    assert done.stdout == f"scores.csv: {good} scored, {len(REFUSED)} failed\n"
    with (tmp_path / "scores.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["video"], row["prompt"]) for row in rows] == asked
    for row in rows:
        name = row["video"]
        if name in REFUSED:
            assert row["error"] == f"Video in {name}: {REFUSED[name]}"
            assert row["score"] == ""
        else:
            assert 0 <= float(row["low"]) <= float(row["score"]) <= float(row["high"]) <= 100
            assert row["error"] == ""
            assert scored[name] in row["warnings"]
            assert (CUT in row["warnings"]) == (row["prompt"] == PROMPTS["long"])
    twice = [row for row in rows if (row["video"], row["prompt"]) == ("plain.mp4", "a ball")]
    assert len(twice) == 2
    assert twice[0] == twice[1]


def test_a_bad_video_by_itself_ends_with_its_sentence_and_2(random_bundle: Path, tmp_path: Path) -> None:
    make(tmp_path)
    for name, sentence in REFUSED.items():
        words = ("score", "--prompt", "x", "--model", random_bundle, "--", name)
        done = msavqa(*words, cwd=tmp_path, code=2)
        assert (done.stdout, done.stderr) == ("", f"error: Video in {name}: {sentence}\n")


def test_a_csv_without_a_column_ends_with_its_name_and_2(random_bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "videos.csv").write_bytes(b"\xef\xbb\xbfvideo,text\r\na.mp4,x\r\n")
    words = ("score", "--csv", "videos.csv", "--out", "scores.csv", "--model", random_bundle)
    assert msavqa(*words, cwd=tmp_path, code=2).stderr == (
        "error: 1 problem in videos.csv; mend them or name the columns, and run again:\n"
        "  - no column 'prompt' (--prompt-column); the columns are 'video', 'text'\n"
    )
    assert not (tmp_path / "scores.csv").exists()


@pytest.mark.parametrize("place", ["branches/frame", "networks/clip_image"])
def test_a_bundle_with_a_tampered_weight_ends_with_a_sentence_and_2(
    random_bundle: Path, tmp_path: Path, place: str
) -> None:
    shutil.copytree(random_bundle, tmp_path / "bundle")
    media.write(tmp_path / "a.mp4", media.numbered(8))
    file = tmp_path / "bundle" / f"{place}.safetensors"
    before = file.read_bytes()
    file.write_bytes(before[:-1] + bytes([before[-1] ^ 1]))
    got, expected = (hashlib.sha256(content).hexdigest() for content in (file.read_bytes(), before))
    words = ("score", "a.mp4", "--prompt", "x", "--model", "bundle")
    assert msavqa(*words, cwd=tmp_path, code=2).stderr == (
        f"error: Model bundle in bundle/{place}.safetensors: got SHA-256 {got}, expected {expected}; "
        "export the bundle again with `msavqa export`.\n"
    )


def test_a_prompt_that_is_no_text_is_called_that(random_bundle: Path) -> None:
    code = f"import msavqa; msavqa.load({str(random_bundle)!r}).score('a.mp4', None)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stderr.splitlines()[-1] == (
        "TypeError: prompt: expected text, '' where there is none, got NoneType"
    )
