"""A store's rows computed again from its place and params.yaml, as `msavqa features verify --sample` does."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from msavqa.app.features import look, recompute
from msavqa.app.features.command import app
from msavqa.datasets import tables
from msavqa.machine import params
from msavqa.store import read as store
from msavqa.store import shards
from msavqa.store.read import StoreError
from pipeline import decode, extract
from tests import clips, media, tiny_networks, videos


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project of three videos, decoded and measured."""
    folder, place = tmp_path_factory.mktemp("films"), tmp_path_factory.mktemp("project")
    for number in range(3):
        media.write(folder / f"v{number}.mp4", media.numbered(number + 6))
    videos.project(place, folder)
    table = tables.read_manifest(place / "data/mine/manifest.parquet")
    table["prompt"] = ["a ball", "a ball", "word " * 200]
    tables.write_manifest(table, place / "data/mine/manifest.parquet")
    data = yaml.safe_load((place / "params.yaml").read_text())
    data["trunks"] = {
        "statistics": {"kind": "statistics", "weights": "msavqa/trunks/measures/frame_statistics.py"},
        "clip_text": clips.build("small", place).text.model_dump(),
        "frame": tiny_networks.image_settings(place, tiny_networks.CONVNEXT).model_dump(),
        "video": tiny_networks.video_settings(place).model_dump(),
    }
    data["extract"] = {"batch_frames": 16, "ahead_videos": 2, "threads": 1, "device": "cpu"}
    (place / "params.yaml").write_text(yaml.safe_dump(data))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        patch.delenv("DVC_ROOT", raising=False)
        decode.main(["mine"])
        for name in data["trunks"]:
            extract.main(["mine", name])
    return place


@pytest.fixture
def project(made: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(made)
    return made


@pytest.mark.parametrize("name", ["frames", "statistics"])
def test_rows_compute_to_what_is_stored(project: Path, name: str) -> None:
    with recompute.of(Path(f"features/mine/{name}.zarr"), data=params.read()) as (found, compute):
        verified = look.verify(found, sample=3, recompute=compute)
    assert verified.problems == ()
    assert (verified.rows_compared, verified.max_abs_diff) == (3, 0.0)


@pytest.mark.parametrize(("name", "rows"), [("clip_text", 2), ("frame", 2), ("video", 2), ("statistics", 2)])
def test_the_command_computes_a_sample_again(project: Path, name: str, rows: int) -> None:
    path = f"features/mine/{name}.zarr"
    said = CliRunner().invoke(app, ["verify", path, "--sample", "2"])
    found = f"{rows} rows computed again, largest difference "
    assert re.fullmatch(rf"{path}: \d+ files whole, {found}[0-9.e-]+\n", said.stdout), said.exception


def test_extraction_counts_prompts_that_are_longer_than_the_context(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    extract.main(["mine", "clip_text"])
    said = "mine clip_text: 2 rows, 0 computed now, 1 longer than the context\n"
    assert capsys.readouterr().out == said


def test_the_command_refuses_a_store_of_other_settings(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = params.read()
    data["trunks"]["frame"]["crop"] = 32
    for one in ("data", "features", "videos"):
        (tmp_path / one).symlink_to((project / one).resolve())
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(data))
    monkeypatch.chdir(tmp_path)
    refusal = CliRunner().invoke(app, ["verify", "features/mine/frame.zarr", "--sample", "2"]).exception
    assert str(refusal) == (
        "Another fingerprint in features/mine/frame.zarr: got crop 64, expected crop 32; run `dvc repro` to "
        "make the store that the settings ask for."
    )


def test_a_video_that_changed_under_its_store_is_found(project: Path) -> None:
    video = project / "videos" / "v1.mp4"
    before = video.read_bytes()
    video.unlink()
    media.write(video, media.numbered(30))
    try:
        with recompute.of(Path("features/mine/frames.zarr"), data=params.read()) as (found, compute):
            problems = look.verify(found, sample=3, recompute=compute).problems
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
    assert ", 0 tried now," in (said := capsys.readouterr().out) or ", 0 computed now," in said


def test_the_store_is_the_one_at_the_path(project: Path) -> None:
    with recompute.of(Path("features/mine/statistics.zarr"), data=params.read()) as (found, _):
        assert found.ids == store.open("features/mine/frames.zarr").ids
