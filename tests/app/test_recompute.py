"""A store's rows computed again from its place and params.yaml, as `msavqa features verify --sample` does."""

import dataclasses
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from msavqa.app.features import look, recompute
from msavqa.app.features.command import app
from msavqa.datasets import tables
from msavqa.frames.decode import Decoded
from msavqa.frames.decode import decode as real_decode
from msavqa.ground import params
from msavqa.store import read as store
from msavqa.store.read import StoreError
from pipeline import decode, extract, measure, prompts
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
    data["texts"] = {"clip_text": clips.build("small", place).text.model_dump()}
    made = {
        "frame": tiny_networks.image_settings(place, tiny_networks.CONVNEXT),
        "video": tiny_networks.video_settings(place),
    }
    data["trunks"] = {name: settings.model_dump() for name, settings in made.items()}
    data["weights"] = str(place)
    for name, settings in made.items():
        tiny_networks.file(place, settings).rename(place / f"{name}.safetensors")
    data["extract"] = {"batch_frames": 16, "ahead_videos": 2, "threads": 1, "device": "cpu"}
    (place / "params.yaml").write_text(yaml.safe_dump(data))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        patch.delenv("DVC_ROOT", raising=False)
        decode.main(["mine"])
        measure.main(["mine"])
        prompts.main(["mine", "clip_text"])
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


@pytest.mark.parametrize(("name", "rows"), [("clip_text", 4), ("frame", 2), ("video", 2), ("statistics", 2)])
def test_the_command_computes_a_sample_again(project: Path, name: str, rows: int) -> None:
    path = f"features/mine/{name}.zarr"
    said = CliRunner().invoke(app, ["verify", path, "--sample", str(rows)])
    found = f"{rows} rows computed again, largest difference "
    assert re.fullmatch(rf"{path}: \d+ files whole, {found}[0-9.e-]+\n", said.stdout), said.exception


def test_extraction_counts_prompts_that_are_read_in_pieces(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prompts.main(["mine", "clip_text"])
    said = "mine clip_text: 4 rows, 0 computed now, 1 in pieces\n"
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


STAGES: dict[str, Callable[[], None]] = {
    "frames": lambda: decode.main(["mine"]),
    "statistics": lambda: measure.main(["mine"]),
    "clip_text": lambda: prompts.main(["mine", "clip_text"]),
    "frame": lambda: extract.main(["mine", "frame"]),
}


@pytest.mark.parametrize("name", STAGES)
def test_an_adopted_store_saves_its_stage_the_work(
    project: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(".msavqa", ignore_errors=True)
    path = f"features/mine/{name}.zarr"
    said = CliRunner().invoke(app, ["adopt", path])
    assert said.stdout == f"{path}: 3 rows computed again and equal, 1 of 1 shards newly staged\n"
    STAGES[name]()
    assert re.search(r", 0 (tried|computed) now, ", capsys.readouterr().out)


def test_all_stores_of_a_data_set_are_adopted_at_once(project: Path) -> None:
    shutil.rmtree(".msavqa", ignore_errors=True)
    other = Path(shutil.copytree("features/mine/frame.zarr", "features/mine/tried_once.zarr"))
    try:
        said = CliRunner().invoke(app, ["adopt", "--all", "features/mine", "--rows", "1"])
    finally:
        shutil.rmtree(other)
    assert said.exception is None
    equal = "1 rows computed again and equal, 1 of 1 shards newly staged"
    assert said.stdout.splitlines() == [
        f"features/mine/frames.zarr: {equal}",
        f"features/mine/clip_text.zarr: {equal}",
        f"features/mine/frame.zarr: {equal}",
        f"features/mine/statistics.zarr: {equal}",
        "features/mine/tried_once.zarr: left alone, params.yaml names nothing that makes it",
        f"features/mine/video.zarr: {equal}",
    ]


def test_a_folder_without_stores_is_refused(project: Path) -> None:
    error = CliRunner().invoke(app, ["adopt", "--all", "features/yours"]).exception
    assert str(error) == (
        "Stores of a data set in features/yours: got none, expected a folder such as features/mine; name "
        "one, or a store without --all."
    )


@pytest.mark.parametrize("name", ["frames", "statistics", "frame"])
def test_a_store_of_other_code_is_not_vouched_for(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Decoding gives 255 - frame now, which no setting tells: stored frames and what came of them are old."""
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.setattr("msavqa.frames.read.decode", inverted)
    path = f"features/mine/{name}.zarr"
    error = CliRunner().invoke(app, ["adopt", path]).exception
    assert re.fullmatch(
        rf"Features of other code in {path}: got row 'v0.mp4', array \w+: differs by [\d.e+]+, allowed "
        r"[\d.e+]+, expected what the code computes now \(3 rows tried\); run `dvc repro`, which computes "
        r"the store anew, or undo the change of the code\.",
        str(error),
    )
    assert list(tmp_path.rglob("manifest.json")) == []


def inverted(path: Path, **how: Any) -> Decoded:
    decoded = real_decode(path, **how)
    return dataclasses.replace(decoded, frames=255 - decoded.frames)


def test_a_store_is_vouched_for_unseen_only_where_nobody_wants_it_tried(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    said = CliRunner().invoke(app, ["adopt", "features/mine/frame.zarr", "--rows", "0"])
    assert said.stdout == "features/mine/frame.zarr: no row tried, 1 of 1 shards newly staged\n"


def test_rows_that_are_tried_are_spread_from_the_first_to_the_last(project: Path) -> None:
    found = store.open("features/mine/frame.zarr")
    assert [look.spread(found, count) for count in (0, 1, 2, 3, 9)] == [[], [0], [0, 2], [0, 1, 2], [0, 1, 2]]


def test_the_store_is_the_one_at_the_path(project: Path) -> None:
    with recompute.of(Path("features/mine/statistics.zarr"), data=params.read()) as (found, _):
        assert found.ids == store.open("features/mine/frames.zarr").ids
