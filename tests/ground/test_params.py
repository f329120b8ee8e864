"""params.yaml as a file: what YAML would read in silence is refused; names are found whatever their case."""

from pathlib import Path

import pytest

from msavqa.ground import params
from msavqa.ground.errors import MsavqaError, ProblemsError


def refusal(path: Path) -> str:
    with pytest.raises(MsavqaError) as refused:
        params.read(path)
    return str(refused.value)


def test_a_key_that_stands_twice_is_refused_where_the_last_would_win(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text("train:\n  epochs: 2\n  warmup: 0.1\n  epochs: 16\n", encoding="utf-8")
    assert refusal(path) == (
        f"Settings in {path}: got the key 'epochs' twice in \"<unicode string>\", line 4, column 3: "
        "epochs: 16 ^, expected valid YAML; mend that line."
    )
    path.write_text("a: {x: 1}\nb: {x: 1}\n", encoding="utf-8")
    assert params.read(path) == {"a": {"x": 1}, "b": {"x": 1}}


@pytest.mark.parametrize("text", ["1e-05", "5E-5", "-1e3", "2.e4", "1.5e-05", "1.5e+3"])
def test_a_number_is_one_as_dvc_writes_it(tmp_path: Path, text: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(f"rate: {text}\nname: 1e-05x\n", encoding="utf-8")
    assert params.read(path) == {"rate": float(text), "name": "1e-05x"}


@pytest.mark.parametrize(
    ("content", "byte"),
    [("a: 1 # \xfc\n".encode("latin-1"), "0xfc at 7"), ("a: 1".encode("utf-16"), "0xff at 0")],
)
def test_a_file_that_is_not_utf_8_is_refused(tmp_path: Path, content: bytes, byte: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_bytes(content)
    assert refusal(path) == f"Settings in {path}: got byte {byte}, expected UTF-8; save the file as UTF-8."


@pytest.mark.parametrize(
    ("name", "hint"),
    [("mos", ", did you mean 'MOS'?"), ("vide", ", did you mean ' Video'?"), ("x", "")],
)
def test_names_are_near_whatever_their_case(name: str, hint: str) -> None:
    assert params.nearest(name, ["prompt", " Video", "MOS"]) == hint


def test_a_data_set_that_branches_learn_from_is_split_for_them() -> None:
    data = {"train_on": ["a", "b"], "pretrain_on": ["c"]}
    assert [params.split_block(data, name) for name in "abcd"] == ["split", "split", *["pretrain_split"] * 2]
    assert params.split_block({}, "a") == "split", "where nothing is said of data sets"


def test_commands_take_the_first_data_set_that_is_trained_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert params.dataset_of("given") == "given"
    Path("params.yaml").write_text("train_on: [one, two]\n", encoding="utf-8")
    assert params.dataset_of(None) == "one"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: 1", "train_on: missing"),
        ("train_on: []", "train_on: got [], expected names"),
        ("train_on: one", "train_on: got 'one', expected names"),
    ],
)
def test_no_data_set_that_is_trained_on_is_a_sentence(
    text: str, problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(ProblemsError) as refused:
        params.dataset_of(None)
    assert list(refused.value.problems) == [problem]
