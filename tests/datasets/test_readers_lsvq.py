"""The LSVQ reader: both layouts, three named splits, and the file that joins the test sets."""

from collections import Counter
from pathlib import Path

import pytest

from msavqa.datasets.readers import lsvq
from msavqa.datasets.rows import Row
from msavqa.ground.errors import ProblemsError
from msavqa.ground.params import block

TRAP = (
    "(LSVQ's labels.txt is test and test_1080p joined, not the training rows); give train_labels.txt as "
    "train, labels_test.txt as test and labels_1080p.txt as test_1080p"
)


def read(labels: object) -> list[Row]:
    data = {"reader": "lsvq", "root": ".", "labels": labels, "mos_range": [0, 100]}
    return lsvq.read(block({"d": data}, "d", lsvq.ReaderSettings), check_files=False)


def problems_of(labels: object) -> tuple[str, ...]:
    with pytest.raises(ProblemsError) as refused:
        read(labels)
    return refused.value.problems


def test_the_real_text_files_have_their_published_row_counts(shared_data: Path) -> None:
    rows = read(str(shared_data / "lsvq"))
    assert Counter(row.given_split for row in rows) == {"train": 28_056, "test": 7_186, "test_1080p": 3_573}
    assert rows[0].video_id == "yfcc-batch1/725.mp4"
    assert rows[-1].video_id == "ia-batch24/youtube-_wgGiVhoD6s.mp4"  # the file has no last line end
    assert {row.prompt for row in rows} == {""}


def test_the_real_csv_files_name_the_same_videos(shared_data: Path) -> None:
    folder = shared_data / "lsvq"
    rows = read(
        {
            "test": str(folder / "LSVQ_whole_test.csv"),
            "test_1080p": str(folder / "LSVQ_whole_test_1080p.csv"),
        }
    )
    assert Counter(row.given_split for row in rows) == {"test": 7_220, "test_1080p": 3_561}
    text = {row.video_id: row for row in read(str(folder))}
    both = [row for row in rows if row.video_id in text]
    assert len(both) == 7_174 + 3_561
    assert [row.mos for row in both] == pytest.approx([text[row.video_id].mos for row in both], abs=1e-9)
    assert all(row.given_split == text[row.video_id].given_split for row in both)


def test_the_real_file_that_joins_the_test_sets_is_refused_for_training_and_for_testing(
    shared_data: Path, tmp_path: Path
) -> None:
    trap = tmp_path / "any_name.txt"
    trap.write_bytes((shared_data / "lsvq" / "LSVQ" / "labels.txt").read_bytes())
    for labels in (str(trap), {"train": str(trap)}):
        with pytest.raises(ProblemsError) as refused:
            read(labels)
        assert str(refused.value) == (
            f"1 problem in {trap}; mend them and run again, nothing was started:\n"
            f"  - any_name.txt: read as train but it holds the rows of test and test_1080p {TRAP}"
        )
    assert problems_of({"test": str(trap)}) == (
        f"any_name.txt: read as test but it holds the rows of test_1080p {TRAP}",
    )


def test_the_rows_that_give_the_trap_away_are_where_they_should_be(shared_data: Path) -> None:
    found = {row.video_id: row.given_split for row in read(str(shared_data / "lsvq"))}
    assert {name: found[name] for name in lsvq.KNOWN_ROWS} == lsvq.KNOWN_ROWS


@pytest.mark.parametrize("before", ["./", "LSVQ/", "a/b/"])
def test_the_trap_is_seen_under_another_spelling_of_the_paths(tmp_path: Path, before: str) -> None:
    file = tmp_path / "mine.txt"
    file.write_text(f"{before}yfcc-batch1/747.mp4,-1,-1,50\n{before}other.mp4,-1,-1,40\n", encoding="utf-8")
    (problem,) = problems_of(str(file))
    assert problem.startswith("mine.txt: read as train but it holds the rows of test (")


