"""The table of experiments: DVC's own csv, in 120 columns: what differs, figures with intervals, seconds."""

import csv
import io
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from msavqa.ground.errors import MsavqaError
from msavqa.report import ablation
from pipeline import experiments
from pipeline.experiments import COLUMNS
from tests import tiny
from tests.check.test_presets import flat, preset
from tests.conftest import ROOT

FOUND = {
    "srcc": "0.77512", "srcc_ci95_low": "0.709", "srcc_ci95_high": "0.823", "plcc": "0.806",
    "plcc_ci95_low": "0.75", "plcc_ci95_high": "0.84", "krcc": "0.6", "seconds": "75.4",
}  # fmt: skip
BLOCKS = list(preset("sample"))
BASE = {"train.epochs": "16", "branches.frame.head.width": "256"}


def line(name: str, params: dict[str, str], metrics: dict[str, str] = FOUND, **other: str) -> dict[str, str]:
    """One line of DVC's csv; a name in capitals is a commit's or the workspace's."""
    committed = name.isupper()
    facts = {"Experiment": "" if committed else name, "rev": name.lower() if committed else "0123abc"}
    facts |= {"typ": "baseline" if committed else "branch_commit", "State": "", **other}
    return facts | metrics | params | {"data/sample/manifest.parquet": "d41d8cd98f", "params.yaml": "ab12"}


def listed(*lines: dict[str, str]) -> list[experiments.Row]:
    names = dict.fromkeys(name for one in lines for name in one)
    text = io.StringIO()
    table = csv.DictWriter(text, names, restval="")
    table.writeheader()
    table.writerows(lines)
    return experiments.rows(text.getvalue(), blocks=BLOCKS, dataset="sample")


def shown(*more: dict[str, str]) -> list[experiments.Row]:
    cat = {"train.epochs": "4", "branches.frame.head.width": "16"}
    return listed(
        line("WORKSPACE", BASE), line("MAIN", BASE), line("moody-cat", cat, FOUND | {"srcc": "0.5"}), *more
    )


def test_a_row_holds_its_parameters_its_figures_and_its_interval(capsys: pytest.CaptureFixture[str]) -> None:
    experiments.show(shown())
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[-4] == ["experiment", "epochs", "width", "SRCC", "95%", "PLCC", "95%", "seconds"]
    interval = ["0.709", "to", "0.823", "0.806", "0.750", "to", "0.840", "75"]
    assert lines[-3:] == [
        ["workspace", "16", "256", "0.775", *interval],
        ["main", "16", "256", "0.775", *interval],
        ["moody-cat", "4", "16", "0.500", *interval],
    ]


def test_what_has_no_result_says_where_it_stands(capsys: pytest.CaptureFixture[str]) -> None:
    experiments.show(
        shown(line("wrong-doge", BASE, {}, State="Queued"), line("odd", BASE, {}, State="Failed"))
    )
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[-2:] == [["wrong-doge", "(queued)", "16", "256"], ["odd", "(failed)", "16", "256"]]


def test_many_swept_parameters_fit_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    names = ("weight_decay", "backbone_rate", "adapter_ratio", "checkpoint_seconds")
    first, other = ({f"branches.segment.{name}": value for name in names} for value in ("0.125", "1.5e-05"))
    experiments.show(listed(line("MAIN", first), line("a-rather-long-name", other)))
    out = capsys.readouterr().out
    assert max(len(line) for line in out.splitlines()) <= COLUMNS
    assert out.count("1.5e-05") == len(names)
    assert "…" not in out


def of_the_sweep() -> list[experiments.Row]:
    """What `make ablation` leaves: one experiment a run of the shipped sweep."""
    sweep = ablation.read(ROOT / "presets/sweeps/ablation.yaml")
    data = flat(preset("sample"))
    lines = [line("WORKSPACE", as_csv(data)), line("MAIN", as_csv(data))]
    for run in sweep.runs:
        settings = dict(
            one.split("=", 1)
            for one in ablation.overrides(sweep, run, branches=list(preset("sample")["branches"]))
        )
        lines.append(
            line(f"ablation-{run}", as_csv(data | {k: yaml.safe_load(v) for k, v in settings.items()}))
        )
    differ = [name for name in lines[0] if name not in data or len({one[name] for one in lines}) > 1]
    return listed(*({name: one[name] for name in differ} for one in lines))


