"""Stage `check`: labels, videos and weights that nobody has are named at once, before anything starts."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from msavqa.ground.errors import MsavqaError, ProblemsError
from pipeline import check
from tests import hubs
from tests.check.test_presets import preset
from tests.conftest import ROOT

Data = dict[str, Any]
NAMES = "abcdefghijkl"


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Data:
    """presets/csv_offline.yaml with labels and a video, in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    found = preset("csv_offline")
    model = Path(found["texts"]["clip_text"]["model"])
    model.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(ROOT / model, model)
    Path("videos").mkdir()
    for name in NAMES:
        Path(f"videos/{name}.mp4").touch()
    Path("videos.csv").write_text(labels(), encoding="utf-8")
    return found


def labels(*parts: str) -> str:
    """A csv of as many videos as a split takes; `parts` are the splits of the first ones, others train."""
    column = ",part" if parts else ""
    given = [*parts, *["train"] * (len(NAMES) - len(parts))]
    rows = [
        f"{name}.mp4,{name},3{f',{part}' if parts else ''}" for name, part in zip(NAMES, given, strict=True)
    ]
    return "\n".join([f"video,prompt,mos{column}", *rows, ""])


def refusal(data: Data) -> str:
    shutil.rmtree("runs", ignore_errors=True)
    Path("params.yaml").write_text(yaml.safe_dump(data), encoding="utf-8")
    with pytest.raises(ProblemsError) as refused:
        check.main([])
    assert not Path("runs").exists()
    return str(refused.value)


def passes(data: Data) -> None:
    Path("params.yaml").write_text(yaml.safe_dump(data), encoding="utf-8")
    check.main([])
    check.main(["--only"])


def test_labels_and_weights_that_are_there_pass(data: Data) -> None:
    passes(data)


def test_all_that_is_wrong_with_labels_and_weights_is_one_message(data: Data) -> None:
    Path("videos.csv").write_text("video,prompt,mos\na.mp4,x,high\nz.mp4,y,9\n", encoding="utf-8")
    data["weights"] = "elsewhere"
    Path("elsewhere").mkdir()
    for name in ("clip_text", "clip_image", "frame", "segment"):
        Path(f"elsewhere/{name}.safetensors").touch()
    data["datasets"]["other"] = {**data["datasets"]["mine"], "labels": "nowhere.csv"}
    assert refusal(data) == (
        "5 problems in what params.yaml points to; mend them and run again, nothing was started:\n"
        "  - datasets.mine: videos.csv: line 2: mos is 'high', not a finite number\n"
        "  - datasets.mine: videos.csv: line 3: mos 9 lies outside mos_range [1, 5]\n"
        "  - datasets.mine: videos.csv: line 3: no video 'videos/z.mp4'\n"
        "  - datasets.other: nowhere.csv: no such file\n"
        "  - trunks.video: no such file 'elsewhere/video.safetensors'; put it there, or let an entry under "
        "`fetch` make it (fetch.video makes weights/video.safetensors, see presets/csv.yaml)"
    )


def test_a_folder_of_videos_that_is_not_there_is_named(data: Data) -> None:
    data["datasets"]["mine"]["root"] = "elsewhere"
    assert refusal(data) == (
        "1 problem in what params.yaml points to; mend them and run again, nothing was started:\n"
        "  - datasets.mine: videos.csv: root 'elsewhere' is not a folder"
    )


def test_networks_that_do_not_exist_are_named_before_anything_is_decoded(data: Data) -> None:
    data["trunks"]["frame"]["model"] = "convnext_ato"
    data["trunks"]["segment"]["kwargs"] = {"widht": 3}
    data["trunks"]["video"]["model"] = "swin3d"
    data["texts"]["clip_text"]["model"] = "nowhere.json"
    refused = refusal(data).splitlines()[1:]
    assert [line.split(": got ")[0] for line in refused] == [
        "  - texts.clip_text: CLIP model in nowhere.json",
        "  - trunks.frame: Network in convnext_ato",
        "  - trunks.segment: Network in swin_tiny_patch4_window7_224",
        "  - trunks.video: Network in swin3d",
    ]
    assert refused[0].endswith(
        "got no such file, expected a JSON file of an open_clip model; choose another `model` in params.yaml."
    )


def test_make_leaves_networks_to_the_first_stage_unless_something_else_is_wrong(data: Data) -> None:
    data["trunks"]["frame"]["model"] = "convnext_ato"
    assert "trunks.frame" in refusal(data)
    check.main(["--only"])
    data["datasets"]["mine"]["labels"] = "nowhere.csv"
    Path("params.yaml").write_text(yaml.safe_dump(data), encoding="utf-8")
    with pytest.raises(ProblemsError) as refused:
        check.main(["--only"])
    assert [problem.split(":")[0] for problem in refused.value.problems] == ["datasets.mine", "trunks.frame"]


def test_a_network_that_a_stage_has_made_is_not_made_again(data: Data) -> None:
    data["trunks"]["frame"]["model"] = "convnext_ato"
    assert "trunks.frame" in refusal(data)
    ran = {"cmd": "c", "params": {"params.yaml": {"trunks.frame": data["trunks"]["frame"]}}}
    for stage in ("extract@mine-frame", "extract_pretrain@sample_ugc-frame"):
        lock = {"schema": "2.0", "stages": {stage: ran}}
        Path("dvc.lock").write_text(yaml.safe_dump(lock), encoding="utf-8")
        passes(data)
    data["trunks"]["frame"]["crop"] = 64
    assert "trunks.frame" in refusal(data)


