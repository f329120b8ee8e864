"""A csv of videos: checked before it starts, resumable, a bad row costs itself only."""

import csv
import shutil
from pathlib import Path
from typing import Any

import pytest

from msavqa.scoring import score, score_csv
from msavqa.scoring.bundle import BundleError
from msavqa.scoring.score import Scorer, load
from msavqa.scoring.score_csv import CsvError
from msavqa.scoring.scored import Score
from msavqa.workers import Pool
from tests import media


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return media.write(tmp_path_factory.mktemp("videos") / "some video.mp4", media.numbered(8))


def run_csv(model: Path, folder: Path, **changes: object) -> tuple[int, int]:
    usual = {
        "root": None, "video_column": "video", "prompt_column": "prompt", "model": model, "workers": 1,
        "decode_seconds": 60.0, "out": folder / "scores.csv",
    }  # fmt: skip
    return score_csv.run(folder / "videos.csv", **{**usual, **changes})  # type: ignore[arg-type]


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def listed(tmp_path: Path, video: Path) -> Path:
    shutil.copy(video, tmp_path / "good one.mp4")
    media.write(tmp_path / "-dash.mp4", media.numbered(12))
    (tmp_path / "bad.mp4").write_text("no video", encoding="utf-8")
    lines = [
        "prompt,video",
        'a red ball,"good one.mp4"',
        "x,bad.mp4",
        '"a, ""b""",-dash.mp4',
        'a red ball,"good one.mp4"',
    ]
    (tmp_path / "videos.csv").write_bytes(b"\xef\xbb\xbf" + "\r\n".join(lines).encode())
    return tmp_path


def test_a_csv_with_bom_crlf_duplicates_and_a_bad_row_scores_the_others(
    random_bundle: Path, listed: Path
) -> None:
    assert run_csv(random_bundle, listed) == (3, 1)
    rows = rows_of(listed / "scores.csv")
    assert [row["video"] for row in rows] == ["good one.mp4", "bad.mp4", "-dash.mp4", "good one.mp4"]
    assert rows[0] == rows[3]
    assert rows[2]["prompt"] == 'a, "b"'
    assert rows[1]["error"]
    assert not rows[1]["score"]
    with load(random_bundle) as scorer:
        alone = scorer.score(listed / "good one.mp4", "a red ball")
    assert float(rows[0]["score"]) == alone.score
    assert float(rows[0]["video_branch"]) == alone.branches["video"].value


def test_a_killed_csv_run_goes_on_where_it_was(random_bundle: Path, listed: Path) -> None:
    run_csv(random_bundle, listed)
    out = listed / "scores.csv"
    whole = out.read_text(encoding="utf-8")
    lines = whole.splitlines(keepends=True)
    marked = lines[1].replace(lines[1].split(",")[2], "12.5", 1)
    out.unlink()
    # What a kill leaves: a finished row, then one cut in the middle of its line.
    (listed / "scores.csv.partial").write_text(lines[0] + marked + lines[3][:20], encoding="utf-8")
    assert run_csv(random_bundle, listed) == (3, 1)
    rows = rows_of(out)
    assert rows[0]["score"] == rows[3]["score"] == "12.5"  # taken over, not computed again
    assert rows[2] == list(csv.DictReader(whole.splitlines()))[2]
    assert not (listed / "scores.csv.partial").exists()


def test_a_name_with_a_nul_byte_fails_alone(random_bundle: Path, listed: Path) -> None:
    text = 'prompt,video\nx,"good one.mp4"\ny,go\0od.mp4\n'
    (listed / "videos.csv").write_text(text, encoding="utf-8")
    assert run_csv(random_bundle, listed) == (1, 1)
    good, bad = rows_of(listed / "scores.csv")
    assert (good["error"], bad["score"]) == ("", "")
    assert bad["error"] == (
        f"Video in {listed}/go\0od.mp4: got no such file, expected a video file; check name and folder."
    )


def test_a_failed_row_is_tried_again(random_bundle: Path, listed: Path, video: Path) -> None:
    run_csv(random_bundle, listed)
    shutil.copy(video, listed / "bad.mp4")
    assert run_csv(random_bundle, listed) == (4, 0)
    assert rows_of(listed / "scores.csv")[1]["error"] == ""


def test_a_replaced_video_and_another_root_are_scored_anew(
    random_bundle: Path, listed: Path, tmp_path: Path
) -> None:
    run_csv(random_bundle, listed)
    before = rows_of(listed / "scores.csv")
    media.write(listed / "-dash.mp4", media.numbered(40)[28:])
    run_csv(random_bundle, listed)
    after = rows_of(listed / "scores.csv")
    assert after[0] == before[0]
    assert after[2]["score"] != before[2]["score"]
    other = tmp_path / "other"
    other.mkdir()
    shutil.copy(listed / "-dash.mp4", other / "good one.mp4")
    assert run_csv(random_bundle, listed, root=other) == (2, 2)
    moved = rows_of(listed / "scores.csv")
    assert moved[0]["sha256"] == after[2]["sha256"] != after[0]["sha256"]
    assert moved[0]["score"] != after[0]["score"]
    assert moved[2]["error"].endswith("got no such file, expected a video file; check name and folder.")


