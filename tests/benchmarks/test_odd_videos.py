"""Trivial videos of kinds that nothing learns from: frames of their kind, shares by their definition."""

import json

import numpy as np
import pandas as pd
import pytest

from benchmarks import odd_videos
from benchmarks.odd_videos import OF_NOTHING, OF_VIDEO
from tests.conftest import ROOT, skip_or_fail

STILL = {"gradient", "checkered", "bars", "card"}


@pytest.mark.parametrize("kind", [*OF_VIDEO, *OF_NOTHING])
def test_a_kind_has_the_videos_size_and_the_same_seed_makes_it_again(kind: str) -> None:
    frames = np.random.default_rng(0).integers(0, 256, size=(7, 34, 48, 3)).astype(np.uint8)
    make = (OF_VIDEO | OF_NOTHING)[kind]
    one, again = (make(frames, np.random.default_rng(1)) for _ in range(2))
    assert (one.shape, one.dtype) == (frames.shape, frames.dtype)
    assert np.array_equal(one, again)
    assert np.array_equal(one, frames) == (kind == "same")
    assert bool((one == one[:1]).all()) == (kind in STILL)


def test_shares_are_those_of_their_definitions() -> None:
    rows = [("dot", 0.9, 0.8, 0.5), ("dot", 0.9, 0.8, 0.01), ("dot", 0.1, 0.8, 0.5), ("dot", 0.1, 0.8, 0.001)]
    found = pd.DataFrame(rows, columns=["kind", "raw", "own", "familiarity"])
    assert odd_videos.shares(found, np.array([0.2, 0.5, 0.95, 0.97]), bound=0.01) == {
        "dot": {"above": 0.5, "percentile": 25.0, "highest_percentile": 50.0, "unlike": 0.5, "deceives": 0.25}
    }


@pytest.mark.sample
def test_what_nobody_learned_from_loses_or_is_called_unlike(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Figures of more videos: LOG.md."""
    if not (ROOT / "runs/sample/bundle").is_dir():
        skip_or_fail("no runs/sample/bundle: run `make repro` first", needs="sample")
    monkeypatch.chdir(ROOT)
    odd_videos.main(["--dataset", "sample", "--videos", "3"])
    found = json.loads(capsys.readouterr().out)
    assert set(found) == {"videos", *OF_VIDEO, *OF_NOTHING}
    for kind in OF_NOTHING:
        assert found[kind]["deceives"] == 0, (kind, found[kind])
    for kind in ("worse", "salted_still", "grained_still", "zoomed_still", "panned_still", "shaken_still"):
        assert found[kind]["unlike"] == 1, (kind, found[kind])