def as_csv(data: dict[str, object]) -> dict[str, str]:
    return {name: "" if value is None else str(value) for name, value in data.items()}


def test_what_a_whole_sweep_changed_stands_in_one_column(capsys: pytest.CaptureFixture[str]) -> None:
    experiments.show(of_the_sweep())
    out = capsys.readouterr().out
    assert max(len(line) for line in out.splitlines()) <= COLUMNS
    assert out.splitlines()[0].split() == ["experiment", "changed", "SRCC", "95%", "PLCC", "95%", "seconds"]
    for said in ("branches.*.pss.enabled=false", "branches.*.statistics=[]", "train.prompts=shuffled",
                 "branches.segment.technical.motion=trunk", "branches.*.sma.tokens=[cls]"):  # fmt: skip
        assert out.count(f"{said} ") >= 1, said
    assert "branches.frame" not in out
    assert len(out.splitlines()) < 40


def test_a_value_that_all_branches_share_is_one_column_whatever_their_names() -> None:
    first, other = ({f"branches.{key}.width": width for key in ("frame", "sound")} for width in ("1", "2"))
    found = listed(line("MAIN", first), line("wide", other))
    assert experiments.columns(found) == ["branches.*.width"]
    assert experiments.changed(found[1]) == ["branches.*.width=2"]
    assert experiments.changed(found[0]) == []


def test_a_change_that_is_not_committed_is_one_of_the_workspace() -> None:
    found = listed(line("WORKSPACE", BASE | {"train.epochs": "3"}), line("MAIN", BASE), line("cat", BASE))
    assert [experiments.changed(row) for row in found] == [["train.epochs=3"], [], []]


def test_of_two_data_sets_the_figures_are_the_first_ones() -> None:
    prefixed = {
        f"reports/{name}/metrics.json:srcc": value for name, value in (("other", "0.1"), ("sample", "0.9"))
    }
    found = listed(line("MAIN", {f"params.yaml:{key}": value for key, value in BASE.items()}, prefixed))
    assert found[0].metrics["srcc"] == 0.9
    assert found[0].params == BASE


@pytest.mark.slow
def test_what_dvc_itself_says_of_experiments_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{Path(shutil.which('git') or '').parent}")
    for name in tiny.OUTER:
        monkeypatch.delenv(name, raising=False)
    Path("params.yaml").write_text(yaml.safe_dump({"train_on": ["made"], "train": {"epochs": 4, "ema": 0.0}}))
    Path("report.py").write_text(
        "import json, pathlib, yaml\n"
        "epochs = yaml.safe_load(open('params.yaml'))['train']['epochs']\n"
        "path = pathlib.Path('reports/made/metrics.json')\n"
        "path.parent.mkdir(parents=True, exist_ok=True)\n"
        "found = {'srcc': epochs / 10, 'srcc_ci95_low': .1, 'srcc_ci95_high': .9, 'seconds': 7, 'krcc': 0}\n"
        "path.write_text(json.dumps(found))\n"
    )
    stage = {"cmd": "python report.py", "deps": ["report.py"], "params": ["train"]}
    stage["metrics"] = [{"reports/made/metrics.json": {"cache": False}}]
    Path("dvc.yaml").write_text(yaml.safe_dump({"stages": {"report": stage}}))
    for command in (
        "git init -q -b main", "git config user.email a@example.org", "git config user.name a", "dvc init -q",
        "dvc repro -q", "git add -A", "git commit -qm one", "dvc exp run -q -n longer -S train.epochs=8",
    ):  # fmt: skip
        subprocess.run(command.split(), check=True, capture_output=True)
    experiments.main([])
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[-3:] == [
        ["workspace", "8", "0.800", "0.100", "to", "0.900", "7"],
        ["main", "4", "0.400", "0.100", "to", "0.900", "7"],
        ["longer", "8", "0.800", "0.100", "to", "0.900", "7"],
    ]


def test_outside_a_project_one_sentence_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(MsavqaError) as refusal:
        experiments.main([])
    said = str(refusal.value)
    assert said.startswith("Experiments in dvc exp show: got exit code 253: ERROR: ")
    assert said.endswith(", expected 0; run it in a git repository with a DVC project and a commit.")
