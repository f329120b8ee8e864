"""What extraction is given: frames that must be the settings' own, and a launcher that may be any."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from msavqa.frames import read as frames
from msavqa.machine.launch import in_turn, processes
from msavqa.store import read as store
from msavqa.trunks.kinds import clip_text
from msavqa.trunks.run import prompts, videos
from msavqa.trunks.run.feature_rows import ExtractSettings
from tests import clips, feature_world, media, tiny_networks
from tests import videos as test_videos
from tests.stores import tree

HOW = ExtractSettings(batch_frames=8, ahead_videos=2, threads=2, device="cpu")
DECODE = test_videos.settings(box=96, workers=1, timeout_seconds=10.0, max_quarantined_fraction=1.0)


def test_two_processes_make_the_same_bytes_as_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    some = clips.videos(6, frames=4, size=96)
    opened = tiny_networks.frames_store(tmp_path / "frames.zarr", some, broken=[1])
    settings = tiny_networks.image_settings(tmp_path, tiny_networks.CONVNEXT)
    trunk = tiny_networks.trunk(tmp_path, settings)
    world = clips.build("small", tmp_path)
    text = world.text_trunk(["a", "b"])
    pieces = prompts.pieces(["a", "b"], read=clip_text.reader(world.text))
    reader = videos.FrameReader(opened, DECODE, paths={})
    how: dict[str, Any] = {"extract": HOW, "shard_mb": 0.0012}
    for name, launcher in (("turn", in_turn), ("side", processes(2))):
        rest = how | {"staging_root": tmp_path / name / "staging", "launcher": launcher}
        report = videos.run(
            tmp_path / name / "frame.zarr", trunk=trunk, frames=opened, read_frames=reader, **rest
        )
        assert (report.shards_made, report.computed) == (3, 6)
        assert last_line(capsys).startswith("extract: 6/6 videos, ")
        prompts.run(tmp_path / name / "text.zarr", trunk=text, pieces=pieces, **rest)
        assert last_line(capsys).startswith("extract: 2/2 prompts, ")
    for store_name in ("frame.zarr", "text.zarr"):
        assert tree(tmp_path / "turn" / store_name) == tree(tmp_path / "side" / store_name)


def test_frames_that_are_not_stored_are_decoded_where_a_launcher_runs(tmp_path: Path) -> None:
    folder = tmp_path / "videos"
    folder.mkdir()
    for number in range(3):
        media.write(folder / f"v{number}.mp4", media.numbered(number + 4))
    trunk = tiny_networks.trunk(tmp_path, tiny_networks.image_settings(tmp_path, tiny_networks.CONVNEXT))
    found = []
    for kept, launcher in (("frames", in_turn), ("none", in_turn), ("none", processes(1))):
        own = tmp_path / str(len(found))
        own.mkdir()
        settings = test_videos.settings(store=kept, workers=1)
        opened = frames.open_frames(test_videos.decode_to(own, folder, settings), settings=settings)
        paths = {f"v{number}.mp4": folder / f"v{number}.mp4" for number in range(3)}
        with videos.FrameReader(opened, settings, paths) as reader:
            videos.run(
                own / "frame.zarr", trunk=trunk, frames=opened, read_frames=reader, extract=HOW, shard_mb=1,
                staging_root=own / "staging", launcher=launcher,
            )  # fmt: skip
        found.append(tree(own / "frame.zarr"))
    assert found[1] == found[2]
    first, second = (store.open(tmp_path / name / "frame.zarr").all("pooled") for name in "01")
    np.testing.assert_array_equal(first, second)


def test_what_a_reader_of_stored_frames_carries_does_not_grow_with_the_videos(tmp_path: Path) -> None:
    opened = tiny_networks.frames_store(tmp_path / "frames.zarr", clips.videos(2, frames=4, size=32))
    few, many = (
        videos.FrameReader(opened, DECODE, {str(one): tmp_path for one in range(count)}) for count in (1, 999)
    )
    assert len(pickle.dumps(few)) == len(pickle.dumps(many)) < 2000
    assert len(list(pickle.loads(pickle.dumps(many))([0, 1]))) == 2  # noqa: S301


def last_line(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().err.splitlines()[-1]


def test_frames_of_other_settings_are_refused(tmp_path: Path) -> None:
    path = tiny_networks.frames_store(tmp_path / "frames.zarr", clips.videos(2, frames=4, size=96)).path
    assert len(frames.open_frames(path, settings=DECODE)) == 2
    with pytest.raises(store.StoreError) as refusal:
        frames.open_frames(path, settings=DECODE.model_copy(update={"box": 48}))
    assert str(refusal.value) == (
        f"Another fingerprint in {path}: got box 96, expected box 48; run `dvc repro` to make the store that "
        "the settings ask for."
    )


def test_another_decoder_is_refused_where_frames_are_decoded_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = tiny_networks.frames_store(tmp_path / "frames.zarr", clips.videos(2, frames=4, size=96)).path
    times = ("video frame", np.zeros((2, 4)))
    none = tmp_path / "none.zarr"
    feature_world.write_store(none, ["a", "b"], fingerprint=frames.fingerprint(DECODE), times_seconds=times)
    monkeypatch.setattr(frames, "decoder_facts", lambda backend: {"av": "9.9"})
    assert "frames" in frames.open_frames(stored, settings=DECODE).specs
    with pytest.raises(store.StoreError, match=r"expected decoder.av '9\.9'; run `dvc repro`"):
        frames.open_frames(none, settings=DECODE)
