"""The house is open: a branch is one file and one block, a second data set takes nothing of the first's."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests import tiny

pytestmark = pytest.mark.pipeline

TOY = '''"""Toy branch: the loudest frame is the video, trained to the absolute error."""

from typing import Literal

from torch import Tensor

from msavqa.learning import branch
from msavqa.learning.output import Output
from msavqa.ground.params import Settings


class Nothing(Settings):
    """There is nothing to choose."""


class BranchSettings(branch.BranchSettings):
    """`branches.<branch>` of kind toy."""

    kind: Literal["toy"]
    technical: Nothing
    loss: Nothing


def reads_motion(settings: Nothing) -> bool:
    """Single frames do not move."""
    return False


def technical(settings: Nothing, *, features: Tensor, motion: Tensor | None) -> Tensor:
    """What the frames look like."""
    return features


def of_video(scores: Tensor) -> Tensor:
    """The highest of its frames."""
    return scores.amax(dim=1)


def loss(settings: Nothing, *, output: Output, mos: Tensor, weight: Tensor) -> Tensor:
    """Mean absolute error, each video by its weight."""
    return ((output.score - mos).abs() * weight).sum() / weight.sum()


def sd_of(settings: Nothing, score: Tensor) -> Tensor:
    """One: the loss compares scores with standardised MOS."""
    return score.new_ones(())
'''


@pytest.fixture
def repo(tiny_world: Path, tmp_path: Path) -> Path:
    """A copy of the tiny world to change, with its cache: nothing in it needs to run."""
    return Path(shutil.copytree(tiny_world, tmp_path / "msavqa", symlinks=True))


def change(repo: Path, **blocks: Any) -> None:
    """Sets whole blocks of params.yaml."""
    path = repo / "params.yaml"
    data = yaml.safe_load(path.read_text(encoding="utf-8"))
    path.write_text(yaml.safe_dump({**data, **blocks}, sort_keys=False), encoding="utf-8")


def test_a_second_data_set_takes_nothing_of_the_first(repo: Path) -> None:
    data = yaml.safe_load((repo / "params.yaml").read_text(encoding="utf-8"))
    mine = {**data["datasets"]["sample"], "labels": "mine.csv"}
    rows = (repo / "data/sample/videos/t2v.csv").read_text(encoding="utf-8").splitlines()
    (repo / "mine.csv").write_text("\n".join(rows[:1] + rows[:0:-1]) + "\n", encoding="utf-8")
    change(repo, datasets={**data["datasets"], "mine": mine}, train_on=["sample", "mine"])
    first = (repo / "reports/sample/metrics.json").read_bytes()
    ran = tiny.repro(repo)
    assert {"train@mine-frame", "report@mine", "export@mine"} <= set(ran)
    again = [name for name in ran if name.endswith("@sample") or "@sample-" in name]
    assert again == ["split@sample"]  # it asks whether the set is trained on, and says the same
    assert (repo / "reports/sample/metrics.json").read_bytes() == first
    assert "srcc" in json.loads((repo / "reports/mine/metrics.json").read_text(encoding="utf-8"))
    lock = yaml.safe_load((repo / "dvc.lock").read_text(encoding="utf-8"))["stages"]
    assert {"export@sample", "export@mine", "train@sample-frame", "train@mine-frame"} <= lock.keys()

    # Away from one and back: DVC puts away what no stage writes now; its record and cache keep all of it.
    bundle = (repo / "runs/sample/bundle/bundle.json").read_bytes()
    change(repo, train_on=["mine"])
    ran = tiny.repro(repo)
    assert {name.split("@")[0] for name in ran} <= {"check", "split"}
    tiny.run("dvc", "checkout", cwd=repo)
    assert (repo / "runs/mine/bundle/bundle.json").is_file()
    change(repo, train_on=["sample", "mine"])
    tiny.run("dvc", "checkout", cwd=repo)
    assert (repo / "runs/sample/bundle/bundle.json").read_bytes() == bundle
    ran = tiny.repro(repo)
    assert not [name for name in ran if name.startswith(("extract", "train", "report", "export"))]


def test_without_pre_training_and_without_a_branch(repo: Path) -> None:
    data = yaml.safe_load((repo / "params.yaml").read_text(encoding="utf-8"))
    branches = {name: {**data["branches"][name], "start": None} for name in ("frame", "segment")}
    datasets = {"sample": data["datasets"]["sample"]}
    change(repo, pretrain_on=[], branches=branches, datasets=datasets)
    ran = tiny.repro(repo)
    assert not [name for name in ran if "pretrain" in name or "sample_ugc" in name or "video" in name]
    metrics = json.loads((repo / "reports/sample/metrics.json").read_text(encoding="utf-8"))
    assert "segment_srcc" in metrics
    assert "video_srcc" not in metrics


def test_a_new_branch_is_one_file_and_one_block(repo: Path) -> None:
    (repo / "msavqa/branches/toy.py").write_text(TOY, encoding="utf-8")
    data = yaml.safe_load((repo / "params.yaml").read_text(encoding="utf-8"))
    toy = {**data["branches"]["frame"], "kind": "toy", "technical": {}, "loss": {}}
    change(repo, branches={**data["branches"], "toy": toy})
    said = tiny.run("dvc", "repro", cwd=repo)
    assert {"train@sample-toy", "examine@sample-toy"} <= set(tiny.stages_run(said))
    metrics = json.loads((repo / "reports/sample/metrics.json").read_text(encoding="utf-8"))
    assert "toy_srcc" in metrics
    assert "toy" in (repo / "reports/sample/report.html").read_text(encoding="utf-8")
    joined = json.loads((repo / "runs/sample/ensemble/ensemble.json").read_text(encoding="utf-8"))
    assert joined["repeat0"]["branches"] == ["frame", "segment", "video", "toy"]
    video = next((repo / "data/sample/videos/t2v").rglob("*.mp4"))
    scored = tiny.run(
        "python", "-m", "msavqa.app.cli", "score", str(video), "--prompt", "a red ball", "--json", cwd=repo
    )
    assert "toy" in json.dumps(json.loads(scored[scored.index("{") :]))
