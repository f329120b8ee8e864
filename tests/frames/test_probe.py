"""What a probe says of a file is what ffprobe and a viewer would say."""

import csv
import math
import os
import warnings
from pathlib import Path

import numpy as np
import pytest

from msavqa.frames.probe import probe, probe_with_times
from msavqa.frames.video_file import DecodeError
from tests import media
from tests.conftest import real_data
from tests.frames import recorded


def test_facts_are_those_that_were_recorded_with_ffprobe() -> None:
    for name, truth in recorded.truth().items():
        facts, times = probe_with_times(recorded.FOLDER / name)
        assert (facts.height, facts.width) == (truth["height"], truth["width"]), name
        assert facts.frame_count == len(times) == len(truth["frames"]), name
        assert facts.codec == truth["codec"], name
        assert facts.pixel_format == truth["pixel_format"], name
        if truth["times"]:
            np.testing.assert_allclose(times, truth["times"], atol=0.0051, err_msg=name)
        assert times[0] == 0
        assert np.all(np.diff(times) > 0)


def test_facts_of_real_odd_files_are_those_that_were_recorded_with_ffprobe() -> None:
    """Where they lie beside the checkout."""
    folder = (real_data() or Path("nowhere")) / "odd_videos"
    lines = (folder / "manifest.csv").read_text(encoding="utf-8").splitlines() if folder.is_dir() else []
    listed = [row for row in csv.DictReader(lines) if row["width"]]
    read = [row for row in listed if row["file"] != "decord_corrupted.mp4"]
    assert len(read) in (0, 18)
    for row in read:
        facts, times = probe_with_times(folder / row["file"])
        size = (
            (facts.height, facts.width)
            if facts.rotation_degrees in (90, 270)
            else (facts.width, facts.height)
        )
        assert size == (int(row["width"]), int(row["height"]))
        assert facts.frame_count == len(times) == int(row["frames"])
        assert (facts.container, facts.codec) == (row["container"], row["codec"])
        assert facts.pixel_format == row["pix_fmt"]
        assert math.isclose(facts.fps, float(row["fps"]), abs_tol=1e-3)
        assert facts.rotation_degrees == -int(row["rotation"] or 0)
        if row["duration"]:  # of the container, audio included
            assert abs(facts.duration_seconds - float(row["duration"])) <= 0.25
        assert times[0] == 0
        assert np.all(np.diff(times) > 0)


def test_frames_that_are_never_shown_are_not_counted(tmp_path: Path) -> None:
    options = {"auto-alt-ref": "1", "lag-in-frames": "12", "arnr-maxframes": "5"}
    pictures = media.numbered(40)
    path = media.write(tmp_path / "alt.webm", pictures, codec="libvpx", options=options)
    assert probe(path).frame_count == 40


def test_what_is_no_media_file_is_told_apart(tmp_path: Path) -> None:
    table, text = tmp_path / "table.csv", tmp_path / "text.mp4"
    for path in (table, text):
        path.write_text("file,prompt\n", encoding="utf-8")
    pipe = tmp_path / "pipe.mp4"
    os.mkfifo(pipe)
    latin = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.mp4"))
    latin.write_bytes(b"x")
    whole = "a video file that decodes from its first frame to its last"
    nothing = "nothing that ffmpeg can read (Invalid data found when processing input)"
    cases = {
        tmp_path / "absent.mp4": ("no such file", "a video file", "check name and folder"),
        tmp_path: ("a folder", "a video file", "name one file"),
        latin: ("a name that is not UTF-8", "a video file", "rename it"),
        pipe: ("no regular file", "a video file", "name one file"),
        tmp_path / f"{'x' * 300}.mp4": ("File name too long", "a video file", "check its name and rights"),
        text: ("ffmpeg's mov: moov atom not found", whole, "replace the file or leave it out"),
        table: (nothing, whole, "replace the file or leave it out"),
    }
    for path, (got, expected, next_step) in cases.items():
        with pytest.raises(DecodeError) as refusal:
            probe(path)
        assert str(refusal.value) == f"Video in {path}: got {got}, expected {expected}; {next_step}."


def test_cover_art_of_a_song_is_no_video(tmp_path: Path) -> None:
    import av
    import av.stream

    song = tmp_path / "song.mp3"
    with av.open(str(song), "w") as container:
        sound = container.add_stream("mp3", rate=44100)
        cover = container.add_stream("png", rate=1)
        cover.width, cover.height, cover.pix_fmt = 32, 32, "rgb24"
        cover.disposition = av.stream.Disposition.attached_pic
        for packet in cover.encode(av.VideoFrame.from_ndarray(media.numbered(1, height=32, width=32)[0])):
            container.mux(packet)
        silence = av.AudioFrame.from_ndarray(np.zeros((2, 1152), np.float32), format="fltp", layout="stereo")
        silence.sample_rate = 44100
        for packet in [*sound.encode(silence), *sound.encode(None)]:
            container.mux(packet)
    with pytest.raises(DecodeError) as refusal:
        probe(song)
    assert "no video stream, only" in str(refusal.value)


def test_a_turn_that_is_no_right_angle_is_refused(tmp_path: Path) -> None:
    path = media.write(tmp_path / "tilted.mp4", media.numbered(2), turn=30)
    with pytest.raises(DecodeError) as refusal:
        probe(path)
    assert str(refusal.value) == (
        f"Video in {path}: got a rotation of 30 degrees, expected a multiple of 90; "
        "turn it with ffmpeg first."
    )


def test_probing_leaves_the_log_level_as_it_was(tmp_path: Path) -> None:
    import av.logging

    before = av.logging.get_level()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        probe(media.write(tmp_path / "a.mp4", media.numbered(2)))
    assert av.logging.get_level() == before
