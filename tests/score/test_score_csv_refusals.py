"""A csv that cannot be scored, and an `out` that must not be written, are refused before anything starts."""

import os
from pathlib import Path

import pytest

from msavqa.ground.errors import MsavqaError, ProblemsError
from tests.score.test_score_csv import listed, rows_of, run_csv, video

__all__ = ["listed", "video"]  # fixtures


@pytest.mark.parametrize("held", ["", "name,grade\nAnna,1\n"])
def test_an_out_that_is_something_else_is_refused_and_left_as_it_is(tmp_path: Path, held: str) -> None:
    asked = "video,prompt\na.mp4,x\n"
    (tmp_path / "videos.csv").write_text(asked, encoding="utf-8")
    out = tmp_path / "grades.csv"
    if held:
        out.write_text(held, encoding="utf-8")
        reason = (
            "it holds something else than scores: its first line does not start with "
            "'video,prompt,score,low,high'"
        )
    else:
        out.symlink_to("videos.csv")
        reason = "it is the csv that is to be scored"
    with pytest.raises(ProblemsError) as refusal:
        run_csv(tmp_path / "no model", tmp_path, out=out)
    assert str(refusal.value) == f"1 problem in {out}; choose another --out:\n  - {reason}"
    assert out.read_text(encoding="utf-8") == (held or asked)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["grades.csv", "videos.csv"]


@pytest.mark.parametrize(
    ("content", "problems"),
    [
        (
            b"file,text\na,b\n",
            [
                "no column 'video' (--video-column)",
                "no column 'prompt' (--prompt-column); the columns are 'file', 'text'",
            ],
        ),
        (
            b"video;mos\na;b\n",
            ["no column 'prompt' (--prompt-column); the columns are 'video', 'mos'"],
        ),
        (
            b'{"video": "a.mp4", "prompt": "b"}\n{"video": "c.mp4", "prompt": "d"}\n',
            ["the file looks like JSON lines, expected a table: save it as a csv"],
        ),
        (b"video,prompt,video\na,b,c\n", ["column 'video' stands 2 times"]),
        (b"", ["line 1: no names of columns"]),
        (b"\nvideo,prompt\na,b\n", ["line 1: no names of columns"]),
        (
            b'"video,prompt\na,b\n',
            ["line 1: a quote that never ends"],
        ),
        ("video,prompt\na,b\n".encode("utf-16"), ["the file looks like UTF-16: save it as UTF-8"]),
        (b"video,prompt\n\n", ["no rows"]),
    ],
)
def test_a_csv_that_cannot_be_read_is_refused_before_anything_starts(
    tmp_path: Path, content: bytes, problems: list[str]
) -> None:
    (tmp_path / "videos.csv").write_bytes(content)
    with pytest.raises(ProblemsError) as refusal:
        run_csv(tmp_path / "no model", tmp_path)
    count = f"{len(problems)} problem{'s' if len(problems) > 1 else ''}"
    said = f"{count} in {tmp_path}/videos.csv; mend them or name the columns, and run again:"
    assert str(refusal.value) == "\n  - ".join([said, *problems])


@pytest.mark.parametrize("place", ["nowhere/scores.csv", "videos.csv/scores.csv"])
def test_an_out_in_no_folder_is_refused_before_anything_starts(tmp_path: Path, place: str) -> None:
    (tmp_path / "videos.csv").write_text("video,prompt\na,b\n", encoding="utf-8")
    out = tmp_path / place
    with pytest.raises(ProblemsError) as refusal:
        run_csv(tmp_path / "no model", tmp_path, out=out)
    assert str(refusal.value) == (
        f"1 problem in {out}; choose another --out:\n  - there is no folder '{out.parent}'"
    )


def test_an_out_that_cannot_be_written_is_named_itself(random_bundle: Path, listed: Path) -> None:
    out = Path("/proc/scores.csv")
    with pytest.raises(ProblemsError) as refusal:
        run_csv(random_bundle, listed, out=out)
    assert str(refusal.value) == (
        "1 problem in /proc/scores.csv; choose another --out:\n"
        "  - cannot be written: No such file or directory"
    )


def test_an_out_that_is_a_folder_is_refused_before_anything_starts(tmp_path: Path) -> None:
    (tmp_path / "videos.csv").write_text("video,prompt\na,b\n", encoding="utf-8")
    with pytest.raises(ProblemsError) as refusal:
        run_csv(tmp_path / "no model", tmp_path, out=tmp_path)
    assert str(refusal.value) == f"1 problem in {tmp_path}; choose another --out:\n  - it is a folder"


def test_a_missing_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "videos.csv").write_text("video,prompt\na,b\n", encoding="utf-8")
    with pytest.raises(MsavqaError):
        run_csv(tmp_path / "no model", tmp_path)


def test_scores_of_rows_that_the_csv_lacks_are_not_written_over(random_bundle: Path, listed: Path) -> None:
    run_csv(random_bundle, listed)
    before = (listed / "scores.csv").read_bytes()
    (listed / "videos.csv").write_text("video,prompt\ngood one.mp4,a red ball\n", encoding="utf-8")
    with pytest.raises(ProblemsError) as refusal:
        run_csv(random_bundle, listed)
    assert str(refusal.value) == (
        f"1 problem in {listed}/scores.csv; choose another --out, or remove this file:\n"
        "  - it holds scores of 1 row that the csv does not have, of '-dash.mp4' for one"
    )
    assert (listed / "scores.csv").read_bytes() == before


def test_an_out_that_is_a_link_is_written_where_it_points_and_a_pipe_is_refused(
    random_bundle: Path, listed: Path
) -> None:
    (listed / "link.csv").symlink_to(listed / "real.csv")
    run_csv(random_bundle, listed, out=listed / "link.csv")
    assert (listed / "link.csv").is_symlink()
    assert len(rows_of(listed / "real.csv")) == 4
    os.mkfifo(listed / "out")
    with pytest.raises(ProblemsError) as refusal:
        run_csv(random_bundle, listed, out=listed / "out")
    assert str(refusal.value) == (
        f"1 problem in {listed}/out; choose another --out:\n  - it is no regular file"
    )
