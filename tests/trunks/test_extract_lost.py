"""A decoder that is lost while videos are decoded for extraction costs one video, until the next run."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from msavqa.frames import read as frames
from msavqa.machine.processes import LostError
from msavqa.store import read as store
from msavqa.store.shards import WriteReport
from msavqa.trunks.measures import statistics
from msavqa.trunks.run import videos
from msavqa.trunks.run.feature_rows import ExtractSettings
from tests import clips, tiny_networks
from tests import videos as test_videos
from tests.stores import tree

VIDEOS = 6
DECODE = test_videos.settings(box=48, workers=1, timeout_seconds=10.0, max_quarantined_fraction=1.0)
SENTENCE = (
    "Video in video 4: got no answer within 60 s, twice, expected a result; look at that file, or allow it "
    "more seconds and memory."
)


@pytest.fixture
def opened(tmp_path: Path) -> store.Store:
    return tiny_networks.frames_store(
        tmp_path / "frames.zarr", clips.videos(VIDEOS, frames=4, size=48), broken=[1]
    )


def run(place: Path, opened: store.Store, *, losing: int | None) -> WriteReport:
    """Measures all videos; the decoder of row `losing` is lost."""
    lost = LostError(
        what="Video",
        where=opened.ids[4],
        got="no answer within 60 s, twice",
        expected="a result",
        next_step="look at that file, or allow it more seconds and memory",
    )
    with frames.source(opened, settings=DECODE, paths={}) as read:

        def read_frames(rows: Any) -> Iterator[Any]:
            for row, pixels in zip(rows, read(rows), strict=True):
                yield lost if row == losing else pixels

        return videos.run(
            place / "statistics.zarr",
            trunk=statistics.trunk(),
            frames=opened,
            read_frames=read_frames,
            extract=ExtractSettings(batch_frames=8, ahead_videos=2, threads=1, device="cpu"),
            shard_mb=0.0003,
            staging_root=place / "staging",
        )


def test_a_lost_decoder_quarantines_its_video_alone_and_the_next_run_tries_that_again(
    opened: store.Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = run(tmp_path / "a", opened, losing=4)
    assert (report.rows, report.quarantined, report.computed) == (VIDEOS, 2, VIDEOS)
    assert report.shards > 1
    assert ", quarantined 2, done" in capsys.readouterr().err
    found = store.open(tmp_path / "a" / "statistics.zarr")
    assert found.rows["error"].tolist() == ["", "no frame", "", "", SENTENCE, ""]
    assert not found.read("spatial", [4]).any()
    assert run(tmp_path / "a", opened, losing=None).computed == 1
    assert run(tmp_path / "a", opened, losing=None).computed == 0
    run(tmp_path / "b", opened, losing=None)
    assert tree(tmp_path / "a" / "statistics.zarr") == tree(tmp_path / "b" / "statistics.zarr")
