"""The README's picture: made by a command, of the figures that the README states."""

from pathlib import Path

from PIL import Image

from msavqa.report import build
from tests import documents, report_picture, synthetic
from tests.conftest import ROOT


def test_the_picture_is_of_the_tree_that_the_readme_describes() -> None:
    page = documents.section(documents.read("README.md"), "What it reaches on the sample world")
    (stated,) = [line.split("|")[2].strip(" *") for line in page.splitlines() if "**ensemble**" in line]
    with Image.open(ROOT / "docs" / "report.png") as picture:
        assert picture.info["srcc"] == stated, "run `make picture`"


def test_the_command_shoots_the_report_that_stands(tmp_path: Path) -> None:
    made = synthetic.project(tmp_path, videos=60)
    content = build.build(made, synthetic.DATASET, synthetic.PARAMS)
    build.write(content, tmp_path / "report")
    srcc = report_picture.shoot(tmp_path / "report", tmp_path / "picture.png")
    assert srcc == f"{content.metrics['srcc']:.3f}"
    with Image.open(tmp_path / "picture.png") as picture:
        assert picture.info["srcc"] == srcc
        width, height = picture.size
        assert width == report_picture.WIDTH
        assert 1200 < height < 2600  # some sections of it: all are ten screens
