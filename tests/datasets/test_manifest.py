"""The manifest: what is known of every file, unreadable ones with their reason, the same whoever counts."""

import csv as stdlib_csv
import hashlib
import math
import os
import time
from pathlib import Path

import av
import numpy as np
import pytest
import yaml

from msavqa.datasets import manifest, tables
from msavqa.datasets.manifest import IndexSettings, build
from msavqa.datasets.rows import Row
from msavqa.ground.errors import MsavqaError, ProblemsError
from pipeline import index, split
from tests.frames.test_kinds_of_files import film

READERS = "csv, lsvq, ntire, t2vqa_db"


def write_video(path: Path, *, frames: int = 6, width: int = 64, height: int = 48) -> None:
    """A real H.264 mp4 of noise at 8 frames per second."""
    generator = np.random.default_rng(0)
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=8)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for _ in range(frames):
            picture = generator.integers(0, 255, (height, width, 3), dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's folder as the working directory: three videos (one broken), a csv and a params.yaml."""
    (tmp_path / "videos").mkdir()
    write_video(tmp_path / "videos" / "-a b.mp4")
    write_video(tmp_path / "videos" / "c.mp4", frames=9, width=32, height=32)
    (tmp_path / "videos" / "broken.mp4").write_bytes(b"no video at all")
    (tmp_path / "my.csv").write_text('file,text,mos\n-a b.mp4,"red, ball",3\nbroken.mp4,x,2\n./c.mp4,y,1\n')
    (tmp_path / "params.yaml").write_text(
        yaml.safe_dump(
            {
                "train_on": ["mine"],
                "pretrain_on": [],
                "datasets": {
                    "mine": {
                        "reader": "csv",
                        "root": "videos",
                        "labels": "my.csv",
                        "mos_range": [1, 5],
                        "columns": {"video": "file", "prompt": "text", "mos": "mos"},
                    }
                },
                "index": {"workers": 2, "timeout_seconds": 60},
            }
        )
    )
    monkeypatch.chdir(tmp_path)
    return tmp_path


def change(world: Path, block: str, **values: object) -> None:
    data = yaml.safe_load((world / "params.yaml").read_text())
    target = data
    for key in block.split("."):
        target = target.setdefault(key, {})
    target.update(values)
    (world / "params.yaml").write_text(yaml.safe_dump(data))


def test_the_stage_writes_all_that_is_known_of_each_video_in_label_order(
    world: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    index.main(["mine"])
    table = tables.read_manifest(Path("data/mine/manifest.parquet"))
    assert table["video_id"].tolist() == ["-a b.mp4", "broken.mp4", "./c.mp4"]
    assert table["path"].tolist() == ["-a b.mp4", "broken.mp4", "c.mp4"]
    assert table["prompt"].tolist() == ["red, ball", "x", "y"]
    assert table["mos"].tolist() == [3.0, 2.0, 1.0]
    assert table["status"].tolist() == ["ok", "unreadable", "ok"]
    for row in table.itertuples():
        content = (world / "videos" / row.path).read_bytes()
        assert row.sha256 == hashlib.sha256(content).hexdigest()
        assert row.size_bytes == len(content)
    first, broken, last = table.to_dict("records")
    assert {key: first[key] for key in ("codec", "frame_count", "width", "height", "fps", "error")} == {
        "codec": "h264",
        "frame_count": 6,
        "width": 64,
        "height": 48,
        "fps": 8.0,
        "error": "",
    }
    assert (last["frame_count"], last["duration_seconds"]) == (9, 1.125)
    assert (broken["codec"], broken["frame_count"], broken["width"]) == ("", -1, 0)
    assert math.isnan(broken["fps"])
    said = capsys.readouterr()
    assert said.out.splitlines() == [
        f"unreadable: broken.mp4: {broken['error']}",
        "mine: 3 videos, 3 prompts, 1 videos unreadable",
    ]
    assert "index mine: 3/3 videos" in said.err


def test_videos_that_are_read_otherwise_than_seen_are_counted_a_line_per_kind(
    world: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    film(world / "videos" / "-a b.mp4", change="setsar=2/1")
    film(world / "videos" / "c.mp4", change="setsar=3/2")
    index.main(["mine"])
    assert capsys.readouterr().out.splitlines()[1:-1] == [
        "2 of 3 videos: pixels that are not square: frames are read as stored, so they look squeezed"
    ]
    assert not set(tables.read_manifest(Path("data/mine/manifest.parquet")).columns) & {"peculiar"}


def test_the_bytes_do_not_depend_on_the_number_of_workers(world: Path) -> None:
    contents = []
    for workers in (1, 3):
        change(world, "index", workers=workers)
        index.main(["mine"])
        contents.append(Path("data/mine/manifest.parquet").read_bytes())
    assert contents[0] == contents[1]


def test_wrong_labels_stop_the_stage_before_any_video_is_opened(
    world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("msavqa.datasets.manifest.build", lambda *_, **__: pytest.fail("a video was opened"))
    (world / "my.csv").write_text("file,text,mos\n-a b.mp4,x,9\nno.mp4,x,good\n")
    with pytest.raises(ProblemsError) as refused:
        index.main(["mine"])
    assert str(refused.value) == (
        "3 problems in my.csv; mend them and run again, nothing was started:\n"
        "  - line 3: mos is 'good', not a finite number\n"
        "  - line 2: mos 9 lies outside mos_range [1, 5]\n"
        "  - line 3: no video 'videos/no.mp4'"
    )
    assert not Path("data").exists()


@pytest.mark.parametrize(
    ("argument", "block", "values", "problem"),
    [
        ("mime", "datasets", {}, "datasets.mime: missing, did you mean 'mine'?"),
        (
            "mine",
            "datasets.mine",
            {"reader": "cvs"},
            f"datasets.mine.reader: got 'cvs', expected one of {READERS}, did you mean 'csv'?",
        ),
        (
            "mine",
            "datasets.mine",
            {"reader": "../csv"},
            f"datasets.mine.reader: got '../csv', expected one of {READERS}, did you mean 'csv'?",
        ),
        (
            "mine",
            "datasets.mine",
            {"lables": "x"},
            "datasets.mine.lables: unknown key, did you mean 'labels'?",
        ),
        ("mine", "index", {"workers": 0}, "index.workers: got 0, input should be greater than or equal to 1"),
    ],
)
def test_wrong_settings_are_named(
    world: Path, argument: str, block: str, values: dict[str, object], problem: str
) -> None:
    change(world, block, **values)
    with pytest.raises(ProblemsError) as refused:
        index.main([argument])
    assert refused.value.problems == (problem,)


def harmful(path: Path) -> dict[str, object] | str:
    """What a fault in ffmpeg does to some files: its process ends, or never ends."""
    if path.name.startswith("fatal"):
        os._exit(139)
    if path.name.startswith("hang"):
        time.sleep(600)
    return manifest.describe(path)


def test_a_file_on_which_its_process_hangs_or_dies_costs_itself_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("msavqa.datasets.manifest.describe", harmful)
    names = ["a.mp4", "fatal.mp4", "hang.mp4", "z.mp4"]
    for name in names:
        write_video(tmp_path / name)
    rows = [Row(where=f"line {n}", video_id=name) for n, name in enumerate(names, start=2)]
    settings = IndexSettings(workers=2, timeout_seconds=5)
    table = build(rows, root=tmp_path, settings=settings, description="index").set_index("video_id")
    assert table["status"].to_list() == ["ok", "unreadable", "unreadable", "ok"]
    dead, end = (
        "a worker process that ended with exit code 139",
        "twice, expected a result; look at that file, or allow it more seconds and memory.",
    )
    assert table["error"].to_dict() == {
        "a.mp4": "",
        "fatal.mp4": f"Video in {tmp_path}/fatal.mp4: got {dead}, {end}",
        "hang.mp4": f"Video in {tmp_path}/hang.mp4: got no answer within 5 s, {end}",
        "z.mp4": "",
    }
    assert table["sha256"].nunique() == 1, "the content of a lost video is known all the same"


def test_processes_that_die_whatever_the_file_stop_the_stage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("msavqa.datasets.manifest.describe", harmful)
    rows = [Row(where=f"line {n}", video_id=f"fatal{n}.mp4") for n in (2, 3)]
    for row in rows:
        (tmp_path / row.path).touch()
    with pytest.raises(MsavqaError) as refused:
        build(rows, root=tmp_path, settings=IndexSettings(workers=1, timeout_seconds=60), description="index")
    assert str(refused.value) == (
        f"Probing in {tmp_path}: got 2 videos whose process hung or died, expected facts of at least one "
        "video; free some memory, lower index.workers or raise index.timeout_seconds."
    )


def test_a_file_that_vanishes_meanwhile_is_named(tmp_path: Path) -> None:
    rows = [Row(where="line 2", video_id="gone.mp4"), Row(where="line 3", video_id="too.mp4")]
    with pytest.raises(ProblemsError) as refused:
        build(rows, root=tmp_path, settings=IndexSettings(workers=1, timeout_seconds=60), description="index")
    assert str(refused.value) == (
        f"2 problems in {tmp_path}; mend them and run again:\n"
        f"  - line 2: '{tmp_path}/gone.mp4' could not be read (No such file or directory)\n"
        f"  - line 3: '{tmp_path}/too.mp4' could not be read (No such file or directory)"
    )


def test_a_dataset_that_only_pretrains_has_a_protocol_of_its_own(world: Path) -> None:
    for frames, name in enumerate(("x", "y", "z", "w"), start=1):  # files of equal content are one
        write_video(world / "videos" / f"{name}.mp4", frames=frames)
    rows = "".join(f"{name}.mp4,{name},3,{part}\n" for name, part in zip("xyzw", ["train"] * 3 + ["test"]))
    (world / "my.csv").write_text(f"file,text,mos,part\n{rows}")
    change(world, "datasets.mine.columns", split="part")
    common = {"seeds": [0], "test_fraction": 0.5, "validation_fraction": 0.0, "folds": 2}
    change(world, "split", protocol="prompt_disjoint", **common)
    change(world, "pretrain_split", protocol="given", **common)
    index.main(["mine"])
    for trains, tested in (("other", ["w.mp4"]), ("mine", None)):
        data = yaml.safe_load((world / "params.yaml").read_text())
        lists = {"train_on": [trains], "pretrain_on": ["mine"] if trains == "other" else []}
        (world / "params.yaml").write_text(yaml.safe_dump(data | lists))
        split.main(["mine"])
        found = tables.read_splits(Path("data/mine/splits.parquet"))
        names = found.loc[found["role"] == "test", "video_id"].tolist()
        assert names == tested if tested else len(names) == 2


def test_every_set_that_is_trained_on_must_have_test_rows_with_a_mos(world: Path) -> None:
    for frames, name in enumerate(("x", "y", "z", "w"), start=1):  # files of equal content are one
        write_video(world / "videos" / f"{name}.mp4", frames=frames)
    (world / "train.txt").write_text("x.mp4|x|3\ny.mp4|y|3\nz.mp4|z|3\n")
    (world / "test.txt").write_text("w.mp4|w\n")
    data = yaml.safe_load((world / "params.yaml").read_text())
    common = {"seeds": [0], "test_fraction": 0.5, "validation_fraction": 0.0, "folds": 2, "protocol": "given"}
    data |= {"split": common, "pretrain_split": common}
    data["datasets"]["hidden"] = {"reader": "ntire", "root": "videos", "labels": ".", "mos_range": [1, 5]}
    for lists in (
        {"train_on": ["mine", "hidden"], "pretrain_on": []},
        {"train_on": ["mine"], "pretrain_on": ["hidden"]},
    ):
        (world / "params.yaml").write_text(yaml.safe_dump(data | lists))
        index.main(["hidden"])
        if "hidden" in lists["train_on"]:
            with pytest.raises(MsavqaError, match="got 1 test rows, none with a MOS"):
                split.main(["hidden"])
            assert not Path("data/hidden/splits.parquet").exists()
        else:
            split.main(["hidden"])
            assert tables.read_splits(Path("data/hidden/splits.parquet"))["role"].tolist() == [
                "train"
            ] * 3 + ["test"]


def test_links_are_followed_into_the_manifest_and_dvcs_blind_spot_is_named(
    world: Path, tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    disk = tmp_path_factory.mktemp("disk")
    (world / "videos" / "c.mp4").rename(disk / "c.mp4")
    (world / "videos" / "genA").symlink_to(disk)
    (world / "my.csv").write_text("file,text,mos\nvideos/-a b.mp4,x,3\ngenA/c.mp4,y,1\n")
    index.main(["mine"])
    table = tables.read_manifest(Path("data/mine/manifest.parquet"))
    assert table["video_id"].tolist() == ["videos/-a b.mp4", "genA/c.mp4"]
    assert table["path"].tolist() == ["-a b.mp4", "genA/c.mp4"]
    assert table["status"].tolist() == ["ok", "ok"]
    assert capsys.readouterr().out.splitlines()[0] == (
        "links to folders (genA): DVC does not look behind them; after a video there has changed, run "
        "`dvc repro --force --single-item index@mine` and then `dvc repro`"
    )


def test_single_ratings_come_into_the_manifest_and_who_is_left_out_is_printed(
    world: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    high, low = "2,2,2,3,3,3,3,4,5", "4,4,4,3,3,3,3,,1"
    names = [f"r{n}" for n in range(9)]
    lines = [",".join(["file", *names]), f"-a b.mp4,{high}", f"./c.mp4,{low}"]
    (world / "my.csv").write_text("\n".join(lines))
    params = yaml.safe_load((world / "params.yaml").read_text())
    params["datasets"]["mine"] |= {"columns": {"video": "file", "raters": names}, "screening": "bt500"}
    (world / "params.yaml").write_text(yaml.safe_dump(params))
    index.main(["mine"])
    said = (
        "mine: screening (ITU-R BT.500) leaves out 1 of 9 raters: 'r8' (2 of 2 ratings far from the others, "
        "1 above and 1 below)\n"
    )
    assert capsys.readouterr().out.startswith(said)
    table = tables.read_manifest(world / "data" / "mine" / "manifest.parquet")
    assert np.array_equal(table["ratings"][0], [2.0, 2, 2, 3, 3, 3, 3, 4])
    assert np.array_equal(table["ratings"][1], [4.0, 4, 4, 3, 3, 3, 3, np.nan], equal_nan=True)
    assert table["weight"].tolist() == pytest.approx([8 / 7.5, 7 / 7.5])


def test_a_set_without_single_raters_has_no_column_of_them(world: Path) -> None:
    index.main(["mine"])
    assert "ratings" not in tables.read_manifest(world / "data" / "mine" / "manifest.parquet")


def test_real_odd_files_are_described_as_their_own_list_says_or_are_unreadable(shared_data: Path) -> None:
    with (shared_data / "odd_videos" / "manifest.csv").open(newline="") as stream:
        listed = {row["file"]: row for row in stdlib_csv.DictReader(stream)}
    rows = [Row(where=f"line {n}", video_id=name) for n, name in enumerate(listed, start=2)]
    settings = IndexSettings(workers=2, timeout_seconds=60)
    table = build(rows, root=shared_data / "odd_videos", settings=settings, description="index odd")
    assert set(table.loc[table["status"] == "unreadable", "video_id"]) == {
        "decord_corrupted.mp4",
        "lvdm_t2v-001_lfs_pointer.gif",
        "moviepy_result.webm",
        "streamio_broken.mp4",
        "streamio_empty.flv",
        "torchcodec_nasa_audio.mp3",
    }
    for row in table.itertuples():
        facts = listed[row.video_id]
        assert row.sha256 == facts["sha256"]
        assert row.size_bytes == int(facts["bytes"])
        if row.status == "ok":
            assert row.codec == facts["codec"]
            sides = sorted((int(facts["width"]), int(facts["height"])))
            assert sorted((row.width, row.height)) == sides
            assert not facts["frames"] or row.frame_count == int(facts["frames"])
    tables.MANIFEST.validate(table)
