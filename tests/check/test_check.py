"""Stage `check`: settings that are right one by one and do not go together are named before any stage."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from msavqa.check.params import problems
from msavqa.ground.errors import ProblemsError
from pipeline import check
from tests.conftest import ROOT

Data = dict[str, Any]


@pytest.fixture
def data() -> Data:
    found: Data = yaml.safe_load((ROOT / "presets/paper.yaml").read_text(encoding="utf-8"))
    return found


@pytest.fixture
def sample() -> Data:
    found: Data = yaml.safe_load((ROOT / "presets/sample.yaml").read_text(encoding="utf-8"))
    return found


def settle(data: Data) -> None:
    """A folder of its own with this params.yaml and the one file that it names and no stage makes."""
    Path("params.yaml").write_text(yaml.safe_dump(data), encoding="utf-8")
    statistics = Path(data["trunks"]["statistics"]["weights"])
    statistics.parent.mkdir(parents=True)
    statistics.touch()


def put(dotted: str, value: object) -> Callable[[Data], None]:
    """A change of one dotted key; None for `value` is YAML's null."""

    def change(data: Data) -> None:
        *above, last = dotted.split(".")
        for key in above:
            data = data[key]
        data[last] = value

    return change


def rename(dotted: str, new: object) -> Callable[[Data], None]:
    def change(data: Data) -> None:
        *above, last = dotted.split(".")
        for key in above:
            data = data[key]
        data[new] = data.pop(last)

    return change


def drop(dotted: str) -> Callable[[Data], None]:
    def change(data: Data) -> None:
        *above, last = dotted.split(".")
        for key in above:
            data = data[key]
        del data[last]

    return change


