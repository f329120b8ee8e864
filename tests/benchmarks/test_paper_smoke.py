"""`make paper-smoke` measures the paper's own networks and sizes; what it makes smaller is named."""

from pathlib import Path

import pytest
import yaml

from benchmarks import paper_smoke
from msavqa.check.params import problems
from msavqa.datasets import read as datasets
from tests import media
from tests.check.test_presets import flat, preset


@pytest.fixture
def project(tmp_path: Path) -> Path:
    videos = []
    for number in range(6):
        path = tmp_path / f"video {number}.mp4"
        media.write(path, media.numbered(2))
        videos.append((path, f"prompt {number // 2}", 10.0 * number))
    repo = tmp_path / "repo"
    repo.mkdir()
    paper_smoke.place(repo, videos)
    paper_smoke.write_params(repo, {})
    return repo


def test_nothing_but_the_scale_of_the_experiment_differs_from_the_preset(project: Path) -> None:
    data = yaml.safe_load((project / "params.yaml").read_text(encoding="utf-8"))
    assert problems(data) == []
    paper, found = flat(preset("paper")), flat(data)
    changed = {key for key in paper if found.get(key) != paper[key]}
    assert {key for key in changed if not key.startswith("fetch.")} <= set(paper_smoke.SMALLER)
    assert not [key for key in changed if key.startswith(("texts", "trunks", "branches"))]
    assert {one["source"] for one in data["fetch"].values()} == {"random"}


def test_its_folders_are_read_as_t2vqa_db_and_lsvq(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = yaml.safe_load((project / "params.yaml").read_text(encoding="utf-8"))
    monkeypatch.chdir(project)
    _, rated = datasets.read(data, "t2vqa_db", check_files=True)
    assert [row.mos for row in rated] == [0, 10, 20, 30, 40, 50]
    assert {row.generator for row in rated} == {"00", "01", "02", "03"}
    _, ugc = datasets.read(data, "lsvq", check_files=True)
    assert sorted(row.given_split for row in ugc) == ["test", "test", "train", "train", "train", "train"]


def test_a_key_that_the_preset_lacks_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"the preset paper has no train\.epoch"):
        paper_smoke.write_params(tmp_path, {"train.epoch": "2"})
