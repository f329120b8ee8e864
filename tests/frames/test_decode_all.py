"""Decoding a dataset loses nothing: killed, it resumes to the same bytes; bad videos are counted."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from msavqa.frames import write as module
from msavqa.ground.errors import MsavqaError
from msavqa.machine.processes import LostError, Outcome
from msavqa.store import read as store
from pipeline import decode as stage
from tests import media, videos

COUNT = 24


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("videos")
    for number in range(COUNT):
        media.write(folder / f"v{number:02d}.mp4", media.numbered(number + 1))
    return folder


def content(path: Path) -> dict[str, bytes]:
    """Every file of a store by its path in it."""
    return {
        file.relative_to(path).as_posix(): file.read_bytes() for file in path.rglob("*") if file.is_file()
    }


def test_a_run_killed_in_the_middle_resumes_to_the_bytes_of_an_unbroken_one(
    folder: Path, tmp_path: Path
) -> None:
    whole = videos.decode_to(tmp_path / "whole", folder, videos.settings())
    code = (
        "import sys; from pathlib import Path; from tests import videos\n"
        "videos.decode_to(Path(sys.argv[1]), Path(sys.argv[2]), videos.settings(workers=1))"
    )
    place = tmp_path / "killed"
    command = [sys.executable, "-c", code, str(place), str(folder)]
    kills = 0
    for wanted in (1, 3, 5):
        with subprocess.Popen(command, start_new_session=True, stderr=subprocess.DEVNULL) as run:
            while run.poll() is None and _staged(place) < wanted:
                time.sleep(0.001)
            if run.poll() is None:
                os.killpg(run.pid, signal.SIGKILL)
                kills += 1
    assert kills
    assert not (place / "frames.zarr").exists()
    before = _staged(place)
    assert before >= 1
    resumed = videos.decode_to(place, folder, videos.settings())
    assert content(resumed) == content(whole)


def _staged(place: Path) -> int:
    return len(list(place.glob("staging/*/*/manifest.json")))


def test_a_resumed_run_decodes_only_what_is_missing(folder: Path, tmp_path: Path) -> None:
    rows = videos.manifest(folder)
    arguments = {"root": folder, "settings": videos.settings(), "shard_mb": 0.05}
    arguments["staging_root"] = tmp_path / "staging"
    first = module.decode_all(tmp_path / "a.zarr", manifest=rows[:20], **arguments)
    assert (first.rows, first.computed) == (20, 20)
    again = module.decode_all(tmp_path / "a.zarr", manifest=rows[:20], **arguments)
    assert (again.computed, again.shards_made) == (0, 0)
    grown = module.decode_all(tmp_path / "a.zarr", manifest=rows[:21], **arguments)
    assert (grown.rows, grown.computed) == (21, 1)
    assert grown.shards_made <= 1


def test_a_changed_video_is_decoded_again_and_the_others_are_not(folder: Path, tmp_path: Path) -> None:
    copies = tmp_path / "copies"
    copies.mkdir()
    for path in sorted(folder.iterdir())[:9]:
        (copies / path.name).write_bytes(path.read_bytes())
    path = videos.decode_to(tmp_path, copies, videos.settings())
    before = store.open(path).all("frames")
    media.write(copies / "v04.mp4", media.numbered(200)[150:])
    arguments = {"root": copies, "settings": videos.settings(), "shard_mb": 0.05}
    report = module.decode_all(
        path, manifest=videos.manifest(copies), staging_root=tmp_path / "staging", **arguments
    )
    assert (report.computed, report.shards_made) == (1, 1)
    after = store.open(path).all("frames")
    same = [bool((before[row] == after[row]).all()) for row in range(9)]
    assert same == [True] * 4 + [False] + [True] * 4


def test_too_many_bad_videos_stop_the_run_with_their_reasons_and_keep_the_rest(
    folder: Path, tmp_path: Path
) -> None:
    copies = tmp_path / "copies"
    copies.mkdir()
    for path in sorted(folder.iterdir())[:8]:
        (copies / path.name).write_bytes(path.read_bytes())
    (copies / "v03.mp4").write_bytes(b"")
    sentence = (
        "Quarantined videos in decode: got 1 of 8 that do not decode, expected at most 5.0% "
        "(decode.max_quarantined_fraction); mend or remove them, or raise the fraction (what is decoded is "
        f'kept); first: "Video in {copies}/v03.mp4: got 0 bytes, expected a video file that decodes from its '
        'first frame to its last; download it again or leave it out.".'
    )
    for _ in range(2):  # decoded now, or staged by the run before
        with pytest.raises(MsavqaError) as refusal:
            videos.decode_to(tmp_path, copies, videos.settings())
        assert str(refusal.value) == sentence
        assert not (tmp_path / "frames.zarr").exists()
    path = videos.decode_to(tmp_path, copies, videos.settings(max_quarantined_fraction=0.125))
    rows = store.open(path).rows
    assert rows["status"].tolist().count("quarantined") == 1
    assert rows["error"][3].startswith(f"Video in {copies}/v03.mp4: got 0 bytes")
    media.write(copies / "v03.mp4", media.numbered(3))
    assert store.open(videos.decode_to(tmp_path, copies, videos.settings())).valid.all()


def test_bad_videos_of_other_processes_stop_the_run_with_their_reasons(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MSAVQA_LAUNCHER", "processes:1")
    copies = tmp_path / "copies"
    copies.mkdir()
    for path in sorted(folder.iterdir())[:4]:
        (copies / path.name).write_bytes(path.read_bytes())
    (copies / "v01.mp4").write_bytes(b"")
    with pytest.raises(MsavqaError) as refusal:
        videos.decode_to(tmp_path, copies, videos.settings())
    said = str(refusal.value)
    assert said.startswith(
        "Quarantined videos in decode: got 1 of 4 that do not decode, expected at most 5.0%"
    )
    assert said.endswith(
        f'first: "Video in {copies}/v01.mp4: got 0 bytes, expected a video file that decodes from its first '
        'frame to its last; download it again or leave it out.".'
    )
    capsys.readouterr()
    videos.decode_to(tmp_path, copies, videos.settings(max_quarantined_fraction=0.25))
    assert "decode: 4/4 videos, " in (line := capsys.readouterr().err.splitlines()[-1])
    assert "quarantined 1" in line


def test_a_video_whose_worker_was_lost_is_tried_again_by_the_next_run(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = LostError(what="Video", where="v", got="no answer", expected="a result", next_step="wait")
    settings = videos.settings(max_quarantined_fraction=1.0)
    with monkeypatch.context() as patch:
        patch.setattr(module.Pool, "map", lambda self, items: (Outcome(None, lost) for _ in items))
        rows = store.open(videos.decode_to(tmp_path, folder, settings)).rows
    assert rows["lost"].all()
    assert (rows["status"] == "quarantined").all()
    assert store.open(videos.decode_to(tmp_path, folder, settings)).valid.all()


def test_a_video_that_was_absent_is_decoded_once_it_is_back(folder: Path, tmp_path: Path) -> None:
    copies = tmp_path / "copies"
    copies.mkdir()
    for path in sorted(folder.iterdir())[:3]:
        (copies / path.name).write_bytes(path.read_bytes())
    rows = videos.manifest(copies)
    arguments = {"root": copies, "settings": videos.settings(max_quarantined_fraction=0.5), "shard_mb": 1}
    arguments["staging_root"] = tmp_path / "staging"
    (copies / "v01.mp4").unlink()
    report = module.decode_all(tmp_path / "a.zarr", manifest=rows, **arguments)
    assert report.quarantined == 1
    (copies / "v01.mp4").write_bytes((folder / "v01.mp4").read_bytes())
    report = module.decode_all(tmp_path / "a.zarr", manifest=rows, **arguments)
    assert (report.quarantined, report.computed) == (0, 1)


def test_the_stage_makes_the_store_and_names_the_quarantined(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    copies = tmp_path / "copies"
    copies.mkdir()
    for path in sorted(folder.iterdir())[:21]:
        (copies / path.name).write_bytes(path.read_bytes())
    (copies / "v07.mp4").write_bytes(b"")
    monkeypatch.chdir(videos.project(tmp_path, copies))
    monkeypatch.delenv("DVC_ROOT", raising=False)
    stage.main(["mine"])
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("quarantined: v07.mp4: Video in videos/v07.mp4: got 0 bytes, expected")
    assert said[1] == "mine: 21 videos, 21 tried now, 1 quarantined"
    assert len(said) == 2
    opened = store.open(Path("features/mine/frames.zarr"))
    assert np.flatnonzero(~opened.valid).tolist() == [7]
