"""The table branch x dimension: each figure is what the dimension alone would have."""

import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from scipy import stats

from msavqa.datasets import dimensions, tables
from msavqa.report import build, page
from tests import synthetic


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Beside the MOS there is a dimension that is its opposite, rated in half of the videos."""
    root = synthetic.project(tmp_path_factory.mktemp("dimensions"), repeats=1)
    path = root / "data" / synthetic.DATASET / "manifest.parquet"
    manifest = tables.read_manifest(path)
    rated = np.arange(len(manifest)) % 2 == 0
    tables.write_manifest(manifest.assign(mos_dull=np.where(rated, 100 - manifest["mos"], np.nan)), path)
    runs = root / "runs" / synthetic.DATASET
    for file in (*runs.glob("branches/*/predictions.parquet"), runs / "ensemble" / "predictions.parquet"):
        table = tables.read_predictions(file)
        tables.write_predictions(table.assign(score_dull=-table["score"]), file)
    params = yaml.safe_load((root / "params.yaml").read_text(encoding="utf-8"))
    params["datasets"][synthetic.DATASET]["columns"] = {"mos": {"overall": "q", "dull": "d"}}
    (root / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False), encoding="utf-8")
    return root


def test_every_dimension_has_its_figures_and_the_table(made: Path) -> None:
    data = yaml.safe_load((made / "params.yaml").read_text(encoding="utf-8"))
    content = build.build(made, synthetic.DATASET, data)
    found = content.metrics
    manifest = tables.read_manifest(made / "data" / synthetic.DATASET / "manifest.parquet")
    manifest = dimensions.of(manifest, "dull")
    runs = made / "runs" / synthetic.DATASET
    branches = {f"{name}_": f"branches/{name}" for name in content.results.branches}
    for name, file in {"": "ensemble", **branches}.items():
        table = dimensions.of(tables.read_predictions(runs / file / "predictions.parquet"), "dull")
        rows = table[table["role"] == "test"].merge(manifest[["video_id", "mos"]], on="video_id").dropna()
        assert found[f"dimension_dull_{name}srcc"] == pytest.approx(
            stats.spearmanr(rows["score"], rows["mos"]).statistic, abs=1e-6
        )
        assert found["dimension_dull_videos_test"] == len(rows)
    assert found["dimension_overall_srcc"] == found["srcc"]
    assert found["dimension_overall_frame_srcc"] == found["frame_srcc"]
    assert found["dimension_overall_interval_coverage"] == found["interval_coverage"]
    assert found["dimension_dull_srcc_ci95_low"] < found["dimension_dull_srcc"]
    assert 0.7 < found["dimension_dull_interval_coverage"] <= 1
    html = page.render(content)
    assert 'id="branch-by-dimension"' in html
    assert "<th>overall</th><th>dull</th>" in html
    build.write(content, made / "reports")
    json.loads((made / "reports" / "metrics.json").read_text(encoding="utf-8"))


def test_one_dimension_has_no_table(tmp_path: Path) -> None:
    root = synthetic.project(tmp_path, videos=60, repeats=1)
    content = build.build(root, synthetic.DATASET, yaml.safe_load((root / "params.yaml").read_text()))
    assert not [name for name in content.metrics if name.startswith("dimension")]
    assert "branch-by-dimension" not in page.render(content)
