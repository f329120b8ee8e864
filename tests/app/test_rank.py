"""`msavqa rank`: the whole command on csvs, and its sentences."""

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from msavqa.bundle import contents
from tests import media
from tests.app.test_cli import msavqa


def table(path: Path, rows: list[tuple[object, ...]], header: str = "video,generator,prompt,score") -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(header.split(","))
        writer.writerows(rows)
    return path


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three generators, 40 prompts, two videos each: A far above B and C, which are alike; people agree."""
    folder, random = tmp_path_factory.mktemp("rank"), np.random.default_rng(0)
    scores: list[tuple[object, ...]] = []
    ratings: list[tuple[object, ...]] = []
    for prompt in range(40):
        ease = random.normal(0, 8)
        for generator, level in (("A", 60.0), ("B", 50.0), ("C", 50.3)):
            for take in range(2):
                truth = level + ease + random.normal(0, 5)
                name = f"{generator}/{prompt}-{take}.mp4"
                scores.append(
                    (name, generator, f"prompt {prompt}", round(5 + 0.8 * truth + random.normal(0, 2), 2))
                )
                if prompt < 15:
                    ratings.append(
                        (name, generator, f"prompt {prompt}", round(truth + random.normal(0, 2), 2))
                    )
    table(folder / "scores.csv", scores)
    table(folder / "ratings.csv", ratings, "video,generator,prompt,rating")
    return folder


def test_rank_says_who_is_better_and_who_cannot_be_told_apart(world: Path) -> None:
    said = msavqa("rank", "scores.csv", cwd=world).stdout.splitlines()
    assert said[0].split() == [
        "rank",
        "generator",
        "mean",
        "95%",
        "interval",
        "prompts",
        "videos",
        "failed",
        "group",
    ]
    assert [line.split()[:2] for line in said[1:4]] == [["1", "A"], ["2-3", "B"], ["2-3", "C"]] or [
        line.split()[:2] for line in said[1:4]
    ] == [["1", "A"], ["2-3", "C"], ["2-3", "B"]]
    assert [line.split()[-1] for line in said[1:4]] == ["a", "b", "b"]
    assert "2 of 3 pairs are decided; neighbours and undecided pairs:" in said
    assert sum("undecided, about" in line and "prompts more would tell" in line for line in said) == 1
    assert said[-1] == (
        "note: how far the scores misjudge a generator as a whole is not in these intervals: "
        "--ratings measures it, --model knows it of a bundle, --model-error assumes it"
    )


def test_every_option_reaches_what_it_changes(world: Path) -> None:
    def asked(*words: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(msavqa("rank", *words, "--json", cwd=world).stdout)
        return found

    plain = asked("scores.csv")["pairs"][0]
    doubted = asked("scores.csv", "--model-error", "9")["pairs"][0]
    assert doubted["difference"]["high"] > plain["difference"]["high"] + 1
    assert asked("scores.csv", "--tie", "1000")["pairs"][0]["wins"]["value"] == 0.5
    other = asked("scores.csv", "--seed", "1")["pairs"][0]["difference"]
    assert other["value"] == plain["difference"]["value"]
    assert other != plain["difference"]
    with (world / "scores.csv").open(newline="", encoding="utf-8") as file:
        rows = [[row["video"], row["prompt"], row["score"]] for row in csv.DictReader(file)]
    table(world / "ours.csv", [tuple(row) for row in rows], "video,prompt,score")
    assert asked("ours.csv", "--videos", "scores.csv")["pairs"] == asked("scores.csv")["pairs"]


def test_a_bundle_says_by_how_much_it_misjudges_a_generator(
    world: Path, random_bundle: Path, tmp_path: Path
) -> None:
    known = shutil.copytree(random_bundle, tmp_path / "known")
    told = json.loads((known / "bundle.json").read_text(encoding="utf-8"))
    del told["digest"]
    told["generator_error"] = {"value": 6.0, "generators": 4, "unseen": True}
    told["digest"] = contents.digest(told)
    (known / "bundle.json").write_text(json.dumps(told), encoding="utf-8")

    plain = json.loads(msavqa("rank", "scores.csv", "--json", cwd=world).stdout)
    found = json.loads(msavqa("rank", "scores.csv", "--model", str(known), "--json", cwd=world).stdout)
    # 6 with Student's t of 4 degrees in the place of the normal quantile.
    assumed = msavqa("rank", "scores.csv", "--model-error", "8.499478", "--json", cwd=world).stdout
    assert found["generators"][0]["mean"]["high"] == pytest.approx(
        json.loads(assumed)["generators"][0]["mean"]["high"], abs=1e-4
    )
    assert found["generators"][0]["mean"]["high"] > plain["generators"][0]["mean"]["high"] + 10
    assert found["notes"] == [
        "the model misjudges a generator that it has not seen by ± 6 on 4 generators, taken as ± 8.5 "
        "for so few: all intervals take that in"
    ]
    shutil.copytree(random_bundle, tmp_path / "silent")
    table(tmp_path / "scores.csv", [("", name, f"p{at}", at) for name in "AB" for at in range(3)])
    said = msavqa("rank", "scores.csv", "--model", "silent", cwd=tmp_path, code=2).stderr
    assert said == (
        "error: Error per generator in silent: got a bundle that does not know it, expected one whose test "
        "videos name at least 2 generators; export it again from a finished run, or say what you assume with "
        "--model-error.\n"
    )
    said = msavqa(
        "rank", "scores.csv", "--model", "silent", "--model-error", "3", cwd=tmp_path, code=2
    ).stderr
    assert "--model-error and --model say how far to trust the scores: give one of them" in " ".join(
        said.replace("│", " ").split()
    )


def test_ratings_of_some_make_intervals_on_their_scale(world: Path) -> None:
    plain = json.loads(msavqa("rank", "scores.csv", "--json", cwd=world).stdout)
    found = json.loads(msavqa("rank", "scores.csv", "--ratings", "ratings.csv", "--json", cwd=world).stdout)
    best = found["generators"][0]
    assert best["name"] == "A"
    assert best["rated"]["prompts"] == 15
    assert best["rated"]["worth"] > 20
    assert best["mean"]["low"] < 60 < best["mean"]["high"]
    assert plain["generators"][0]["mean"]["high"] < 58
    alone = best["rated"]["alone"]
    assert best["mean"]["high"] - best["mean"]["low"] < 0.8 * (alone["high"] - alone["low"])
    assert [one["prompts"] for one in found["pairs"]] == [15, 15, 15]
    assert any(
        note.startswith("means are of ratings: 45 rated prompts with scores are worth")
        for note in found["notes"]
    )


def test_a_page_shows_every_pair_and_escapes_names(world: Path, tmp_path: Path) -> None:
    rows = [
        ("", name, f"p{prompt}", value + prompt % 3)
        for prompt in range(9)
        for name, value in (("<b>A</b>", 5), ("B", 1))
    ]
    table(tmp_path / "odd.csv", rows)
    msavqa("rank", "odd.csv", "--html", "board.html", cwd=tmp_path)
    page = (tmp_path / "board.html").read_text(encoding="utf-8")
    assert "&lt;b&gt;A&lt;/b&gt;" in page
    assert "<b>A</b>" not in page
    assert "<script" not in page
    assert "http" not in page.split("<body>")[1]
    said = msavqa("rank", "odd.csv", "--html", "no/board.html", cwd=tmp_path, code=2).stderr
    assert said == (
        "error: Page in no/board.html: got no such folder, expected a file in a folder that is there; "
        "make the folder or choose another --html.\n"
    )


def test_failed_videos_are_counted_named_and_count_as_asked(tmp_path: Path) -> None:
    rows = [
        (f"{name}{prompt}.mp4", name, f"p{prompt}", 5 + prompt % 4 + (name == "A"))
        for name in "AB"
        for prompt in range(12)
    ]
    rows[0] = (*rows[0][:3], "")
    table(tmp_path / "scores.csv", rows)
    dropped = json.loads(msavqa("rank", "scores.csv", "--json", cwd=tmp_path).stdout)
    worst = json.loads(msavqa("rank", "scores.csv", "--failed", "worst", "--json", cwd=tmp_path).stdout)
    assert dropped["notes"][:2] == [
        "1 video has no score (A 1), no mean has them: A0.mp4",
        "A has no scored video of 1 prompt that others have, pairs leave them out: 'p0'",
    ]
    assert worst["notes"][0] == "1 video has no score (A 1), they count as the lowest score, 5: A0.mp4"
    first = {one["name"]: one for one in dropped["generators"]}["A"]
    assert (first["videos"], first["failed"], first["missing"], first["prompts"]) == (11, 1, 1, 11)
    assert {one["name"]: one for one in worst["generators"]}["A"]["videos"] == 12
    assert worst["generators"][0]["mean"]["value"] < dropped["generators"][0]["mean"]["value"]


def test_what_cannot_be_ranked_is_said(tmp_path: Path) -> None:
    table(tmp_path / "one.csv", [("", "A", "p", 1), ("", "B", "p", 2)])
    assert msavqa("rank", "one.csv", cwd=tmp_path, code=2).stderr == (
        "error: Scores in one.csv: got 1 prompt, expected scores of at least 2 prompts; "
        "score more videos: an interval is over prompts.\n"
    )
    table(tmp_path / "none.csv", [("", "A", "p", ""), ("", "B", "q", "")])
    assert msavqa("rank", "none.csv", cwd=tmp_path, code=2).stderr == (
        "error: Scores in none.csv: got none, expected scores of at least 2 prompts; "
        "score more videos: an interval is over prompts.\n"
    )
    table(
        tmp_path / "alone.csv",
        [("", "A", f"p{prompt}", prompt) for prompt in range(5)] + [("", "A", "P1.", 3)],
    )
    notes = [
        line
        for line in msavqa("rank", "alone.csv", cwd=tmp_path).stdout.splitlines()
        if line.startswith("note")
    ]
    assert notes[:2] == [
        "note: 'P1.', 'p1' count as 2 prompts: spell them alike if they are one",
        "note: one generator: there is nothing to compare it with",
    ]


def test_ratings_that_do_not_fit_the_scores_are_counted(tmp_path: Path) -> None:
    table(
        tmp_path / "scores.csv",
        [("", name, f"p{prompt}", 50 + prompt) for name in "AB" for prompt in range(10)],
    )
    rows = [(name, f"p{prompt}", 1 + prompt % 5) for name in "ABC" for prompt in range(6)]
    table(tmp_path / "ratings.csv", rows, "generator,prompt,rating")
    found = json.loads(
        msavqa("rank", "scores.csv", "--ratings", "ratings.csv", "--json", cwd=tmp_path).stdout
    )
    assert found["notes"][:2] == [
        "6 of 18 ratings are of videos that have no row among the scores and do not count: "
        "C: 'p0', C: 'p1', C: 'p2' and 3 more",
        "ratings run from 1 to 5 and scores from 50 to 59: means and differences are on the ratings' scale",
    ]
    few = table(tmp_path / "few.csv", rows[:3], "generator,prompt,rating")
    found = json.loads(msavqa("rank", "scores.csv", "--ratings", few.name, "--json", cwd=tmp_path).stdout)
    assert "fewer than 5 rated prompts, so no interval: A, B" in found["notes"]
    assert found["pairs"][0]["difference"]["low"] is None
    assert not found["pairs"][0]["decided"]


def test_peoples_ratings_of_seven_generators(shared_data: Path, tmp_path: Path) -> None:
    listed = json.loads((shared_data / "videobench/imaging_quality.json").read_text(encoding="utf-8"))
    rows = []
    for take, one in enumerate(listed):
        for generator, given in one["human_anno"].items():
            known = [value for value in given if value]
            rows.append((f"{generator}-{take}", generator, one["prompt_en"], sum(known) / len(known)))
    table(tmp_path / "people.csv", rows)
    found = json.loads(msavqa("rank", "people.csv", "--json", cwd=tmp_path).stdout)
    assert [one["name"] for one in found["generators"]][:2] == ["gen3", "kling"]
    assert sum(one["decided"] for one in found["pairs"]) == 21


def test_the_page_shows_the_same_prompts_by_every_generator(tmp_path: Path) -> None:
    rows: list[tuple[object, ...]] = []
    for generator, level in (("A", 60), ("<i>B</i>", 50)):
        for number in range(4):
            name = f"{'AB'[level == 50]}/{number}.mp4"
            rows.append((name, generator, f"prompt {number}", level + number * (1 if level == 60 else -1)))
            (tmp_path / "videos" / name).parent.mkdir(parents=True, exist_ok=True)
            if number != 1:
                media.write(tmp_path / "videos" / name, media.numbered(4))
    for place in (2, 6):
        media.write(tmp_path / f"{place}.mp4", media.numbered(4))
        rows[place] = (f"../{place}.mp4", *rows[place][1:])  # nothing outside the folder gets into a page
    (tmp_path / "videos/B/3.mp4").write_text("no video", encoding="utf-8")
    table(tmp_path / "scores.csv", rows)
    words = ["rank", "scores.csv", "--html", "board.html"]
    msavqa(*words, "--videos", "videos", cwd=tmp_path)
    page = (tmp_path / "board.html").read_text(encoding="utf-8")
    examples = page.split('<section id="films">')[1]
    assert [part.split("</h3>")[0] for part in examples.split("<h3>")[1:]] == [
        "prompt 3", "prompt 0"
    ]  # fmt: skip
    assert [part.count("data:image/jpeg") for part in examples.split("<h3>")[1:]] == [1, 2]
    assert examples.count("no picture: the video does not decode") == 1
    assert examples.index("A <span") < examples.index("&lt;i&gt;B&lt;/i&gt; <span")
    assert "<script" not in page
    table(tmp_path / "videos/videos.csv", [row[:3] for row in rows], "video,generator,prompt")
    table(tmp_path / "scores.csv", [(row[0], *row[2:]) for row in rows], "video,prompt,score")
    msavqa(*words, "--videos", "videos/videos.csv", cwd=tmp_path)
    assert '<section id="films">' in (tmp_path / "board.html").read_text(encoding="utf-8")


def test_a_folder_without_the_videos_is_said(world: Path, tmp_path: Path) -> None:
    words = ["rank", world / "scores.csv", "--html", "board.html", "--videos", tmp_path]
    said = msavqa(*words, cwd=tmp_path).stdout.splitlines()
    assert said[-1] == f"note: no video of this table lies in {tmp_path}, so the page has no examples"
    assert "films" not in (tmp_path / "board.html").read_text(encoding="utf-8").split("<body>")[1]
