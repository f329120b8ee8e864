"""Tables of scores and ratings: what is read, and every sentence of what is refused."""

from pathlib import Path

import numpy as np
import pytest

from msavqa.datasets import score_tables
from msavqa.datasets.score_tables import Columns
from msavqa.ground.errors import ProblemsError

SCORES = Columns(value="score")


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "scores.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def problems(path: Path, columns: Columns = SCORES) -> tuple[str, ...]:
    with pytest.raises(ProblemsError) as caught:
        score_tables.read(path, columns)
    assert str(caught.value).startswith(f"{len(caught.value.problems)} problem")
    return caught.value.problems


def test_columns_may_stand_anywhere_and_an_empty_score_is_a_failed_video(tmp_path: Path) -> None:
    text = '\ufeffprompt,x,score,generator,video\r\n"a cat, red",1,4.5,A,a.mp4\r\n\r\na dog,2,,B,b.mp4\r\n'
    found = score_tables.read(written(tmp_path, text), SCORES)
    assert found["prompt"].tolist() == ["a cat, red", "a dog"]
    assert found["video"].tolist() == ["a.mp4", "b.mp4"]
    assert found["line"].tolist() == [2, 4]
    np.testing.assert_equal(found["value"].to_numpy(), [4.5, np.nan])


def test_semicolons_and_decimal_commas_are_read_as_spreadsheets_write_them(tmp_path: Path) -> None:
    found = score_tables.read(written(tmp_path, "generator;prompt;score\nA;a cat, red;3,5\n"), SCORES)
    assert found[["prompt", "value"]].values.tolist() == [["a cat, red", 3.5]]


def test_the_csv_that_was_scored_says_the_generators(tmp_path: Path) -> None:
    scores = written(tmp_path, "video,prompt,score\na.mp4,a cat,1\nb.mp4,a cat,\n")
    videos = tmp_path / "videos.csv"
    videos.write_text("video,prompt,generator\nb.mp4,a cat,B\na.mp4,a cat,A\n")
    found = score_tables.read(scores, SCORES, videos=videos)
    assert found["generator"].tolist() == ["A", "B"]
    assert problems(scores) == (
        "no column 'generator' (--generator-column, or a csv that has it by --videos); "
        "the columns are 'video', 'prompt', 'score'",
    )
    videos.write_text("video,prompt,generator\nb.mp4,a dog,B\na.mp4,a cat,A\n")
    with pytest.raises(ProblemsError) as caught:
        score_tables.read(scores, SCORES, videos=videos)
    assert str(caught.value) == (
        f"1 problem in {scores}; give the csv that was scored, or leave these rows out:\n"
        "  - line 3: videos.csv has no row of video 'b.mp4' with this prompt"
    )


def test_other_names_and_no_column_of_files(tmp_path: Path) -> None:
    path = written(tmp_path, "model,text,dover\nA,a cat,1\n")
    found = score_tables.read(path, Columns(value="dover", generator="model", prompt="text"))
    assert found[["video", "generator", "prompt", "value"]].values.tolist() == [["", "A", "a cat", 1.0]]


def test_everything_that_is_wrong_is_said_at_once(tmp_path: Path) -> None:
    rows = (
        "A,a cat,high,a.mp4",
        ",a cat,1,b.mp4",
        "A,,1,c.mp4",
        "A,a, cat,1,d.mp4",
        "A,x,1,e.mp4",
        "A,x,2,e.mp4",
    )
    text = "\n".join(["generator,prompt,score,video", *rows, ""])
    assert problems(written(tmp_path, text)) == (
        "line 2: score is 'high', not a finite number",
        "line 3: no generator",
        "line 4: no prompt",
        "line 5: 5 fields where the header has 4 (a prompt with a comma needs quotes)",
        "line 7: video 'e.mp4' stands above already",
    )


JSON = "the file looks like {}, expected a table; save it as a csv"
COLUMNS = "the columns are 'generator', 'prompt', 'value'"
HEADER = "generator,prompt,score\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"generator": "A", "prompt": "a cat", "score": 3}\n', JSON.format("JSON lines")),
        ("[\n {}\n]\n", JSON.format("JSON")),
        ("", "the file is empty"),
        (HEADER, "no rows below the header"),
        (HEADER.encode() + b"A,caf\xe9,1\n", "line 2: byte 0xe9 is not UTF-8, save the file as UTF-8"),
        (
            HEADER.encode("utf-16"),
            "the file looks like UTF-16, save it as UTF-8; nothing else of it was read",
        ),
        ("generator,prompt,value\n", f"no column 'score' (--score-column); {COLUMNS}"),
    ],
)
def test_other_formats_are_named(tmp_path: Path, text: str | bytes, said: str) -> None:
    assert problems(written(tmp_path, text))[0] == said


def test_a_file_that_is_none(tmp_path: Path) -> None:
    assert problems(tmp_path / "no.csv") == ("no such file",)
    assert problems(tmp_path) == ("a folder, not a file",)


def test_prompts_that_differ_by_how_they_are_written() -> None:
    found = score_tables.spelled_twice(["A cat.", "a  cat", "a dog", "a cat!", "A dog's tail"])
    assert found == [("A cat.", "a  cat", "a cat!")]
