"""One branch, two or four, whatever their names: the report knows them from params.yaml alone."""

from pathlib import Path

import pandas as pd
import pytest
import yaml

from msavqa.report import build, page
from pipeline import report
from tests import synthetic
from tests.browser import browser

NAMES = ("sound", "frame-b", "a_very_long_name_of_a_variant", "θ")


@pytest.mark.parametrize("count", [1, 2, 4])
def test_the_report_of_any_branches_names_each_of_them_everywhere(tmp_path: Path, count: int) -> None:
    branches = dict.fromkeys(NAMES[:count], 1 / count)
    root = synthetic.project(tmp_path, videos=60, repeats=2, branches=branches)
    content = build.build(root, synthetic.DATASET, synthetic.params_of(branches))
    build.write(content, root / "reports" / synthetic.DATASET)
    assert content.results.branches == tuple(branches)
    comparison = pd.read_csv(root / "reports" / synthetic.DATASET / "plots/comparison.csv")
    text = page.render(content)
    for name in branches:
        shown = name.replace("_", " ")
        line = next(line for line in content.lines if line.name == shown)
        assert (line.kind, line.weight) == ("branch", 1 / count)
        assert comparison.set_index("predictor").loc[shown, "srcc"] == pytest.approx(
            line.srcc.value, abs=1e-6
        )
        assert content.metrics[f"{name}_srcc"] == pytest.approx(line.srcc.value, abs=1e-6)
        assert f"<dt>{name}</dt>" in text
        assert f"<h3><code>{name}</code></h3>" in text
        assert content.strips["best"][0].timeline[0].attention is not None
    assert "segment" not in {line.name for line in content.lines}
    with browser(width=390, dark=False) as window:
        window.open((root / "reports" / synthetic.DATASET / "report.html").as_uri())
        assert window.console() == []
        assert window.run("return document.documentElement.scrollWidth") <= 390
        assert all(name in window.text("#films") for name in branches)


def test_a_branch_that_is_not_joined_is_reported_without_a_weight(tmp_path: Path) -> None:
    root = synthetic.project(tmp_path, videos=60, repeats=1, branches={"sound": 0.5, "light": 0.5})
    joined = root / "runs" / synthetic.DATASET / "ensemble" / "ensemble.json"
    joined.write_text('{"repeat0": {"branches": ["light"], "weights": [1.0]}}', encoding="utf-8")
    content = build.build(root, synthetic.DATASET, synthetic.params_of({"sound": 0, "light": 0}))
    assert {line.name: line.weight for line in content.lines if line.kind == "branch"} == {
        "sound": None, "light": 1.0,
    }  # fmt: skip


def test_seconds_of_every_stage_that_took_long_stand_among_the_figures(tmp_path: Path) -> None:
    root = synthetic.project(tmp_path, videos=60, repeats=1)
    took = {"train_frame": 3.0, "train_video": 4.5, "extract_video": 20.0, "prompts_clip_text": 0.25}
    for name, seconds in took.items():
        write_seconds(root / "runs" / synthetic.DATASET / "seconds" / f"{name}.json", seconds)
    write_seconds(root / "runs" / "start_seconds" / "pretrain_segment.json", 9.0)
    (root / "runs" / "start_seconds" / "about.txt").write_text("seconds of pre-training", encoding="utf-8")
    found = build.build(root, synthetic.DATASET, synthetic.PARAMS).metrics
    each = {f"seconds_{name}": one for name, one in took.items()}
    assert {name: value for name, value in found.items() if name.startswith("seconds")} == {
        "seconds": 7.5, "seconds_pretrain_segment": 9.0, **each,
    }  # fmt: skip


def test_two_data_sets_have_a_report_each_and_both_are_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root = synthetic.project(tmp_path, videos=60, repeats=1)
    for folder in ("data", "runs", "features"):
        (root / folder / "other").symlink_to(root / folder / synthetic.DATASET)
    data = synthetic.PARAMS | {"train_on": [synthetic.DATASET, "other", "third"]}
    data["datasets"] = {name: data["datasets"][synthetic.DATASET] for name in data["train_on"]}
    (root / "params.yaml").write_text(yaml.safe_dump(data), encoding="utf-8")
    monkeypatch.chdir(root)
    report.main([synthetic.DATASET])
    made = {path: path.read_bytes() for path in sorted(Path("reports").rglob("*.*"))}
    report.main(["other"])
    assert {path: path.read_bytes() for path in made} == made
    assert len(list(Path("reports/other").rglob("*.*"))) == len(made) == 6
    capsys.readouterr()
    report.main(["--show"])
    said = capsys.readouterr().out
    assert [line.split(":")[0] for line in said.splitlines() if "on test videos" in line] == ["made", "other"]
    assert said.endswith("third: no report yet, `make repro` makes it\n")


def write_seconds(path: Path, seconds: float) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'{{"seconds": {seconds}}}', encoding="utf-8")
