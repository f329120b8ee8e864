"""A csv of videos: checked before it starts, resumable, a bad row costs itself only."""

import csv
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from msavqa.ground.errors import MsavqaError
from msavqa.machine.processes import Pool
from msavqa.score import scorer as score
from msavqa.score import spread, table
from msavqa.score.result import Score
from msavqa.score.scorer import Scorer, load
from tests import media


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return media.write(tmp_path_factory.mktemp("videos") / "some video.mp4", media.numbered(8))


def run_csv(model: Path, folder: Path, **changes: object) -> tuple[int, int]:
    usual = {
        "root": None, "video_column": "video", "prompt_column": "prompt", "model": model, "workers": 1,
        "decode_seconds": 60.0, "out": folder / "scores.csv",
    }  # fmt: skip
    return table.run(folder / "videos.csv", **{**usual, **changes})  # type: ignore[arg-type]


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
    monkeypatch.setattr(score, "_networks", lambda *of: loaded.append("") or networks(*of))
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


def test_a_malformed_row_fails_alone_with_its_line_and_reason(random_bundle: Path, listed: Path) -> None:
    content = (
        b"note,prompt,video\n"
        b"1,x,good one.mp4\n"
        b"2,a ball, red,good one.mp4\n"
        b"3,x\n"
        b'4,"two\nlines", \n'
        b'5,"x"y,good one.mp4\n'
        b"6,caf\xe9,good one.mp4\n"
        b"caf\xe9,x,good one.mp4\n"
        b'9,"never ends,good one.mp4\n10,x,good one.mp4\n11,y,bad.mp4\n'
    )
    (listed / "videos.csv").write_bytes(content)
    assert run_csv(random_bundle, listed) == (3, 7)
    rows = rows_of(listed / "scores.csv")
    place = f"{listed}/videos.csv"
    assert [row["error"] for row in rows] == [
        "",
        f"Row in line 3 of {place}: got 4 fields, expected 3 as in the header; put a prompt "
        "with a comma in quotes.",
        f"Row in line 4 of {place}: got 2 fields, expected 3 as in the header; add what is missing.",
        f"Row in line 5 of {place}: got no video, expected a file's name; name it or leave the row out.",
        f"Row in line 7 of {place}: got text between a closing quote and the next comma, expected quotes "
        "as a spreadsheet writes them; mend that line.",
        f"Row in line 8 of {place}: got bytes that are not UTF-8, expected UTF-8; save the csv as UTF-8.",
        "",
        f"Row in line 10 of {place}: got a quote that never ends, expected quotes as a spreadsheet writes "
        "them; mend that line.",
        "",
        f"Video in {listed}/bad.mp4: got ffmpeg's mov: moov atom not found, expected a video file that "
        "decodes from its first frame to its last; replace the file or leave it out.",
    ]
    assert rows[0]["score"] == rows[6]["score"] == rows[8]["score"] != ""
    assert [row["score"] for row in rows if row["error"]] == [""] * 7
    assert rows[5]["prompt"] == "caf\ufffd"
    assert run_csv(random_bundle, listed) == (3, 7)
    assert rows_of(listed / "scores.csv") == rows


def test_a_pipe_in_a_row_fails_alone(random_bundle: Path, listed: Path) -> None:
    os.mkfifo(listed / "pipe.mp4")
    (listed / "videos.csv").write_text("video,prompt\npipe.mp4,x\ngood one.mp4,x\n", encoding="utf-8")
    assert run_csv(random_bundle, listed) == (1, 1)
    assert rows_of(listed / "scores.csv")[0]["error"] == (
        f"Video in {listed}/pipe.mp4: got no regular file, expected a video file; name one file."
    )


def test_the_device_is_handed_on(random_bundle: Path, listed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(MsavqaError, match=r"^Device in --device: got cuda, and torch "):
        run_csv(random_bundle, listed, device="cuda")
    assert not (listed / "scores.csv").exists()


def test_other_processes_give_the_same_table(
    random_bundle: Path,
    listed: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run_csv(random_bundle, listed) == (3, 1)
    monkeypatch.setattr(spread, "PART", 1)
    monkeypatch.setenv("MSAVQA_LAUNCHER", "processes:2")
    assert run_csv(random_bundle, listed, out=listed / "elsewhere.csv") == (3, 1)
    assert (listed / "elsewhere.csv").read_bytes() == (listed / "scores.csv").read_bytes()
    assert "score: 3/3 videos, " in (said := capsys.readouterr().err.splitlines()[-1])
    assert "workers 2, failed 1" in said
