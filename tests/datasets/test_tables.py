"""Tables: what is written comes back the same, in the same bytes; what does not fit is not written."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from msavqa.datasets import tables


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
    tables.write_manifest(manifest()[sorted(tables.MANIFEST.columns)], tmp_path / "b.parquet")
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
    with pytest.raises(tables.ProblemsError) as refused:
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
    with pytest.raises(tables.ProblemsError) as refused:
        tables.write_predictions(pd.DataFrame(columns | changes), tmp_path / "p.parquet")
    assert refused.value.problems == (sentence,)


def test_controls_hold_one_score_a_video_for_each_control(tmp_path: Path) -> None:
    table = pd.DataFrame(
        {"repeat": 0, "video_id": ["a", "a"], "role": "test", "score": 1.0, "control": ["x", "y"]}
    )
    tables.write_controls(table, tmp_path / "c.parquet")
    assert tables.read_controls(tmp_path / "c.parquet")["control"].tolist() == ["x", "y"]
    with pytest.raises(tables.ProblemsError, match="2 rows do not differ in their key"):
        tables.write_controls(table.assign(control="x"), tmp_path / "c.parquet")


def test_a_missing_file_and_a_file_of_another_kind_are_refused(tmp_path: Path) -> None:
    with pytest.raises(tables.ProblemsError) as refused:
        tables.read_manifest(tmp_path / "m.parquet")
    assert str(refused.value) == (
        f"1 problem in {tmp_path / 'm.parquet'}; run `dvc repro` to make it:\n  - no such file"
    )
    (tmp_path / "m.parquet").write_text("video,mos\n")
    with pytest.raises(
        tables.ProblemsError, match="delete it and run `dvc repro`:\n  - not a parquet file: Could"
    ):
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
    with pytest.raises(tables.ProblemsError) as refused:
        tables.learning_labels(labels, splits(), repeat=0)
    assert refused.value.problems == ("1 videos are not in the manifest, the first is 'c'",)
    with pytest.raises(tables.ProblemsError) as refused:
        tables.learning_labels(labels, splits(), repeat=7)
    assert str(refused.value) == (
        "1 problem in splits; run `dvc repro` to split this manifest:\n  - repeat 7: the splits hold [0, 1]"
    )
