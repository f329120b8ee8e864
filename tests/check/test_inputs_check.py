"""Stage `check`: labels, videos and weights that nobody has are named at once, before anything starts."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from msavqa.ground.errors import MsavqaError, ProblemsError
from pipeline import check
from tests.check.test_presets import preset
from tests.conftest import ROOT

Data = dict[str, Any]


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Data:
    """presets/csv.yaml with labels and a video, in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    found = preset("csv")
    model = Path(found["texts"]["clip_text"]["model"])
    model.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(ROOT / model, model)
    Path("videos").mkdir()
    Path("videos/a.mp4").touch()
    Path("videos.csv").write_text("video,prompt,mos\na.mp4,x,3\n", encoding="utf-8")
    return found


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
    Path("videos.csv").write_text("video,prompt,mos\na.mp4,x,high\nb.mp4,y,9\n", encoding="utf-8")
    data["weights"] = "elsewhere"
    Path("elsewhere").mkdir()
    for name in ("clip_text", "clip_image", "frame", "segment"):
        Path(f"elsewhere/{name}.safetensors").touch()
    data["datasets"]["other"] = {**data["datasets"]["mine"], "labels": "nowhere.csv"}
    assert refusal(data) == (
        "5 problems in what params.yaml points to; mend them and run again, nothing was started:\n"
        "  - datasets.mine: videos.csv: line 2: mos is 'high', not a finite number\n"
        "  - datasets.mine: videos.csv: line 3: mos 9 lies outside mos_range [1, 5]\n"
        "  - datasets.mine: videos.csv: line 3: no video 'videos/b.mp4'\n"
        "  - datasets.other: nowhere.csv: no such file\n"
        "  - trunks.video: no such file 'elsewhere/video.safetensors'; put it there, or let an entry under "
        "`fetch` make it (fetch.video makes weights/video.safetensors, see presets/t2vqa_db.yaml)"
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
    Path("videos.csv").write_text(
        "video,prompt,mos,part\na.mp4,x,3,train\nb.mp4,y,2,dev\nc.mp4,z,4,test_hard\nd.mp4,z,4,\n",
        encoding="utf-8",
    )
    for name in "bcd":
        Path(f"videos/{name}.mp4").touch()
    data["datasets"]["mine"]["columns"]["split"] = "part"
    passes(data)
    data["split"]["protocol"] = "given"
    text = Path("videos.csv").read_text(encoding="utf-8")
    Path("videos.csv").write_text(text.replace("b.mp4,y,2", "b.mp4,y,7"), encoding="utf-8")
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
    Path("videos/a.mp4").unlink()
    Path("videos").rmdir()
    passes(data)
