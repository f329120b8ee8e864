"""Tables: what is written comes back the same, in the same bytes; what does not fit is not written."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from msavqa.datasets import table_files, tables
from msavqa.ground.errors import ProblemsError


def manifest(**changes: object) -> pd.DataFrame:
    """Two valid rows, the second of an unreadable video without a MOS."""
    columns: dict[str, object] = {
        "video_id": ["b/-one.mp4", "a two.mp4"],
        "path": ["b/-one.mp4", "a two.mp4"],
        "prompt": ['a  "red"   ball', "红球 🎈\u2028滚动"],
        "mos": [50.0, np.nan],
        "mos_se": [np.nan, np.nan],
        "generator": ["A", ""],
        "group": ["", ""],
        "given_split": ["train", "test"],
        "weight": [1.0, 0.5],
        "quality_true": [np.nan, np.nan],
        "sha256": ["0" * 64, "f" * 64],
        "size_bytes": [10, 0],
        "container": ["mov,mp4", ""],
        "codec": ["h264", ""],
        "fps": [8.0, np.nan],
        "frame_count": [16, -1],
        "width": [512, 0],
        "height": [512, 0],
        "duration_seconds": [2.0, np.nan],
        "rotation_degrees": [0, 0],
        "status": ["ok", "unreadable"],
        "error": ["", "empty file"],
    }
    return pd.DataFrame(columns | changes)


def splits(**changes: object) -> pd.DataFrame:
    columns: dict[str, object] = {
        "repeat": [0, 0, 0, 1],
        "video_id": ["a", "b", "c", "a"],
        "role": ["train", "val", "test", "test"],
        "fold": [0, -1, -1, -1],
    }
    return pd.DataFrame(columns | changes)


def test_a_manifest_comes_back_as_it_was_written_in_its_order(tmp_path: Path) -> None:
    tables.write_manifest(manifest(), tmp_path / "m.parquet")
    pd.testing.assert_frame_equal(tables.read_manifest(tmp_path / "m.parquet"), manifest())


def test_the_same_rows_give_the_same_bytes_whatever_the_order_of_their_columns(tmp_path: Path) -> None:
    tables.write_manifest(manifest(), tmp_path / "a.parquet")
    tables.write_manifest(manifest()[sorted(manifest().columns)], tmp_path / "b.parquet")
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()


def test_writing_replaces_the_file_and_leaves_other_links_to_it_alone(tmp_path: Path) -> None:
    tables.write_splits(splits(), tmp_path / "s.parquet")
    (tmp_path / "cache").hardlink_to(tmp_path / "s.parquet")
    before = (tmp_path / "cache").read_bytes()
    tables.write_splits(splits(fold=[2, -1, -1, -1]), tmp_path / "s.parquet")
    assert (tmp_path / "cache").read_bytes() == before
    assert tables.read_splits(tmp_path / "s.parquet")["fold"].tolist() == [2, -1, -1, -1]
    assert sorted(file.name for file in tmp_path.iterdir()) == ["cache", "s.parquet"]


def test_numbers_are_widened_where_that_changes_no_value(tmp_path: Path) -> None:
    scores = np.array([0.1, 2.0], dtype=np.float32)
    table = pd.DataFrame(
        {"repeat": np.int32([0, 0]), "video_id": ["a", "b"], "role": "test", "score": scores}
    )
    tables.write_predictions(table, tmp_path / "p.parquet")
    assert tables.read_predictions(tmp_path / "p.parquet")["score"].tolist() == scores.tolist()


def test_a_table_without_rows_can_be_written(tmp_path: Path) -> None:
    empty = pd.DataFrame({"repeat": [], "video_id": [], "role": [], "score": []})
    tables.write_predictions(empty, tmp_path / "p.parquet")
    assert tables.read_predictions(tmp_path / "p.parquet").empty


def test_a_table_that_does_not_fit_is_refused_with_every_reason_and_not_written(tmp_path: Path) -> None:
    path = tmp_path / "s.parquet"
    table = splits(video_id=["a", "a", "", "a"], role=["train", "dev", "test", "test"], mos=1.0)
    with pytest.raises(ProblemsError) as refused:
        tables.write_splits(table.drop(columns="fold"), path)
    assert str(refused.value) == (
        f"5 problems in {path}; mend what makes this table:\n"
        "  - 2 rows do not differ in their key, the first is row 0\n"
        "  - column 'mos' is not one of this table's\n"
        "  - column 'fold' is missing\n"
        "  - column 'video_id': 1 row fails str_length(1, None), the first is row 2 with ''\n"
        "  - column 'role': 1 row fails isin(('train', 'val', 'test')), the first is row 1 with 'dev'"
    )
    assert not path.exists()


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"score": ["high", "low"]},
            "column 'score' holds high, expected float64",
        ),
        (
            {"score": [1.0, np.nan]},
            "column 'score': 1 row fails not_nullable, the first is row 1 with nan",
        ),
        (
            {"score": [np.inf, -np.inf]},
            "column 'score': 2 rows fail is_finite, the first is row 0 with inf",
        ),
        (
            {"repeat": [0.5, 1.0]},
            "column 'repeat' holds float64, expected int64",
        ),
    ],
)
def test_a_score_that_is_no_number_is_refused(
    tmp_path: Path, changes: dict[str, object], sentence: str
) -> None:
    columns: dict[str, object] = {"repeat": 0, "video_id": ["a", "b"], "role": "oof", "score": [1.0, 2.0]}
    with pytest.raises(ProblemsError) as refused:
        tables.write_predictions(pd.DataFrame(columns | changes), tmp_path / "p.parquet")
    assert refused.value.problems == (sentence,)


def test_controls_hold_one_score_a_video_for_each_control(tmp_path: Path) -> None:
    table = pd.DataFrame(
        {"repeat": 0, "video_id": ["a", "a"], "role": "test", "score": 1.0, "control": ["x", "y"]}
    )
    tables.write_controls(table, tmp_path / "c.parquet")
    assert tables.read_controls(tmp_path / "c.parquet")["control"].tolist() == ["x", "y"]
    with pytest.raises(ProblemsError, match="2 rows do not differ in their key"):
        tables.write_controls(table.assign(control="x"), tmp_path / "c.parquet")


def test_a_missing_file_and_a_file_of_another_kind_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ProblemsError) as refused:
        tables.read_manifest(tmp_path / "m.parquet")
    assert str(refused.value) == (
        f"1 problem in {tmp_path / 'm.parquet'}; run `dvc repro` to make it:\n  - no such file"
    )
    (tmp_path / "m.parquet").write_text("video,mos\n")
    with pytest.raises(ProblemsError, match="delete it and run `dvc repro`:\n  - not a parquet file: Could"):
        tables.read_manifest(tmp_path / "m.parquet")


def test_learning_labels_hold_no_test_row_of_the_repeat() -> None:
    labels = pd.DataFrame({"video_id": ["c", "b", "a"], "mos": [3.0, 2.0, 1.0], "weight": [1.0, 2.0, 3.0]})
    learning = tables.learning_labels(labels, splits(), repeat=0)
    assert learning.to_dict("list") == {
        "video_id": ["b", "a"],
        "mos": [2.0, 1.0],
        "weight": [2.0, 3.0],
        "role": ["val", "train"],
        "fold": [-1, 0],
    }
    assert tables.learning_labels(labels, splits(), repeat=1).empty


def test_learning_labels_refuse_splits_of_another_dataset_and_unknown_repeats() -> None:
    labels = pd.DataFrame({"video_id": ["a", "b"], "mos": [1.0, 2.0], "weight": [1.0, 1.0]})
    with pytest.raises(ProblemsError) as refused:
        tables.learning_labels(labels, splits(), repeat=0)
    assert refused.value.problems == ("1 videos are not in the manifest, the first is 'c'",)
    with pytest.raises(ProblemsError) as refused:
        tables.learning_labels(labels, splits(), repeat=7)
    assert str(refused.value) == (
        "1 problem in splits; run `dvc repro` to split this manifest:\n  - repeat 7: the splits hold [0, 1]"
    )


def test_attention_is_a_share_of_each_frame_and_may_be_empty(tmp_path: Path) -> None:
    looks = [np.float32([0.25, 0.75]).tolist(), [0.5, 0.5]]
    table = pd.DataFrame({"repeat": 0, "video_id": ["a", "b"], "attention": looks})
    tables.write_attention(table, tmp_path / "a.parquet")
    assert [list(row) for row in tables.read_attention(tmp_path / "a.parquet")["attention"]] == looks
    tables.write_attention(table.iloc[:0], tmp_path / "a.parquet")
    assert list(tables.read_attention(tmp_path / "a.parquet").columns) == ["repeat", "video_id", "attention"]
    for wrong in ([0.5, 0.4], [1.5, -0.5], []):
        with pytest.raises(ProblemsError) as refused:
            tables.write_attention(table.assign(attention=[looks[0], wrong]), tmp_path / "b.parquet")
        assert refused.value.problems == (
            f"column 'attention': 1 row fails shares, the first is row 1 with {wrong}",
        )


def test_a_history_keeps_six_digits_and_may_have_no_validation(tmp_path: Path) -> None:
    first = {"repeat": 0, "epoch": 1, "rate": 0.00092857142, "loss": 0.4}
    tables.write_history([first, {**first, "epoch": 2}], tmp_path / "h.csv")
    assert (tmp_path / "h.csv").read_bytes() == (
        b"repeat,epoch,rate,loss\n0,1,0.000928571,0.4\n0,2,0.000928571,0.4\n"
    )
    tables.write_history([{**first, "val_srcc": np.nan, "val_plcc": 0.5}], tmp_path / "h.csv")
    (row,) = table_files.read_csv(tmp_path / "h.csv", tables.HISTORY).to_dict("records")
    assert np.isnan(row.pop("val_srcc"))
    assert row == {"repeat": 0, "epoch": 1, "rate": 0.000928571, "loss": 0.4, "val_plcc": 0.5}
    with pytest.raises(ProblemsError) as refused:
        tables.write_history([{**first, "val_srcc": 1.5, "epoch": 0}], tmp_path / "h.csv")
    assert refused.value.problems == (
        "column 'epoch': 1 row fails greater_than(0), the first is row 0 with 0.0",
        "column 'val_srcc': 1 row fails in_range(-1, 1), the first is row 0 with 1.5",
    )


def ablation() -> pd.DataFrame:
    numbers = dict.fromkeys(["srcc", "low", "high", "plcc", "plcc_low", "plcc_high"], 0.5)
    steps = {name: [np.nan, 0.25] for name in ("step", "step_low", "step_high", "p_value")}
    return pd.DataFrame(
        {
            "dataset": "2024", "model": ["NA", 'with, "SMA"'], **numbers, "against": [np.nan, "NA"], **steps,
            "repeats": 8, "videos": 100, "settings": "0e1", "revision": "12e4",
        }
    )  # fmt: skip


def test_texts_of_a_csv_stay_texts_whatever_they_look_like(tmp_path: Path) -> None:
    tables.write_ablation(ablation(), tmp_path / "a.csv")
    found = tables.read_ablation(tmp_path / "a.csv")
    pd.testing.assert_frame_equal(
        found, ablation().fillna({"against": ""})[list(tables.ABLATION.columns)], check_dtype=False
    )
    assert found["dataset"].tolist() == ["2024", "2024"]
    assert found["revision"].tolist() == ["12e4", "12e4"]


def test_a_csv_of_column_names_alone_has_no_rows_and_a_broken_one_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(",".join(tables.ABLATION.columns) + "\n")
    assert tables.read_ablation(path).empty
    path.write_text(",".join(tables.ABLATION.columns) + "\nsample,m,high" + "," * 14 + "\n")
    with pytest.raises(ProblemsError) as refused:
        tables.read_ablation(path)
    assert "column 'srcc' holds high, expected float64" in refused.value.problems
    path.write_text('dataset,model\n"sample,m\n')
    with pytest.raises(ProblemsError) as refused:
        tables.read_ablation(path)
    assert str(refused.value).startswith(
        f"1 problem in {path}; run `make ablation` to make it again:\n  - not a csv: "
    )


def test_plots_are_checked_and_leave_no_old_file_behind(tmp_path: Path) -> None:
    comparison = pd.DataFrame({"predictor": ["ensemble"], "srcc": [0.1234567], "low": np.nan, "high": 0.5})
    tables.write_plots({"comparison": comparison}, tmp_path)
    assert (tmp_path / "comparison.csv").read_text() == "predictor,srcc,low,high\nensemble,0.123457,,0.5\n"
    (tmp_path / "old.csv").touch()
    tables.write_plots({"comparison": comparison}, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["comparison.csv"]
    with pytest.raises(ProblemsError, match=r"column 'srcc': 1 row fails in_range\(-1, 1\)"):
        tables.write_plots({"comparison": comparison.assign(srcc=3.0)}, tmp_path)
