"""The model card: figures of this dataset and no other, and over how many repeats they are means."""

import json
from pathlib import Path

import pandas as pd
import pytest

from msavqa.bundle import card as model_card
from msavqa.bundle import export
from msavqa.datasets import tables
from msavqa.evaluation.calibration import Calibration
from msavqa.evaluation.ensemble import Ensemble
from msavqa.evaluation.verdict import Verdict
from tests import synthetic

FIGURES = {"srcc": 0.83, "srcc_ci95_low": 0.8, "srcc_ci95_high": 0.86, "videos": 62, "repeats": 2}


SAID = Verdict("Trained on 62 videos and better than nothing: use with care.", "caution")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return synthetic.project(tmp_path_factory.mktemp("made"), videos=60, repeats=2)


@pytest.fixture(scope="module")
def read(made: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    data = made / "data" / synthetic.DATASET
    return tables.read_manifest(data / "manifest.parquet"), tables.read_splits(data / "splits.parquet")


def card(read: tuple[pd.DataFrame, pd.DataFrame], figures: dict[str, float]) -> str:
    manifest, splits = read
    return model_card.render(
        verdict=SAID,
        dataset="made", data={"split": {"protocol": "prompt_disjoint"}}, repeat=1, manifest=manifest,
        splits=splits, ensemble=Ensemble(["frame", "video"], [0.0] * 2, [1.0] * 2, [0.4, 0.6], [0.4, 0.6]),
        calibration=Calibration((100.0, 0.0, 0.5, 0.1), 12.5, 0.9, (0.0, 100.0), (0.0, 1.0), 100, 50),
        figures=figures,
    )  # fmt: skip


def measured(text: str) -> list[str]:
    return text.split("## Measured on test videos\n")[1].split("\n\n## ")[0].splitlines()


def test_figures_stand_under_the_number_of_repeats_they_are_means_of(
    read: tuple[pd.DataFrame, pd.DataFrame],
) -> None:
    table = ["", "| figure | value |", "|---|---|", "| SRCC | 0.830 (95%: 0.800 to 0.860) |"]
    assert measured(card(read, FIGURES)) == [
        "Mean over 2 repeats, of which this bundle holds one:", *table
    ]  # fmt: skip
    assert measured(card(read, {**FIGURES, "repeats": 1})) == ["Of this repeat, the only one:", *table]
    assert measured(card(read, {})) == ["Not yet: export after `dvc repro`."]
    over = {"srcc_over_trees": 0.04, "srcc_over_trees_ci95_low": 0.01, "srcc_over_trees_ci95_high": 0.07}
    assert measured(card(read, {**FIGURES, **over}))[-1] == (
        "| SRCC above that of extra-trees on handcrafted measures, paired | 0.040 (95%: 0.010 to 0.070) |"
    )


def test_the_verdict_is_the_cards_first_line(read: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    assert card(read, FIGURES).splitlines()[:3] == ["# msavqa bundle: made", "", f"**{SAID.sentence}**"]


def test_the_card_names_data_protocol_and_weights(read: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    text, (manifest, splits) = card(read, FIGURES), read
    roles = splits[splits["repeat"] == 1]["role"].value_counts()
    assert f"- {int((manifest['status'] == 'ok').sum())} videos of " in text
    assert (
        f"- Split `prompt_disjoint`, repeat 1: {roles['train']} training, {roles['val']} validation, "
        f"{roles['test']} test videos." in text
    )
    assert "(frame 0.40, video 0.60)" in text
    assert "on a scale of 0 to 100." in text
    assert "## Limits" in text


@pytest.mark.parametrize(
    ("changes", "used"),
    [
        ({}, True),
        ({"videos": 1200}, False),  # of other label files under the same name
        ({"repeats": 5}, False),
    ],
)
def test_only_figures_of_the_same_videos_and_repeats_are_used(
    made: Path, read: tuple[pd.DataFrame, pd.DataFrame], changes: dict[str, int], used: bool
) -> None:
    manifest, splits = read
    found = {**FIGURES, **changes}
    file = made / "reports" / synthetic.DATASET / "metrics.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({"verdict": SAID.sentence, **found}), encoding="utf-8")
    assert len(manifest) == FIGURES["videos"]
    given = export.figures_of(file, manifest=manifest, splits=splits)
    assert given == (found if used else {})
    assert export.figures_of(made / "none.json", manifest=manifest, splits=splits) == {}
