"""`msavqa init` writes a whole params.yaml: from a preset with its comments, or from an earlier version's."""

import shutil
from pathlib import Path

import pytest
import yaml

from msavqa.app import cli
from msavqa.check.params import problems
from tests.check.test_presets import BEFORE, NAMES, flat, preset
from tests.conftest import ROOT


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(ROOT / "presets", "presets")
    return tmp_path


def refusal(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    with pytest.raises(SystemExit) as ended:
        cli.main(["init", *words])
    assert ended.value.code == 2
    return capsys.readouterr().err


def test_a_preset_becomes_a_whole_file_with_the_comments_of_both() -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["init", "--preset", "paper"])
    assert ended.value.code == 0
    text = Path("params.yaml").read_text(encoding="utf-8")
    assert yaml.safe_load(text) == preset("paper")
    lines = text.splitlines()
    assert lines[0] == "# yaml-language-server: $schema=msavqa/check/params.schema.json"
    assert lines[1].startswith("# Our reading of the paper's model at the paper's sizes")
    assert "  timeout_seconds: 60 # wall clock per video" in lines, "the sample's words, beside another value"
    assert "  view_of: frame # each image has its own crop and flip" in lines, "the preset's own words"
    assert "    start: null # the name of a branch under `pretrain`, to continue from" in lines
    assert not [line for line in lines if line.startswith("base")]


def test_the_projects_params_yaml_is_the_sample_preset() -> None:
    data = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    if data["train_on"] != ["sample"]:
        pytest.skip("params.yaml trains on another data set")
    with pytest.raises(SystemExit):
        cli.main(["init", "--preset", "sample"])
    assert Path("params.yaml").read_bytes() == (ROOT / "params.yaml").read_bytes()


def test_the_list_names_every_preset_with_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["init", "--list"])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(NAMES)
    assert (
        lines[NAMES.index("csv")]
        == "csv            Your own videos on pre-trained networks that a laptop bears"
    )


def test_an_unknown_preset_names_the_known_ones_nearest_first(capsys: pytest.CaptureFixture[str]) -> None:
    assert refusal(capsys, "--preset", "papr_pixels") == (
        "error: Preset in presets: got 'papr_pixels', expected one of paper_pixels, paper, sample_paper, "
        "t2vqa_db, csv, sample, csv_small, csv_offline; `msavqa init --list` says what each is for.\n"
    )
    assert not Path("params.yaml").exists()


def test_nothing_is_overwritten(capsys: pytest.CaptureFixture[str]) -> None:
    Path("params.yaml").write_text("mine", encoding="utf-8")
    assert refusal(capsys, "--preset", "csv") == (
        "error: Settings in params.yaml: got a file that is there, expected none, for nothing is "
        "overwritten; move it away, or name another file with --out.\n"
    )
    assert Path("params.yaml").read_text(encoding="utf-8") == "mine"


@pytest.mark.parametrize(
    ("words", "got"),
    [([], "none"), (["--list", "--preset", "csv"], "--preset and --list")],
)
def test_one_of_the_three_is_asked_for(
    capsys: pytest.CaptureFixture[str], words: list[str], got: str
) -> None:
    assert refusal(capsys, *words) == (
        f"error: Words in `msavqa init`: got {got}, expected one of --preset, --csv, --convert and --list; "
        "`msavqa init --list` names the presets.\n"
    )


def test_a_file_of_an_earlier_version_keeps_its_values_and_its_comments() -> None:
    text = (BEFORE / "sample.yaml").read_text(encoding="utf-8")
    mine = text.replace("  epochs: 16 #", "  epochs: 21 # mine:").replace(
        "branches: [frame, segment, video]", "branches: [frame, video]"
    )
    Path("old.yaml").write_text(mine, encoding="utf-8")
    with pytest.raises(SystemExit) as ended:
        cli.main(["init", "--convert", "old.yaml", "--out", "new/params.yaml"])
    assert ended.value.code == 0
    new = Path("new/params.yaml").read_text(encoding="utf-8")
    data = yaml.safe_load(new)
    assert problems(data) == []
    expected = preset("sample")
    expected["train"]["epochs"] = 21
    expected["ensemble"]["branches"] = ["frame", "video"]
    expected["train"]["copies"]["weight"] = 0.0  # nothing was learned of copies then
    expected["train"]["least_steps"] = 0  # as many epochs as were asked for
    assert flat(data) == flat(expected)
    assert "  epochs: 21 # mine: all of them; the last weights are kept, no epoch is picked on any set" in new
    assert "reader: csv # the name of a file in msavqa/readers" in new


