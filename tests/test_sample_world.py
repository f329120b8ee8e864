"""What `make repro` promises of the sample world; reads what it made (run it first)."""

import json
from pathlib import Path

import pytest

from tests.conftest import skip_or_fail

pytestmark = pytest.mark.sample


@pytest.fixture(scope="module")
def metrics(root: Path) -> dict[str, float]:
    path = root / "reports/metrics.json"
    if not path.is_file():
        skip_or_fail("no reports/metrics.json: run `make repro` first")
    found: dict[str, float] = json.loads(path.read_text(encoding="utf-8"))
    if found["videos_test"] < 300:
        skip_or_fail("reports/metrics.json is not of the sample preset")
    return found


def test_each_branch_alone_beats_the_control_that_reads_no_pixel(metrics: dict[str, float]) -> None:
    for branch in ("frame", "segment", "video"):
        assert metrics[f"{branch}_srcc"] > metrics["control_no_pixel_srcc"]


def test_the_ensemble_is_no_worse_than_the_best_branch(metrics: dict[str, float]) -> None:
    assert metrics["srcc"] >= max(metrics[f"{branch}_srcc"] for branch in ("frame", "segment", "video"))


def test_the_ensemble_reaches_three_quarters_of_the_noise_ceiling(metrics: dict[str, float]) -> None:
    assert metrics["srcc"] >= 0.75 * metrics["noise_ceiling_srcc"]


def test_every_video_was_used(metrics: dict[str, float]) -> None:
    assert metrics["videos_test"] == 300
    assert metrics["videos_quarantined"] == 0


def test_the_noise_ceiling_is_that_of_careful_raters(metrics: dict[str, float]) -> None:
    assert 0.95 < metrics["noise_ceiling_srcc"] < 0.99
