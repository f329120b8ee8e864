"""The csv reader: anybody's columns, spreadsheets' quirks, and every mistake with its line."""

import json
from pathlib import Path

import numpy as np
import pytest

from msavqa.datasets.readers import csv
from msavqa.datasets.rows import Row, Rows
from msavqa.ground.errors import ProblemsError
from msavqa.ground.params import block

COLUMNS: dict[str, object] = {"video": "video", "prompt": "prompt", "mos": "mos"}


def read(
    folder: Path, content: str | bytes, columns: dict[str, object] | None = None, **more: object
) -> Rows:
    """Reads a csv of this content, mos 1 to 5, without looking for the videos."""
    (folder / "my.csv").write_bytes(content.encode() if isinstance(content, str) else content)
    data = {
        "reader": "csv",
        "root": str(folder),
        "labels": str(folder / "my.csv"),
        "mos_range": [1, 5],
        "columns": columns or COLUMNS,
        **more,
    }
    return csv.read(block({"d": data}, "d", csv.ReaderSettings), check_files=False)


def refusal(
    folder: Path, content: str | bytes, columns: dict[str, object] | None = None, **more: object
) -> str:
    with pytest.raises(ProblemsError) as refused:
        read(folder, content, columns, **more)
    return str(refused.value).replace(str(folder), "HERE")


def test_columns_are_found_by_their_names_in_any_order(tmp_path: Path) -> None:
    content = (
        "q,who,f,se,p,w,true,scene,part\n"
        "4.5,A,a.mp4,0.25,red ball,2,3.5,s1,train\n"
        "2,B,b.mp4,,blue,0.5,,s2,test\n"
    )
    columns: dict[str, object] = {
        "video": "f",
        "prompt": "p",
        "mos": "q",
        "mos_se": "se",
        "generator": "who",
        "group": "scene",
        "split": "part",
        "weight": "w",
        "quality_true": "true",
    }
    first, second = read(tmp_path, content, columns)
    assert first == Row(
        where="line 2",
        video_id="a.mp4",
        prompt="red ball",
        mos=4.5,
        mos_se=0.25,
        generator="A",
        group="s1",
        given_split="train",
        weight=2.0,
        quality_true=3.5,
    )
    assert second.mos_se != second.mos_se  # not a number: the cell is empty
    assert second.quality_true != second.quality_true


def test_several_mos_columns_give_their_mean_row_by_row(tmp_path: Path) -> None:
    content = "video,static,temporal,alignment\na.mp4,1,2,4.5\nb.mp4,5,5,5\n"
    columns: dict[str, object] = {"video": "video", "mos": ["static", "temporal", "alignment"]}
    assert [row.mos for row in read(tmp_path, content, columns)] == [2.5, 5.0]


def test_named_dimensions_are_read_apart_and_the_first_one_is_the_mos(tmp_path: Path) -> None:
    content = "video,q,a1,a2,t\na.mp4,1,2,4,5\nb.mp4,5,5,5,\n"
    columns: dict[str, object] = {
        "video": "video",
        "mos": {"overall": "q", "fit": ["a1", "a2"], "steady": "t"},
    }
    first, second = read(tmp_path, content, columns)
    assert (first.mos, first.dimensions) == (1.0, {"fit": 3.0, "steady": 5.0})
    assert np.isnan(second.dimensions["steady"])
    (alone, _) = read(tmp_path, content, {"video": "video", "mos": {"overall": "q"}})
    assert (alone.mos, alone.dimensions) == (1.0, {})
    assert refusal(tmp_path, content.replace(",4,", ",9,"), columns) == (
        "1 problem in HERE/my.csv; mend them and run again, nothing was started:\n"
        "  - line 2: a2 9 lies outside mos_range [1, 5]"
    )
    assert refusal(tmp_path, content.replace("5\n", "7\n"), columns).endswith(
        "\n  - line 2: mos of steady 7 lies outside mos_range [1, 5]"
    )
    named = {"overall": "q", "fit": ["a1", "a3"]}
    assert refusal(tmp_path, content, {"video": "video", "mos": named}).startswith(
        "1 problem in HERE/my.csv; mend them and run again, nothing was started:\n"
        "  - no column 'a3' (columns.mos.fit)"
    )


