"""The report's numbers: every figure against scipy or hand-made truth, intervals, groups, generators."""

import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from msavqa.datasets import tables
from msavqa.evaluation import metrics
from msavqa.report import numbers, page, parts
from msavqa.report.results import Results
from tests import synthetic

SETTINGS = numbers.BootstrapSettings(resamples=200, seed=0)


def changed(results: Results, **columns: object) -> Results:
    return dataclasses.replace(results, tested=results.tested.assign(**columns))


def test_metrics_are_flat_finite_numbers_with_all_that_is_promised(made: Path, content: page.Content) -> None:
    found = json.loads((made / "reports" / "metrics.json").read_text(encoding="utf-8"))
    promised = {
        "srcc", "plcc", "krcc", "rmse", "avg_score", "srcc_ci95_low", "srcc_ci95_high", "noise_ceiling_srcc",
        "videos_test", "videos_quarantined", "frame_srcc", "segment_srcc", "video_srcc", "plcc_logistic",
        "control_no_pixel_srcc", "control_trees_srcc", "within_generator_srcc", "repeats", "srcc_sd",
        "srcc_over_no_pixel", "srcc_over_no_pixel_ci95_low", "srcc_over_trees_ci95_high",
        "prompts_truncated", "prompts_in_pieces", "prompts_unknown_script", "frame_srcc_sd",
        "control_trees_plcc_sd", "frame_within_generator_srcc",
    }  # fmt: skip
    promised |= {
        f"{name}{part}" for name in ("srcc", "plcc", "krcc", "avg_score", "plcc_logistic", "rmse")
        for part in ("", "_sd", "_ci95_low", "_ci95_high")
    }  # fmt: skip
    assert promised <= set(found)
    assert [found[f"prompts_{what}"] for what in ("truncated", "in_pieces", "unknown_script")] == [1, 1, 1]
    said = {name: found.pop(name) for name in ("verdict", "verdict_level")}
    assert said == {"verdict": content.verdict.sentence, "verdict_level": "do not use"}
    assert all(isinstance(value, int | float) and math.isfinite(value) for value in found.values())
    counted = {"prompts": 81, "prompts_test": int(content.results.tested["prompt"].nunique())}
    counted |= {"generators": 3, "simulated": 1, "toy_networks": 0}
    assert counted.items() <= found.items()


def test_each_figure_is_the_mean_over_repeats_of_scipys(results: Results, content: page.Content) -> None:
    parts = [rows for _, rows in results.tested.groupby("repeat")]
    assert content.metrics["srcc"] == pytest.approx(
        np.mean([stats.spearmanr(rows["raw"], rows["mos"]).statistic for rows in parts]), abs=1e-6
    )
    assert content.metrics["frame_plcc"] == pytest.approx(
        np.mean([stats.pearsonr(rows["frame"], rows["mos"]).statistic for rows in parts]), abs=1e-6
    )
    assert content.metrics["srcc_sd"] == pytest.approx(
        np.std([stats.spearmanr(rows["raw"], rows["mos"]).statistic for rows in parts], ddof=1), abs=1e-6
    )
    assert content.metrics["srcc_ci95_low"] < content.metrics["srcc"] < content.metrics["srcc_ci95_high"]


def test_every_headline_figure_lies_in_its_interval_and_is_what_it_says(
    results: Results, content: page.Content
) -> None:
    found = content.metrics
    for name in numbers.HEADLINE:
        assert found[f"{name}_ci95_low"] < found[name] < found[f"{name}_ci95_high"]
        assert found[f"{name}_sd"] > 0
    parts = [rows for _, rows in results.tested.groupby("repeat")]
    fitted = [metrics.plcc_logistic4(score=rows["raw"], mos=rows["mos"]) for rows in parts]
    assert found["plcc_logistic"] == pytest.approx(np.mean(fitted), abs=1e-6)
    assert found["plcc_logistic_sd"] == pytest.approx(np.std(fitted, ddof=1), abs=1e-6)
    assert found["rmse"] == pytest.approx(
        np.mean([np.sqrt(np.mean((rows["score"] - rows["mos"]) ** 2)) for rows in parts]), abs=1e-6
    )
    assert found["avg_score"] == pytest.approx((found["srcc"] + found["plcc"]) / 2, abs=1e-5)


