"""`msavqa evaluate`: scores against ratings and votes, and its sentences."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from tests import media
from tests.app.test_cli import msavqa


def table(path: Path, header: str, rows: list[tuple[object, ...]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header.split(","), *rows])


@pytest.fixture
def world(tmp_path: Path) -> Path:
    random = np.random.default_rng(0)
    names = [
        (f"{generator}{prompt}.mp4", f"prompt {prompt}", generator)
        for prompt in range(20)
        for generator in "ABC"
    ]
    truth = random.normal(3, 1, len(names))
    table(
        tmp_path / "labels.csv",
        "video,prompt,generator,mos",
        [(*name, round(value, 3)) for name, value in zip(names, truth, strict=True)],
    )
    table(
        tmp_path / "scores.csv",
        "video,score,low,high",
        [
            (name[0], round(value + random.normal(0, 0.5), 3), 1, 5)
            for name, value in zip(names, truth, strict=True)
        ],
    )
    return tmp_path


def test_scores_against_ratings(world: Path) -> None:
    found = json.loads(msavqa("evaluate", "scores.csv", "--labels", "labels.csv", "--json", cwd=world).stdout)
    assert found["counts"] == {"videos": 60, "prompts": 20, "generators": 3}
    assert 0.8 < found["figures"]["srcc"]["low"] < found["figures"]["srcc"]["value"] < 1
    assert found["figures"]["pair_accuracy"]["value"] > 0.75
    assert found["notes"] == []
    assert set(found["figures"]) >= {"interval_coverage", "within_generator_srcc", "across_generators_srcc"}
    said = msavqa("evaluate", "scores.csv", "--labels", "labels.csv", cwd=world).stdout.splitlines()
    assert said[0] == "scores.csv against labels.csv: 60 videos, 20 prompts, 3 generators"
    assert said[1].split()[0] == "SRCC"
    assert "95% [" in said[1]


def test_rated_videos_without_a_score_are_counted(world: Path) -> None:
    rows = (world / "scores.csv").read_text().splitlines()
    rows[5] = rows[5].split(",")[0] + ",,,"
    (world / "scores.csv").write_text("\n".join(rows[:-2]) + "\n")
    found = json.loads(msavqa("evaluate", "scores.csv", "--labels", "labels.csv", "--json", cwd=world).stdout)
    assert found["counts"]["videos"] == 57
    assert found["notes"] == [
        "2 of 60 rated videos have no row in scores.csv and do not count, 'B19.mp4' for one",
        "1 of 60 rated videos have a row without a score and do not count, 'B1.mp4' for one",
    ]
    assert "interval_coverage" in found["figures"]


def test_scores_against_votes(world: Path) -> None:
    table(world / "votes.csv", "left,right,vote,prompt", [
        ("A0.mp4", "B0.mp4", "left", "prompt 0"), ("A1.mp4", "B1.mp4", "rightvote", "prompt 1"),
        ("A2.mp4", "B2.mp4", "bothbad_vote", "prompt 2"), ("A3.mp4", "no.mp4", "tie", "prompt 3"),
    ])  # fmt: skip
    found = json.loads(msavqa("evaluate", "scores.csv", "--pairs", "votes.csv", "--json", cwd=world).stdout)
    assert found["counts"] == {"pairs": 3, "preferences": 2}
    assert found["notes"][0] == "1 of 4 pairs lack a score and do not count, of 'no.mp4' for one"
    assert found["notes"][1].startswith("scores that differ by at most ")
    assert found["tie"] >= 0


def test_what_cannot_be_evaluated_is_said(world: Path) -> None:
    table(world / "other.csv", "video,mos", [("x.mp4", 1), ("y.mp4", 2), ("z.mp4", 3)])
    assert msavqa("evaluate", "scores.csv", "--labels", "other.csv", cwd=world, code=2).stderr == (
        "error: Rated videos with a score in scores.csv and other.csv: got 0, such as 'x.mp4' there and "
        "'A0.mp4' here, expected at least 3; name videos alike in both tables.\n"
    )
    table(world / "votes.csv", "left,right,vote", [("A0.mp4", "B0.mp4", "better")])
    assert msavqa("evaluate", "scores.csv", "--pairs", "votes.csv", cwd=world, code=2).stderr == (
        "error: 1 problem in votes.csv; mend them and run again:\n"
        "  - line 2: vote 'better' is none of left, right, tie, both_bad\n"
    )
    assert "give either --labels or --pairs" in msavqa("evaluate", "scores.csv", cwd=world, code=2).stderr


def test_genai_benchs_votes_are_read(shared_data: Path, tmp_path: Path) -> None:
    listed = json.loads((shared_data / "genai_bench_video/data.json").read_text(encoding="utf-8"))
    votes = [(one["video_left"], one["video_right"], one["vote_type"], one["prompt"]) for one in listed]
    table(tmp_path / "votes.csv", "left,right,vote,prompt", votes)
    likes: dict[str, int] = {}
    for left, right, vote, _ in votes:  # a score made of the votes themselves must agree with them
        for name, won in ((left, vote == "leftvote"), (right, vote == "rightvote")):
            likes[name] = likes.get(name, 0) + (1 if won else 0)
    table(tmp_path / "scores.csv", "video,score", list(likes.items()))
    found = json.loads(
        msavqa("evaluate", "scores.csv", "--pairs", "votes.csv", "--json", cwd=tmp_path).stdout
    )
    assert found["counts"] == {"pairs": 1889, "preferences": 651 + 619}
    assert found["figures"]["pair_accuracy"]["value"] > 0.85


def test_a_bundle_scores_the_rated_videos_first(random_bundle: Path, tmp_path: Path) -> None:
    for number in range(4):
        media.write(tmp_path / f"{number}.mp4", media.numbered(6 + number))
    rows: list[tuple[object, ...]] = [
        (f"{number}.mp4", f"prompt {number % 2}", number) for number in range(4)
    ]
    table(tmp_path / "labels.csv", "video,prompt,mos", [*rows, ("none.mp4", "prompt 0", 3)])
    words = ("evaluate", str(random_bundle), "--labels", "labels.csv")
    done = msavqa(*words, "--out", "scores.csv", "--json", cwd=tmp_path)
    assert "scores.csv: 4 scored, 1 failed" in done.stderr
    found = json.loads(done.stdout)
    assert found["counts"] == {"videos": 4, "prompts": 2, "generators": 0}
    again = msavqa("evaluate", "scores.csv", "--labels", "labels.csv", "--json", cwd=tmp_path).stdout
    assert json.loads(again)["figures"] == found["figures"]
    said = " ".join(msavqa(*words, cwd=tmp_path, code=2).stderr.replace("│", " ").split())
    assert "a bundle needs --labels, whose videos it scores, and --out for their scores" in said