BRANCH = "got 'fram', expected some of frame, segment, video, did you mean 'frame'?"
HOLDS = "that a stage writes, expected a path of its own"
WRONG: dict[str, tuple[Callable[[Data], None], list[str]]] = {
    "datasets is a list": (
        put("datasets", ["sample"]),
        [
            "datasets: got ['sample'], expected named blocks",
            "dataset: got 'sample', expected a name under datasets",
            "pretrain_dataset: got 'sample_ugc', expected a name under datasets",
        ],
    ),
    "datasets is null": (
        put("datasets", None),
        [
            "datasets: got None, expected named blocks",
            "dataset: got 'sample', expected a name under datasets",
            "pretrain_dataset: got 'sample_ugc', expected a name under datasets",
        ],
    ),
    "trunks is a word": (put("trunks", "x"), ["trunks: got 'x', expected named blocks"]),
    "branches is a list": (put("branches", ["frame"]), ["branches: got ['frame'], expected named blocks"]),
    "fetch is null": (put("fetch", None), ["fetch: got None, expected named blocks, {} where there is none"]),
    "fetch is missing": (drop("fetch"), ["fetch: missing"]),
    "dataset is a list": (
        put("dataset", ["sample"]),
        ["dataset: got ['sample'], expected one of sample, sample_ugc"],
    ),
    "a misspelt dataset": (
        put("dataset", "smaple"),
        ["dataset: got 'smaple', expected one of sample, sample_ugc, did you mean 'sample'?"],
    ),
    "it pre-trains on what it reports": (
        put("pretrain_dataset", "sample"),
        ["pretrain_dataset: got 'sample', expected another one than dataset"],
    ),
    "misspelt labels": (
        rename("datasets.sample.labels", "label"),
        ["datasets.sample.labels: missing", "datasets.sample.label: unknown key, did you mean 'labels'?"],
    ),
    "no root": (drop("datasets.sample.root"), ["datasets.sample.root: missing"]),
    "a misspelt reader": (
        put("datasets.sample.reader", "cvs"),
        [
            "datasets.sample.reader: got 'cvs', expected one of csv, lsvq, ntire, t2vqa_db, "
            "did you mean 'csv'?",
        ],
    ),
    "a set with the name of a folder of runs": (
        rename("datasets.sample_ugc", "pretrain"),
        [
            "pretrain_dataset: got 'sample_ugc', expected one of sample, pretrain, did you mean 'sample'?",
            "datasets.pretrain: the name is taken, runs/pretrain is another's; choose another",
        ],
    ),
    "a set whose name has a space": (
        rename("datasets.sample_ugc", "our videos"),
        [
            "pretrain_dataset: got 'sample_ugc', expected one of sample, our videos, did you mean 'sample'?",
            "datasets: got the name 'our videos', expected letters a-z, digits, _ and - only, as text",
        ],
    ),
    "a set whose name is a number": (
        rename("datasets.sample_ugc", 2026),
        [
            "pretrain_dataset: got 'sample_ugc', expected one of sample, 2026, did you mean 'sample'?",
            "datasets: got the name 2026, expected letters a-z, digits, _ and - only, as text",
        ],
    ),
    "the project is the root": (
        put("datasets.sample.root", "."),
        [f"datasets.sample.root: got '.', which holds data/sample_ugc/manifest.parquet {HOLDS}"],
    ),
    "the manifest's folder is the root": (
        put("datasets.sample.root", "data/sample/"),
        [f"datasets.sample.root: got 'data/sample/', which holds data/sample/manifest.parquet {HOLDS}"],
    ),
    "a label file for each split": (
        lambda data: data["datasets"].update(
            sample={
                "reader": "lsvq", "root": "videos", "labels": {"train": "a.txt", "test": "b.txt"},
                "mos_range": [0, 100],
            }
        ),
        [
            "datasets.sample.labels: got a file for each split, expected one path that DVC can follow: a "
            "folder with the files under the names that its reader knows"
        ],
    ),
    "a trunk under another name": (
        rename("trunks.clip_text", "clip_txt"),
        ["trunks.clip_text: missing"],
    ),
    "a trunk with the name of the frames": (
        lambda data: data["trunks"].update(frames=data["trunks"]["frame"]),
        ["trunks.frames: the name is taken, features/<dataset>/frames.zarr is another's; choose another"],
    ),
    "no weights": (drop("trunks.frame.weights"), ["trunks.frame.weights: missing"]),
    "no kind": (
        drop("trunks.frame.kind"),
        [
            "trunks.frame.kind: got None, expected one of clip_image, clip_text, image, statistics, video",
        ],
    ),
    "another kind than stages build on": (
        lambda data: data["trunks"].update(segment=data["trunks"]["video"]),
        ["trunks.segment.kind: got 'video', expected 'image', as dvc.yaml has it"],
    ),
    "weights for no trunk": (
        put("fetch", {"farme": {"source": "random", "name": "0"}}),
        ["fetch.farme: no such trunk, did you mean 'frame'?"],
    ),
    "weights that no trunk reads": (
        put("fetch", {"frame": {"source": "random", "name": "0"}}),
        [
            "fetch.frame: makes weights/frame.safetensors, but trunks.frame.weights is "
            "'data/sample/weights/frame.safetensors'; name the same file"
        ],
    ),
    "weights for what has none": (
        put("fetch", {"statistics": {"source": "random", "name": "0"}}),
        [
            "fetch.statistics: got a trunk of kind 'statistics', expected one of clip_text, clip_image, "
            "image, video"
        ],
    ),
    "more key frames than frames": (
        put("trunks.segment.frames", 17),
        ["trunks.segment.frames: got 17 beside decode.frames 16, expected no more"],
    ),
    "no limit": (
        put("decode.timeout_seconds", float("inf")),
        ["decode.timeout_seconds: got inf, input should be a finite number"],
    ),
    "a block that is empty": (put("controls", None), ["controls: got None, expected a block of keys"]),
    "one number for two": (
        put("datasets.sample.mos_range", 5),
        ["datasets.sample.mos_range: got 5, expected a list such as [a, b]"],
    ),
    "a number that YAML takes for text": (
        put("branches.frame.optimiser.rate", "1e-3"),
        ["branches.frame.optimiser.rate: got '1e-3', expected a number: write 0.001"],
    ),
    "a branch twice in the ensemble": (
        put("ensemble.branches", ["frame", "video", "frame"]),
        ["ensemble.branches: got 'frame' 2 times, expected it once"],
    ),
    "a token twice": (
        put("branches.video.sma.tokens", ["cls", "change", "cls", "cls"]),
        ["branches.video.sma.tokens: got 'cls' 3 times, expected it once"],
    ),
    "another branch's trunk": (
        put("branches.frame.trunk", "segment"),
        ["branches.frame.trunk: got 'segment', expected 'frame', as dvc.yaml has it"],
    ),
    "motion of another trunk": (
        put("branches.segment.motion_trunk", "frame"),
        ["branches.segment.motion_trunk: got 'frame', expected 'video', as dvc.yaml has it"],
    ),
    "an unknown branch in the ensemble": (
        put("ensemble.branches", ["fram", "video"]),
        [f"ensemble.branches: {BRANCH}"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_what_would_end_a_stage_or_dvc_later_is_named_first(sample: Data, name: str) -> None:
    change, expected = WRONG[name]
    change(sample)
    assert problems(sample) == expected


@pytest.mark.parametrize("trunk", ["clip_image", "clip_text"])
def test_adapters_inside_clip_need_its_tokens(data: Data, trunk: str) -> None:
    data["trunks"][trunk]["cut"] = "cls"
    inside = [name for name, one in data["branches"].items() if one["pss"]["adapters"] == "tail"]
    assert inside
    assert problems(data) == [
        f"trunks.{trunk}.cut: got 'cls' beside branches.{name}.pss.adapters 'tail', expected 'last_block': "
        "adapters inside CLIP read its tokens"
        for name in inside
    ]
    for block in data["branches"].values():
        block["pss"]["enabled"] = False
        block["sma"]["tokens"] = ["cls"]
    assert problems(data) == []


def test_whole_networks_learn_from_frames_that_are_stored(data: Data) -> None:
    data["trunks"]["frame"]["cut"] = "pixels"
    assert problems(data) == [
        "trunks.frame.cut: got 'pixels' beside decode.store 'none', expected decode.store 'frames': "
        "training reads the frames"
    ]
    data["decode"]["store"] = "frames"
    assert problems(data) == []


def test_motion_is_read_from_a_trunk_of_which_all_is_trained(data: Data) -> None:
    data["decode"]["store"] = "frames"
    data["trunks"]["video"]["cut"] = "pixels"
    assert data["branches"]["segment"]["motion"] == "trunk"
    assert problems(data) == []


@pytest.mark.parametrize("block", ["trunks", "decode", "branches"])
def test_a_missing_block_is_named_and_ends_nothing_else(data: Data, block: str) -> None:
    del data[block]
    assert f"{block}: missing" in problems(data)


def test_the_stage_leaves_dvcs_cached_copy_as_it_was_and_with_only_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sample: Data
) -> None:
    monkeypatch.chdir(tmp_path)
    settle(sample)
    Path("data/sample").mkdir(parents=True, exist_ok=True)
    shutil.copy(ROOT / "data/sample/clip.json", "data/sample")
    check.main(["--only"])
    assert not Path("runs").exists()
    Path("runs").mkdir()
    Path("cached").write_text("the run before\n", encoding="utf-8")
    Path("runs/params.checked").hardlink_to("cached")
    check.main([])
    assert Path("runs/params.checked").read_text(encoding="utf-8") == "params.yaml has no mistakes\n"
    assert Path("cached").read_text(encoding="utf-8") == "the run before\n"
    Path("params.yaml").write_text("dataset: x\n", encoding="utf-8")
    with pytest.raises(ProblemsError):
        check.main(["--only"])
