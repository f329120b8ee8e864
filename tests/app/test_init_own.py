"""`msavqa init --csv`: settings for own videos, guessed from names and values, and what is left open."""

import csv
import json
import os
import tempfile
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from msavqa.app import cli
from msavqa.app.own.guess import guess
from msavqa.check.params import problems
from msavqa.datasets import read as datasets
from msavqa.datasets.readers.csv import ReaderSettings
from msavqa.ground.params import problems_in
from tests.app.own_tables import columns, init, made, refusal, rows_of, videos
from tests.conftest import ROOT


def test_the_usual_csv_is_understood_and_what_was_guessed_is_said(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made(rows_of())
    data = init()
    assert data["train_on"] == ["mine"]
    assert data["datasets"]["mine"] == {
        "reader": "csv",
        "root": "videos",
        "labels": "videos.csv",
        "mos_range": [1, 5],
        "columns": {"video": "video", "prompt": "prompt", "mos": "mos", "generator": "generator"},
    }
    assert problems(data) == []
    assert len(datasets.read(data, "mine", check_files=True)[1]) == 24
    assert capsys.readouterr().out == (
        "params.yaml: written, from the preset csv\n"
        "guessed, each stands in the file:\n"
        "  - videos: column 'video', 24 of 24 are in videos/\n"
        "  - MOS: column 'mos', 1 to 4.9, the scale is taken as 1 to 5\n"
        "  - prompts: column 'prompt', 12 different ones\n"
        "  - generators: column 'generator', 2 of them\n"
        "  - networks: pre-trained ones, which `make weights` fetches into weights/, and `dvc repro` too; "
        "where no hub can be reached, `--preset csv_offline` takes toys that show that every part works\n"
        "  - no pre-training, for no data set for it is here\n"
        "left open:\n"
        "  - no standard error of the MOS, and no single raters: the report cannot give a noise ceiling\n"
        "next: `dvc repro` runs in a checkout of msavqa, and here is no dvc.yaml: make this file in one\n"
    )


def test_the_toys_are_said_to_be_toys(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made(rows_of())
    assert init("--preset", "csv_offline")["weights"] == "data/sample/weights"
    said = capsys.readouterr().out
    assert said.startswith("params.yaml: written, from the preset csv_offline\n")
    assert (
        "  - the networks are the sample world's toys, trained on drawn scenes: they show that every part "
        "works, and the scores mean little; `--preset csv` takes pre-trained ones\n"
    ) in said


def test_in_a_checkout_the_next_commands_are_named(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made(rows_of())
    Path("dvc.yaml").touch()
    init()
    assert capsys.readouterr().out.endswith("next: `msavqa data check`, then `dvc repro`\n")


def test_the_file_keeps_the_comments_of_its_preset(here: Path) -> None:
    made(rows_of())
    init()
    lines = Path("params.yaml").read_text(encoding="utf-8").splitlines()
    assert "    root: videos # the folder that video paths start from" in lines
    assert "  timeout_seconds: 60 # wall clock per file, its hash included" in lines
    assert lines[1].startswith("# Your own videos on pre-trained networks that a laptop bears.")


NAMES = {
    "video": ["video", "path", "file_name", "Video Path", "clip", "videoFile", "filename"],
    "prompt": ["prompt", "Caption", "text", "prompt_en", "description", "提示"],
    "mos": ["mos", "MOS", "score", "Mean Opinion Score", "overall", "rating", "human_score", "mos (1-5)"],
    "generator": ["generator", "model", "Model Name", "method", "system"],
    "noise": ["fps", "frame_count", "width", "seed", "comment"],
}
PATHS = {
    "below root": "{}",
    "root's own name first": "videos/{}",
    "with a dot": "./videos/{}",
    "absolute": "{here}/videos/{}",
}


@settings(max_examples=30)
@given(
    names=st.fixed_dictionaries({key: st.sampled_from(names) for key, names in NAMES.items()}),
    order=st.permutations(["video", "prompt", "mos", "generator", "noise"]),
    left_out=st.sets(st.sampled_from(["prompt", "generator", "noise"])),
    separator=st.sampled_from([",", ";", "\t", "|"]),
    mark=st.sampled_from(["", "\ufeff"]),
    end=st.sampled_from(["\n", "\r\n"]),
    path=st.sampled_from(sorted(PATHS)),
    scale=st.sampled_from([(1, 5), (0, 1), (0, 100), (1, 10), (1, 7)]),
    comma=st.booleans(),
)
def test_whatever_columns_are_called_and_however_fields_are_parted_the_rows_are_those_of_the_csv(
    names: dict[str, str],
    order: list[str],
    left_out: set[str],
    separator: str,
    mark: str,
    end: str,
    path: str,
    scale: tuple[int, int],
    comma: bool,
) -> None:
    low, high = scale
    if names["mos"] == "mos (1-5)" and scale != (1, 5):
        names["mos"] = "mos"
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            table = []
            for row in rows_of():
                mos = round(low + (float(row["mos"]) - 1) / 4 * (high - low), 3)
                row["mos"] = f"{mos:g}".replace(".", "," if comma and separator != "," else ".")
                row["video"] = PATHS[path].format(row["video"], here=folder)
                row["noise"] = "fine" if names["noise"] == "comment" else str(8 + len(table) % 3)
                table.append({names[key]: row[key] for key in order if key not in left_out})
            made(table, separator=separator, mark=mark, end=end)
            block = guess(Path("videos.csv"), videos=Path("videos"), home=Path()).block
            data = {"train_on": ["mine"], "datasets": {"mine": block}}
            wanted = {
                key: names[key] for key in ("video", "prompt", "mos", "generator") if key not in left_out
            }
            assert block["columns"] == wanted
            assert block["mos_range"] == list(scale)
            assert problems_in(block, "datasets.mine", ReaderSettings) == []
            _, rows = datasets.read(data, "mine", check_files=True)
            assert [row.path for row in rows] == [row["video"] for row in rows_of()]
            for row, written in zip(rows, rows_of(), strict=True):
                assert row.mos == pytest.approx(
                    low + (float(written["mos"]) - 1) / 4 * (high - low), abs=6e-4
                )
                assert row.prompt == ("" if "prompt" in left_out else written["prompt"])
                assert row.generator == ("" if "generator" in left_out else written["generator"])
        finally:
            os.chdir(before)


RATED = ["rater_1", "rater_2", "rater_3"]


def with_raters(names: list[str], *, gaps: bool = False, mean: str | None = None, top: int = 5) -> None:
    rows = []
    for index, row in enumerate(rows_of(36)):
        ratings = [1 + (index * 7 + 3 * rater) % top for rater in range(len(names))]
        row = {key: row[key] for key in ("video", "prompt")}
        row |= {
            name: "" if gaps and (index + rater) % 3 == 0 else str(ratings[rater])
            for rater, name in enumerate(names)
        }
        if mean is not None:
            row[mean] = f"{sum(ratings) / len(ratings):.4f}"
        rows.append(row)
    made(rows)


@pytest.mark.parametrize(
    "names",
    [RATED, ["r0", "r1", "r2"], ["Annotator A", "Annotator B"], ["1", "2", "3"], ["score1", "score2"]],
)
@pytest.mark.parametrize("gaps", [False, True])
def test_single_raters_give_mos_and_error(here: Path, names: list[str], gaps: bool) -> None:
    with_raters(names, gaps=gaps)
    data = init()
    assert data["datasets"]["mine"]["columns"] == {"video": "video", "prompt": "prompt", "raters": names}
    assert problems(data) == []
    _, rows = datasets.read(data, "mine", check_files=True)
    assert all(1 <= row.mos <= 5 for row in rows)


def test_a_mos_beside_its_raters_takes_its_error_from_them(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with_raters(RATED, mean="MOS")
    assert columns() == {"video": "video", "prompt": "prompt", "mos": "MOS", "raters": RATED}
    said = capsys.readouterr().out
    assert "MOS: column 'MOS', the mean of the raters 'rater_1', 'rater_2', 'rater_3', 1 to 5, " in said
    assert "  - its standard error: the spread of the raters\n" in said
    assert "noise ceiling" not in said


def test_raters_that_use_three_grades_rated_one_to_three(here: Path) -> None:
    with_raters(RATED, top=3)
    assert init()["datasets"]["mine"]["mos_range"] == [1, 3]


def test_the_error_of_the_mos_is_found_by_its_name_and_a_spread_is_left_open(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made([{**row, "mos_se": "0.2" if index else "0.1"} for index, row in enumerate(rows_of())])
    assert columns()["mos_se"] == "mos_se"
    assert "  - its standard error: column 'mos_se'\n" in capsys.readouterr().out
    Path("params.yaml").unlink()
    made([{**row, "mos_std": "0.2" if index else "0.1"} for index, row in enumerate(rows_of())])
    assert "mos_se" not in columns()
    assert (
        "  - column 'mos_std' looks like a spread: `columns.mos_se` takes the standard error of the mean, "
        "a standard "
        "deviation divided by the root of the number of raters\n"
    ) in capsys.readouterr().out


def test_several_ratings_of_one_scale_give_their_mean_and_it_is_said(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [
        {**row, "visual_quality": row["mos"], "text_alignment": "2" if index else "3"}
        for index, row in enumerate(rows_of())
    ]
    made([{key: value for key, value in row.items() if key != "mos"} for row in rows])
    assert columns()["mos"] == ["visual_quality", "text_alignment"]
    assert "MOS: the mean of 'visual_quality', 'text_alignment', 1 to 4.9" in capsys.readouterr().out


def test_zeros_below_the_scale_are_left_open(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made([{**row, "mos": "0" if index == 3 else row["mos"]} for index, row in enumerate(rows_of(40))])
    assert init()["datasets"]["mine"]["mos_range"] == [1, 5]
    assert (
        "  - 1 rating is 0, the others 1 or more: if 0 means missing, empty those cells; if not, set "
        "`mos_range: [0, 5]`\n"
    ) in capsys.readouterr().out


def test_missing_videos_are_counted(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made(rows_of())
    for index in (3, 5):
        Path(f"videos/{index:03d}.mp4").unlink()
    data = init()
    assert problems(data) == []
    said = capsys.readouterr().out
    assert "  - videos: column 'video', 22 of 24 are in videos/\n" in said
    assert (
        "  - 2 of 24 videos are not in 'videos', the first is '003.mp4': bring them there or take their "
        "rows out\n"
    ) in said


def test_rows_that_the_reader_refuses_are_left_open(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made([*rows_of(), rows_of()[0]])
    with Path("videos.csv").open("a", encoding="utf-8") as file:
        file.write("one,field,too,many,here\n")
    init()
    said = capsys.readouterr().out
    assert (
        "  - 1 row names a video again: a row is a video, so let one hold the mean of its ratings\n" in said
    )
    assert "  - 1 line has another number of fields than line 1\n" in said
    assert (
        "  - mistakes in the table: line 27: 5 fields, the header has 4 and 1 more; `msavqa data check` "
        "names all\n"
    ) in said


def test_too_few_rows_to_split_are_left_open(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made([{**row, "prompt": "a red ball rolls"} for row in rows_of()])
    init()
    assert (
        "  - too little to split: 0 train, 0 val, 24 test rows of readable videos, 0 of 3 folds filled; "
        "give more "
        "rows, more different prompts, fewer split.folds or another split.protocol\n"
    ) in capsys.readouterr().out


def test_own_splits_and_groups_are_found(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made(
        [
            {**row, "split": "train" if index % 3 else "test", "group": str(index // 4)}
            for index, row in enumerate(rows_of())
        ]
    )
    found = columns()
    assert (found["split"], found["group"]) == ("split", "group")
    said = capsys.readouterr().out
    assert "  - column 'split' parts the rows: to use it set `split.protocol: given`\n" in said
    assert "  - groups that no split parts: column 'group', 6 of them\n" in said


def test_what_may_be_a_generator_is_left_open(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made([{"video": row["video"], "mos": row["mos"], "who": row["generator"]} for row in rows_of()])
    assert columns() == {"video": "video", "mos": "mos"}
    said = capsys.readouterr().out
    assert (
        "  - no column of generators for `columns.generator`: no figures per text-to-video model; if 'who' "
        "is one, "
        "name it there\n"
    ) in said
    assert "  - no column of prompts: no branch can tell whether a video shows what was asked for\n" in said


@pytest.mark.parametrize("preset", ["t2vqa_db", "paper", "paper_pixels", "sample", "sample_paper"])
def test_another_preset_brings_its_networks_and_no_data_set_that_is_not_here(
    here: Path, preset: str, capsys: pytest.CaptureFixture[str]
) -> None:
    made(rows_of())
    data = init("--preset", preset)
    assert problems(data) == []
    ours = preset.startswith("sample")
    assert list(data["datasets"]) == (["mine", "sample_ugc"] if ours else ["mine"])
    assert data["pretrain_on"] == (["sample_ugc"] if ours else [])
    assert data["branches"]["segment"]["start"] == ("segment" if ours else None)
    said = capsys.readouterr().out
    assert ("  - networks: pre-trained ones, which `make weights` fetches into weights/, " in said) != ours
    assert ("  - no pre-training, for no data set for it is here\n" in said) != ours


def test_a_data_set_for_pre_training_that_is_here_stays(here: Path) -> None:
    made(rows_of())
    Path("data/lsvq/labels").mkdir(parents=True)
    data = init("--preset", "t2vqa_db")
    assert list(data["datasets"]) == ["mine", "lsvq"]
    assert (data["pretrain_on"], data["branches"]["segment"]["start"]) == (["lsvq"], "segment")


def test_paths_start_from_the_folder_of_the_file_that_is_written(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made(rows_of())
    Path("project").mkdir()
    with pytest.raises(SystemExit):
        cli.main(["init", "--csv", "videos.csv", "--videos", "videos", "--out", "project/params.yaml"])
    monkeypatch.chdir(here / "project")
    data = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))
    block = data["datasets"]["mine"]
    assert (block["root"], block["labels"]) == (str(here / "videos"), str(here / "videos.csv"))
    assert len(datasets.read(data, "mine", check_files=True)[1]) == 24


def test_fetvs_own_ratings_give_what_was_derived_from_them(here: Path, shared_data: Path) -> None:
    folder = shared_data / "fetv"
    with pytest.raises(SystemExit):
        cli.main(["init", "--csv", str(folder / "ratings.csv"), "--videos", str(folder / "videos")])
    data = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))
    assert problems(data) == []
    assert data["datasets"]["mine"]["columns"] == {
        "video": "clip_file",
        "prompt": "prompt",
        "mos": ["static_quality_mean", "temporal_quality_mean", "alignment_mean"],
        "generator": "generator",
    }
    _, rows = datasets.read(data, "mine", check_files=True)
    with (folder / "videos.csv").open(encoding="utf-8", newline="") as file:
        derived = {row["video"]: float(row["mos"]) for row in csv.DictReader(file)}
    assert {row.video_id: row.mos for row in rows} == pytest.approx(derived, abs=1e-3)


def test_real_label_files_of_other_forms_are_one_sentence_each(
    here: Path, shared_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    videos(Path("videos"), ["yfcc-batch1/747.mp4"])
    ends = {
        "t2vqa-db/info.txt": "it looks like labels of T2VQA-DB or NTIRE, for which there are the readers "
        "t2vqa_db and ntire",
        "lsvq/train_labels.txt": "it looks like labels of LSVQ, for which there is the reader lsvq",
        "lsvq/LSVQ_whole_test.csv": "write the ending into the column",
        "videobench/action.json": "save it as a csv in UTF-8",
        "genai_bench_video/data.json": "save it as a csv in UTF-8",
    }
    for name, end in ends.items():
        said = refusal(capsys, table=str(shared_data / name))
        assert said.startswith(f"error: Table in {shared_data / name}: got ")
        assert said.endswith(f"; {end}.\n")
        assert said.count("\n") == 1


def test_video_benchs_four_raters_with_missing_ratings_are_read(here: Path, shared_data: Path) -> None:
    """Its JSON as a table: a 0 means missing, so the cell is empty."""
    entries = json.loads((shared_data / "videobench" / "action.json").read_text(encoding="utf-8"))
    gaps = [entry for entry in entries if any(0 in given for given in entry["human_anno"].values())]
    rows = []
    for entry in [*gaps, *(one for one in entries if one not in gaps)][:25]:
        for generator, path in entry["videos"].items():
            found = entry["human_anno"][generator]
            rows.append(
                {"path": path, "prompt_en": entry["prompt_en"], "model": generator}
                | {
                    f"annotator{rater}": str(value) if value else ""
                    for rater, value in enumerate(found, start=1)
                }
            )
    with Path("videos.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    videos(Path("videos"), [row["path"] for row in rows])
    data = init()
    raters = [key for key in rows[0] if key.startswith("annotator")]
    assert data["datasets"]["mine"]["columns"] == {
        "video": "path", "prompt": "prompt_en", "raters": raters, "generator": "model",
    }  # fmt: skip
    assert problems(data) == []
    assert len(datasets.read(data, "mine", check_files=True)[1]) == len(rows)


def test_the_readme_names_this_command() -> None:
    assert "msavqa init --csv videos.csv --videos videos" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_names_give_generators_and_prompts_that_no_column_has(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [
        {"video": f"{name}/a dog no {number}-0.mp4", "mos": f"{1 + (3 * number + place) % 4}"}
        for place, name in enumerate(("A", "B"))
        for number in range(12)
    ]
    made(rows)
    videos(Path("videos"), [row["video"] for row in rows])
    pattern = "{generator}/{prompt}-{index}.mp4"
    data = init("--names", pattern)
    assert data["datasets"]["mine"]["names"] == pattern
    assert data["datasets"]["mine"]["columns"] == {"video": "video", "mos": "mos"}
    assert problems(data) == []
    found = datasets.read(data, "mine", check_files=True)[1]
    assert ({row.generator for row in found}, len({row.prompt for row in found})) == ({"A", "B"}, 12)
    said = capsys.readouterr().out
    assert (
        "  - prompts: from the names, 12 different ones\n  - generators: from the names, 2 different" in said
    )
    Path("params.yaml").unlink()
    assert refusal(capsys, "--names", "{a}{b}") == (
        "error: Pattern in --names: got {a} and {b} stand side by side: put text between them, expected a "
        "path with fields in braces; write it as {generator}/{prompt}-{index}.mp4.\n"
    )
