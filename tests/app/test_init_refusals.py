"""What `msavqa init --csv` refuses, and the sentence that it says."""

import os
import shutil
import tempfile
from pathlib import Path

import pytest

from msavqa.app import cli
from tests.app.own_tables import init, made, refusal, rows_of, videos


def test_nothing_is_overwritten_and_nothing_is_read_before_that_is_known(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("params.yaml").write_text("mine", encoding="utf-8")
    with pytest.raises(SystemExit) as ended:
        cli.main(["init", "--csv", "nowhere.csv", "--videos", "nowhere"])
    assert ended.value.code == 2
    assert capsys.readouterr().err == (
        "error: Settings in params.yaml: got a file that is there, expected none, for nothing is "
        "overwritten; move it away, or name another file with --out.\n"
    )
    assert Path("params.yaml").read_text(encoding="utf-8") == "mine"


CSV = "expected a csv with one row per video, names of columns in line 1"


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"video,prompt,mos\n", f"got no rows below line 1, {CSV}; mend it"),
        (b"", f"got an empty file, {CSV}; save it as a csv in UTF-8"),
        (b"\nvideo,mos\n000.mp4,3\n", f"got a blank line 1, {CSV}; mend it"),
        (
            "video,mos\n000.mp4,3\n".encode("utf-16"),
            f"got what looks like UTF-16, {CSV}; save it as a csv in UTF-8",
        ),
        (
            b'{"video": "000.mp4"}\n{"video": "001.mp4"}\n',
            f"got what looks like JSON lines, {CSV}; save it as a csv in UTF-8",
        ),
        (
            b"video,mos\n000.mp4,caf\xe9\n",
            "got line 2: byte 0xe9 is not UTF-8, expected UTF-8; save the file as UTF-8",
        ),
        (
            b"000.mp4,a red ball,3\n001.mp4,a red ball,4\n",
            f"got values in line 1, {CSV}; write the names of the columns into a line above",
        ),
        (
            b"000.mp4|a red ball|15.9\n",
            f"got values in line 1, {CSV}; it looks like labels of T2VQA-DB or NTIRE, for which there are "
            f"the readers "
            "t2vqa_db and ntire",
        ),
        (
            b"a/000.mp4, -1, -1, 67.75\n",
            f"got values in line 1, {CSV}; it looks like labels of LSVQ, for which there is the reader lsvq",
        ),
        (
            b"what,mos\nred,3\nblue,4\n",
            "got no column of paths of videos among 'what', 'mos', expected one such column; add one that "
            "names the "
            "file of each row",
        ),
        (
            b"name,mos\n000,3\n001,4\n",
            "got a column 'name' that names videos without their ending, expected names as the files have "
            "them "
            "('000.mp4'); write the ending into the column",
        ),
        (
            b"video,mos\nfar/away/000.mp4,3\nfar/away/001.mp4,4\n",
            "got a column 'video' of which no video is there, the first is 'far/away/000.mp4', expected "
            "paths that lead "
            "into 'videos'; write paths below that folder into the column ('000.mp4' for 'far/away/000.mp4')",
        ),
        (
            b"video,mos\nx.mp4,3\ny.mp4,4\n",
            "got a column 'video' of which no video is there, the first is 'x.mp4', expected paths that "
            "lead into "
            "'videos'; name the folder that the paths start from with --videos (it holds '000.mp4')",
        ),
        (
            b"video,prompt\n000.mp4,a red ball\n001.mp4,a blue ball\n",
            "got no column of ratings, expected a column of mean ratings, or one per rater; add one named "
            "`mos`",
        ),
        (
            b"video,x,y\n000.mp4,1,2\n001.mp4,3,4\n",
            "got several columns of numbers, 'x', 'y', none named like a rating, expected a column of mean "
            "ratings, or "
            "one per rater; name the column of ratings `mos`",
        ),
    ],
)
def test_a_table_that_cannot_be_used_is_one_sentence(
    here: Path, capsys: pytest.CaptureFixture[str], content: bytes, sentence: str
) -> None:
    videos(Path("videos"), ["000.mp4", "001.mp4"])
    Path("videos.csv").write_bytes(content)
    assert refusal(capsys) == f"error: Table in videos.csv: {sentence}.\n"


FOLDER = "expected the folder that holds the videos; name it with --videos"


def test_a_folder_that_holds_no_videos_is_one_sentence(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made(rows_of())
    for name, files in {"empty": [], "texts": ["a.txt"], "more": ["a.txt", "b/c.csv"]}.items():
        Path(name).mkdir()
        videos(Path(name), files)
    for folder, got in {
        "nowhere": "no such folder",
        "videos.csv": "a file",
        "empty": "an empty folder",
        "texts": "1 file, none named like a video",
        "more": "2 files, none named like a video",
    }.items():
        assert refusal(capsys, folder=folder) == f"error: Videos in {folder}: got {got}, {FOLDER}.\n"
    assert refusal(capsys, folder=".") == (
        "error: Videos in .: got a folder that holds the project, expected one that no result is written "
        "into; put "
        "the videos into a folder of their own.\n"
    )
    assert refusal(capsys, table="nowhere.csv") == (
        f"error: Table in nowhere.csv: got no such file, {CSV}; name it with --csv.\n"
    )


def test_the_folder_in_which_the_videos_are_is_named(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made([{**row, "video": f"fetv/videos/{row['video']}"} for row in rows_of()])
    Path("data").mkdir()
    shutil.move("videos", "data/fetv/videos")
    assert refusal(capsys, folder="data/fetv/videos") == (
        "error: Table in videos.csv: got a column 'video' of which no video is there, the first is "
        "'fetv/videos/000.mp4', expected paths that lead into 'data/fetv/videos'; name 'data/fetv' with "
        "--videos, where they are.\n"
    )
    assert init("--videos", "data/fetv")["datasets"]["mine"]["root"] == "data/fetv"


@pytest.mark.parametrize(
    "words", [["--csv", "a.csv"], ["--videos", "a"], ["--csv", "a", "--videos", "a", "--list"]]
)
def test_a_csv_needs_its_videos_and_no_other_task(
    here: Path, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["init", *words])
    assert ended.value.code == 2
    given = " and ".join(word for word in words if word.startswith("--"))
    assert capsys.readouterr().err == (
        f"error: Words in `msavqa init`: got {given}, expected --csv with --videos, and --preset at most; "
        "`msavqa init --help` shows examples.\n"
    )


def test_no_right_to_write_is_one_sentence(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    made(rows_of())
    closed = Path(tempfile.mkdtemp())
    closed.chmod(0o555)
    before = os.geteuid()
    out = closed / "params.yaml"
    if before == 0:  # root may write anywhere
        others = Path(tempfile.mkdtemp())
        others.chmod(0o755)
        shutil.copytree("videos", others / "videos")
        shutil.copy("videos.csv", others)
        monkeypatch.chdir(others)
        os.seteuid(65534)
    try:
        with pytest.raises(SystemExit) as ended:
            cli.main(["init", "--csv", "videos.csv", "--videos", "videos", "--out", str(out)])
    finally:
        os.seteuid(before)
        closed.rmdir()
    assert ended.value.code == 2
    assert capsys.readouterr().err == (
        f"error: Rights in {out}: got permission denied, expected the right to read or write there; name "
        f"another "
        "place, or ask who owns it.\n"
    )
