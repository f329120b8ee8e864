"""Where unfinished stores wait follows the code that makes values, and no other code."""

import shutil
from pathlib import Path

import pytest

from msavqa.ground import sources

MODULES = ("pipeline.extract", "msavqa.trunks.kinds.image")


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of our sources, to edit."""
    for package in ("msavqa", "pipeline"):
        shutil.copytree(sources.ROOT / package, tmp_path / package)
    monkeypatch.setattr(sources, "ROOT", tmp_path)
    sources.imports_of.cache_clear()
    return tmp_path


def moved(tree: Path, file: str) -> bool:
    """Whether an edit of a file gives unfinished stores another place."""
    before = sources.staging_root(*MODULES)
    with (tree / file).open("a", encoding="utf-8") as source:
        source.write("\n# edited\n")
    return sources.staging_root(*MODULES) != before


@pytest.mark.parametrize("file", sorted(map(str, sources.VALUE_FREE)))
def test_what_cannot_change_a_value_keeps_what_is_staged(tree: Path, file: str) -> None:
    assert not moved(tree, file)


@pytest.mark.parametrize(
    "file",
    [
        "msavqa/trunks/kinds/image.py", "msavqa/networks/backbones.py", "msavqa/networks/preprocess.py",
        "msavqa/trunks/run/feature_rows.py", "msavqa/frames/read.py", "msavqa/frames/decode.py",
        "msavqa/frames/decord.py", "msavqa/trunks/run/network.py", "msavqa/store/shard_file.py",
        "msavqa/store/shards.py", "pipeline/extract.py",
    ],
)  # fmt: skip
def test_what_can_change_a_value_starts_anew(tree: Path, file: str) -> None:
    assert moved(tree, file)


def test_another_trunk_leaves_what_is_staged(tree: Path) -> None:
    assert not moved(tree, "msavqa/trunks/kinds/video.py")
