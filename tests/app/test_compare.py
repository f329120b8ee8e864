"""`msavqa compare`: two runs, or a run and a control, on the test rows that both have."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from msavqa.datasets import tables
from tests import synthetic
from tests.app.test_cli import msavqa


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return synthetic.project(tmp_path_factory.mktemp("made"), videos=120, repeats=1)


def test_compare_tells_a_better_run_from_luck(made: Path) -> None:
    words = ["compare", "--resamples", 300]
    found = json.loads(
        msavqa(*words, "runs/made/ensemble", "runs/made/branches/video", "--json", cwd=made).stdout
    )
    assert found["differences"]["SRCC"]["low"] > 0
    assert found["values"]["SRCC"][0] > found["values"]["SRCC"][1]
    same = msavqa(
        *words, "runs/made/branches/frame", "runs/made/branches/frame/predictions.parquet", cwd=made
    ).stdout
    assert same.count("no difference shown") == 4
    turned = msavqa(*words, "runs/made/branches/video", "runs/made/ensemble", cwd=made).stdout
    assert turned.splitlines()[3].endswith("b is better")


def test_compare_takes_a_control_and_says_what_is_not_in_common(made: Path, tmp_path: Path) -> None:
    words = ["compare", "--resamples", 300, "runs/made/ensemble"]
    found = json.loads(msavqa(*words, "runs/made/controls:no_pixel", "--json", cwd=made).stdout)
    assert found["differences"]["SRCC"]["low"] > 0
    assert found["rows"][0] == found["rows"][1] == found["rows"][2]
    said = msavqa(*words, "runs/made/controls:wood", cwd=made, code=2).stderr
    assert said == (
        "error: Control in runs/made/controls/predictions.parquet: got wood, expected one of no_pixel, "
        "trees; write runs/made/controls:<control>.\n"
    )
    said = msavqa(*words, "runs/made/branches/frame:no_pixel", cwd=made, code=2).stderr
    assert said == (
        "error: Control in runs/made/branches/frame/predictions.parquet: got no_pixel, expected a run of "
        "several controls; write runs/made/branches/frame alone, or runs/made/controls:<control>.\n"
    )
    fewer = tables.read_predictions(made / "runs/made/branches/frame/predictions.parquet")
    fewer = fewer.drop(fewer.index[fewer["role"] == "test"][:7])
    tables.write_predictions(fewer, tmp_path / "fewer.parquet")
    left, whole = int((fewer["role"] == "test").sum()), found["rows"][1]
    line = msavqa(*words, tmp_path / "fewer.parquet", cwd=made).stdout.splitlines()[2]
    assert line == (
        f"{left} test videos; {left} of a's {whole} and b's {left} rows are in common: "
        "their splits or features differ"
    )


def test_compare_knows_the_ensemble_with_others_prompts_as_a_control(made: Path, tmp_path: Path) -> None:
    shutil.copytree(made, tmp_path / "made")
    runs = tmp_path / "made/runs/made"
    scores = tables.read_predictions(runs / "ensemble" / "predictions.parquet")
    turned = scores.assign(control="shuffled_prompts", score=-scores["score"])
    tables.write_controls(turned, runs / "ensemble" / "controls.parquet")
    words = ["compare", "runs/made/ensemble", "runs/made/controls:shuffled_prompts", "--json"]
    own, other = json.loads(msavqa(*words, cwd=tmp_path / "made").stdout)["values"]["SRCC"]
    assert own == -other


def test_what_is_no_number_is_null_in_json(made: Path, tmp_path: Path) -> None:
    shutil.copytree(made, tmp_path / "made")
    runs = tmp_path / "made/runs/made"
    scores = tables.read_predictions(runs / "ensemble" / "predictions.parquet")
    flat = scores.assign(control="flat", score=1.0)
    tables.write_controls(flat, runs / "controls" / "predictions.parquet")
    words = ["compare", "--resamples", 300, "runs/made/ensemble", "runs/made/controls:flat", "--json"]
    said = msavqa(*words, cwd=tmp_path / "made").stdout
    found = json.loads(said, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert found["values"]["SRCC"][0] > 0
    assert found["values"]["SRCC"][1] is None


@pytest.mark.parametrize("words", ["compare a b", "export --out out", "submission --out s --seconds 1"])
def test_params_without_a_data_set_ask_for_one(tmp_path: Path, words: str) -> None:
    (tmp_path / "params.yaml").write_text("split: {}\n", encoding="utf-8")
    assert msavqa(*words.split(), cwd=tmp_path, code=2).stderr == (
        "error: 1 problem in params.yaml; mend it or give --dataset:\n  - train_on: missing\n"
    )


def test_compare_refuses_a_run_that_is_not_there(made: Path) -> None:
    said = msavqa("compare", "runs/made/branches/frame", "nowhere", cwd=made, code=2).stderr
    assert said.startswith("error: Run in nowhere: got no such file, and as a revision: ")
    assert said.endswith("see `dvc exp list` for names, and `dvc pull` what the cache lacks.\n")


def test_compare_says_of_another_file_that_it_is_no_run(made: Path, tmp_path: Path) -> None:
    note = tmp_path / "note.txt"
    note.write_text("hello", encoding="utf-8")
    manifest = made / "data/made/manifest.parquet"
    for file in (note, manifest):
        assert msavqa("compare", "runs/made/branches/frame", file, cwd=made, code=2).stderr == (
            f"error: Run in {file}: got a file that is no table of predictions, expected a "
            "predictions.parquet; name a run's folder, such as runs/<dataset>/ensemble.\n"
        )
    assert msavqa("compare", "runs/made/branches/frame", "runs/made/controls", cwd=made, code=2).stderr == (
        "error: Run in runs/made/controls/predictions.parquet: got 2 controls, expected one run; write "
        "runs/made/controls:<control> for one of no_pixel, trees.\n"
    )


def outside(made: Path, path: Path, run: str = "ensemble") -> pd.DataFrame:
    """Writes another model's csv: a run's test scores on another scale."""
    found = tables.read_predictions(made / "runs/made" / run / "predictions.parquet")
    tested = found.loc[found["role"] == "test", ["video_id", "score"]]
    rows = pd.DataFrame(
        {"video": tested["video_id"].tolist(), "score": 7 - 3 * (1 - tested["score"].to_numpy())}
    )
    rows.to_csv(path, index=False)
    return rows


def test_other_models_scores_are_compared_on_the_same_videos(made: Path, tmp_path: Path) -> None:
    outside(made, tmp_path / "dover.csv", "branches/video")
    words = ["compare", "--resamples", 300, "--json"]
    ours = json.loads(msavqa(*words, "runs/made/ensemble", "runs/made/branches/video", cwd=made).stdout)
    found = json.loads(msavqa(*words, "runs/made/ensemble", tmp_path / "dover.csv", cwd=made).stdout)
    for name in ("SRCC", "PLCC", "KRCC"):  # the same scores, so the same intervals, to rounding
        assert found["differences"][name] == pytest.approx(ours["differences"][name], abs=1e-9)
    assert found["rows"] == ours["rows"]
    assert (found["outside"], found["notes"]) == ([False, True], [])


def test_videos_that_a_csv_lacks_are_counted_and_named(made: Path, tmp_path: Path) -> None:
    rows = outside(made, tmp_path / "whole.csv")
    first, second = rows["video"].head(2)
    rows = rows.rename(columns={"score": "quality"})
    rows.loc[1, "quality"] = float("nan")
    rows["video"] = "/elsewhere/" + rows["video"].str.removesuffix(".mp4")
    more = pd.DataFrame({"video": ["other.mp4"], "quality": [1.0]})
    pd.concat([rows.iloc[1:], more]).to_csv(tmp_path / "few.csv", index=False)
    count = len(rows)
    said = msavqa(
        "compare", "--resamples", 300, tmp_path / "few.csv:quality", "runs/made/ensemble", cwd=made
    ).stdout.splitlines()
    assert said[2] == f"{count - 2} test videos"
    assert said[-2:] == [
        "note: few.csv has 1 video ('other.mp4'), which made does not have",
        f"note: {tmp_path}/few.csv:quality lacks 2 videos ({first!r}, {second!r}), of {count} test videos",
    ]
    said = msavqa(
        "compare", "--resamples", 300, tmp_path / "few.csv:quality", tmp_path / "whole.csv", cwd=made
    ).stdout.splitlines()
    assert said[2] == f"{count - 2} rated videos"
    assert said[-1].endswith(f"lacks 2 videos ({first!r}, {second!r}), of {count} rated ones of the other")
    assert "no difference shown" in said[3]


def test_a_csv_that_cannot_be_compared_is_refused(made: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.csv"
    other.write_text("video,dover\nv0001.mp4,1\n", encoding="utf-8")
    assert msavqa("compare", "runs/made/ensemble", other, cwd=made, code=2).stderr == (
        f"error: 1 problem in {other}; mend them and run again:\n"
        "  - no column 'score' (other.csv:COLUMN names another); the columns are 'video', 'dover'\n"
    )
    assert msavqa("compare", "runs/made/ensemble", f"{other}:dover", cwd=made, code=2).stderr == (
        f"error: Test videos in common in runs/made/ensemble and {other}:dover: got 0, expected at least 3 "
        "with a MOS; compare runs of the same dataset and split.\n"
    )
    other.write_text("video,score\nv0001.mp4,1\nx/v0001.mp4,1\nv0001,1\n", encoding="utf-8")
    assert msavqa("compare", "runs/made/ensemble", other, cwd=made, code=2).stderr == (
        f"error: 2 problems in {other}; mend them and run again:\n"
        "  - line 3: video 'x/v0001.mp4' is 'v0001.mp4', which stands above already\n"
        "  - line 4: video 'v0001' is 'v0001.mp4', which stands above already\n"
    )
    assert msavqa("compare", "runs/made/ensemble", "no.csv", cwd=made, code=2).stderr == (
        "error: 1 problem in no.csv; mend them and run again:\n  - no such file\n"
    )
