"""What readers share: text, numbers and paths are read strictly, and every mistake is named at once."""

import math
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msavqa.datasets import rows as labels
from msavqa.datasets import text as label_text
from msavqa.datasets.rows import LabelSettings, Row
from msavqa.ground.errors import ProblemsError
from msavqa.ground.params import block


def settings(root: Path, mos_range: list[float] | None = None) -> LabelSettings:
    return block({"d": {"root": str(root), "mos_range": mos_range or [0, 100]}}, "d", LabelSettings)


def rows(*video_ids: str) -> list[Row]:
    return [Row(where=f"line {n}", video_id=name, mos=50.0) for n, name in enumerate(video_ids, start=1)]


def check(found: list[Row], root: Path, *, check_files: bool = False) -> list[Row]:
    return labels.checked(
        found, problems=[], where="labels.txt", settings=settings(root), check_files=check_files, given=False
    )


def problems_of(found: list[Row], root: Path, *, check_files: bool = False) -> tuple[str, ...]:
    with pytest.raises(ProblemsError) as refused:
        check(found, root, check_files=check_files)
    return refused.value.problems


def test_lines_keep_all_but_their_ends(tmp_path: Path) -> None:
    file = tmp_path / "labels.txt"
    file.write_bytes("\ufeffa \x0b b\u2028c\r\n\r\n  d  \ne".encode())
    assert label_text.read_lines(file) == ([(1, "a \x0b b\u2028c"), (3, "  d  "), (4, "e")], [])


@given(st.lists(st.text(st.characters(exclude_characters="\r\n", codec="utf-8"), min_size=1), max_size=5))
def test_any_text_survives_reading_with_either_line_end(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str]
) -> None:
    lines = [line for line in lines if line.strip()] or ["x"]
    lines[0] = lines[0].lstrip("\ufeff") or "x"
    file = tmp_path_factory.getbasetemp() / "lines.txt"
    for end in ("\n", "\r\n"):
        file.write_bytes(end.join(lines).encode("utf-8"))
        assert [text for _, text in label_text.read_lines(file)[0]] == lines or not lines[0].strip()


def test_another_encoding_is_named_with_each_of_its_lines(tmp_path: Path) -> None:
    file = tmp_path / "labels.txt"
    file.write_bytes("a.mp4|x|1\nb.mp4|caf\u00e9|2\nc.mp4|x|3\nd.mp4|\u00fcber|4".encode("latin-1"))
    text, problems = label_text.read_text(file)
    assert text.split("\n")[1] == "b.mp4|caf\ufffd|2"  # read on, for what else is wrong
    assert problems == [
        "line 2: byte 0xe9 is not UTF-8, save the file as UTF-8",
        "line 4: byte 0xfc is not UTF-8, save the file as UTF-8",
    ]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_a_file_of_utf_16_is_one_problem(tmp_path: Path, encoding: str) -> None:
    file = tmp_path / "labels.txt"
    file.write_bytes("a.mp4|a red ball rolls left|4.5\n".encode(encoding))
    with pytest.raises(ProblemsError) as refused:
        label_text.read_text(file)
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
        with pytest.raises(ProblemsError) as refused:
            label_text.read_text(tmp_path / "labels.txt")
        assert str(refused.value) == (
            f"1 problem in {tmp_path / 'labels.txt'}; mend `labels` of this dataset:\n  - {sentence}"
        )


@pytest.mark.parametrize(
    "text", ["", "  ", "good", "nan", "inf", "-Infinity", "1_000", "3,5", "\u0661\u0662", "0x10"]
)
def test_what_is_no_finite_number_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a finite number") as refused:
        label_text.number(text, name="mos")
    assert str(refused.value) == f"mos is {text.strip()!r}, not a finite number"


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_finite_number_is_read_to_its_last_bit(value: float) -> None:
    assert label_text.number(f" {value!r} ", name="mos") == value


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


def test_links_below_root_are_followed_wherever_they_lead(tmp_path: Path) -> None:
    root, disk = tmp_path / "root", tmp_path / "disk"
    (disk / "genA").mkdir(parents=True)
    root.mkdir()
    for name in ("genA/a.mp4", "b.mp4"):
        (disk / name).touch()
    (root / "genA").symlink_to(disk / "genA")
    (root / "b.mp4").symlink_to(disk / "b.mp4")
    (root / "c.mp4").symlink_to("b.mp4")
    (root / "gone.mp4").symlink_to(disk / "gone.mp4")
    (tmp_path / "link").symlink_to(root)
    for here in (root, tmp_path / "link"):
        good = check(rows("genA/a.mp4", "b.mp4", "c.mp4"), here, check_files=True)
        assert [row.path for row in good] == ["genA/a.mp4", "b.mp4", "c.mp4"]
        assert problems_of(rows("b.mp4", "gone.mp4", "genA/../x.mp4"), here, check_files=True) == (
            "line 3: path 'genA/../x.mp4' leads out of root",
            f"line 2: no video '{here}/gone.mp4'",
        )