def test_text_lines_are_cut_from_the_right_and_mistakes_named(tmp_path: Path) -> None:
    good, bad = tmp_path / "train_labels.txt", tmp_path / "labels_test.txt"
    good.write_bytes(b"\xef\xbb\xbfa/-one, two.mp4, -1, -1, 67.75\r\nb.mp4,-1,-1,1")
    assert [(row.video_id, row.mos) for row in read(str(tmp_path))] == [
        ("a/-one, two.mp4", 67.75),
        ("b.mp4", 1.0),
    ]
    bad.write_text("b.mp4, -1, -1, 5\nc.mp4, 5\nd.mp4, -1, -1, good\ne.mp4, -1, -1, 101\n")
    assert problems_of(str(tmp_path)) == (
        "labels_test.txt line 2: 2 fields, expected 'name, -1, -1, mos': 'c.mp4, 5'",
        "labels_test.txt line 3: mos is 'good', not a finite number",
        "labels_test.txt line 1: video 'b.mp4' stands already in train_labels.txt line 2",
        "labels_test.txt line 4: mos 101 lies outside mos_range [0, 100]",
    )


def test_the_column_is_test_decides_between_train_and_test(tmp_path: Path) -> None:
    (tmp_path / "labels_train_test.csv").write_text(
        'name,p1,mos,is_test\nx/1,"[0, 1]",50,False\nx/2,"[0, 1]",60,True\n'
    )
    (tmp_path / "labels_test_1080p.csv").write_text('name,p1,mos\nx/3,"[0, 1]",70\n')
    rows = read(str(tmp_path))
    assert [(row.where, row.video_id, row.mos, row.given_split) for row in rows] == [
        ("labels_train_test.csv line 2", "x/1.mp4", 50.0, "train"),
        ("labels_train_test.csv line 3", "x/2.mp4", 60.0, "test"),
        ("labels_test_1080p.csv line 2", "x/3.mp4", 70.0, "test_1080p"),
    ]


def test_mistakes_of_the_csv_layout_are_named(tmp_path: Path) -> None:
    train, test = tmp_path / "train.csv", tmp_path / "test.csv"
    train.write_text("video,score\nx,1\n")
    test.write_text('name,mos,is_test\na,1,maybe\nb,x,True\nc,1\nd,1,True,5\ne,"1,True\n')
    assert problems_of({"train": str(train), "test": str(test)}) == (
        "train.csv: no column 'name' (as the authors' csv has it)",
        "train.csv: no column 'mos' (as the authors' csv has it); the columns are 'video', 'score'",
        "test.csv line 2: is_test is 'maybe', neither True nor False",
        "test.csv line 3: mos is 'x', not a finite number",
        "test.csv line 4: not 3 fields as the header",
        "test.csv line 5: not 3 fields as the header",
        "test.csv line 6: a quote that never ends",
    )


def test_a_bad_line_or_file_hides_nothing_else(tmp_path: Path) -> None:
    train, test, large = tmp_path / "a.txt", tmp_path / "b.txt", tmp_path / "c.csv"
    train.write_text("1.mp4, -1, -1, 50\n../2.mp4, -1, -1, good\n")
    large.write_bytes("name,mos,is_test\n1,x,maybe\ncaf\u00e9,5,True\n".encode("latin-1"))
    assert problems_of({"train": str(train), "test": str(test), "test_1080p": str(large)}) == (
        "a.txt line 2: mos is 'good', not a finite number",
        "b.txt: no such file",
        "c.csv line 3: byte 0xe9 is not UTF-8, save the file as UTF-8",
        "c.csv line 2: is_test is 'maybe', neither True nor False",
        "c.csv line 2: mos is 'x', not a finite number",
        "c.csv line 2: video '1.mp4' stands already in a.txt line 1",
        "a.txt line 2: path '../2.mp4' leads out of root",
    )


def test_a_folder_without_any_known_file_says_which_are_known(tmp_path: Path) -> None:
    with pytest.raises(ProblemsError) as refused:
        read(str(tmp_path))
    assert str(refused.value) == (
        f"1 problem in {tmp_path}; give the files of this folder these names:\n"
        "  - none of train_labels.txt, labels_train.txt, labels_train_test.csv, LSVQ_whole_train.csv, "
        "LSVQ/labels_test.txt, labels_test.txt, LSVQ_whole_test.csv, LSVQ/labels_1080p.txt, "
        "labels_1080p.txt, labels_test_1080p.csv, LSVQ_whole_test_1080p.csv"
    )


def test_an_unknown_split_is_named_in_the_settings() -> None:
    assert problems_of({"train": "a.txt", "tset": "b.txt"}) == (
        "d.labels.files.tset.[key]: got 'tset', input should be 'train', 'test' or 'test_1080p'",
    )
