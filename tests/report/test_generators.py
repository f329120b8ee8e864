"""Generators that are misjudged and pairs of one prompt, from results to metrics.json, page and bundle."""

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from msavqa.datasets import tables
from msavqa.report import generators, numbers, page
from msavqa.report.results import Results
from tests import synthetic

SETTINGS = numbers.BootstrapSettings(resamples=100, seed=0)


@pytest.fixture(scope="module")
def splits(made: Path) -> pd.DataFrame:
    return tables.read_splits(made / "data" / synthetic.DATASET / "splits.parquet")


def test_the_error_per_generator_is_that_of_means_over_repeats(
    content: page.Content, splits: pd.DataFrame
) -> None:
    results = content.results
    found = generators.error(results, splits)
    rows = results.tested.groupby(["generator", "video_id"])[["score", "mos"]].mean()
    bare = (rows["score"] - rows["mos"]).groupby("generator").mean()
    assert found is not None
    assert found.generators == len(bare)
    assert 0 <= found.value < float(np.sqrt(np.mean(bare**2)))
    assert not found.unseen
    assert content.metrics["generator_error_seen"] == pytest.approx(found.value, abs=1e-6)
    assert "Training knew these generators" in page.render(content)


def test_generators_are_unseen_where_training_has_none_of_them(
    content: page.Content, splits: pd.DataFrame
) -> None:
    results = content.results
    names = results.manifest.set_index("video_id")["generator"]
    tested = results.tested[["repeat", "generator"]].drop_duplicates()
    both = splits.assign(generator=splits["video_id"].map(names)).merge(tested, how="left", indicator=True)
    parted = splits[~((both["role"] == "train") & (both["_merge"] == "both")).to_numpy()]
    found = generators.error(results, parted)
    assert found is not None
    assert found.unseen
    said = dict(content.metrics)
    said["generator_error_unseen"] = said.pop("generator_error_seen")
    shown = page.render(dataclasses.replace(content, metrics=said))
    assert "Training had left out each generator in turn." in shown


def test_pairs_are_of_one_prompt_and_one_repeat(content: page.Content, splits: pd.DataFrame) -> None:
    results = content.results
    right, all_ = 0.0, 0
    for _, rows in results.tested[results.tested["prompt"] != ""].groupby(["repeat", "prompt"]):
        score, mos = rows["raw"].to_numpy(), rows["mos"].to_numpy()
        for one in range(len(rows)):
            for other in range(one):
                way = np.sign(mos[one] - mos[other])
                all_ += int(way != 0)
                right += float(way != 0) * (0.5 + 0.5 * way * np.sign(score[one] - score[other]))
    found = generators.figures(results, splits, SETTINGS)
    assert found["pairs_test"] == all_
    assert found["pair_accuracy"] == pytest.approx(right / all_, abs=1e-6)
    assert found["pair_accuracy_ci95_low"] <= found["pair_accuracy"] <= found["pair_accuracy_ci95_high"]


def test_without_names_and_prompts_nothing_is_said(content: page.Content, splits: pd.DataFrame) -> None:
    nameless: Results = dataclasses.replace(
        content.results, tested=content.results.tested.assign(generator="", prompt="")
    )
    assert generators.figures(nameless, splits, SETTINGS) == {}


def test_videos_without_a_generator_are_left_out(content: page.Content, splits: pd.DataFrame) -> None:
    results = content.results
    names = sorted(set(results.tested["generator"]))
    tested = results.tested.assign(generator=results.tested["generator"].replace(names[0], ""))
    found = generators.error(dataclasses.replace(results, tested=tested), splits)
    assert found is not None
    assert found.generators == len(names) - 1


def test_a_prompt_of_two_repeats_is_drawn_as_one(content: page.Content, splits: pd.DataFrame) -> None:
    results = content.results
    row = results.tested.iloc[0]
    rows = [  # of prompt a the one pair is wrong, of prompt b both are right
        {**row, "video_id": f"{prompt}{place}", "repeat": repeat, "prompt": prompt, "mos": mos, "raw": raw}
        for repeat, prompt, of_prompt in (
            (0, "a", ((1.0, 2.0), (2.0, 1.0))),
            (0, "b", ((1.0, 1.0), (2.0, 2.0))),
            (1, "b", ((1.0, 1.0), (2.0, 2.0))),
        )
        for place, (mos, raw) in enumerate(of_prompt)
    ]
    found = generators.figures(dataclasses.replace(results, tested=pd.DataFrame(rows)), splits, SETTINGS)
    assert found["pair_accuracy"] == pytest.approx(2 / 3, abs=1e-6)
    # Drawn twice, prompt a leaves no right pair, and prompt b no wrong one.
    assert (found["pair_accuracy_ci95_low"], found["pair_accuracy_ci95_high"]) == (0.0, 1.0)