def test_a_file_of_an_earlier_version_without_pre_training() -> None:
    text = (BEFORE / "sample.yaml").read_text(encoding="utf-8")
    Path("old.yaml").write_text(
        text.replace("pretrain_dataset: sample_ugc", "pretrain_dataset: null"), encoding="utf-8"
    )
    with pytest.raises(SystemExit):
        cli.main(["init", "--convert", "old.yaml"])
    data = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))
    assert (data["pretrain_on"], data["branches"]["segment"]["start"]) == ([], None)
    assert problems(data) == []


def test_weights_in_two_folders_are_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    text = (BEFORE / "sample.yaml").read_text(encoding="utf-8")
    mine = text.replace("data/sample/weights/video.safetensors", "elsewhere/video.safetensors")
    Path("old.yaml").write_text(mine, encoding="utf-8")
    assert refusal(capsys, "--convert", "old.yaml") == (
        "error: Weights in old.yaml: got clip_text: data/sample/weights/clip_text.safetensors, clip_image: "
        "data/sample/weights/clip_image.safetensors, frame: data/sample/weights/frame.safetensors, segment: "
        "data/sample/weights/segment.safetensors, video: elsewhere/video.safetensors, expected one folder "
        "with a file <trunk>.safetensors for each trunk; put them, or links to them, into one folder under "
        "those names, give each trunk its path there, and convert again.\n"
    )
    assert not Path("params.yaml").exists()


EARLIER = "expected a params.yaml of an earlier version; name the file to convert"
TODAY = "expected the form of an earlier version; use the file as it is"
BLOCKS = "expected a mapping of blocks; start from a preset: `msavqa init --list` names them"


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, f"got no such file or directory, {EARLIER}"),
        (b"a: \xff", f"got no utf-8, {EARLIER}"),
        (b"- a", f"got a list, {BLOCKS}"),
        (b"train_on: [a]", f"got no `dataset` and no weights of trunks, {TODAY}"),
    ],
)
def test_what_cannot_be_converted_is_said(
    capsys: pytest.CaptureFixture[str], content: bytes | None, sentence: str
) -> None:
    if content is not None:
        Path("old.yaml").write_bytes(content)
    assert refusal(capsys, "--convert", "old.yaml") == f"error: Settings in old.yaml: {sentence}.\n"


def test_a_preset_that_is_its_own_base_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    Path("presets/one.yaml").write_text("base: two\n", encoding="utf-8")
    Path("presets/two.yaml").write_text("base: one\n", encoding="utf-8")
    assert refusal(capsys, "--preset", "one") == (
        "error: Base in presets/one.yaml: got one -> two -> one, expected presets of which none is its own "
        "base; name another `base`.\n"
    )


def test_a_preset_of_ones_own_takes_an_entry_out_and_replaces_a_functions_arguments() -> None:
    Path("presets/mine.yaml").write_text(
        "# Mine.\nbase: sample\ntrunks: {frame: {kwargs: {a: 1}}, video: null}\nbranches: {video: null}\n",
        encoding="utf-8",
    )
    with pytest.raises(SystemExit):
        cli.main(["init", "--preset", "mine"])
    data = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))
    assert data["trunks"]["frame"]["kwargs"] == {"a": 1}
    assert list(data["trunks"]) == ["clip_image", "frame", "segment"]
    assert list(data["branches"]) == ["frame", "segment"]
    assert data["branches"]["frame"]["start"] is None
