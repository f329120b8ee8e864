"""Rated videos of one's own as people have them: a csv, empty files, and `msavqa init --csv` over both."""

import csv
import io
from pathlib import Path
from typing import Any

import pytest
import yaml

from msavqa.app import cli

PROMPTS = ("a red ball rolls left", "a horse race is happening", "kids are learning how to wrestle")


def videos(folder: Path, names: list[str]) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def rows_of(count: int = 24) -> list[dict[str, str]]:
    """Rated videos of two generators, 12 prompts at most, MOS 1 to 5."""
    return [
        {
            "video": f"{index:03d}.mp4",
            "prompt": f"{PROMPTS[index % 3]} {index % 12}",
            "mos": f"{1 + (index * 7 % 40) / 10:g}",
            "generator": "AB"[index % 2],
        }
        for index in range(count)
    ]


def made(
    rows: list[dict[str, str]],
    path: Path = Path("videos.csv"),
    *,
    separator: str = ",",
    mark: str = "",
    end: str = "\n",
) -> None:
    """Writes rows as a csv, and an empty file for each of their videos into the folder videos."""
    text = io.StringIO()
    writer = csv.DictWriter(text, rows[0], delimiter=separator, lineterminator=end)
    writer.writeheader()
    writer.writerows(rows)
    path.write_bytes((mark + text.getvalue()).encode())
    videos(Path("videos"), [row["video"] for row in rows_of(len(rows))])


def init(*words: str) -> dict[str, Any]:
    """What `msavqa init --csv videos.csv --videos videos WORDS` writes; it passes the check."""
    with pytest.raises(SystemExit) as ended:
        cli.main(["init", "--csv", "videos.csv", "--videos", "videos", *words])
    assert ended.value.code == 0
    data: dict[str, Any] = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))
    return data


def columns(*words: str) -> dict[str, Any]:
    found: dict[str, Any] = init(*words)["datasets"]["mine"]["columns"]
    return found


def refusal(
    capsys: pytest.CaptureFixture[str], *words: str, table: str = "videos.csv", folder: str = "videos"
) -> str:
    with pytest.raises(SystemExit) as ended:
        cli.main(["init", "--csv", table, "--videos", folder, *words])
    assert ended.value.code == 2
    assert not Path("params.yaml").exists()
    return capsys.readouterr().err