def test_a_dimensions_name_must_be_one_of_a_column(tmp_path: Path) -> None:
    for name in ("se", "two words", ""):
        with pytest.raises(ProblemsError):
            read(tmp_path, "video,q\n", {"video": "video", "mos": {"overall": "q", name: "q"}})


def test_each_of_several_mos_columns_must_lie_within_the_range(tmp_path: Path) -> None:
    content = "video,static,temporal\na.mp4,1,5\nb.mp4,0,5.5\nc.mp4,9,1\n"
    assert refusal(tmp_path, content, {"video": "video", "mos": ["static", "temporal"]}) == (
        "3 problems in HERE/my.csv; mend them and run again, nothing was started:\n"
        "  - line 3: static 0 lies outside mos_range [1, 5]\n"
        "  - line 3: temporal 5.5 lies outside mos_range [1, 5]\n"
        "  - line 4: static 9 lies outside mos_range [1, 5]"
    )


def test_a_csv_may_have_neither_prompts_nor_mos(tmp_path: Path) -> None:
    (row,) = read(tmp_path, "video\na.mp4\n", {"video": "video"})
    assert row.prompt == ""
    assert row.mos != row.mos  # not a number


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_byte_order_mark_crlf_quotes_and_a_missing_last_line_end_are_read(
    tmp_path: Path, end: str, mark: str
) -> None:
    lines = ["video,prompt,mos", '"-a, b.mp4","say ""hi""  twice\n and  more",3', " c .mp4, 红球 🎈 ,4"]
    rows = read(tmp_path, mark + end.join(lines))
    assert [(row.where, row.video_id, row.prompt) for row in rows] == [
        ("line 2", "-a, b.mp4", 'say "hi"  twice\n and  more'),
        ("line 4", " c .mp4", " 红球 🎈 "),
    ]


@pytest.mark.parametrize("length", [10_000, 200_000])  # Python's own limit is 131,072
def test_a_prompt_of_any_length_is_read_whole(tmp_path: Path, length: int) -> None:
    (row,) = read(tmp_path, f"video,prompt,mos\na.mp4,{'x' * length},3\n")
    assert len(row.prompt) == length


def test_a_blank_line_in_place_of_the_header_is_called_that(tmp_path: Path) -> None:
    assert refusal(tmp_path, "\nvideo,prompt,mos\na.mp4,x,3\n") == (
        "1 problem in HERE/my.csv; mend them or `columns`:\n"
        "  - line 1 is blank, expected the names of the columns"
    )


def test_missing_columns_are_all_named_beside_those_found(tmp_path: Path) -> None:
    columns: dict[str, object] = {"video": "vido", "prompt": "prompt", "mos": ["mos", "mos2"]}
    assert refusal(tmp_path, "video,promt,mos\na.mp4,x,3\n", columns) == (
        "3 problems in HERE/my.csv; mend them or `columns`:\n"
        "  - no column 'vido' (columns.video, did you mean 'video'?)\n"
        "  - no column 'prompt' (columns.prompt, did you mean 'promt'?)\n"
        "  - no column 'mos2' (columns.mos, did you mean 'mos'?); "
        "the columns are 'video', 'promt', 'mos'"
    )


def test_a_column_that_stands_twice_is_refused_where_it_is_asked_for(tmp_path: Path) -> None:
    assert len(read(tmp_path, "video,prompt,mos,,,x,x\na.mp4,x,3,,,,\n")) == 1
    assert refusal(tmp_path, "video,prompt,mos,mos\na.mp4,x,3,4\n") == (
        "1 problem in HERE/my.csv; mend them and run again, nothing was started:\n"
        "  - column 'mos' stands 2 times"
    )