def test_within_a_generator_is_unknown_where_none_is_named(results: Results) -> None:
    settings = numbers.BootstrapSettings(resamples=100, seed=0)
    unnamed = changed(results, generator="")
    assert "within_generator_srcc" not in numbers.flat_metrics(unnamed, settings)
    one = results.tested["generator"] == synthetic.GENERATORS[0]
    named = changed(results, generator=np.where(one, "a", ""))
    expected = [
        stats.spearmanr(rows["raw"], rows["mos"]).statistic
        for _, rows in results.tested[one].groupby("repeat")
    ]
    assert numbers.within_generator(named, "raw") == pytest.approx(np.mean(expected))


def test_two_videos_of_a_generator_in_a_repeat_say_nothing_of_it(results: Results) -> None:
    tested = results.tested
    place = tested.groupby("repeat").cumcount()
    rare = changed(results, generator=np.where(place < 2, "rare", "common"))
    table = parts.per_generator(rare, SETTINGS).set_index("generator")
    assert table.loc["rare", ["srcc", "plcc", "rmse"]].isna().all()
    common = [rows[place[rows.index] >= 2] for _, rows in tested.groupby("repeat")]
    expected = [stats.spearmanr(rows["raw"], rows["mos"]).statistic for rows in common]
    assert table.loc["common", "srcc"] == pytest.approx(np.mean(expected))
    assert numbers.within_generator(rare, "raw") == pytest.approx(np.mean(expected))


def test_a_repeat_without_enough_of_any_generator_is_left_out_of_the_mean(results: Results) -> None:
    repeat = results.tested["repeat"]
    assert repeat.nunique() > 1
    first = repeat == repeat.min()
    found = changed(results, generator=np.where(first, "a", results.tested["video_id"]))
    rows = results.tested[first]
    expected = stats.spearmanr(rows["raw"], rows["mos"]).statistic
    assert numbers.within_generator(found, "raw") == pytest.approx(expected)


def test_within_a_generator_has_its_interval_and_deviation(results: Results, content: page.Content) -> None:
    found = content.metrics
    assert found["within_generator_srcc_ci95_low"] < found["within_generator_srcc"]
    assert found["within_generator_srcc"] < found["within_generator_srcc_ci95_high"]
    each = [
        metrics.within_groups(
            score=rows["raw"], mos=rows["mos"], groups=rows["generator"], statistic=metrics.srcc
        )
        for _, rows in results.tested.groupby("repeat")
    ]
    assert found["within_generator_srcc"] == pytest.approx(np.mean(each), abs=1e-6)
    assert found["within_generator_srcc_sd"] == pytest.approx(np.std(each, ddof=1), abs=1e-6)


def test_rows_that_share_a_group_or_a_prompt_but_for_its_case_are_drawn_as_one(results: Results) -> None:
    prompts = results.manifest["prompt"]
    shouted = [text.upper() if number % 2 else text for number, text in enumerate(prompts)]
    cases = {
        "case": results.manifest.assign(prompt=shouted),
        "group": results.manifest.assign(prompt="", group=prompts),
    }
    expected = results.tested["prompt"].map({text: number for number, text in enumerate(prompts)})
    for name, manifest in cases.items():
        groups = dataclasses.replace(results, manifest=manifest).groups
        assert (pd.crosstab(groups, expected) > 0).to_numpy().sum() == expected.nunique(), name
        assert groups.nunique() == expected.nunique(), name


def test_parts_of_the_test_set_that_the_dataset_names_stand_apart(
    results: Results, content: page.Content
) -> None:
    part = np.where(results.tested.index % 2, "test", "test_1080p")
    found = parts.per_given_split(changed(results, given_split=part), SETTINGS)
    assert list(found["given_split"]) == ["test", "test_1080p"]
    rows = [rows for _, rows in results.tested[part == "test"].groupby("repeat")]
    expected = [stats.pearsonr(one["raw"], one["mos"]).statistic for one in rows]
    assert found["plcc"][0] == pytest.approx(np.mean(expected))
    assert parts.flat_splits(found) == {
        f"split_{name}_{key}": round(float(found.loc[place, key]), 6)
        for place, name in enumerate(("test", "test_1080p"))
        for key in ("srcc", "plcc")
    }
    assert "test_1080p" in page.render(dataclasses.replace(content, splits=found))
    assert 'id="splits"' not in page.render(content)


