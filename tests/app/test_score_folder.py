"""`msavqa score FOLDER`: from a folder to a ranking, by the commands that the documents show."""

import csv
import json
import shutil
from pathlib import Path

import pytest

from tests import media
from tests.app.test_cli import msavqa
from tests.conftest import ROOT


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two generators of three prompts; one video is broken."""
    home = tmp_path_factory.mktemp("folder")
    for place, name in enumerate(("A", "B")):
        (home / "videos" / name).mkdir(parents=True)
        for number, prompt in enumerate(("a red ball", "a well-known man", "a, b")):
            media.write(
                home / "videos" / name / f"{prompt}-0.mp4", media.numbered(8 + place + number)[number:]
            )
    (home / "videos/B/a, b-0.mp4").write_text("no video", encoding="utf-8")
    return home


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_a_folder_is_scored_and_ranked_by_what_its_names_say(random_bundle: Path, folder: Path) -> None:
    words = ["score", "videos", "--names", "{model}/{prompt}-{index}.mp4", "--out", "videos/scores.csv"]
    said = msavqa(*words, "--model", random_bundle, cwd=folder, code=2)
    assert said.stdout == "videos/scores.csv: 5 scored, 1 failed\n"
    rows = rows_of(folder / "videos/scores.csv")
    assert [*rows[0]][:7] == ["video", "prompt", "score", "low", "high", "generator", "index"]
    assert [(row["video"], row["generator"], row["prompt"], row["index"]) for row in rows] == [
        (f"{name}/{prompt}-0.mp4", name, prompt, "0")
        for name in ("A", "B")
        for prompt in ("a red ball", "a well-known man", "a, b")
    ]
    assert [bool(row["score"]) for row in rows] == [True] * 5 + [False]
    found = json.loads(msavqa("rank", "videos/scores.csv", "--json", cwd=folder).stdout)
    assert {one["name"]: (one["videos"], one["failed"]) for one in found["generators"]} == {
        "A": (3, 0),
        "B": (2, 1),
    }
    shutil.copy(folder / "videos/A/a, b-0.mp4", folder / "videos/B/a, b-0.mp4")
    marked = (folder / "videos/scores.csv").read_text(encoding="utf-8").replace(rows[0]["score"], "12.5")
    (folder / "videos/scores.csv").write_text(marked, encoding="utf-8")
    said = msavqa(*words, "--model", random_bundle, cwd=folder)
    assert said.stdout == "videos/scores.csv: 6 scored, 0 failed\n"
    again = rows_of(folder / "videos/scores.csv")
    assert again[0]["score"] == "12.5"  # taken over, not computed again
    assert again[0]["generator"] == "A"
    assert again[5]["score"] == rows[2]["score"]


def test_what_does_not_fit_starts_nothing(folder: Path, tmp_path: Path) -> None:
    words = ["score", folder / "videos", "--names", "{generator}/{prompt}_{index}.mp4"]
    said = msavqa(*words, "--out", "s.csv", "--model", "nowhere", cwd=tmp_path, code=2).stderr
    lines = said.splitlines()
    assert lines[0].startswith("error: ")
    assert f"problems in {folder}/videos; mend them and run again, nothing was started:" in lines[0]
    assert lines[1] == "  - 'A/a red ball-0.mp4' is not of the form '{generator}/{prompt}_{index}.mp4'"
    assert not list(tmp_path.iterdir())


def test_a_field_with_the_name_of_a_branch_keeps_its_column(random_bundle: Path, folder: Path) -> None:
    (folder / "one").mkdir()
    shutil.copy(folder / "videos/A/a red ball-0.mp4", folder / "one/12.mp4")
    words = ["score", "one", "--names", "{frame}.mp4", "--prompt", "a dog", "--out", "frame.csv"]
    msavqa(*words, "--model", random_bundle, cwd=folder)
    row = rows_of(folder / "frame.csv")[0]
    assert (row["frame"], row["prompt"]) == ("12", "a dog")
    assert float(row["frame_branch"])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["videos", "--names", "{prompt}.mp4"], "a folder needs --out, and takes neither --root nor --json"),
        (["--csv", "x.csv", "--names", "{prompt}.mp4"], "--names and --prompts go with a folder"),
        (["videos", "--csv", "x.csv"], "give either a video, a folder or --csv"),
    ],
)
def test_words_that_do_not_go_together(folder: Path, words: list[str], said: str) -> None:
    assert said in msavqa("score", *words, cwd=folder, code=2).stderr


def test_the_page_the_readme_and_the_help_show_one_command() -> None:
    command = "msavqa score FOLDER --names '{generator}/{prompt}-{index}.mp4' --out scores.csv"
    for file in ("msavqa/app/page.html", "README.md", "msavqa/app/score.py"):
        assert command in (ROOT / file).read_text(encoding="utf-8")