def test_the_networks_stay_warm_and_the_next_videos_decode_meanwhile(
    random_bundle: Path, listed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[str] = []
    networks = score._networks
    monkeypatch.setattr(score, "_networks", lambda found: loaded.append("") or networks(found))
    opened: list[Scorer] = []
    load = score.load
    monkeypatch.setattr(score, "load", lambda *a, **b: opened.append(load(*a, **b)) or opened[-1])
    judged: list[int] = []
    judge = Scorer.judge

    def judging(self: Scorer, *arguments: Any, **named: Any) -> Score:
        judged.append(taken[0])
        return judge(self, *arguments, **named)

    taken = [0]
    run = Pool._run

    def running(self: Pool[Any, Any], item: Any) -> Any:
        taken[0] += 1
        return run(self, item)

    monkeypatch.setattr(Scorer, "judge", judging)
    monkeypatch.setattr(Pool, "_run", running)
    media.write(listed / "last.mp4", media.numbered(8))
    (listed / "videos.csv").write_text(
        "video,prompt\ngood one.mp4,a\n-dash.mp4,b\nlast.mp4,c\n", encoding="utf-8"
    )
    assert run_csv(random_bundle, listed) == (3, 0)
    assert (len(loaded), len(opened)) == (1, 1)
    assert judged[0] > 1  # the first is judged when the second's decoding has begun


@pytest.mark.parametrize("held", ["", "name,grade\nAnna,1\n"])
def test_an_out_that_is_something_else_is_refused_and_left_as_it_is(tmp_path: Path, held: str) -> None:
    asked = "video,prompt\na.mp4,x\n"
    (tmp_path / "videos.csv").write_text(asked, encoding="utf-8")
    out = tmp_path / "grades.csv"
    if held:
        out.write_text(held, encoding="utf-8")
        reason = (
            "it holds something else than scores: its first line is not 'video,prompt,score,low,high,frame,"
            "segment,video_branch,alignment,consistency,mutation_seconds,warnings,error,model,sha256'"
        )
    else:
        out.symlink_to("videos.csv")
        reason = "it is the csv that is to be scored"
    with pytest.raises(CsvError) as refusal:
        run_csv(tmp_path / "no model", tmp_path, out=out)
    assert str(refusal.value) == f"1 problem in {out}; choose another --out:\n  - {reason}"
    assert out.read_text(encoding="utf-8") == (held or asked)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["grades.csv", "videos.csv"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (
            b"video,prompt\na.mp4\nb.mp4,a ball, red\nc.mp4,\n",
            "2 problems in videos.csv; mend them or name the columns, and run again:\n"
            "  - row 2: ends before column 'prompt'\n"
            "  - row 3: more fields than columns; a prompt with a comma needs quotes",
        ),
        (
            b"file,text\na,b\n",
            "2 problems in videos.csv; mend them or name the columns, and run again:\n"
            "  - column 'video' is missing; the columns are 'file', 'text'\n"
            "  - column 'prompt' is missing; the columns are 'file', 'text'",
        ),
        (
            b"",
            "2 problems in videos.csv; mend them or name the columns, and run again:\n"
            "  - column 'video' is missing; the columns are none\n"
            "  - column 'prompt' is missing; the columns are none",
        ),
        (
            b"video,prompt\n\xff,b\n",
            "1 problem in videos.csv; mend them or name the columns, and run again:\n"
            "  - byte 13 is not UTF-8: save it as UTF-8",
        ),
        (
            b"video,prompt\n,b\nx,y\n,c\n",
            "2 problems in videos.csv; mend them or name the columns, and run again:\n"
            "  - row 2: no video\n"
            "  - row 4: no video",
        ),
        (
            b"video,prompt\n",
            "1 problem in videos.csv; mend them or name the columns, and run again:\n  - no rows",
        ),
    ],
)
def test_a_csv_that_cannot_be_read_is_refused_before_anything_starts(
    tmp_path: Path, content: bytes, said: str
) -> None:
    (tmp_path / "videos.csv").write_bytes(content)
    with pytest.raises(CsvError) as refusal:
        run_csv(tmp_path / "no model", tmp_path)
    assert str(refusal.value).replace(f"{tmp_path}/", "") == said


def test_an_out_that_is_a_folder_is_refused_before_anything_starts(tmp_path: Path) -> None:
    (tmp_path / "videos.csv").write_text("video,prompt\na,b\n", encoding="utf-8")
    with pytest.raises(CsvError) as refusal:
        run_csv(tmp_path / "no model", tmp_path, out=tmp_path)
    assert str(refusal.value) == f"1 problem in {tmp_path}; choose another --out:\n  - it is a folder"


def test_a_missing_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "videos.csv").write_text("video,prompt\na,b\n", encoding="utf-8")
    with pytest.raises(BundleError):
        run_csv(tmp_path / "no model", tmp_path)
