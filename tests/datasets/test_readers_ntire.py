"""The NTIRE reader: training rows with a MOS, test rows without, mistakes named with file and line."""

from pathlib import Path

import pytest

from msavqa.datasets.readers import ntire
from msavqa.datasets.rows import Row
from msavqa.ground.errors import ProblemsError
from msavqa.ground.params import block


def read(labels: object) -> list[Row]:
    data = {"reader": "ntire", "root": ".", "labels": labels, "mos_range": [0, 100]}
    return ntire.read(block({"d": data}, "d", ntire.ReaderSettings), check_files=False)


def test_training_rows_have_a_mos_and_withheld_ones_none(tmp_path: Path) -> None:
    (tmp_path / "train_info.txt").write_text('1.mp4|a  "ball"|50\n2.mp4|b|60\n')
    (tmp_path / "Val.txt").write_text("3.mp4|c|70\n")
    (tmp_path / "info-test.txt").write_text("4.mp4|d ")
    (tmp_path / "readme.txt").write_text("not labels")
    rows = read(str(tmp_path))
    assert [(row.video_id, row.prompt, row.given_split) for row in rows] == [
        ("1.mp4", 'a  "ball"', "train"),
        ("2.mp4", "b", "train"),
        ("3.mp4", "c", "val"),
        ("4.mp4", "d ", "test"),
    ]
    assert [row.mos for row in rows[:3]] == [50.0, 60.0, 70.0]
    assert rows[3].mos != rows[3].mos  # not a number


def test_mistakes_of_all_files_are_named_at_once(tmp_path: Path) -> None:
    train, test = tmp_path / "a.txt", tmp_path / "b.txt"
    train.write_text("1.mp4|x\n2.mp4|x|good\n3.mp4|x|500\n")
    test.write_text("3.mp4|x\n4.mp4\n5.mp4|x|1|2\n")
    with pytest.raises(ProblemsError) as refused:
        read({"train": str(train), "test": str(test)})
    assert str(refused.value) == (
        f"6 problems in {train}, {test}; mend them and run again, nothing was started:\n"
        "  - a.txt line 1: 2 fields between '|', expected name|prompt|mos: '1.mp4|x'\n"
        "  - a.txt line 2: mos is 'good', not a finite number\n"
        "  - b.txt line 2: 1 fields between '|', expected name|prompt or name|prompt|mos: '4.mp4'\n"
        "  - b.txt line 3: 4 fields between '|', expected name|prompt or name|prompt|mos: '5.mp4|x|1|2'\n"
        "  - b.txt line 1: video '3.mp4' stands already in a.txt line 3\n"
        "  - a.txt line 3: mos 500 lies outside mos_range [0, 100]"
    )


def test_a_bad_line_or_file_hides_nothing_else(tmp_path: Path) -> None:
    train, val, test = tmp_path / "a.txt", tmp_path / "b.txt", tmp_path / "c.txt"
    train.write_text("1.mp4|x|50\n1.mp4|x|good\n../2.mp4|x\n")
    test.write_bytes("1.mp4|caf\u00e9\n".encode("latin-1"))
    with pytest.raises(ProblemsError) as refused:
        read({"train": str(train), "val": str(val), "test": str(test)})
    assert refused.value.problems == (
        "a.txt line 2: mos is 'good', not a finite number",
        "a.txt line 3: 2 fields between '|', expected name|prompt|mos: '../2.mp4|x'",
        "b.txt: no such file",
        "c.txt line 1: byte 0xe9 is not UTF-8, save the file as UTF-8",
        "a.txt line 2: video '1.mp4' stands already in a.txt line 1",
        "c.txt line 1: video '1.mp4' stands already in a.txt line 1",
        "a.txt line 3: path '../2.mp4' leads out of root",
    )


def test_a_folder_whose_files_cannot_be_told_apart_is_refused(tmp_path: Path) -> None:
    step = "name the files of this folder so, one for each split"
    with pytest.raises(ProblemsError) as refused:
        read(str(tmp_path))
    assert str(refused.value) == (
        f"1 problem in {tmp_path}; {step}:\n  - no .txt file with train, val or test in its name"
    )
    for name in ("train.txt", "train_2.txt"):
        (tmp_path / name).write_text("1.mp4|x|1\n")
    with pytest.raises(ProblemsError) as refused:
        read(str(tmp_path))
    assert refused.value.problems == ("both train.txt and train_2.txt could be train",)


def test_labels_of_no_kind_are_refused_in_the_settings() -> None:
    with pytest.raises(ProblemsError) as refused:
        read({})
    assert refused.value.problems == (
        "d.labels.files: got {}, dictionary should have at least 1 item after validation, not 0",
    )
