"""The frames of a video file are those of the ffmpeg command, bit for bit, or there is one sentence."""

import contextlib
from dataclasses import replace
from pathlib import Path

import av
import av.error
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from msavqa.frames import decord, pyav
from msavqa.frames.decode import Backend, DecodeError, decode
from msavqa.frames.probe import probe, probe_with_times
from msavqa.frames.sampling import sample_indices, shrink
from tests import media

BACKENDS: tuple[Backend, ...] = ("pyav", "decord")
MADE = ("h264.mp4", "-i.mp4", "https:x.mp4", "%03d.mp4")


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", MADE)
def test_every_frame_of_a_made_file_comes_in_presentation_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, backend: Backend
) -> None:
    monkeypatch.chdir(tmp_path)
    media.write(tmp_path / "made.mp4", media.numbered(20), options={"bf": "3"}).rename(name)
    decoded = decode(name, frames=20, box=None, backend=backend)
    assert [media.number_of(frame) for frame in decoded.frames] == list(range(20))
    np.testing.assert_allclose(decoded.times_seconds, np.arange(20) / 8)
    media.check_as_ffmpeg_shows(Path(name), decoded.frames)
    assert decoded.backend == (f"pyav {av.__version__}" if backend == "pyav" else "decord 0.6.0")


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("turn", [90, 180, 270])
def test_rotation_metadata_turns_frames_upright_whatever_the_backend(
    tmp_path: Path, turn: int, backend: Backend
) -> None:
    path = media.write(tmp_path / "turned.mp4", media.numbered(6, height=64, width=96), turn=turn)
    facts = probe(path)
    assert facts.rotation_degrees == turn
    decoded = decode(path, frames=6, box=None, backend=backend)
    media.check_as_ffmpeg_shows(path, decoded.frames)
    stored = np.rot90(decoded.frames[0], k=turn // 90)
    assert stored.shape == (64, 96, 3)
    assert stored[10, 10, 0] > 150 > stored[10, 10, 1]  # the red corner is back at the top left
    wanted = {"wanted": list(range(6)), "finish": lambda frame: frame}
    by_decord = decord.read(path, facts, **wanted)
    if by_decord:  # it turns frames itself; where it cannot, PyAV did
        np.testing.assert_array_equal(by_decord[5], decoded.frames[5])


@pytest.mark.parametrize("matrix", [(-1, 0, 0, 1), (1, 0, 0, -1), (0, 1, 1, 0), (0, -1, -1, 0)])
def test_mirrored_videos_are_shown_as_ffmpeg_shows_them(
    tmp_path: Path, matrix: tuple[int, int, int, int]
) -> None:
    pictures = media.numbered(3, height=64, width=96)
    path = media.write(tmp_path / "mirrored.mp4", pictures, matrix=matrix)
    facts = probe(path)
    assert facts.mirrored
    decoded = decode(path, frames=3, box=None, backend="pyav")
    assert decoded.frames.shape == (3, facts.height, facts.width, 3)
    media.check_as_ffmpeg_shows(path, decoded.frames)


def test_frames_that_an_edit_list_hides_are_neither_counted_nor_sampled(tmp_path: Path) -> None:
    path = media.write(tmp_path / "edit.mp4", media.numbered(24), before=9, options={"bf": "2"})
    assert probe(path).has_edit_list
    decoded = decode(path, frames=5, box=None, backend="pyav")
    assert (decoded.frame_count, decoded.backend.split()[0]) == (15, "pyav")
    assert [media.number_of(frame) for frame in decoded.frames] == [9 + 1, 9 + 4, 9 + 7, 9 + 10, 9 + 13]
    np.testing.assert_allclose(decoded.times_seconds, np.array([1, 4, 7, 10, 13]) / 8)


def test_times_follow_a_variable_frame_rate(tmp_path: Path) -> None:
    stamps = [index * index for index in range(10)]
    path = media.write(tmp_path / "vfr.mkv", media.numbered(10), stamps=stamps)
    np.testing.assert_allclose(
        decode(path, frames=10, box=None, backend="pyav").times_seconds, np.array(stamps) / 8
    )


def test_one_frame_is_a_video_and_is_repeated(tmp_path: Path) -> None:
    decoded = decode(media.write(tmp_path / "one.mp4", media.numbered(1)), frames=3, box=None, backend="pyav")
    assert decoded.indices.tolist() == [0, 0, 0]
    assert decoded.times_seconds.tolist() == [0, 0, 0]
    assert decoded.frames.shape == (3, 48, 64, 3)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("suffix", ["mp4", "mkv", "avi"])
def test_a_file_cut_off_anywhere_is_refused(tmp_path: Path, suffix: str, backend: Backend) -> None:
    options = {"codec": "mpeg4"} if suffix == "avi" else {}
    noise = np.random.default_rng(0).integers(0, 256, (12, 64, 64, 3), np.uint8)
    whole = media.write(tmp_path / f"whole.{suffix}", noise, **options)
    if suffix == "mp4":  # the index first, as streamed files have it: otherwise nothing opens at all
        whole = _index_first(whole, tmp_path / "first.mp4")
    content = whole.read_bytes()
    part = tmp_path / f"part.{suffix}"
    for fraction in (0.3, 0.5, 0.7, 0.9):
        part.write_bytes(content[: int(len(content) * fraction)])
        with pytest.raises(DecodeError):
            decode(part, frames=4, box=None, backend=backend)


def _index_first(source: Path, target: Path) -> Path:
    with av.open(str(source)) as old, av.open(str(target), "w", options={"movflags": "faststart"}) as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        for packet in old.demux(video=0):
            if packet.size:
                packet.stream = stream
                new.mux(packet)
    return target


def concealed(path: Path) -> int:
    """How many frames ffmpeg's libraries give of a damaged file when they are left to themselves."""
    count = 0
    with av.open(str(path)) as file:
        for packet in file.demux(video=0):
            with contextlib.suppress(av.error.InvalidDataError):
                count += len(packet.decode())
    return count


@pytest.mark.parametrize("backend", BACKENDS)
def test_damage_in_the_middle_is_refused_though_ffmpeg_would_conceal_it(
    tmp_path: Path, backend: Backend
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (24, 64, 64, 3), np.uint8)
    whole = media.write(tmp_path / "whole.mp4", noise)
    assert decode(whole, frames=2, box=None, backend=backend).backend.startswith(backend)
    refused = 0
    for step in range(10):
        damaged = media.flip_bits(
            whole, tmp_path / "damaged.mp4", at=[0.3 + 0.04 * step + 0.01 * k for k in range(6)]
        )
        assert concealed(damaged) > 0
        try:
            decode(damaged, frames=2, box=None, backend=backend)
        except DecodeError:
            refused += 1
    assert refused >= 8  # a flipped bit may still be a valid stream, which nobody can tell


def test_frames_that_decord_complains_of_are_read_by_pyav(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = media.write(tmp_path / "a.mp4", media.numbered(6))
    direct = decode(path, frames=3, box=None, backend="decord")
    monkeypatch.setattr(decord, "read", lambda *args, **options: {})
    again = decode(path, frames=3, box=None, backend="decord")
    assert again.backend.endswith("after decord 0.6.0")
    np.testing.assert_array_equal(again.frames, direct.frames)
    np.testing.assert_array_equal(again.times_seconds, direct.times_seconds)


@pytest.mark.parametrize("claimed", [3, 9])
def test_where_packets_are_not_frames_the_frames_decide(tmp_path: Path, claimed: int) -> None:
    path = media.write(tmp_path / "a.mp4", media.numbered(6))
    facts, times = probe_with_times(path)
    wrong = replace(facts, frame_count=claimed)
    count, found, taken = pyav.read(path, wrong, times[:3], frames=6, finish=lambda frame: frame)
    assert count == 6
    np.testing.assert_allclose(found, times)
    assert [media.number_of(taken[index]) for index in range(6)] == list(range(6))


def test_a_video_whose_picture_changes_its_size_is_refused(tmp_path: Path) -> None:
    parts = [
        media.write(tmp_path / f"{width}.h264", media.numbered(2, width=width)).read_bytes()
        for width in (64, 96)
    ]
    path = tmp_path / "both.h264"
    path.write_bytes(b"".join(parts))
    with pytest.raises(DecodeError) as refusal:
        decode(path, frames=2, box=None, backend="pyav")
    assert str(refusal.value) == (
        f"Video in {path}: got frames of 64x48 and of 96x48 pixels, expected frames of one size; "
        "cut it into parts."
    )


def test_a_playlist_cannot_make_other_files_open(tmp_path: Path) -> None:
    media.write(tmp_path / "secret.ts", media.numbered(8))
    text = "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nsecret.ts\n#EXT-X-ENDLIST\n"
    (tmp_path / "list.m3u8").write_text(text, encoding="utf-8")
    with av.open(str(tmp_path / "list.m3u8")) as container:  # so ffmpeg would
        assert container.format.name == "hls"
    for name in ("list.m3u8", "list.mp4"):
        (tmp_path / name).write_text(text, encoding="utf-8")
        with pytest.raises(DecodeError, match="a playlist \\(m3u8\\), which only names other files"):
            decode(tmp_path / name, frames=1, box=None, backend="pyav")


@given(st.integers(1, 2000), st.integers(1, 64))
def test_sampled_indices_are_the_middles_of_equal_parts(frame_count: int, frames: int) -> None:
    indices = sample_indices(frame_count=frame_count, frames=frames)
    by_hand = [int((2 * i + 1) * frame_count / (2 * frames)) for i in range(frames)]
    assert indices.tolist() == by_hand
    assert indices[0] >= 0
    assert indices[-1] < frame_count
    mirrored = (frame_count - 1) - indices[::-1]
    assert np.abs(indices - mirrored).max() <= 1  # no end of the video is favoured


def test_shrinking_keeps_the_aspect_and_the_mean_and_never_enlarges() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (90, 160, 3), np.uint8)
    small = shrink(picture, box=64)
    assert small.shape == (36, 64, 3)
    assert abs(float(small.mean()) - float(picture.mean())) < 1
    assert shrink(picture, box=160) is picture
    assert shrink(np.zeros((1, 500, 3), np.uint8), box=50).shape == (1, 50, 3)
    checks = np.indices((128, 128)).sum(axis=0) % 2 * 255  # finer than the result can show: grey, no pattern
    fine = shrink(np.repeat(checks[..., None], 3, axis=2).astype(np.uint8), box=32)
    assert fine.min() >= 120
    assert fine.max() <= 135
