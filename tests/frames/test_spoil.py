"""Trivial videos: what each kind does to frames, the same for the same seed."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from msavqa.datasets import copies as planned
from msavqa.datasets.copies import OF_TWO
from msavqa.frames import copies, spoil
from msavqa.frames.spoil import EMPTY, SPOILT, Pixels
from msavqa.machine.processes import LostError
from msavqa.store import read as store
from tests import feature_world

COUNT, HEIGHT, WIDTH = 6, 33, 47
"""Odd sizes, which H.264 does not take."""


def video(seed: int, *, height: int = HEIGHT, width: int = WIDTH) -> Pixels:
    """A bright square on a soft ground; it moves, and every frame has its own mean."""
    rows, columns = np.mgrid[:height, :width]
    frames = []
    for number in range(COUNT):
        ground = 60 + 60 * np.sin(rows / (9 + seed)) + 40 * np.cos(columns / 7) + 3 * number
        one = np.stack([ground, ground[::-1], 200 - ground], axis=-1)
        one[8:22, 4 + 4 * number : 16 + 4 * number] = (250, 40 + 20 * seed, 30)
        frames.append(one.clip(0, 255).astype(np.uint8))
    return np.stack(frames)


def spoilt(kind: str, seed: int = 0) -> Pixels:
    other = video(5, height=20, width=80) if kind in OF_TWO else None
    return SPOILT[kind](frames=video(1), other=other, random=np.random.default_rng(seed))


def empty(kind: str, seed: int = 0) -> Pixels:
    return EMPTY[kind](frames=COUNT, height=HEIGHT, width=WIDTH, random=np.random.default_rng(seed))


def test_there_is_a_function_for_every_kind_that_settings_name() -> None:
    assert tuple(SPOILT) == planned.SPOILT
    assert tuple(EMPTY) == planned.EMPTY


@pytest.mark.parametrize("kind", SPOILT)
def test_a_copy_has_the_form_of_its_video_and_is_not_it(kind: str) -> None:
    before, found = video(1), spoilt(kind)
    assert (found.shape, found.dtype) == (before.shape, np.uint8)
    assert not np.array_equal(found, before)
    assert np.array_equal(found, spoilt(kind))
    assert np.array_equal(video(1), before)  # and leaves it as it was


@pytest.mark.parametrize("kind", EMPTY)
def test_what_shows_nothing_has_the_size_that_is_asked_for(kind: str) -> None:
    found = empty(kind)
    assert (found.shape, found.dtype) == ((COUNT, HEIGHT, WIDTH, 3), np.uint8)
    assert np.array_equal(found, empty(kind))


@pytest.mark.parametrize("kind", ["flat", "noise", "frozen_noise", "stripes", "flashing"])
def test_another_seed_draws_another(kind: str) -> None:
    assert not np.array_equal(empty(kind, 0), empty(kind, 1))


def moves(frames: Pixels) -> float:
    return float(np.abs(np.diff(frames.astype(np.int16), axis=0)).mean())


def sharp(frames: Pixels) -> float:
    return float(np.abs(np.diff(frames.astype(np.int16), axis=2)).mean())


def test_a_still_is_one_of_its_frames_and_a_codec_adds_little() -> None:
    found, frames = spoilt("still"), video(1)
    assert moves(found) == 0
    assert any(np.array_equal(found[0], one) for one in frames)
    assert 0 <= moves(spoilt("coded_still")) < moves(frames) / 4


@pytest.mark.parametrize("seed", range(5))
def test_frames_that_are_put_in_another_order_are_the_same_frames(seed: int) -> None:
    frames = video(1)
    for kind in ("shuffled", "backwards"):
        found = spoilt(kind, seed)
        assert sorted(one.tobytes() for one in found) == sorted(one.tobytes() for one in frames)
        assert not np.array_equal(found, frames)
    assert np.array_equal(spoilt("backwards")[::-1], frames)


def test_a_video_of_one_frame_cannot_be_shuffled_and_that_is_no_error() -> None:
    one = video(1)[:1]
    assert np.array_equal(spoil.shuffled(frames=one, other=None, random=np.random.default_rng(0)), one)


@pytest.mark.parametrize("seed", range(4))
def test_half_of_a_copy_comes_from_another_video(seed: int) -> None:
    own = [np.array_equal(a, b) for a, b in zip(spoilt("replaced", seed), video(1), strict=True)]
    assert own in ([True] * 3 + [False] * 3, [False] * 3 + [True] * 3)


def test_colours_change_in_a_part_and_from_a_moment_on() -> None:
    changed = (spoilt("recoloured") != video(1)).any(axis=-1)
    times = changed.any(axis=(1, 2))
    assert not times[0]
    assert times[-1]
    assert (np.diff(times.astype(int)) >= 0).all()
    assert 0.05 < changed[-1].mean() < 0.9
    assert np.array_equal(np.sort(spoilt("recoloured"), axis=-1), np.sort(video(1), axis=-1))


def test_blur_blocks_and_compression_take_detail_away() -> None:
    fine = np.random.default_rng(0).integers(0, 256, size=(COUNT, HEIGHT, WIDTH, 3)).astype(np.uint8)
    for kind in ("blurred", "compressed", "pixelated"):
        found = SPOILT[kind](frames=fine, other=None, random=np.random.default_rng(3))
        assert sharp(found) < 0.7 * sharp(fine), kind
        assert found.mean() == pytest.approx(fine.mean(), abs=6), kind


def test_every_other_frame_flickers() -> None:
    light = spoilt("flickering").mean(axis=(1, 2, 3)) / video(1).mean(axis=(1, 2, 3))
    assert light[::2] == pytest.approx(1)
    assert (light[1::2] < 0.65).all()


def test_what_shows_nothing_shows_nothing() -> None:
    assert not empty("black").any()
    assert (empty("white") == 255).all()
    assert len(np.unique(empty("flat").reshape(-1, 3), axis=0)) == 1
    assert [len(np.unique(one.reshape(-1, 3), axis=0)) for one in empty("flashing")] == [1] * COUNT
    assert moves(empty("frozen_noise")) == 0
    assert moves(empty("noise")) > 15
    assert len(np.unique(empty("stripes").reshape(-1, 3), axis=0)) == 2


def test_the_codec_keeps_more_at_a_lower_crf() -> None:
    frames = video(1)
    behind = [spoil.coded(frames=frames, crf=crf).astype(np.int16) for crf in (1.0, 25.0, 50.0)]
    far = [float(np.abs(one - frames).mean()) for one in behind]
    assert far == sorted(far)
    assert far[0] < 12 < far[2] + 9  # 4:2:0 alone takes some


PLAN = pd.DataFrame(
    [
        ("still/a", "still", "a", "", 0, 0), ("replaced/a", "replaced", "a", "b", 0, 0),
        ("black/0", "black", "", "", 21, 15), ("replaced/b", "replaced", "b", "bad", 0, 0),
    ],
    columns=["copy_id", "kind", "video_id", "other_id", "width", "height"],
).assign(sha256=[f"{number:064x}" for number in range(4)])  # fmt: skip


@pytest.fixture
def originals(tmp_path: Path) -> store.Store:
    times = ("video frame", np.zeros((3, COUNT)))
    feature_world.write_store(
        tmp_path / "frames.zarr", ["a", "b", "bad"], broken=[2], fingerprint={"box": 96}, attributes={},
        times_seconds=times,
    )  # fmt: skip
    return store.open(tmp_path / "frames.zarr")


def test_copies_are_indexed_like_videos_and_one_of_a_bad_video_says_why(
    originals: store.Store, tmp_path: Path
) -> None:
    found = copies.index(
        tmp_path / "copies.zarr",
        plan=PLAN,
        originals=originals,
        shard_mb=1,
        staging_root=tmp_path / "staging",
    )
    assert found.ids == list(PLAN["copy_id"])
    assert list(found.valid) == [True, True, True, False]
    assert found.rows["error"].iloc[3] == "broken"
    assert found.fingerprint == {"box": 96, "copies_version": spoil.VERSION}


def test_frames_of_copies_are_made_of_those_that_are_read(originals: store.Store) -> None:
    asked: list[int] = []

    def read(rows: object) -> object:
        asked.extend(rows)  # type: ignore[arg-type]
        return iter([video(int(row)) for row in rows])  # type: ignore[attr-defined]

    reader = copies.reader(plan=PLAN, originals=originals, read_frames=read)  # type: ignore[arg-type]
    still, black, both = reader([0, 2, 1])
    assert asked == [0, 0, 1]
    assert isinstance(still, np.ndarray)
    assert moves(still) == 0
    assert isinstance(black, np.ndarray)
    assert black.shape == (COUNT, 15, 21, 3)
    assert isinstance(both, np.ndarray)
    assert {any(np.array_equal(one, own) for own in video(0)) for one in both} == {True, False}


def test_a_copy_of_a_video_whose_decoder_died_is_lost_with_it_and_no_other(originals: store.Store) -> None:
    lost = LostError(what="Video", where="b", got="died", expected="frames", next_step="look")

    def read(rows: object) -> object:
        return iter([lost if row == 1 else video(0) for row in rows])  # type: ignore[attr-defined]

    reader = copies.reader(plan=PLAN, originals=originals, read_frames=read)  # type: ignore[arg-type]
    found = list(reader([1, 0]))
    assert found[0] is lost
    assert isinstance(found[1], np.ndarray)