@pytest.mark.parametrize("text", ["", "stages: 3\n", "<<<<<<< HEAD\na: 1\n", "- a\n"])
def test_a_lock_that_dvc_did_not_write_is_a_sentence(data: Data, text: str) -> None:
    Path("dvc.lock").write_text(text, encoding="utf-8")
    Path("params.yaml").write_text(yaml.safe_dump(data), encoding="utf-8")
    with pytest.raises(MsavqaError) as refused:
        check.main(["--only"])
    assert str(refused.value) == (
        "DVC's record in dvc.lock: got something else, expected what DVC wrote; restore it (`git checkout "
        "dvc.lock`), or remove it, and every stage runs again."
    )


def test_splits_of_another_name_are_listed_where_the_protocol_goes_by_them(data: Data) -> None:
    Path("videos.csv").write_text(labels("train", "dev", "test_hard", ""), encoding="utf-8")
    data["datasets"]["mine"]["columns"]["split"] = "part"
    passes(data)
    data["split"]["protocol"] = "given"
    text = Path("videos.csv").read_text(encoding="utf-8")
    Path("videos.csv").write_text(text.replace("b.mp4,b,3", "b.mp4,b,7"), encoding="utf-8")
    assert refusal(data) == (
        "3 problems in what params.yaml points to; mend them and run again, nothing was started:\n"
        "  - datasets.mine: videos.csv: line 3: mos 7 lies outside mos_range [1, 5]\n"
        "  - datasets.mine: videos.csv: line 3: split 'dev', expected train, val, test or test_<name>\n"
        "  - datasets.mine: videos.csv: line 5: split '', expected train, val, test or test_<name>"
    )


def test_weights_that_fetch_makes_need_not_be_there(data: Data) -> None:
    data["weights"] = "weights"
    found = refusal(data)
    assert "texts.clip_text: no such file 'weights/clip_text.safetensors'" in found
    assert "trunks.video: no such file 'weights/video.safetensors'" in found
    networks = (*data["texts"], *data["trunks"])
    data["fetch"] = {name: {"source": "random", "name": "7"} for name in networks}
    passes(data)


def test_what_stages_have_read_and_what_dvc_can_pull_need_not_be_there(data: Data) -> None:
    data["weights"] = "mine"
    Path("videos.csv").unlink()
    refused = refusal(data)
    assert "datasets.mine: videos.csv: no such file" in refused
    assert "trunks.video: no such file 'mine/video.safetensors'" in refused
    lock = {
        "index@mine": {"cmd": "c", "deps": [{"path": "videos.csv"}, {"path": "videos"}], "outs": []},
        "extract@mine-video": {
            "cmd": "c",
            "deps": [{"path": f"mine/{name}.safetensors"} for name in (*data["texts"], *data["trunks"])],
        },
        "plain": {"cmd": "c"},
    }
    Path("dvc.lock").write_text(yaml.safe_dump({"schema": "2.0", "stages": lock}), encoding="utf-8")
    passes(data)
    data["datasets"]["mine"]["labels"] = "another.csv"
    assert "datasets.mine: another.csv: no such file" in refusal(data), "what ran had read another file"
    Path("dvc.lock").unlink()
    for tracked in ("another.csv.dvc", "videos.dvc", "mine.dvc"):
        Path(tracked).touch()
    assert "datasets.mine: another.csv: no such file" in refusal(data), "the videos are here to be looked for"
    shutil.rmtree("videos")
    passes(data)


def test_a_split_that_would_fail_later_is_told_before_anything_starts(data: Data) -> None:
    data["split"]["folds"] = 12
    assert refusal(data) == (
        "1 problem in what params.yaml points to; mend them and run again, nothing was started:\n"
        "  - split: Split by prompt_disjoint in repeat 0 (seed 0): got 8 train, 1 val, 3 test rows of "
        "readable videos, 8 of 12 folds filled, expected rows for train, test, val and for every fold; give "
        "more rows, more different prompts, fewer split.folds or another split.protocol"
    )
    data["split"]["folds"] = 3
    data["datasets"]["more"] = {**data["datasets"]["mine"]}
    data["pretrain_split"]["folds"] = 12
    assert "  - pretrain_split: Split by prompt_disjoint in repeat 0 (seed 0): got " in refusal(data)


def test_weights_that_no_hub_gives_are_asked_for_at_once_and_nothing_is_started(
    data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hubs.switch_off(monkeypatch, tmp_path / "caches")
    real = preset("csv")
    assert refusal(real).count(" as weights/downloads/") == 4
    lock: Data = {}
    for block in ("texts", "trunks"):
        for name, network in real[block].items():
            Path("weights").mkdir(exist_ok=True)
            Path(f"weights/{name}.safetensors").touch()
            ran = {f"fetch.{name}": real["fetch"][name], block: {name: network}}
            lock[f"fetch@{name}"] = {"cmd": "c", "params": {"params.yaml": ran}}
    Path("weights/dvc.lock").write_text(yaml.safe_dump({"schema": "2.0", "stages": lock}), encoding="utf-8")
    passes(real)
    real["trunks"]["frame"]["model"] = "convnext_small"
    assert "fetch.frame: Weights in fetch convnext_tiny.fb_in1k: got no weights of that network" in refusal(
        real
    )