def test_a_missing_column_or_a_bad_quote_hides_no_mistake_elsewhere(tmp_path: Path) -> None:
    columns: dict[str, object] = {"video": "video", "prompt": "text", "mos": "mos", "weight": "w"}
    content = 'video,prompt,mos,w\na.mp4,"x"y,3,1\n../b.mp4,y,9,1\nc.mp4,z,3,none\nd.mp4,z\n'
    assert refusal(tmp_path, content, columns) == (
        "6 problems in HERE/my.csv; mend them and run again, nothing was started:\n"
        "  - no column 'text' (columns.prompt); the columns are 'video', 'prompt', 'mos', 'w'\n"
        "  - line 2: text between a closing quote and the next comma\n"
        "  - line 4: w is 'none', not a finite number\n"
        "  - line 5: 2 fields, the header has 4\n"
        "  - line 3: mos 9 lies outside mos_range [1, 5]\n"
        "  - line 3: path '../b.mp4' leads out of root"
    )


@pytest.mark.parametrize("separator", [";", "\t", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_other_separators_are_found_by_the_columns_and_bring_decimal_commas(
    tmp_path: Path, separator: str, end: str
) -> None:
    lines = [
        ("video", "prompt", "mos"),
        ("a.mp4", "red, round", "3,25"),
        ("b.mp4", f'"a{separator}b"', "4.5"),
    ]
    rows = read(tmp_path, "\ufeff" + end.join(separator.join(line) for line in lines))
    assert [(row.prompt, row.mos) for row in rows] == [("red, round", 3.25), (f"a{separator}b", 4.5)]


def test_between_commas_a_decimal_comma_is_no_number(tmp_path: Path) -> None:
    assert refusal(tmp_path, 'video,prompt,mos\na.mp4,x,"3,5"\n').endswith(
        "  - line 2: mos is '3,5', not a finite number"
    )


def test_a_bad_quote_between_semicolons_is_called_that(tmp_path: Path) -> None:
    assert refusal(tmp_path, 'video;prompt;mos\na.mp4;"x"y;3\n').endswith(
        "  - line 2: text between a closing quote and the next semicolon"
    )


def test_a_row_may_lack_its_mos(tmp_path: Path) -> None:
    first, second = read(tmp_path, "video,prompt,mos\na.mp4,x,\nb.mp4,x,3\n")
    assert first.mos != first.mos  # not a number
    assert second.mos == 3


RATERS: dict[str, object] = {"video": "video", "raters": ["r1", "r2", "r3"]}


def test_raters_give_the_mos_and_its_error_and_may_leave_gaps(tmp_path: Path) -> None:
    content = "video,r1,r2,r3\na.mp4,1,2,4.5\nb.mp4,5,,4\nc.mp4,,2,\nd.mp4,,,\n"
    rows = read(tmp_path, content, RATERS)
    assert [row.mos for row in rows[:3]] == [2.5, 4.5, 2.0]
    assert rows[0].mos_se == pytest.approx(np.std([1, 2, 4.5], ddof=1) / np.sqrt(3))
    assert rows[1].mos_se == pytest.approx(np.std([5, 4], ddof=1) / np.sqrt(2))
    assert np.isnan([rows[2].mos_se, rows[3].mos, rows[3].mos_se]).all()


def test_a_row_of_more_raters_counts_more_where_they_give_the_mos(tmp_path: Path) -> None:
    content = "video,q,w,r1,r2,r3\na.mp4,3,4,1,2,4.5\nb.mp4,3,4,,,4\n"
    rows = read(tmp_path, content, RATERS)
    assert [row.weight for row in rows] == [1.5, 0.5]
    assert rows[0].ratings == (1.0, 2.0, 4.5)
    assert np.array_equal(rows[1].ratings, [np.nan, np.nan, 4.0], equal_nan=True)
    assert [row.weight for row in read(tmp_path, content, {**RATERS, "weight": "w"})] == [4.0, 4.0]
    assert [row.weight for row in read(tmp_path, content, {**RATERS, "mos": "q"})] == [1.0, 1.0]


def test_screening_is_done_where_it_is_asked_for_and_says_who_is_left_out(tmp_path: Path) -> None:
    names = [f"r{n}" for n in range(9)]
    columns: dict[str, object] = {"video": "video", "raters": names}
    high, low = "2,2,2,3,3,3,3,4,5", "4,4,4,3,3,3,3,2,1"  # the last stands out, on both sides
    lines = [f"{n}.mp4,{high if n % 2 else low}" for n in range(8)]
    content = "\n".join([",".join(["video", *names]), *lines])
    everybody = read(tmp_path, content, columns)
    assert (everybody.notes, len(everybody[0].ratings)) == ((), 9)
    assert everybody[1].mos == 3.0
    screened = read(tmp_path, content, columns, screening="bt500")
    assert screened.notes == (
        "screening (ITU-R BT.500) leaves out 1 of 9 raters: 'r8' (8 of 8 ratings far from the others, 4 "
        "above and 4 below)",
    )
    assert screened[1].ratings == (2.0, 2.0, 2.0, 3.0, 3.0, 3.0, 3.0, 4.0)
    assert screened[1].mos == 2.75


def test_screening_needs_raters_that_give_the_mos(tmp_path: Path) -> None:
    for columns in (COLUMNS, {**RATERS, "mos": "mos"}):
        with pytest.raises(ProblemsError) as refused:
            read(tmp_path, "video\n", columns, screening="bt500")
        (problem,) = refused.value.problems
        assert problem.endswith(
            "`screening` needs `columns.raters` and no `columns.mos`: their mean is the MOS"
        )


def test_raters_beside_a_mos_give_its_error_alone(tmp_path: Path) -> None:
    content = "video,mos,se,r1,r2,r3\na.mp4,3,0.1,1,2,4.5\n"
    (row,) = read(tmp_path, content, {**RATERS, "mos": "mos"})
    assert (row.mos, row.mos_se) == (3.0, pytest.approx(np.std([1, 2, 4.5], ddof=1) / np.sqrt(3)))
    (row,) = read(tmp_path, content, {**RATERS, "mos": "mos", "mos_se": "se"})
    assert (row.mos, row.mos_se) == (3.0, 0.1)


def test_each_rater_must_lie_within_the_range_and_be_there(tmp_path: Path) -> None:
    content = "video,r1,r2\na.mp4,1,0\nb.mp4,good,9\n"
    assert refusal(tmp_path, content, RATERS) == (
        "4 problems in HERE/my.csv; mend them and run again, nothing was started:\n"
        "  - no column 'r3' (columns.raters); the columns are 'video', 'r1', 'r2'\n"
        "  - line 2: r2 0 lies outside mos_range [1, 5]\n"
        "  - line 3: r1 is 'good', not a finite number\n"
        "  - line 3: r2 9 lies outside mos_range [1, 5]"
    )
    assert refusal(tmp_path, "video,r1\na.mp4,1\n", RATERS).startswith("2 problems in HERE/my.csv")


@pytest.mark.parametrize(
    ("content", "form"),
    [
        ('{"video": "a.mp4", "mos": 3}\n{"video": "b.mp4", "mos": 4}\n', "JSON lines"),
        ('\n{"video": "a.mp4"}', "JSON lines"),
        ('[\n  {"video": "a.mp4"}\n]\n', "JSON"),
        ('[{"video": "a.mp4"}]\n', "JSON"),
        ('{\n"a": 1}', "JSON"),
        ('[{"video": "a.mp4",\n"mos": 3}]\n', "JSON"),
    ],
)
def test_json_is_called_that(tmp_path: Path, content: str, form: str) -> None:
    assert refusal(tmp_path, content) == (
        "1 problem in HERE/my.csv; mend `labels` of this dataset:\n"
        f"  - the file looks like {form}, expected a table; save it as a csv"
    )


def test_a_header_in_brackets_is_no_json(tmp_path: Path) -> None:
    columns: dict[str, object] = {"video": "[video]", "mos": "{mos}"}
    assert len(read(tmp_path, "[video],{mos}\na.mp4,3\n", columns)) == 1


def test_everything_that_is_wrong_is_listed_with_its_line(tmp_path: Path) -> None:
    content = (
        "video,prompt,mos,w,se\n"
        "a.mp4,x,3,1,0\n"
        "b.mp4,x,good,1,0\n"
        "c.mp4,x,,0,-1\n"
        "d.mp4,x,3\n"
        '"../e.mp4","two\nlines",nan,1,0\n'
        "a.mp4,x,9,1,0\n"
        "\n"
        "f.mp4,x,3,heavy,0\n"
    )
    assert refusal(tmp_path, content, COLUMNS | {"weight": "w", "mos_se": "se"}) == (
        "9 problems in HERE/my.csv; mend them and run again, nothing was started:\n"
        "  - line 3: mos is 'good', not a finite number\n"
        "  - line 4: w is 0, expected more than 0\n"
        "  - line 4: se is -1, below 0\n"
        "  - line 5: 3 fields, the header has 5\n"
        "  - line 6: mos is 'nan', not a finite number\n"
        "  - line 10: w is 'heavy', not a finite number\n"
        "  - line 8: video 'a.mp4' stands already in line 2\n"
        "  - line 8: mos 9 lies outside mos_range [1, 5]\n"
        "  - line 6: path '../e.mp4' leads out of root"
    )


def test_a_quote_that_never_ends_is_named_with_its_line(tmp_path: Path) -> None:
    assert refusal(tmp_path, 'video,prompt,mos\na.mp4,x,3\nb.mp4,"x,3\nc.mp4,x,3\n') == (
        "1 problem in HERE/my.csv; mend them and run again, nothing was started:\n"
        "  - line 3: a quote that never ends"
    )


def test_another_encoding_hides_nothing_else(tmp_path: Path) -> None:
    content = "video,prompt,mos\na.mp4,caf\u00e9,9\n../b.mp4,x,3\n".encode("latin-1")
    assert refusal(tmp_path, content) == (
        "3 problems in HERE/my.csv; mend them and run again, nothing was started:\n"
        "  - line 2: byte 0xe9 is not UTF-8, save the file as UTF-8\n"
        "  - line 2: mos 9 lies outside mos_range [1, 5]\n"
        "  - line 3: path '../b.mp4' leads out of root"
    )


def test_a_header_without_rows_and_another_encoding_are_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path, "video,prompt,mos\n").endswith("nothing was started:\n  - no rows")
    assert refusal(tmp_path, "video,prompt,mos\na.mp4,caf\u00e9,3\n".encode("latin-1")).endswith(
        "nothing was started:\n  - line 2: byte 0xe9 is not UTF-8, save the file as UTF-8"
    )


def test_unknown_keys_of_columns_are_named_with_the_nearest() -> None:
    data = {"reader": "csv", "root": "r", "labels": "l", "mos_range": [1, 5], "columns": {"vidoe": "a"}}
    with pytest.raises(ProblemsError) as refused:
        block({"d": data}, "d", csv.ReaderSettings)
    assert refused.value.problems == (
        "d.columns.video: missing",
        "d.columns.vidoe: unknown key, did you mean 'video'?",
    )


def test_the_real_csv_of_fetv_is_read_with_its_videos(shared_data: Path) -> None:
    data = {
        "reader": "csv",
        "root": str(shared_data / "fetv"),
        "labels": str(shared_data / "fetv" / "videos.csv"),
        "mos_range": [1, 5],
        "columns": COLUMNS | {"generator": "generator"},
    }
    rows = csv.read(block({"d": data}, "d", csv.ReaderSettings), check_files=True)
    assert len(rows) == 100
    assert len({row.prompt for row in rows}) == 20
    assert len({row.generator for row in rows}) == 5


def test_names_say_what_no_column_does(tmp_path: Path) -> None:
    content = f"video,mos\npika/a dog-0.mp4,1\n{tmp_path.name}/gen3/a cat.-1.mp4,2\n"
    plain: dict[str, object] = {"video": "video", "mos": "mos"}
    rows = read(tmp_path, content, plain, names="{model}/{prompt}-{i}.mp4")
    assert [(row.generator, row.prompt) for row in rows] == [("pika", "a dog"), ("gen3", "a cat.")]
    with_prompts = "video,prompt,mos\npika/0-0.mp4,a dog,1\n"
    (row,) = read(tmp_path, with_prompts, COLUMNS, names="{generator}/{key}-{index}.mp4")
    assert (row.generator, row.prompt) == ("pika", "a dog")


def test_names_that_do_not_fit_and_what_is_given_twice_are_said(tmp_path: Path) -> None:
    content = "video,prompt,mos,who\npika/0-0.mp4,a dog,1,A\n0.mp4,a dog,1,A\n"
    columns = {**COLUMNS, "generator": "who"}
    assert refusal(tmp_path, content, columns, names="{generator}/{prompt}-{index}.mp4") == (
        "3 problems in HERE/my.csv; mend them and run again, nothing was started:\n"
        "  - names: {generator} and columns.generator both give it, keep one\n"
        "  - names: {prompt} and columns.prompt both give it, keep one\n"
        "  - line 3: '0.mp4' is not of the form '{generator}/{prompt}-{index}.mp4'"
    )
    assert refusal(tmp_path, content, names="{a}{b}").endswith(
        "d.names: got '{a}{b}', {a} and {b} stand side by side: put text between them"
    )


def test_numbers_that_mean_missing_are_no_ratings(tmp_path: Path) -> None:
    content = "video,a,b,c\nx.mp4,4,0,2\ny.mp4,-1,0.0,5\nz.mp4,0,,-1\n"
    raters: dict[str, object] = {"video": "video", "raters": ["a", "b", "c"]}
    rows = read(tmp_path, content, raters, missing=[0, -1])
    assert [row.mos for row in rows] == pytest.approx([3, 5, np.nan], nan_ok=True)
    assert [row.mos_se for row in rows] == pytest.approx([1, np.nan, np.nan], nan_ok=True)
    assert rows[0].ratings == pytest.approx((4, np.nan, 2), nan_ok=True)
    assert "line 2: b 0 lies outside mos_range [1, 5]" in refusal(tmp_path, content, raters, missing=[-1])
    several: dict[str, object] = {"video": "video", "mos": ["a", "b", "c"]}
    whole = "video,a,b,c\nx.mp4,4,0,2\ny.mp4,0,0,0\n"
    assert [row.mos for row in read(tmp_path, whole, several, missing=[0])] == pytest.approx(
        [3, np.nan], nan_ok=True
    )
    alone: dict[str, object] = {"video": "video", "mos": "a"}
    assert [row.mos for row in read(tmp_path, whole, alone, missing=[0])] == pytest.approx(
        [4, np.nan], nan_ok=True
    )
    decimal = "video;a;b;c\nx.mp4;4,5;0,0;2\n"
    assert read(tmp_path, decimal, raters, missing=[0])[0].mos == 3.25


def test_video_benchs_zeros_are_people_who_did_not_rate(shared_data: Path, tmp_path: Path) -> None:
    listed = json.loads((shared_data / "videobench/motion_effects.json").read_text(encoding="utf-8"))
    lines = ["video,a,b,c,d"] + [
        f'"{name}",{",".join(map(str, one["human_anno"][generator]))}'
        for one in listed
        for generator, name in one["videos"].items()
    ]
    raters: dict[str, object] = {"video": "video", "raters": ["a", "b", "c", "d"]}
    rows = read(tmp_path, "\n".join(lines), raters, missing=[0], names="{dimension}/{model}/{prompt}_{i}.mp4")
    given = [one["human_anno"][generator] for one in listed for generator in one["videos"]]
    assert sum(np.isnan(row.ratings).sum() for row in rows) == sum(each.count(0) for each in given) == 35
    means = [np.mean([one for one in each if one]) for each in given]
    assert [row.mos for row in rows] == pytest.approx(means)
    assert {row.generator for row in rows} == set(listed[0]["videos"])
