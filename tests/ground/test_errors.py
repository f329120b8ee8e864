"""Refusals: one sentence, whole on the way home from a process, and what repeats is said once."""

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msavqa.ground.errors import MsavqaError, ProblemsError, each_once


def test_a_problem_that_repeats_is_one_line_with_its_count_and_the_first_ten() -> None:
    found = ProblemsError(
        where="my.csv",
        problems=[
            "line 1 is blank",
            *(f"line {n}: no video 'videos/it is {n}.mp4'" for n in range(2, 9002)),
            *(f"line {n}: mos {n + 0.5} lies outside mos_range [1, 5]" for n in range(8, 19)),
        ],
        next_step="mend them",
    )
    videos = ", ".join(f"line {n} 'videos/it is {n}.mp4'" for n in range(2, 12))
    scores = ", ".join(f"line {n} {n + 0.5}" for n in range(8, 18))
    assert str(found) == (
        "3 problems in my.csv; mend them:\n"
        "  - line 1 is blank\n"
        f'  - 9000 times "no video ...": {videos} and 8990 more\n'
        f'  - 11 times "mos ... lies outside mos_range [1, 5]": {scores} and 1 more'
    )


@pytest.mark.parametrize(
    ("sentence", "gathered"),
    [
        ("the same", '12 times "the same"'),
        ("line {n}: the video's path is empty", '12 times "the video\'s path is empty": line {first}'),
        ("a-file2.txt line {n}: 2 fields", '12 times "2 fields": a-file2.txt line {first}'),
        ("row {n} has {n} fields", '12 times "row ... has ... fields": {first}'),
    ],
)
def test_what_differs_stands_behind_what_does_not(sentence: str, gathered: str) -> None:
    lines = each_once([sentence.format(n=n) for n in range(12)])
    start, differs, _ = gathered.partition("{first}")
    assert lines[0].startswith(start.format())
    assert lines[0].endswith(" and 2 more" if differs else '"')
    assert len(lines) == 1


@given(st.lists(st.text(alphabet="ab'\"\\ .:1e-+\0[](", max_size=12), max_size=40))
def test_whatever_the_problems_say_none_is_lost_and_few_stay_as_they_are(problems: list[str]) -> None:
    lines = each_once(problems)
    counted = sum(int(line.split(" times ")[0]) if " times " in line else 1 for line in lines)
    assert counted == len(problems)
    if len(problems) <= 10:
        assert lines == problems
    assert each_once(lines) == lines


def test_errors_come_home_from_a_process_as_they_were() -> None:
    for error in (
        MsavqaError(what="a", where="b", got="c", expected="d", next_step="e"),
        ProblemsError(where="b", problems=[f"line {n}: bad" for n in range(30)], next_step="e"),
    ):
        again = pickle.loads(pickle.dumps(error))  # noqa: S301
        assert (type(again), str(again)) == (type(error), str(error))