def listed(labels_file: Path, *video_ids: str) -> list[Row]:
    found = rows(*video_ids)
    return [Row(where=row.where, video_id=row.video_id, labels=labels_file) for row in found]


@pytest.mark.parametrize(
    ("file", "name", "path"),
    [
        ("my.csv", "a.mp4", "a.mp4"),  # from root
        ("my.csv", "videos/a.mp4", "a.mp4"),  # from the csv's folder, the project's
        ("my.csv", "./videos//in/b.mp4", "in/b.mp4"),
        ("labels/my.csv", "../videos/a.mp4", "a.mp4"),
        ("labels/my.csv", "videos/a.mp4", "a.mp4"),  # with root's own name
        ("videos/in/my.csv", "b.mp4", "in/b.mp4"),
        ("videos/in/my.csv", "../a.mp4", "a.mp4"),
        ("videos/in/my.csv", "in/b.mp4", "in/b.mp4"),
        ("labels/my.csv", "HERE/videos/in/b.mp4", "in/b.mp4"),  # absolute
        ("labels/my.csv", "HERE/disk/in/b.mp4", "in/b.mp4"),  # what root is a link to
    ],
)
def test_a_path_may_start_from_root_or_from_its_label_files_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str, name: str, path: str
) -> None:
    (tmp_path / "disk" / "in").mkdir(parents=True)
    (tmp_path / "labels").mkdir()
    (tmp_path / "videos").symlink_to("disk")
    for video in ("a.mp4", "in/b.mp4"):
        (tmp_path / "disk" / video).touch()
    monkeypatch.chdir(tmp_path)
    name = name.replace("HERE", str(tmp_path))
    for root, labels_file in ((Path("videos"), Path(file)), (tmp_path / "videos", tmp_path / file)):
        (row,) = check(listed(labels_file, name), root, check_files=True)
        assert (row.video_id, row.path) == (name, path)
        assert (root / row.path).is_file()


def test_one_video_under_two_spellings_stands_twice(tmp_path: Path) -> None:
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos" / "a.mp4").touch()
    found = listed(tmp_path / "my.csv", "a.mp4", "videos/a.mp4")
    assert problems_of(found, tmp_path / "videos", check_files=True) == (
        "line 2: video 'videos/a.mp4' stands already in line 1 as 'a.mp4'",
    )


def test_a_path_that_can_mean_two_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "videos" / "in").mkdir(parents=True)
    for name in ("a.mp4", "in/a.mp4", "same.mp4"):
        (tmp_path / "videos" / name).touch()
    (tmp_path / "videos" / "in" / "same.mp4").symlink_to("../same.mp4")
    root, labels_file = tmp_path / "videos", tmp_path / "videos" / "in" / "my.csv"
    assert problems_of(listed(labels_file, "a.mp4", "same.mp4"), root, check_files=True) == (
        f"line 1: video 'a.mp4' can be '{root}/a.mp4' or '{root}/in/a.mp4'; take one of them away, or move "
        "the label file",
    )
    (row,) = check(listed(labels_file, "same.mp4"), root, check_files=True)
    assert row.path == "same.mp4"


def test_a_video_beside_the_label_file_but_outside_root_is_named_as_that(tmp_path: Path) -> None:
    (tmp_path / "videos").mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "a.mp4").touch()
    root = tmp_path / "videos"
    found = listed(
        tmp_path / "labels.csv", "other/a.mp4", "other/b.mp4", "../a.mp4", f"{tmp_path}/other/a.mp4"
    )
    assert problems_of(found, root, check_files=True) == (
        "line 3: path '../a.mp4' leads out of root",
        f"line 4: path '{tmp_path}/other/a.mp4' is absolute, expected one below root",
        f"line 1: video '{tmp_path}/other/a.mp4' lies outside root '{root}'; name a root that holds it",
        f"line 2: no video '{root}/other/b.mp4'",
    )


def test_steps_up_behind_a_link_are_taken_only_where_all_read_them_alike(tmp_path: Path) -> None:
    (tmp_path / "videos").mkdir()
    (tmp_path / "far" / "labels").mkdir(parents=True)
    (tmp_path / "far" / "videos").mkdir()
    (tmp_path / "labels").symlink_to(tmp_path / "far" / "labels")
    (tmp_path / "videos" / "a.mp4").touch()  # what the text says
    (tmp_path / "far" / "videos" / "a.mp4").touch()  # what the system would open
    found = listed(tmp_path / "labels" / "my.csv", "../videos/a.mp4")
    assert problems_of(found, tmp_path / "videos", check_files=True) == (
        "line 1: path '../videos/a.mp4' leads out of root",
    )


def test_nine_thousand_missing_videos_are_one_problem(tmp_path: Path) -> None:
    (tmp_path / "here.mp4").touch()
    names = [f"{n}.mp4" for n in range(9000)]
    first = ", ".join(f"line {n + 2} '{tmp_path}/{n}.mp4'" for n in range(10))
    assert problems_of(rows("here.mp4", *names), tmp_path, check_files=True) == (
        f'9000 times "no video ...": {first} and 8990 more',
    )


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
