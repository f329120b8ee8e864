"""The T2VQA-DB reader: 10,000 real lines, prompts kept to the last space, mistakes named with their lines."""

from pathlib import Path

import numpy as np
import pytest

from msavqa.datasets.readers import t2vqa_db
from msavqa.datasets.rows import Row
from msavqa.ground.errors import ProblemsError
from msavqa.ground.params import block


def read(info: Path, root: Path, *, check_files: bool = False, **more: object) -> list[Row]:
    data = {"reader": "t2vqa_db", "root": str(root), "labels": str(info), "mos_range": [0, 100], **more}
    return t2vqa_db.read(block({"d": data}, "d", t2vqa_db.ReaderSettings), check_files=check_files)


def test_the_real_file_has_ten_thousand_rows_of_a_thousand_prompts(shared_data: Path) -> None:
    info = shared_data / "t2vqa-db" / "info.txt"
    rows = read(info, shared_data)
    mos = np.array([row.mos for row in rows])
    assert len(rows) == 10_000
    assert len({row.prompt for row in rows}) == 1_000
    assert {row.generator for row in rows} == {f"{n:02d}" for n in range(10)}
    assert (mos.min().round(2), mos.max().round(2), mos.mean().round(2)) == (6.49, 92.95, 50.18)


def test_real_prompts_keep_their_double_spaces_and_quotes(shared_data: Path) -> None:
    info = shared_data / "t2vqa-db" / "info.txt"
    prompts = [row.prompt for row in read(info, shared_data)]
    lines = info.read_bytes().decode().split("\n")
    assert prompts == [line.split("|")[1] for line in lines if line]
    assert sum("  " in prompt for prompt in prompts) == 260
    assert sum(prompt.startswith('"""A businessman pressing') for prompt in prompts) == 10


def test_lines_of_three_and_of_four_fields_have_the_mos_last(tmp_path: Path) -> None:
    info = tmp_path / "info.txt"
    info.write_text('00000_07.mp4|a  "red" ball |15.923819808841\r\nx/-b c.mp4|b|ignored|50')
    first, second = read(info, tmp_path)
    assert (first.video_id, first.prompt, first.mos) == ("00000_07.mp4", 'a  "red" ball ', 15.923819808841)
    assert (second.video_id, second.prompt, second.mos) == ("x/-b c.mp4", "b", 50.0)
    assert (first.generator, second.generator) == ("07", "")


def test_a_line_without_a_prompt_is_named(tmp_path: Path) -> None:
    info = tmp_path / "info.txt"
    info.write_text("a_01.mp4|x|50\nb_01.mp4| |40\n")
    with pytest.raises(ProblemsError) as refused:
        read(info, tmp_path)
    assert refused.value.problems == ("line 2: the prompt is empty",)


def test_unreadable_lines_are_all_named_with_their_numbers(tmp_path: Path) -> None:
    info = tmp_path / "info.txt"
    info.write_text("a_01.mp4|x|50\n\nb.mp4|x|\nc.mp4\nd|e|f|g|h\na_01.mp4|y|101\ne.mp4|x|NaN\n")
    with pytest.raises(ProblemsError) as refused:
        read(info, tmp_path)
    assert str(refused.value) == (
        f"6 problems in {info}; mend them and run again, nothing was started:\n"
        "  - line 3: mos is '', not a finite number\n"
        "  - line 4: 1 fields between '|', expected file|prompt|mos: 'c.mp4'\n"
        "  - line 5: 5 fields between '|', expected file|prompt|mos: 'd|e|f|g|h'\n"
        "  - line 7: mos is 'NaN', not a finite number\n"
        "  - line 6: video 'a_01.mp4' stands already in line 1\n"
        "  - line 6: mos 101 lies outside mos_range [0, 100]"
    )


def test_a_line_whose_mos_cannot_be_read_hides_nothing_else_of_it(tmp_path: Path) -> None:
    info = tmp_path / "info.txt"
    info.write_bytes("a.mp4|x|50\na.mp4|caf\u00e9|good\n../b.mp4|x|\nc.mp4|x|nan\n".encode("latin-1"))
    (tmp_path / "a.mp4").touch()
    with pytest.raises(ProblemsError) as refused:
        read(info, tmp_path, check_files=True)
    assert refused.value.problems == (
        "line 2: byte 0xe9 is not UTF-8, save the file as UTF-8",
        "line 2: mos is 'good', not a finite number",
        "line 3: mos is '', not a finite number",
        "line 4: mos is 'nan', not a finite number",
        "line 2: video 'a.mp4' stands already in line 1",
        "line 3: path '../b.mp4' leads out of root",
        f"line 4: no video '{tmp_path}/c.mp4'",
    )


def test_missing_videos_are_named_before_anything_starts(tmp_path: Path) -> None:
    info = tmp_path / "info.txt"
    info.write_text("a.mp4|x|50\nb.mp4|x|50\n")
    (tmp_path / "a.mp4").touch()
    with pytest.raises(ProblemsError) as refused:
        read(info, tmp_path, check_files=True)
    assert str(refused.value) == (
        f"1 problem in {info}; mend them and run again, nothing was started:\n"
        f"  - line 2: no video '{tmp_path}/b.mp4'"
    )


def test_other_names_give_no_generator_unless_a_pattern_says_where_it_stands(tmp_path: Path) -> None:
    info = tmp_path / "info.txt"
    info.write_text("Show-1+0_12.mp4|x|50\nkling_0034.mp4|y|40\nx/00012_07.mp4|z|30\n")
    assert [row.generator for row in read(info, tmp_path)] == ["", "", "07"]
    info.write_text("Show-1+0_12.mp4|x|50\nkling+0_34.mp4|y|40\n00012+00012_07.mp4|z|40\n")
    rows = read(info, tmp_path, names="{generator}+{key}.mp4")
    assert [(row.generator, row.prompt) for row in rows] == [("Show-1", "x"), ("kling", "y"), ("00012", "z")]
