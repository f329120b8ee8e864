"""What a trivial video would score: the table of every report, its figures, and the model card's."""

import json
from html import unescape
from pathlib import Path

import numpy as np
import pytest

from msavqa.bundle import card
from msavqa.datasets import copies, tables
from msavqa.frames.spoil import EMPTY, SPOILT
from msavqa.ground import params
from msavqa.report import build, trivial
from msavqa.report.trivial import Line
from tests import synthetic
from tests.synthetic import DATASET


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return synthetic.project(tmp_path_factory.mktemp("project"))


def lines(root: Path) -> dict[str, Line]:
    results = build.gather(root, DATASET, params.read(root / "params.yaml"))
    runs = root / "runs" / DATASET / "ensemble"
    found = trivial.lines(
        results,
        copies.read_scores(runs / "copies.parquet"),
        tables.read_predictions(runs / "predictions.parquet"),
    )
    return {line.kind: line for line in found}


def test_every_kind_is_told_of_in_words() -> None:
    assert trivial.SHOWN.keys() == {*SPOILT, *EMPTY, copies.FOREIGN, copies.PRAISE}


def test_shares_changes_and_percentiles_are_those_of_their_definitions(made: Path) -> None:
    found = lines(made)
    results = build.gather(made, DATASET, params.read(made / "params.yaml"))
    tested = results.tested
    assert list(found) == ["still", "backwards", "black", copies.PRAISE]  # the order of the words
    assert found["still"].above == pytest.approx(0.5, abs=0.01)
    assert (found["still"].learned, found["backwards"].learned) == (True, False)
    assert found["still"].videos == len(tested)
    assert (found["black"].above, found["black"].percentile) == (0, 0)
    assert found["black"].change < -5
    assert (found["backwards"].above, found["backwards"].change, found["backwards"].moved) == (0, 0, 0)
    # By hand: of the first repeat and of the second.
    oof = tables.read_predictions(made / "runs" / DATASET / "ensemble" / "predictions.parquet")
    oof = oof[oof["role"] == "oof"]
    place, change = [], []
    for row in tested.itertuples():
        known = oof.loc[oof["repeat"] == row.repeat, "score"]
        place.append(100 * (known < row.raw + 0.01).mean())
        change.append(float(results.calibrations[row.repeat].mos(np.array([row.raw + 0.01]))[0]) - row.score)
    assert found[copies.PRAISE].percentile == pytest.approx(np.mean(place))
    assert found[copies.PRAISE].highest_percentile == pytest.approx(np.max(place))
    assert found[copies.PRAISE].change == pytest.approx(np.mean(change))
    assert found[copies.PRAISE].moved == pytest.approx(np.mean(np.abs(change)))


def test_the_figures_stand_in_metrics_json_and_the_table_in_the_page(made: Path, tmp_path: Path) -> None:
    content = build.build(made, DATASET, params.read(made / "params.yaml"))
    build.write(content, tmp_path)
    figures = json.loads((tmp_path / "metrics.json").read_text(encoding="utf-8"))
    still = lines(made)["still"]
    assert figures["trivial_still_above"] == round(still.above, 6)
    assert figures["trivial_still_change"] == round(still.change, 6)
    assert figures["trivial_still_learned"] == 1
    page = unescape((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert "What a trivial video would score" in page
    row = page.split('<table id="trivial-table">')[1].split("</table>")[0].split("<tr>")[2]
    assert "one of its frames, all the time" in row
    assert f"<td>{still.above:.0%}</td><td>{still.change:+.1f}</td>" in row
    assert "<td>learned</td>" in row


def test_without_copies_the_page_says_so_and_there_are_no_figures(made: Path) -> None:
    told = trivial.section([], half_width=10.0)
    assert "No copies were made (<code>copies.videos: 0</code>)" in told
    assert trivial.flat([]) == {}


def test_a_figure_that_is_no_number_is_left_out() -> None:
    line = Line("still", True, 3, 0.5, 1.0, 2.0, float("nan"), 3.0)
    assert "trivial_still_percentile" not in trivial.flat([line])
    assert trivial.flat([line])["trivial_still_videos"] == 3


def test_the_model_card_has_a_line_for_every_kind(made: Path) -> None:
    figures = trivial.flat(list(lines(made).values()))
    told = card._trivial(figures)
    assert told[0] == "## What a trivial video would score"
    still = lines(made)["still"]
    row = f"| still | {still.above:.0%} | {still.change:+.1f} | {still.percentile:.0f} | learned |"
    assert row in told
    assert any(line.startswith("| backwards |") and line.endswith("| left out |") for line in told)
    assert card._trivial({"srcc": 0.5}) == []
