"""The measures' version stands for their values: no value changes without it, and no comment changes it."""

import ast
import json
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from msavqa.ground import sources
from msavqa.trunks.measures import (
    frame_statistics,
    motion_statistics,
    perceptual_blur,
    statistics,
    texture_statistics,
)  # fmt: skip
from tests.trunks import golden_measures

MEASURES = sources.ROOT / "msavqa" / "trunks" / "measures"
EXPORTED = json.loads((Path(__file__).parent / "exported_before_versions.json").read_text(encoding="utf-8"))
"""The fingerprint of the measures in a bundle that was exported before they had a version."""


def test_who_changes_a_value_raises_the_version() -> None:
    kept = json.loads(golden_measures.FILE.read_text(encoding="utf-8"))
    found = golden_measures.differing(golden_measures.measured(), kept["values"])
    assert found == [], golden_measures.RAISE
    assert kept["version"] == statistics.VERSION, golden_measures.RAISE


CONSTANTS = [
    (module, name)
    for module in (frame_statistics, motion_statistics, perceptual_blur, texture_statistics)
    for name, value in vars(module).items()
    if name.isupper() and isinstance(value, int | float)
]


@pytest.mark.parametrize(("module", "name"), CONSTANTS, ids=lambda one: getattr(one, "__name__", one))
def test_every_changed_constant_is_noticed_by_the_golden_values(
    monkeypatch: pytest.MonkeyPatch, module: Any, name: str
) -> None:
    kept = json.loads(golden_measures.FILE.read_text(encoding="utf-8"))
    monkeypatch.setattr(module, name, type(getattr(module, name))(getattr(module, name) * 2))
    try:
        found = golden_measures.differing(golden_measures.measured(), kept["values"])
    except (ValueError, IndexError):
        return  # a code that measures nothing any more is noticed too
    assert found != []


def test_values_are_not_renewed_under_a_version_that_has_others(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    copy = tmp_path / "golden.json"
    copy.write_bytes(golden_measures.FILE.read_bytes())
    monkeypatch.setattr(golden_measures, "FILE", copy)
    monkeypatch.setattr(frame_statistics, "EDGE_LEVELS", frame_statistics.EDGE_LEVELS + 1)
    with pytest.raises(SystemExit, match="raise VERSION first"):
        golden_measures.main()
    monkeypatch.setattr(statistics, "VERSION", statistics.VERSION + 1)
    golden_measures.main()
    assert json.loads(copy.read_text(encoding="utf-8"))["version"] == statistics.VERSION


def test_every_measure_tells_some_golden_video_from_another() -> None:
    kept = json.loads(golden_measures.FILE.read_text(encoding="utf-8"))["values"]
    for name in golden_measures.NAMES:
        assert len({values[name] for values in kept.values()}) > 1, name


def test_the_fingerprint_has_the_version_of_every_library_that_the_measures_import() -> None:
    imported = set()
    for file in MEASURES.glob("*.py"):
        for node in sources.running_nodes(ast.parse(file.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            imported |= {name.split(".")[0] for name in names}
    packages = metadata.packages_distributions()
    needed = {packages[name][0].lower() for name in imported if name in packages} - {"msavqa"}
    assert needed == {"numba", "numpy", "scipy"}
    assert {name: metadata.version(name) for name in needed} == statistics.fingerprint()["versions"]


def test_the_fingerprint_names_no_source() -> None:
    found = statistics.fingerprint()
    assert set(found) == {"kind", "statistics", "no_reference", "measures_version", "versions"}
    assert found["measures_version"] == statistics.VERSION
    assert ".py" not in json.dumps(found)


def test_an_older_fingerprint_of_these_measures_is_one_of_version_1() -> None:
    renewed = statistics.renewed(EXPORTED)
    assert "source_sha256" not in renewed
    assert renewed["measures_version"] == 1
    for key in ("kind", "statistics", "no_reference"):
        assert renewed[key] == statistics.fingerprint()[key], "version 1 has other measures than the code"
    assert renewed["versions"] == EXPORTED["versions"]
    assert statistics.renewed(renewed) == renewed
    today: dict[str, Any] = statistics.fingerprint()
    assert statistics.renewed(today) == today


def test_an_older_fingerprint_of_other_sources_has_no_version() -> None:
    (first, *_) = EXPORTED["source_sha256"]
    other = {**EXPORTED, "source_sha256": {**EXPORTED["source_sha256"], first: "0" * 64}}
    assert "measures_version" not in statistics.renewed(other)
    assert "measures_version" not in statistics.renewed({**EXPORTED, "source_sha256": {}})