def test_the_noise_ceiling_is_the_truth_where_it_is_known_and_close_to_it_where_it_is_estimated(
    results: Results,
) -> None:
    known = numbers.noise_ceiling(results)
    rows = results.tested.drop_duplicates("video_id")
    assert known is not None
    assert known.value == pytest.approx(stats.spearmanr(rows["quality_true"], rows["mos"]).statistic)
    estimated = numbers.noise_ceiling(changed(results, quality_true=np.nan))
    assert estimated is not None
    assert estimated.value == pytest.approx(known.value, abs=0.02)
    assert numbers.noise_ceiling(changed(results, quality_true=np.nan, mos_se=np.nan)) is None
    assert numbers.noise_ceiling(changed(results, quality_true=np.nan, mos_se=1000.0)) is None


def test_the_noise_ceiling_of_a_real_set_is_from_its_single_ratings(results: Results) -> None:
    """Four raters with gaps, each as noisy as makes half of the MOS' variance theirs."""
    random = np.random.default_rng(0)
    quality = results.manifest["quality_true"].to_numpy()
    spread = np.std(results.tested.drop_duplicates("video_id")["quality_true"])
    ratings = quality[:, None] + random.normal(0, 2 * spread, (len(quality), 4))
    ratings[random.random(ratings.shape) < 0.02] = np.nan
    real = changed(results, quality_true=np.nan, mos_se=np.nan)
    real = dataclasses.replace(real, manifest=results.manifest.assign(ratings=list(ratings)))
    found = numbers.noise_ceiling(real)
    assert found is not None
    assert found.reliability == pytest.approx(0.5, abs=0.12)
    assert found.value == pytest.approx(6 / math.pi * math.asin(math.sqrt(found.reliability) / 2))
    assert found.source == f"from the reliability of 4 raters, {found.reliability:.2f} by split halves"
    tested = set(real.tested["video_id"])
    untested = ~real.manifest["video_id"].isin(tested)
    spoilt = real.manifest.copy()
    spoilt.loc[untested, "ratings"] = pd.Series([np.arange(4.0)] * len(spoilt))[untested]
    assert numbers.noise_ceiling(dataclasses.replace(real, manifest=spoilt)) == found  # test videos alone
    figures = numbers.flat_metrics(real, SETTINGS)
    assert figures["mos_reliability"] == round(found.reliability, 6)
    assert figures["srcc_of_ceiling"] == pytest.approx(figures["srcc"] / found.value, abs=1e-5)
    assert "mos_reliability" not in numbers.flat_metrics(results, SETTINGS)


def test_one_repeat_twice_gives_the_interval_of_one_repeat(results: Results) -> None:
    settings = numbers.BootstrapSettings(resamples=200, seed=0)
    one = results.tested[results.tested["repeat"] == 0].reset_index(drop=True)
    single = Results(**{**results.__dict__, "tested": one})
    twice = pd.concat([one, one.assign(repeat=1)], ignore_index=True)
    double = Results(**{**results.__dict__, "tested": twice})
    first, second = (
        numbers.interval(case, "raw", statistic=metrics.srcc, settings=settings) for case in (single, double)
    )
    assert second.value == pytest.approx(first.value)
    assert second.low == pytest.approx(first.low, abs=0.02)
    assert second.high == pytest.approx(first.high, abs=0.02)


def test_only_test_rows_are_counted(made: Path, results: Results) -> None:
    splits = tables.read_splits(made / "data" / synthetic.DATASET / "splits.parquet")
    tested = splits[splits["role"] == "test"]
    assert set(zip(results.tested["repeat"], results.tested["video_id"], strict=True)) == set(
        zip(tested["repeat"], tested["video_id"], strict=True)
    )


def test_what_the_ensemble_has_over_a_control_is_paired(results: Results) -> None:
    over = numbers.over_control(results, "no_pixel", SETTINGS)
    parts = [rows for _, rows in results.tested.groupby("repeat")]
    found = [
        stats.spearmanr(rows["raw"], rows["mos"]).statistic
        - stats.spearmanr(rows["no_pixel"], rows["mos"]).statistic
        for rows in parts
    ]
    assert over.value == pytest.approx(np.mean(found))
    assert 0 < over.low < over.value < over.high
    same = numbers.over_control(changed(results, no_pixel=results.tested["raw"]), "no_pixel", SETTINGS)
    assert (same.value, same.low, same.high) == (0.0, 0.0, 0.0)
    one = results.tested["raw"].where(results.tested.index == 0)
    assert math.isnan(numbers.over_control(changed(results, no_pixel=one), "no_pixel", SETTINGS).low)
