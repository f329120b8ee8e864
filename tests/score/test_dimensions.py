"""Scores of several dimensions of quality: in one line, in JSON, in a csv that can be ranked by each."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from msavqa.bundle import bundle
from msavqa.score import table
from msavqa.score.scorer import load
from tests import media, random_bundle


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = random_bundle.make(tmp_path_factory.mktemp("several"), dimensions=["overall", "fit", "steady"])
    return made.path


def test_every_dimension_is_scored_by_its_own_output(model: Path, tmp_path: Path) -> None:
    video = media.write(tmp_path / "a.mp4", media.numbered(8))
    with load(model, workers=1, decode_seconds=60.0) as scorer:
        found = scorer.score(video, "a red ball")
        frames = scorer.decoded(video).frames
        _, _, outputs = scorer.forward(frames, prompt="a red ball")
    assert list(found.dimensions) == ["overall", "fit", "steady"]
    first = found.dimensions["overall"]
    assert (first.score, first.low, first.high) == (found.score, found.low, found.high)
    for place, one in enumerate(found.dimensions.values()):
        own = {name: np.array([float(out.dimensions[place].score[0])]) for name, out in outputs.items()}
        raw = bundle.load(model).ensemble.combine(own)
        assert one.score == pytest.approx(float(bundle.load(model).calibration.mos(raw)[0]))
    assert len({one.score for one in found.dimensions.values()}) == 3
    assert f"dimensions fit {found.dimensions['fit'].score:.1f} (" in found.line()
    assert json.loads(found.to_json())["dimensions"]["steady"]["low"] == found.dimensions["steady"].low


def test_a_csv_has_three_columns_a_further_dimension(model: Path, tmp_path: Path) -> None:
    media.write(tmp_path / "a.mp4", media.numbered(8))
    (tmp_path / "my.csv").write_text("video,prompt\na.mp4,a red ball\n", encoding="utf-8")
    out = tmp_path / "scores.csv"
    asked = {"video_column": "video", "prompt_column": "prompt", "workers": 1, "decode_seconds": 60.0}
    table.run(tmp_path / "my.csv", out=out, root=None, model=model, **asked)
    with out.open(encoding="utf-8", newline="") as file:
        (row,) = csv.DictReader(file)
    names = list(row)[5:11]
    assert names == ["score_fit", "low_fit", "high_fit", "score_steady", "low_steady", "high_steady"]
    assert all(float(row[f"low_{name}"]) <= float(row[f"score_{name}"]) for name in ("fit", "steady"))


def test_one_dimension_says_nothing_of_dimensions(random_bundle: Path, tmp_path: Path) -> None:
    video = media.write(tmp_path / "a.mp4", media.numbered(8))
    with load(random_bundle, workers=1, decode_seconds=60.0) as scorer:
        found = scorer.score(video, "a red ball")
    assert "dimensions" not in found.to_dict()
    assert "dimensions" not in json.loads((random_bundle / "bundle.json").read_text(encoding="utf-8"))
