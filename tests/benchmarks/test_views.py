"""`python -m benchmarks.views`: the fixed view is the pipeline's, further ones are averaged."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks import views
from msavqa.datasets import tables
from tests.conftest import ROOT, skip_or_fail


@pytest.mark.sample
def test_the_first_view_scores_what_the_pipeline_scored_and_others_differ(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if not (ROOT / "runs/sample/branches/video").is_dir():
        skip_or_fail("no runs/sample: run `make repro` first", needs="sample")
    monkeypatch.chdir(ROOT)
    seen: list[pd.DataFrame] = []
    figures = views.figures

    def looking(scores: pd.DataFrame) -> dict[str, object]:
        seen.append(scores)
        return figures(scores)

    monkeypatch.setattr(views, "figures", looking)
    assert views.main(["--branch", "video", "--views", "2", "--videos", "16"]) == 0
    found = json.loads(capsys.readouterr().out)["branches"]["video"]
    assert len(found["srcc"]) == 2
    assert found["seen"] == pytest.approx((64 / 96) ** 2, abs=1e-4)
    (scores,) = seen
    before = tables.read_predictions(Path("runs/sample/branches/video/predictions.parquet"))
    own = before[before["role"] == "test"].set_index("video_id")["score"][scores["video_id"]].to_numpy()
    np.testing.assert_allclose(scores[0], own, atol=0.05)
    assert np.abs(scores[1] - own).mean() > 0.5


def test_views_are_averaged_one_more_at_a_time() -> None:
    mos = [1.0, 2.0, 3.0]
    scores = pd.DataFrame({"video_id": ["a", "b", "c"], "mos": mos, 0: [3.0, 2.0, 1.0], 1: [0.0, 3.0, 9.0]})
    found = views.figures(scores)
    assert found["srcc"] == [-1.0, 1.0]
    assert found["sd_of_views"] > 0
