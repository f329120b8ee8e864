"""What readers share: text, numbers and paths are read strictly, and every mistake is named at once."""

import math
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msavqa.datasets import rows as labels
from msavqa.datasets.rows import LabelsError, LabelSettings, Row
from msavqa.machine.params import ProblemsError, block


def settings(root: Path, mos_range: list[float] | None = None) -> LabelSettings:
    return block({"d": {"root": str(root), "mos_range": mos_range or [0, 100]}}, "d", LabelSettings)


def rows(*video_ids: str) -> list[Row]:
    return [Row(where=f"line {n}", video_id=name, mos=50.0) for n, name in enumerate(video_ids, start=1)]


def check(found: list[Row], root: Path, *, check_files: bool = False) -> list[Row]:
    return labels.checked(
        found, problems=[], where="labels.txt", settings=settings(root), check_files=check_files, given=False
    )


def problems_of(found: list[Row], root: Path, *, check_files: bool = False) -> tuple[str, ...]:
    with pytest.raises(LabelsError) as refused:
        check(found, root, check_files=check_files)
    return refused.value.problems


def test_lines_keep_all_but_their_ends(tmp_path: Path) -> None:
    file = tmp_path / "labels.txt"
    file.write_bytes("\ufeffa \x0b b\u2028c\r\n\r\n  d  \ne".encode())
    assert labels.read_lines(file) == ([(1, "a \x0b b\u2028c"), (3, "  d  "), (4, "e")], [])


@given(st.lists(st.text(st.characters(exclude_characters="\r\n", codec="utf-8"), min_size=1), max_size=5))
def test_any_text_survives_reading_with_either_line_end(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str]
) -> None:
    lines = [line for line in lines if line.strip()] or ["x"]
    lines[0] = lines[0].lstrip("\ufeff") or "x"
    file = tmp_path_factory.getbasetemp() / "lines.txt"
    for end in ("\n", "\r\n"):
        file.write_bytes(end.join(lines).encode("utf-8"))
        assert [text for _, text in labels.read_lines(file)[0]] == lines or not lines[0].strip()


def test_another_encoding_is_named_with_each_of_its_lines(tmp_path: Path) -> None:
    file = tmp_path / "labels.txt"
    file.write_bytes("a.mp4|x|1\nb.mp4|caf\u00e9|2\nc.mp4|x|3\nd.mp4|\u00fcber|4".encode("latin-1"))
    text, problems = labels.read_text(file)
    assert text.split("\n")[1] == "b.mp4|caf\ufffd|2"  # read on, for what else is wrong
    assert problems == [
        "line 2: byte 0xe9 is not UTF-8, save the file as UTF-8",
        "line 4: byte 0xfc is not UTF-8, save the file as UTF-8",
    ]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_a_file_of_utf_16_is_one_problem(tmp_path: Path, encoding: str) -> None:
    file = tmp_path / "labels.txt"
    file.write_bytes("a.mp4|a red ball rolls left|4.5\n".encode(encoding))
    with pytest.raises(LabelsError) as refused:
        labels.read_text(file)
    assert str(refused.value) == (
        f"1 problem in {file}; mend `labels` of this dataset:\n"
        "  - the file looks like UTF-16, save it as UTF-8; nothing else of it was read"
    )


def test_a_label_file_that_is_missing_empty_or_a_folder_is_refused(tmp_path: Path) -> None:
    for make, sentence in [
        (lambda file: None, "no such file"),
        (lambda file: file.write_bytes(b"\xef\xbb\xbf \r\n"), "the file is empty"),
        (lambda file: (file.unlink(), file.mkdir()), "a folder, not a file"),
    ]:
        make(tmp_path / "labels.txt")
        with pytest.raises(LabelsError) as refused:
            labels.read_text(tmp_path / "labels.txt")
        assert str(refused.value) == (
            f"1 problem in {tmp_path / 'labels.txt'}; mend `labels` of this dataset:\n  - {sentence}"
        )


@pytest.mark.parametrize(
    "text", ["", "  ", "good", "nan", "inf", "-Infinity", "1_000", "3,5", "\u0661\u0662", "0x10"]
)
def test_what_is_no_finite_number_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a finite number") as refused:
        labels.number(text, name="mos")
    assert str(refused.value) == f"mos is {text.strip()!r}, not a finite number"


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_finite_number_is_read_to_its_last_bit(value: float) -> None:
    assert labels.number(f" {value!r} ", name="mos") == value


def test_a_video_that_stands_twice_is_refused_under_any_spelling(tmp_path: Path) -> None:
    found = problems_of(rows("a.mp4", "a.mp4", "./x//../a.mp4", "./a.mp4"), tmp_path)
    assert found == (
        "line 2: video 'a.mp4' stands already in line 1",
        "line 3: video './x//../a.mp4' stands already in line 1 as 'a.mp4'",
        "line 4: video './a.mp4' stands already in line 1 as 'a.mp4'",
        "line 3: path './x//../a.mp4' leads out of root",
    )


