"""docs/the-paper.md names settings of the paper's presets with their values: none may drift."""

import re
from typing import Any

import pytest
import yaml

from tests.check.test_presets import BRANCHES, MENDED, MODEL_OF_THE_PAPER, flat, preset
from tests.conftest import ROOT

PAGE = (ROOT / "docs/the-paper.md").read_text(encoding="utf-8")
ROW = re.compile(
    r"^\| `(?P<key>[a-z0-9_.*]+)` \| (?P<paper>[^|]*) ?\| `(?P<value>[^`]*)` \| (?P<why>[^|]*) ?\|$"
)
PIXELS = "## What differs in paper_pixels"


def named() -> list[tuple[str, str, Any]]:
    """Preset, dotted key and value of every row of the page's tables."""
    found, name = [], "paper"
    for line in PAGE.splitlines():
        name = "paper_pixels" if line == PIXELS else name
        if line.startswith("| `"):
            row = ROW.match(line)
            assert row, f"a row that no test can read: {line}"
            for branch in BRANCHES if "*" in row["key"] else ("",):
                found.append((name, row["key"].replace("*", branch), yaml.safe_load(row["value"])))
    return found


@pytest.mark.parametrize(("name", "key", "value"), named())
def test_every_setting_on_the_page_is_the_presets(name: str, key: str, value: Any) -> None:
    whole = flat(preset(name))
    assert key in whole, f"presets/{name}.yaml has no {key}"
    assert whole[key] == value


def test_what_the_paper_preset_changes_of_ours_is_named_on_the_page() -> None:
    told = {key for name, key, _ in named() if name == "paper"}
    model = {key for key in MODEL_OF_THE_PAPER if not key.endswith("pss.frames")} | MENDED["paper"].keys()
    assert model <= told
    ours, paper = flat(preset("t2vqa_db")), flat(preset("paper"))
    of_learning = ("branches.", "train.", "split.", "pretrain", "ensemble.", "trunks.")
    # Neither says what is learned: how much is scored at once, and what `protocol` does not read.
    silent = {"train.evaluation_batch", "split.test_fraction"}
    changed = {key for key in paper if paper[key] != ours.get(key) and key.startswith(of_learning)} - silent
    assert {key for key in changed if not key.startswith("pretrain.optimiser")} <= told


def test_no_setting_stands_twice_on_the_page() -> None:
    told = [(name, key) for name, key, _ in named()]
    assert len(told) == len(set(told)) > 100
