"""A run of drawn numbers and its report, made once per file of tests."""

from pathlib import Path

import pytest
import yaml

from msavqa.report import build, page
from msavqa.report.results import Results
from tests import synthetic


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project's folder."""
    return synthetic.project(tmp_path_factory.mktemp("made"))


@pytest.fixture(scope="module")
def content(made: Path) -> page.Content:
    """What its report shows, written to `reports` of that folder."""
    data = yaml.safe_load((made / "params.yaml").read_text(encoding="utf-8"))
    content = build.build(made, synthetic.DATASET, data)
    build.write(content, made / "reports")
    return content


@pytest.fixture(scope="module")
def results(content: page.Content) -> Results:
    """What the report is made from."""
    return content.results
