"""The page "Data sheets": every block is one that params.yaml takes, and that of FETV reads its file."""

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from msavqa.check import params, presets
from msavqa.datasets import read
from tests import documents

PAGE = documents.read("docs/data-sheets.md")
BLOCKS: dict[str, Any] = {
    name: block
    for text in re.findall(r"^```yaml\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)
    for name, block in yaml.safe_load(text)["datasets"].items()
}
WITHOUT_PROMPTS = ("lsvq", "konvid_1k", "live_vqc", "youtube_ugc")
WITHOUT_A_BLOCK = ("GenAI-Bench (video)",)  # votes, no ratings


def test_every_set_has_a_sheet_that_says_how_sure_it_is_and_a_block() -> None:
    sheets = PAGE.split("\n### ")[1:]
    rows = ("from", "licence", "size", "scale", "quirks", "how sure")
    for sheet in sheets:
        title = sheet.split("\n")[0]
        assert re.findall(r"^\| ([\w ]+) \|", sheet, flags=re.MULTILINE) == list(rows), title
        assert ("```yaml" in sheet) != (title in WITHOUT_A_BLOCK), title
    assert len(sheets) == len(BLOCKS) + len(WITHOUT_A_BLOCK) == 12


@pytest.mark.parametrize("name", BLOCKS)
def test_a_block_of_a_sheet_has_no_mistake(name: str) -> None:
    data = yaml.safe_load(presets.compose("csv_offline"))
    data["datasets"][name] = BLOCKS[name]
    data["pretrain_on" if name in WITHOUT_PROMPTS else "train_on"][:] = [name]
    assert params.problems(data) == []


def test_the_block_of_fetv_reads_its_ratings(
    shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("data/fetv").mkdir(parents=True)
    shutil.copy(shared_data / "fetv/ratings.csv", "data/fetv/ratings.csv")
    _, rows = read.read({"datasets": BLOCKS}, "fetv", check_files=False)
    assert len(rows) == 100
    assert rows[0].mos == pytest.approx((3.3333 + 3.0 + 4.0) / 3)
