"""Frames come back from a store, or are decoded again, as the same pixels without padding."""

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from msavqa.frames import read as frames
from msavqa.frames.decode import Backend, Decoded, DecodeError, decode
from msavqa.machine.processes import LostError
from msavqa.store import read as store
from tests import media, videos

BOX, FRAMES = 32, 4


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Videos of three shapes, and one that is none."""
    folder = tmp_path_factory.mktemp("videos")
    media.write(folder / "wide.mp4", media.numbered(9, height=48, width=96))
    media.write(folder / "small.mp4", media.numbered(3, height=16, width=24))
    media.write(folder / "tall.mp4", media.numbered(5, height=64, width=40), turn=180)
    (folder / "none.mp4").write_bytes(b"")
    return folder


@pytest.mark.parametrize("kept", ["frames", "none"])
def test_frames_are_those_of_a_lone_decode_whether_stored_or_not(
    folder: Path, tmp_path: Path, kept: str
) -> None:
    settings = videos.settings(store=kept, max_quarantined_fraction=0.5)
    path = videos.decode_to(tmp_path, folder, settings)
    opened = store.open(path, expect=frames.fingerprint(settings))
    assert ("frames" in opened.specs) == (kept == "frames")
    assert opened.rows["status"].tolist() == ["quarantined", "ok", "ok", "ok"]
    good = np.flatnonzero(opened.valid)
    paths = {row_id: folder / row_id for row_id in opened.ids}
    with frames.source(opened, settings=settings, paths=paths) as read_frames:
        got = list(read_frames(good)) + list(read_frames([3, 1]))
    order = [opened.ids[row] for row in [*good, 3, 1]]
    for name, pixels in zip(order, got, strict=True):
        alone = decode(folder / name, frames=FRAMES, box=BOX, backend="pyav")
        np.testing.assert_array_equal(pixels, alone.frames)
        (row,) = opened.index([name])
        np.testing.assert_array_equal(
            opened.read("times_seconds", opened.index([name]))[0], alone.times_seconds
        )
        told = opened.rows.iloc[row]
        assert (told["height"], told["width"]) == alone.frames.shape[1:3]
        assert (told["frame_count"], told["decoder"]) == (alone.frame_count, alone.backend)
    assert sorted(pixels.shape[1:3] for pixels in got[:3]) == [(16, 24), (16, 32), (32, 20)]


def test_padding_is_zero_below_and_right_of_the_picture(folder: Path, tmp_path: Path) -> None:
    settings = videos.settings(max_quarantined_fraction=0.5)
    opened = store.open(videos.decode_to(tmp_path, folder, settings))
    assert opened.specs["frames"].axes == ("video", "frame", "height", "width", "channel")
    small = opened.read("frames", opened.index(["small.mp4"]))[0]
    assert small[:, :16, :24].any()
    assert not small[:, 16:].any()
    assert not small[:, :, 24:].any()
    assert not opened.read("frames", opened.index(["none.mp4"])).any()


def test_a_video_that_no_longer_decodes_says_so_when_frames_are_not_stored(tmp_path: Path) -> None:
    media.write(tmp_path / "a.mp4", media.numbered(4))
    settings = videos.settings(store="none")
    opened = store.open(videos.decode_to(tmp_path, tmp_path, settings))
    (tmp_path / "a.mp4").write_bytes(b"")
    paths = {"a.mp4": tmp_path / "a.mp4"}
    with frames.source(opened, settings=settings, paths=paths) as read_frames, pytest.raises(DecodeError):
        list(read_frames([0]))


def decode_or_hang(path: Path, *, frames: int, box: int, backend: Backend) -> Decoded:
    """Decodes in a worker, which hangs over one video."""
    if path.name == "hangs.mp4":
        time.sleep(600)
    return decode(path, frames=frames, box=box, backend=backend)


@pytest.mark.parametrize("allowed", [0.5, 0.2])
def test_a_decoder_that_hangs_costs_one_video_when_frames_are_not_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, allowed: float
) -> None:
    names = ("hangs.mp4", "v0.mp4", "v1.mp4")
    for name in names:
        media.write(tmp_path / name, media.numbered(4))
    settings = videos.settings(store="none", max_quarantined_fraction=allowed)
    opened = store.open(videos.decode_to(tmp_path, tmp_path, settings))
    monkeypatch.setattr(frames, "decode", decode_or_hang)
    quick = settings.model_copy(update={"timeout_seconds": 2.0})  # a loaded machine
    paths = {name: tmp_path / name for name in names}
    sentence = (
        f"Video in {tmp_path}/hangs.mp4: got no answer within 2 s, twice, expected a result; "
        "look at that file, or allow it more seconds and memory."
    )
    with frames.source(opened, settings=quick, paths=paths) as read_frames:
        if allowed < 1 / 3:
            with pytest.raises(LostError) as refusal:
                list(read_frames(opened.index(names)))
            assert str(refusal.value) == sentence
        else:
            lost, *others = read_frames(opened.index(names))
            assert isinstance(lost, LostError)
            assert str(lost) == sentence
            assert [one.shape for one in others if not isinstance(one, LostError)] == [(4, 24, 32, 3)] * 2


def test_workers_that_decode_for_extraction_load_no_more_than_those_of_the_decode_stage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    media.write(tmp_path / "a.mp4", media.numbered(4))
    settings = videos.settings(store="none")
    opened = store.open(videos.decode_to(tmp_path, tmp_path, settings))
    given = []

    @contextlib.contextmanager
    def pool(function: Any, **_: object) -> Iterator[None]:
        given.append(function.func.__module__)
        yield

    monkeypatch.setattr(frames, "Pool", pool)
    with frames.source(opened, settings=settings, paths={}):
        assert given == ["msavqa.frames.decode"]  # test_workers.py says what that loads


def test_what_decides_pixels_is_in_the_fingerprint_and_what_does_not_is_not() -> None:
    base = frames.fingerprint(videos.settings())
    assert frames.fingerprint(videos.settings(workers=7, timeout_seconds=1.0, store="none")) == base
    assert frames.fingerprint(videos.settings(box=64)) != base
    assert frames.fingerprint(videos.settings(frames=5)) != base
    assert frames.fingerprint(videos.settings(backend="decord")) != base
