"""params.yaml as a file: what YAML would read in silence is refused; names are found whatever their case."""

from pathlib import Path

import pytest

from msavqa.ground.errors import MsavqaError
from msavqa.machine import params


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
