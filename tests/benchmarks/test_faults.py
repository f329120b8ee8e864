"""The benchmark of faults scores every spoilt copy, on what `make repro` made (run it first)."""

import json

import numpy as np
import pytest

from benchmarks import faults
from tests.conftest import ROOT, skip_or_fail


@pytest.mark.sample
def test_every_fault_has_its_share_of_the_videos_that_it_lowers(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if not (ROOT / "runs/sample/bundle").is_dir():
        skip_or_fail("no runs/sample/bundle: run `make repro` first", needs="sample")
    monkeypatch.chdir(ROOT)
    faults.main(["--videos", "3"])
    found = json.loads(capsys.readouterr().out)
    assert found.pop("videos")["all"] == 3
    assert set(found) == {*faults.SPOILS, "prompt"}
    assert all(0 <= share["all"] <= 1 for share in found.values())


def test_a_share_counts_the_videos_of_its_band_that_fell() -> None:
    own = np.array([10.0, 40.0, 60.0, 90.0])
    assert faults.shares({"own": own, "blur": own - [1, 0, -1, 1]}) == {
        "blur": {"all": 0.5, "below_30": 1.0, "30_to_50": 0.0, "from_50": 0.5}
    }


def test_faults_of_the_second_half_leave_the_first_as_it_is() -> None:
    frames, other = np.random.default_rng(0).integers(0, 256, (2, 6, 4, 4, 3), dtype=np.uint8)
    for spoil in (faults.recolour, faults.replace):
        found = spoil(frames, other)
        assert np.array_equal(found[:3], frames[:3])
        assert not np.array_equal(found[3:], frames[3:])
    assert np.array_equal(faults.replace(frames, other)[3:], other[3:])
