"""Table II: what is published keeps its source and protocol, and ours compares with its own kind alone."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from msavqa.datasets import splits
from msavqa.datasets.splits import SplitSettings
from msavqa.evaluation import controls, metrics
from msavqa.ground.errors import ProblemsError
from msavqa.report import published
from tests.check.test_presets import preset
from tests.conftest import ROOT
from tests.evaluation.test_controls import read_t2vqa_db

FOUND = {"srcc": 0.812, "plcc": 0.82, "repeats": 10, "srcc_sd": 0.0123}


@pytest.fixture
def rows() -> Any:
    return published.read(ROOT / "docs/published.csv")


def test_ours_stands_in_its_place_and_compares_with_its_own_protocol(rows: Any) -> None:
    found, sentence = published.table(rows, FOUND, preset("paper"), dataset="t2vqa_db")
    assert list(found["srcc"]) == sorted(found["srcc"], reverse=True)
    assert set(found.loc[found["same"], "model"]) == {
        published.OURS, "MSA-VQA", "prompt mean + generator mean"
    }  # fmt: skip
    ours = found[found["model"] == published.OURS].iloc[0]
    assert (ours["dataset"], ours["protocol"], ours["note"]) == (
        "t2vqa_db", "random_9_1", "10 repeats, SRCC ± 0.012"
    )  # fmt: skip
    assert sentence == (
        f"2 of {len(rows)} published results are on t2vqa_db under random_9_1, as ours is; "
        "the others are no comparison"
    )


def test_another_draw_of_t2vqas_splits_is_no_comparison(rows: Any) -> None:
    data = preset("paper")
    for seeds, same in ((list(range(1, 11)), {"T2VQA", "prompt mean + generator mean"}), ([1, 2, 3], set())):
        data["split"] |= {"protocol": "qmme_8_2", "seeds": seeds}
        found, sentence = published.table(rows, FOUND, data, dataset="t2vqa_db")
        assert set(found.loc[found["same"], "model"]) == {published.OURS, *same}
        assert sentence.endswith("over split.seeds 1 to 10, ours is not") == (not same)


def test_every_source_is_a_paper_by_its_number_or_ours(rows: Any) -> None:
    assert rows["source"].str.contains(r"arXiv \d{4}\.\d{5}|^measured here").all()


def test_the_sample_world_compares_with_nothing_published(rows: Any) -> None:
    found, sentence = published.table(
        rows, {"srcc": 0.8, "plcc": 0.8, "repeats": 1}, preset("sample"), dataset="sample"
    )
    assert list(found.loc[found["same"], "model"]) == [published.OURS] == [found["model"][0]]
    assert sentence.startswith(f"0 of {len(rows)} published results are on sample under prompt_disjoint")


def test_a_number_without_a_source_is_refused(rows: Any, tmp_path: Path) -> None:
    rows.loc[0, "source"] = ""
    rows.to_csv(tmp_path / "published.csv", index=False)
    with pytest.raises(ProblemsError) as refusal:
        published.read(tmp_path / "published.csv")
    assert str(refusal.value) == (
        f"1 problem in {tmp_path}/published.csv; mend it: a published number has its source and a protocol "
        "that is known, or none:\n"
        "  - column 'source': 1 row fails str_length(1, None), the first is row 0 with ''"
    )


@pytest.mark.parametrize("protocol", ["random_9_1", "qmme_8_2", "prompt_disjoint"])
def test_what_was_measured_here_is_measured_again(rows: Any, shared_data: Path, protocol: str) -> None:
    manifest = read_t2vqa_db(shared_data / "t2vqa-db")
    seeds = list(range(1, 11)) if protocol == "qmme_8_2" else list(range(10))
    settings = SplitSettings(
        protocol=protocol, seeds=seeds, test_fraction=0.1, validation_fraction=0.0, folds=2
    )
    table = splits.split(manifest, settings)
    figures = []
    for repeat in range(10):
        both = manifest.merge(table[table["repeat"] == repeat], on="video_id")
        learned, asked = both[both["role"] == "train"], both[both["role"] == "test"]
        score = controls.no_pixel(learned, asked, shrinkage=0.0)
        figures.append([metrics.srcc(score=score, mos=asked["mos"]),
                        metrics.plcc(score=score, mos=asked["mos"])])  # fmt: skip
    mine = rows[(rows["protocol"] == protocol) & rows["source"].str.startswith("measured here")].iloc[0]
    assert [mine["srcc"], mine["plcc"]] == pytest.approx(np.mean(figures, axis=0), abs=6e-4)
