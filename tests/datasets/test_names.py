"""Patterns of names: fields come back from the names that they make, and every mistake is a sentence."""

import json
import re
import string
import unicodedata
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from msavqa.datasets import names

WORDS = st.text(st.characters(codec="utf-8", exclude_characters="/"), min_size=1, max_size=30).map(
    lambda text: unicodedata.normalize("NFC", text)
)
DIGITS = st.text(string.digits, min_size=1, max_size=6)


def made(pattern: str, values: dict[str, str]) -> str:
    return re.sub(r"\{(\w+)\}", lambda found: values[found[1]], pattern)


@given(generator=WORDS, prompt=WORDS, index=DIGITS)
@pytest.mark.parametrize(
    "pattern",
    [
        "{generator}/{prompt}-{index}.mp4",
        "{generator}/{prompt}._{index}.mp4",
        "x {index}/{generator}/{prompt}.mp4",
    ],
)
def test_the_fields_of_any_name_come_back(pattern: str, generator: str, prompt: str, index: str) -> None:
    values = {"generator": generator, "prompt": prompt, "index": index}
    found = names.compiled(pattern).of(made(pattern, values))
    assert found == values


@given(generator=WORDS, key=WORDS)
def test_a_name_gives_its_fields_or_has_two_readings(generator: str, key: str) -> None:
    pattern = names.compiled("{generator}+{key}.mp4")
    name = f"{generator}+{key}.mp4"
    if "+" in generator + key:
        # Any other place for the `+` is another reading, unless a field would be empty.
        inner = [
            place for place, letter in enumerate(name[:-4]) if letter == "+" and 0 < place < len(name) - 5
        ]
        assume(len(inner) > 1)
        with pytest.raises(ValueError, match=r"can be read in two ways, \{generator\} as "):
            pattern.of(name)
    else:
        assert pattern.of(name) == {"generator": generator, "key": key}


def test_other_words_for_a_field_and_the_forms_of_letters() -> None:
    found = names.compiled("{model}/{prompt}-{i}.{ext}").of("pika/cafe\u0301.v2-12.webm")
    assert found == {"generator": "pika", "prompt": "caf\u00e9.v2", "index": "12", "ext": "webm"}


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("kling/a dog.mp4", "is not of the form '{generator}/{prompt}-{index}.mp4'"),
        ("kling/x/a dog-1.mp4", "is not of the form '{generator}/{prompt}-{index}.mp4'"),
        ("kling/a dog-one.mp4", "is not of the form '{generator}/{prompt}-{index}.mp4'"),
        ("kling/a dog-\u0663.mp4", "is not of the form '{generator}/{prompt}-{index}.mp4'"),
        ("kling/a dog-1xmp4", "is not of the form '{generator}/{prompt}-{index}.mp4'"),
        ("/a dog-1.mp4", "is not of the form '{generator}/{prompt}-{index}.mp4'"),
    ],
)
def test_a_name_of_another_form_is_refused(name: str, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said) + "$"):
        names.compiled("{generator}/{prompt}-{index}.mp4").of(name)


def test_two_readings_are_shown() -> None:
    said = (
        "can be read in two ways, {generator} as 'text2video' or 'text2video_zero'; put a `/` or text that "
        "neither field holds between the two"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(said)}$"):
        names.compiled("{generator}_{prompt}.mp4").of("text2video_zero_a dog.mp4")


NO_PARTNER = "has no partner: a field looks like {prompt}"
NO_FIELD = "is no field: its name takes a to z, 0 to 9 and _, and begins with a letter"
NO_PATH = "is no path below a folder: write it as {generator}/{prompt}.mp4"


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("{generator}{prompt}.mp4", ["{generator} and {prompt} stand side by side: put text between them"]),
        (
            "{generator}/{prompt.mp4",
            [f"the brace at character 13 of '{{generator}}/{{prompt.mp4' {NO_PARTNER}"],
        ),
        ("{generator}}/x.mp4", [f"the brace at character 12 of '{{generator}}}}/x.mp4' {NO_PARTNER}"]),
        ("{{prompt}}.mp4", [f"the brace at character 1 of '{{{{prompt}}}}.mp4' {NO_PARTNER}"]),
        ("videos.mp4", ["'videos.mp4' has no field, such as {generator} or {prompt}"]),
        ("{}/{Prompt}/{a b}.mp4", [f"{{}} {NO_FIELD}", f"{{Prompt}} {NO_FIELD}", f"{{a b}} {NO_FIELD}"]),
        (
            "{model}/{generator}-{prompt}-{prompt}.mp4",
            [
                "{model} and {generator} mean the same: keep one",
                "{prompt} stands 2 times: a field has one place",
            ],
        ),
        ("../{prompt}.mp4", [f"'../{{prompt}}.mp4' {NO_PATH}"]),
        ("/videos/{prompt}.mp4", [f"'/videos/{{prompt}}.mp4' {NO_PATH}"]),
        ("{generator}/{prompt}/", ["'{generator}/{prompt}/' names a folder: it ends as the videos do"]),
    ],
)
def test_every_mistake_of_a_pattern_is_named(pattern: str, said: list[str]) -> None:
    assert names.problems(pattern) == said
    with pytest.raises(ValueError, match=f"^{re.escape('; '.join(said))}$"):
        names.compiled(pattern)


def test_video_benchs_own_names_give_generator_and_prompt(shared_data: Path) -> None:
    listed = json.loads((shared_data / "videobench/imaging_quality.json").read_text(encoding="utf-8"))
    form = names.compiled("{dimension}/{generator}/{prompt}_{index}.mp4")
    found = [
        (form.of(name), generator, one["prompt_en"])
        for one in listed
        for generator, name in one["videos"].items()
    ]
    assert len(found) == 7 * len(listed)
    assert all(said["generator"] == generator for said, generator, _ in found)
    plain = [(re.sub(r"\W", "", said["prompt"]), re.sub(r"\W", "", prompt)) for said, _, prompt in found]
    assert sum(one != other for one, other in plain) == 0


def test_fetvs_names_need_no_guess_where_the_index_is_a_number(shared_data: Path) -> None:
    files = sorted(file.name for file in (shared_data / "fetv/videos").iterdir())
    form = names.compiled("{generator}_{index}.gif")
    assert {form.of(name)["generator"] for name in files} >= {"cogvideo", "text2video_zero", "gt"}
