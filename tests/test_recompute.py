"""A store's rows computed again from its place and params.yaml, as `msavqa features verify --sample` does."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from msavqa import params, tables
from msavqa.extraction import recompute
from msavqa.storage import shards, store, store_info
from msavqa.storage.store import StoreError
from pipeline import decode, extract
from tests import media, videos


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project of three videos, decoded and measured."""
    folder, place = tmp_path_factory.mktemp("films"), tmp_path_factory.mktemp("project")
    for number in range(3):
        media.write(folder / f"v{number}.mp4", media.numbered(number + 6))
    videos.project(place, folder)
    data = yaml.safe_load((place / "params.yaml").read_text())
    data["trunks"] = {
        "statistics": {"kind": "statistics", "weights": "msavqa/extraction/frame_statistics.py"}
    }
    data["extract"] = {"batch_frames": 16, "ahead_videos": 2, "threads": 1, "device": "cpu"}
    (place / "params.yaml").write_text(yaml.safe_dump(data))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        patch.delenv("DVC_ROOT", raising=False)
        decode.main(["mine"])
        extract.main(["mine", "statistics"])
    return place


@pytest.fixture
def project(made: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(made)
    return made


@pytest.mark.parametrize("name", ["frames", "statistics"])
def test_rows_compute_to_what_is_stored(project: Path, name: str) -> None:
    with recompute.of(Path(f"features/mine/{name}.zarr"), data=params.read()) as (found, compute):
        verified = store_info.verify(found, sample=3, recompute=compute)
    assert verified.problems == ()
    assert (verified.rows_compared, verified.max_abs_diff) == (3, 0.0)


def test_a_video_that_changed_under_its_store_is_found(project: Path) -> None:
    video = project / "videos" / "v1.mp4"
    before = video.read_bytes()
    video.unlink()
    media.write(video, media.numbered(30))
    try:
        with recompute.of(Path("features/mine/frames.zarr"), data=params.read()) as (found, compute):
            problems = store_info.verify(found, sample=3, recompute=compute).problems
    finally:
        video.write_bytes(before)
    assert [problem.split(":")[0] for problem in problems] == [
        "row 'v1.mp4', array frames",
        "row 'v1.mp4', array times_seconds",
    ]


def test_settings_that_ask_for_another_store_are_refused(project: Path) -> None:
    data = params.read()
    data["decode"]["frames"] = 5
    with (
        pytest.raises(StoreError, match="got frames 4, expected frames 5; run `dvc repro`"),
        recompute.of(Path("features/mine/frames.zarr"), data=data),
    ):
        pass


def test_a_store_of_no_dataset_is_refused(project: Path) -> None:
    with pytest.raises(StoreError) as caught, recompute.of(Path("elsewhere/frame.zarr"), data=params.read()):
        pass
    assert str(caught.value) == (
        "Unknown dataset in elsewhere/frame.zarr: got 'elsewhere', expected one of params.yaml (mine); "
        "name a store as features/<dataset>/<trunk>.zarr."
    )


def test_rows_that_the_manifest_lost_are_refused(project: Path) -> None:
    manifest = project / "data/mine/manifest.parquet"
    before = manifest.read_bytes()
    tables.write_manifest(tables.read_manifest(manifest).iloc[1:], manifest)
    try:
        with (
            pytest.raises(StoreError) as caught,
            recompute.of(Path("features/mine/frames.zarr"), data=params.read()),
        ):
            pass
    finally:
        manifest.write_bytes(before)
    assert str(caught.value) == (
        "Unknown rows in features/mine/frames.zarr: got 1 rows that its sources lack ('v0.mp4'), "
        "expected rows of the manifest; run `dvc repro` so that the store follows the manifest."
    )


@pytest.mark.parametrize(("name", "stage"), [("frames", decode.main), ("statistics", extract.main)])
def test_an_adopted_store_saves_its_stage_the_work(
    project: Path, name: str, stage: Callable[[list[str]], None], capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(".msavqa")
    found = store.open(f"features/mine/{name}.zarr")
    assert shards.adopt(found.path, staging_root=recompute.staging_root(found)) == 1
    stage(["mine"] if name == "frames" else ["mine", name])
    assert ", 0 decoded now," in (said := capsys.readouterr().out) or ", 0 computed now," in said


def test_the_store_is_the_one_at_the_path(project: Path) -> None:
    with recompute.of(Path("features/mine/statistics.zarr"), data=params.read()) as (found, _):
        assert found.ids == store.open("features/mine/frames.zarr").ids
