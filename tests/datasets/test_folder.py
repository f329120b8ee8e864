"""A folder of videos: names and lists give generators and prompts, what does not fit is named."""

import json
from pathlib import Path
from typing import Any

import pytest

from msavqa.datasets import folder
from msavqa.datasets.folder import Folder
from msavqa.ground.errors import ProblemsError

FORM = "{generator}/{prompt}-{index}.mp4"
BY_KEY = "{generator}/{key}.mp4"


def read(where: Path, **changes: Any) -> Folder:
    usual = {
        "pattern": FORM, "prompts": None, "prompt": None, "video_column": "video", "prompt_column": "prompt",
        "taken": ("video", "score"), "beside": (),
    }  # fmt: skip
    return folder.read(where, **{**usual, **changes})


def problems(where: Path, **changes: Any) -> tuple[str, ...]:
    with pytest.raises(ProblemsError) as refused:
        read(where, **changes)
    assert refused.value.where == where
    return refused.value.problems


def filled(where: Path, *names: str) -> Path:
    for name in names:
        (where / name).parent.mkdir(parents=True, exist_ok=True)
        (where / name).write_bytes(b"\0\0\0\x18ftypmp42")
    return where


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    """Two generators, two keys."""
    return filled(tmp_path / "videos", *[f"{name}/{key}.mp4" for name in ("A", "B") for key in ("2", "10")])


def prompts_of(found: Folder) -> dict[str, str]:
    return {one.path: one.prompt for one in found.videos}


def test_names_give_everything_and_hidden_files_are_left_alone(tmp_path: Path) -> None:
    filled(tmp_path, "A/a dog-10.mp4", "A/a dog-2.mp4", "B/a well-known man-0.mp4", ".DS_Store", ".x/y.mp4")
    found = read(tmp_path)
    assert [(one.path, one.prompt, one.fields) for one in found.videos] == [
        ("A/a dog-2.mp4", "a dog", {"generator": "A", "index": "2"}),
        ("A/a dog-10.mp4", "a dog", {"generator": "A", "index": "10"}),
        ("B/a well-known man-0.mp4", "a well-known man", {"generator": "B", "index": "0"}),
    ]
    assert found.fields == ["generator", "index"]
    assert found.notes == []


def test_a_link_to_a_folder_is_followed_and_one_to_itself_ends(tmp_path: Path) -> None:
    filled(tmp_path / "elsewhere", "a dog-0.mp4")
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos/pika").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "videos/loop").symlink_to(tmp_path / "videos")
    assert [one.path for one in read(tmp_path / "videos").videos] == ["pika/a dog-0.mp4"]


def test_all_that_does_not_fit_is_named_at_once(tmp_path: Path) -> None:
    filled(tmp_path, "A/a dog-0.mp4", "A/notes-one.mp4", "readme.txt")
    (tmp_path / "A/list-0.mp4").write_text("#EXTM3U\nother.mp4\n", encoding="utf-8")
    (tmp_path / "A/still-0.mp4").write_bytes(b"\xff\xd8\xff\xe0")
    (tmp_path / "A/kept-0.mp4").write_text("version https://git-lfs.github.com/spec/v1\n", encoding="utf-8")
    (tmp_path / "A/empty-0.mp4").touch()  # a video that failed: it costs its own row
    assert problems(tmp_path) == (
        "'A/kept-0.mp4' is a git-LFS pointer, no video: take it out of the folder",
        "'A/list-0.mp4' is a playlist (m3u8), no video: take it out of the folder",
        "'A/notes-one.mp4' is not of the form '{generator}/{prompt}-{index}.mp4'",
        "'A/still-0.mp4' is a picture, no video: take it out of the folder",
        "'readme.txt' is not of the form '{generator}/{prompt}-{index}.mp4'",
    )


def test_mistakes_of_the_pattern_the_list_and_the_files_are_said_together(videos: Path) -> None:
    (videos / "p.csv").write_text('{"video": "a.mp4", "prompt": "b"}\n', encoding="utf-8")
    (videos / "x.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    assert problems(videos, pattern="{generator}{prompt}/{score}.mp4", prompts=videos / "p.csv") == (
        "--names: {generator} and {prompt} stand side by side: put text between them",
        "--prompts p.csv: the file looks like JSON lines, expected a table; save it as a csv",
        "'x.png' is a picture, no video: take it out of the folder",
    )
    assert problems(videos, pattern="{score}/{prompt}.mp4", beside=[videos / "p.csv", videos / "x.png"]) == (
        "--names: {score} is a column of the scores: call the field something else",
    )


