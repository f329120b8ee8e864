"""What `make repro` ends with: the figures, and what to commit while they wait for it."""

import json
from pathlib import Path

import pytest

from pipeline import report
from tests import tiny


def test_results_that_wait_for_a_commit_say_what_to_type_and_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text("train_on: [mine]\n", encoding="utf-8")
    tiny.commit(tmp_path, "settings", first=True)
    Path("reports/mine").mkdir(parents=True)
    Path("reports/mine/metrics.json").write_text(json.dumps({"srcc": 0.5}), encoding="utf-8")
    report.main(["--show"])
    assert capsys.readouterr().out.splitlines()[-1] == (
        "To compare later runs with this one, commit it now: "
        '`git add --all && git commit -m "feat: first results"`. '
        "Without it `dvc metrics diff`, `make exp-show` and `msavqa compare HEAD` have nothing to compare "
        "with."
    )
    tiny.commit(tmp_path, "first results")
    report.main(["--show"])
    assert "commit" not in capsys.readouterr().out
