"""Stage `check`: settings that are right one by one and do not go together are named before any stage."""

from typing import Any

import pytest
import yaml

from pipeline.check import problems
from tests.conftest import ROOT


@pytest.fixture
def data() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / "presets/paper.yaml").read_text(encoding="utf-8"))
    return found


def test_whole_networks_learn_from_frames_that_are_stored(data: dict[str, Any]) -> None:
    data["trunks"]["frame"]["cut"] = "pixels"
    assert problems(data) == [
        "trunks.frame.cut: got 'pixels' beside decode.store 'none', expected decode.store 'frames': "
        "training reads the frames"
    ]
    data["decode"]["store"] = "frames"
    assert problems(data) == []


def test_motion_is_not_read_from_a_trunk_that_caches_nothing(data: dict[str, Any]) -> None:
    data["decode"]["store"] = "frames"
    data["trunks"]["video"]["cut"] = "pixels"
    assert problems(data) == [
        "branches.segment.motion: got 'trunk', but trunks.video with cut 'pixels' caches no features, "
        "expected difference or none"
    ]
    data["branches"]["segment"]["motion"] = "difference"
    assert problems(data) == []


@pytest.mark.parametrize("block", ["trunks", "decode", "branches"])
def test_a_missing_block_is_named_and_ends_nothing_else(data: dict[str, Any], block: str) -> None:
    del data[block]
    assert f"{block}: missing" in problems(data)