def test_prompts_come_from_one_place(videos: Path, tmp_path: Path) -> None:
    (tmp_path / "p.txt").write_text("x\ny\n", encoding="utf-8")
    assert problems(videos, pattern=BY_KEY) == (
        "no prompt anywhere: put {prompt} into --names, or give --prompts FILE, or --prompt for all "
        '(--prompt "" where there is none)',
    )
    assert problems(videos, pattern="{generator}/{prompt}.mp4", prompts=tmp_path / "p.txt") == (
        "prompts come from one place, {prompt} of --names, --prompts or --prompt: write {key} for the "
        "part of a name that --prompts lists",
    )
    assert set(prompts_of(read(videos, pattern=None, prompt="")).values()) == {""}
    assert set(prompts_of(read(videos, pattern=BY_KEY, prompt="a dog")).values()) == {"a dog"}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("p.json", json.dumps({"2": "x", "10.mp4": "y"})),
        ("p.json", json.dumps({"2.mp4": "x", "A/10.mp4": "y", "./B/10": "y"})),
        ("p.json", json.dumps([{"video": "2", "prompt": "x", "more": 1}, {"video": "10", "prompt": "y"}])),
        ("p.json", json.dumps(["x", "y"], indent=1)),
        ("p.jsonl", '{"video": "2.mp4", "prompt": "x"}\n\n{"video": "10.mp4", "prompt": "y"}\n'),
        ("p.csv", "video,prompt\n2.mp4,x\n10.mp4,y\n"),
        ("p.csv", "prompt;video\nx;2\ny;10\n"),
        ("p.txt", "\ufeffx\r\ny\r\n"),
    ],
)
def test_prompts_of_every_form(videos: Path, tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8", newline="")
    found = read(videos, pattern=BY_KEY, prompts=tmp_path / name)
    assert prompts_of(found) == {"A/2.mp4": "x", "A/10.mp4": "y", "B/2.mp4": "x", "B/10.mp4": "y"}


def test_columns_have_the_names_that_are_given(videos: Path, tmp_path: Path) -> None:
    (tmp_path / "p.json").write_text('[{"id": "2", "text": "x"}, {"id": "10", "text": "y"}]')
    found = read(videos, pattern=BY_KEY, prompts=tmp_path / "p.json", video_column="id", prompt_column="text")
    assert set(prompts_of(found).values()) == {"x", "y"}
    assert problems(videos, pattern=BY_KEY, prompts=tmp_path / "p.json", prompt_column="texts") == (
        "--prompts p.json: no key 'video' (--video-column)",
        "--prompts p.json: no key 'texts' (--prompt-column, did you mean 'text'?); the keys are 'id', 'text'",
    )


def test_prompts_in_order_go_with_keys_and_say_so(videos: Path, tmp_path: Path) -> None:
    (tmp_path / "p.txt").write_text("x\ny\n", encoding="utf-8")
    found = read(videos, pattern="{generator}/{index}.mp4", prompts=tmp_path / "p.txt")
    assert found.notes == ["prompts go by order: '2' was asked for 'x', '10' for 'y'"]
    assert prompts_of(found)["B/10.mp4"] == "y"
    assert problems(videos, pattern=None, prompts=tmp_path / "p.txt") == (
        "p.txt has 2 prompts for 4 names, from 'A/2.mp4' to 'B/10.mp4': a prompt per line, in the order of "
        "the names",
    )


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("p.csv", '[{"video": "2"}]', ["the file looks like JSON, expected a table; save it as a csv"]),
        ("p.txt", '{"2": "x"}', ["the file looks like JSON lines: name it .json or .jsonl"]),
        ("p.json", '{"video": "2"}\n{"video": "10"}', ["the file looks like JSON lines: name it .jsonl"]),
        ("p.json", '{"2": "x", "2": "y"}', ["key '2' stands more than once"]),
        ("p.json", "3", ["expected {file: prompt} or a list of records with 'video' and 'prompt'"]),
        ("p.json", '["x", 3]', ["expected {file: prompt} or a list of records with 'video' and 'prompt'"]),
        ("p.json", '{"2": ', ["no JSON: Expecting value: line 1 column 7 (char 6)"]),
        ("p.jsonl", '{"video": "2"\n', ["line 1: no JSON"]),
        ("p.yaml", "2: x", ["its name ends in '.yaml', expected one of .csv, .tsv, .json, .jsonl, .txt"]),
        ("p.csv", "video,prompt\n2,\n", ["line 2: no prompt"]),
        (
            "p.json",
            json.dumps({"../2.mp4": "x", "/2.mp4": "x", "..\\2.mp4": "x", "2": "", "10": 3, " ": "x"}),
            [
                "key '../2.mp4': '../2.mp4' leads out of the folder",
                "key '/2.mp4': '/2.mp4' leads out of the folder",
                "key '..\\\\2.mp4': '..\\\\2.mp4' leads out of the folder",
                "key '2': no prompt of '2'",
                "key '10': no prompt of '10'",
                "key ' ': no name of a video",
            ],
        ),
        ("p.csv", "video,prompt\n2,x\n./2,y\n", ["line 3: './2' stands above already, with another prompt"]),
    ],
)
def test_a_list_of_prompts_that_cannot_be_read(
    videos: Path, tmp_path: Path, name: str, text: str, said: list[str]
) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    found = problems(videos, pattern=BY_KEY, prompts=tmp_path / name)
    assert found == tuple(f"--prompts {name}: {one}" for one in said)


def test_videos_without_a_prompt_are_refused_and_prompts_without_a_video_counted(
    videos: Path, tmp_path: Path
) -> None:
    (tmp_path / "p.json").write_text('{"2": "x"}', encoding="utf-8")
    assert problems(videos, pattern=BY_KEY, prompts=tmp_path / "p.json") == (
        "'A/10.mp4' has no prompt in p.json",
        "'B/10.mp4' has no prompt in p.json",
    )
    (tmp_path / "p.json").write_text(json.dumps({str(n): f"x{n}" for n in range(2, 15)}), encoding="utf-8")
    assert read(videos, pattern=BY_KEY, prompts=tmp_path / "p.json").notes == [
        "p.json has 11 prompts of videos that are not in the folder: '3', '4', '5' and 8 more"
    ]


def test_two_spellings_of_a_prompt_are_said(tmp_path: Path) -> None:
    filled(tmp_path, "A/a red-dog-0.mp4", "B/A red dog.-0.mp4", "B/a cat-0.mp4")
    assert read(tmp_path).notes == [
        "'A red dog.', 'a red-dog' count as 2 prompts: spell them alike if they are one"
    ]


def test_a_folder_that_is_none_or_holds_nothing(tmp_path: Path) -> None:
    assert problems(tmp_path) == ("no file in it",)
    assert problems(tmp_path / "no") == ("no such folder",)
    (tmp_path / "file").touch()
    assert problems(tmp_path / "file") == ("a file, not a folder",)