def test_a_mos_outside_the_declared_range_is_refused_and_none_is_not(tmp_path: Path) -> None:
    found = [
        Row(where=f"line {n}", video_id=f"{n}.mp4", mos=mos)
        for n, mos in enumerate([0.0, 100.0, math.nan, 100.5, -1.0])
    ]
    assert problems_of(found, tmp_path) == (
        "line 3: mos 100.5 lies outside mos_range [0, 100]",
        "line 4: mos -1 lies outside mos_range [0, 100]",
    )
    assert check(found[:3], tmp_path) == found[:3]


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("../b.mp4", "path '../b.mp4' leads out of root"),
        ("a/../../b.mp4", "path 'a/../../b.mp4' leads out of root"),
        ("a\\..\\b.mp4", "path 'a\\\\..\\\\b.mp4' leads out of root"),
        ("/etc/passwd", "path '/etc/passwd' is absolute, expected one below root"),
        ("C:\\b.mp4", "path 'C:\\\\b.mp4' is absolute, expected one below root"),
        ("a\0.mp4", "path 'a\\x00.mp4' holds a NUL byte"),
        (" ", "the video's path is empty"),
    ],
)
def test_a_path_that_leaves_the_root_is_refused(tmp_path: Path, name: str, sentence: str) -> None:
    assert problems_of(rows(name), tmp_path) == (f"line 1: {sentence}",)
    assert f"line 1: {sentence}" in problems_of(rows(name, "a.mp4"), tmp_path, check_files=True)


def test_names_with_spaces_dashes_dots_and_other_scripts_are_taken_as_they_are(tmp_path: Path) -> None:
    names = ["-lead.mp4", " a b .mp4", "x..mp4", "..x.mp4", "红球 🎈.mp4", "'q'.mp4", "a:b.mp4", "a\\b.mp4"]
    for name in names:
        (tmp_path / name).touch()
    assert [row.video_id for row in check(rows(*names), tmp_path, check_files=True)] == names


def test_missing_videos_are_all_named(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").touch()
    (tmp_path / "d.mp4").mkdir()
    assert problems_of(rows("a.mp4", "b.mp4", "c/c.mp4", "d.mp4"), tmp_path, check_files=True) == (
        f"line 2: no video '{tmp_path}/b.mp4'",
        f"line 3: no video '{tmp_path}/c/c.mp4'",
        f"line 4: no video '{tmp_path}/d.mp4'",
    )


def test_a_name_that_no_file_system_takes_hides_no_other_problem(tmp_path: Path) -> None:
    (tmp_path / "here.mp4").touch()
    long = "x" * 300 + ".mp4"
    found = problems_of(rows("here.mp4", long, "gone.mp4"), tmp_path, check_files=True)
    assert found == (
        f"line 2: no video {str(tmp_path / long)[:80]!r}...: File name too long",
        f"line 3: no video {str(tmp_path / 'gone.mp4')!r}",
    )


def test_a_root_without_any_of_the_videos_is_named_before_them(tmp_path: Path) -> None:
    names = rows("a.mp4", "b.mp4", "c.mp4")
    assert problems_of(names, tmp_path, check_files=True) == (
        f"none of the 3 videos lies in root '{tmp_path}'",
        f"line 1: no video '{tmp_path}/a.mp4'",
        f"line 2: no video '{tmp_path}/b.mp4'",
        f"line 3: no video '{tmp_path}/c.mp4'",
    )
    assert problems_of(names, tmp_path / "no", check_files=True) == (f"root '{tmp_path}/no' is not a folder",)


def test_a_link_out_of_the_root_is_refused_and_links_inside_it_or_of_the_root_are_not(tmp_path: Path) -> None:
    real, outside = tmp_path / "real", tmp_path / "outside.mp4"
    real.mkdir()
    outside.touch()
    (real / "a.mp4").touch()
    (real / "inside.mp4").symlink_to("a.mp4")
    (real / "out.mp4").symlink_to(outside)
    (tmp_path / "root").symlink_to(real)
    good = rows("a.mp4", "inside.mp4")
    assert check(good, tmp_path / "root", check_files=True) == good
    assert problems_of(rows("a.mp4", "out.mp4"), tmp_path / "root", check_files=True) == (
        f"line 2: '{tmp_path}/root/out.mp4' is a link that leads out of root, to {outside}",
    )


def test_a_link_into_a_dvc_cache_is_a_file_that_dvc_placed(tmp_path: Path) -> None:
    cached = tmp_path / "cache" / "files" / "md5" / "ab" / ("0" * 30)
    cached.parent.mkdir(parents=True)
    cached.touch()
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos" / "a.mp4").symlink_to(cached)
    assert check(rows("a.mp4"), tmp_path / "videos", check_files=True)


def test_a_video_without_permission_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.mp4").touch()
    # Whoever runs the tests as root may read everything.
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.R_OK)
    assert problems_of(rows("a.mp4"), tmp_path, check_files=True) == (
        f"line 1: no permission to read '{tmp_path}/a.mp4'",
    )


def test_no_rows_at_all_is_a_problem(tmp_path: Path) -> None:
    assert problems_of([], tmp_path) == ("no rows",)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        (
            {"mos_range": [5, 1]},
            "d.mos_range: got [5, 1], the first bound must lie below the second",
        ),
        ({"root": 3}, "d.root: got 3, expected a path as text"),
        ({"root": ""}, "d.root: got '', expected a path as text"),
    ],
)
def test_wrong_settings_are_named(tmp_path: Path, changes: dict[str, object], problem: str) -> None:
    with pytest.raises(ProblemsError) as refused:
        block({"d": {"root": "videos", "mos_range": [0, 100]} | changes}, "d", LabelSettings)
    assert refused.value.problems == (problem,)
