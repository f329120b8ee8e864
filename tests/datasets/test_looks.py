"""What labels that are right may still not mean: near-equal prompts, ratings on an end of the scale."""

import json
import math
from pathlib import Path

from msavqa.datasets import looks
from msavqa.datasets.rows import Row


def row(prompt: str = "", mos: float = 3.0, ratings: tuple[float, ...] = ()) -> Row:
    return Row(where="line 1", video_id="a.mp4", prompt=prompt, mos=mos, ratings=ratings)


def test_near_equal_prompts_are_counted_with_examples() -> None:
    rows = [row(prompt) for prompt in ("A cat", "a cat.", "a-cat", "dogs", "Dogs", "a dog", "", "", "a dog")]
    assert looks.of(rows, scale=(1.0, 5.0)) == [
        "5 prompts are 2 but for case, spaces and punctuation, and a split may part them: 'A cat' and "
        "'a cat.' and 'a-cat'; 'Dogs' and 'dogs'"
    ]
    many = [row(f"{word} {number}") for word in ("cat", "Cat") for number in range(5)]
    assert looks.of(many, scale=(1.0, 5.0)) == [
        "10 prompts are 5 but for case, spaces and punctuation, and a split may part them: 'Cat 0' and "
        "'cat 0'; 'Cat 1' and 'cat 1'; 'Cat 2' and 'cat 2'; and 2 more"
    ]
    assert looks.of([row("a dog"), row("a cat"), row("10.5"), row("105")], scale=(1.0, 5.0)) == []


def test_ratings_on_an_end_are_counted_each_rater_alone() -> None:
    rows = [row(mos=2.5, ratings=(0.0, 5.0, math.nan)), row(mos=4.0, ratings=(4.0,)), row(mos=5.0)]
    assert looks.of(rows, scale=(0.0, 5.0)) == [
        "of 4 ratings 1 is exactly 0 and 2 are exactly 5, where the scale ends; if that means that somebody "
        "did not rate, `missing` of a csv leaves it out"
    ]
    assert looks.of([row(mos=math.nan), row(mos=4.0)], scale=(0.0, 5.0)) == []


def test_genai_bench_spells_one_prompt_in_two_ways(shared_data: Path) -> None:
    listed = json.loads((shared_data / "genai_bench_video/data.json").read_text(encoding="utf-8"))
    assert looks.of([row(one["prompt"]) for one in listed], scale=(1.0, 5.0)) == [
        "2 prompts are 1 but for case, spaces and punctuation, and a split may part them: "
        "'A fantasy landscape' and 'a fantasy landscape'"
    ]
