"""The ablation's lines against figures computed apart, what a run is told, and what is refused."""

import dataclasses
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from scipy import stats

from msavqa.datasets import tables
from msavqa.evaluation import ensemble
from msavqa.evaluation.ensemble import EnsembleSettings
from msavqa.ground.errors import MsavqaError, ProblemsError
from msavqa.report import ablation, build, page
from msavqa.report.ablation import Line, Run, Sweep
from tests import synthetic, tiny
from tests.check.test_presets import MODEL_OF_THE_PAPER, flat, preset
from tests.conftest import ROOT

BRANCHES = list(synthetic.WEIGHTS)
SETTINGS = EnsembleSettings(branches="all", shrinkage=0.5, seed=0)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return synthetic.project(tmp_path_factory.mktemp("made"))


@pytest.fixture(scope="module")
def runs(made: Path) -> dict[str, Run]:
    """What stands in the folders, and the same with noise on the ensemble's scores."""
    full = ablation.read_run(made, synthetic.DATASET, branches=BRANCHES)
    noise = np.random.default_rng(0).normal(0, 1, len(full.ensemble))
    worse = full.ensemble.assign(score=full.ensemble["score"] + noise * full.ensemble["score"].std())
    return {"full": full, "worse": Run(full.splits, full.branches, worse, full.controls)}


@pytest.fixture(scope="module")
def manifest(made: Path) -> pd.DataFrame:
    return tables.read_manifest(made / "data" / synthetic.DATASET / "manifest.parquet")


def sweep(*lines: dict[str, Any]) -> Sweep:
    return Sweep(
        seeds=[0, 1], resamples=200, seed=0, runs={"full": {}, "worse": {}},
        lines=[Line.model_validate(line) for line in lines],
    )  # fmt: skip


def made_of(chosen: Sweep, runs: dict[str, Run], manifest: pd.DataFrame) -> pd.DataFrame:
    return ablation.table(chosen, runs, dataset="made", manifest=manifest, settings=SETTINGS)


def mean_srcc(predictions: pd.DataFrame, manifest: pd.DataFrame) -> float:
    rows = predictions[predictions["role"] == "test"].merge(manifest, on="video_id")
    return float(np.mean([stats.spearmanr(part["score"], part["mos"]).statistic
                          for _, part in rows.groupby("repeat")]))  # fmt: skip


def test_each_line_is_the_mean_over_repeats_with_its_paired_difference(
    runs: dict[str, Run], manifest: pd.DataFrame
) -> None:
    found = made_of(
        sweep(
            {"model": "worse", "run": "worse"},
            {"model": "full", "run": "full", "against": "worse"},
            {"model": "again", "run": "full", "against": "full"},
            {"model": "trees", "run": "full", "control": "trees"},
        ),
        runs,
        manifest,
    )
    assert tuple(found.columns) == ablation.COLUMNS
    worse, full, again, trees = found.to_dict("records")
    assert worse["srcc"] == pytest.approx(mean_srcc(runs["worse"].ensemble, manifest))
    assert full["srcc"] == pytest.approx(mean_srcc(runs["full"].ensemble, manifest))
    controls = runs["full"].controls
    assert trees["srcc"] == pytest.approx(mean_srcc(controls[controls["control"] == "trees"], manifest))
    assert full["step"] == pytest.approx(full["srcc"] - worse["srcc"])
    assert 0 < full["step_low"] < full["step"] < full["step_high"]
    assert full["low"] < full["srcc"] < full["high"]
    assert (again["step"], again["step_low"], again["step_high"]) == (0, 0, 0)
    assert pd.isna(worse["step"])
    assert (full["dataset"], full["repeats"]) == ("made", 2)


def test_branches_are_joined_again_by_weights_of_their_own(
    runs: dict[str, Run], manifest: pd.DataFrame
) -> None:
    pair = sweep({"model": "two", "run": "full", "branches": ["frame", "video"]})
    (two,) = made_of(pair, runs, manifest).to_dict("records")
    chosen = SETTINGS.model_copy(update={"branches": ["frame", "video"]})
    joined = []
    for repeat in (0, 1):
        known = tables.learning_labels(manifest, runs["full"].splits, repeat=repeat)
        joined.append(ensemble.join(runs["full"].branches, known, settings=chosen, repeat=repeat)[1])
    assert two["srcc"] == pytest.approx(mean_srcc(pd.concat(joined), manifest))


def test_the_best_branch_is_named_and_is_the_best_on_the_test_videos(
    runs: dict[str, Run], manifest: pd.DataFrame
) -> None:
    found = made_of(
        sweep(
            {"model": "best", "run": "full", "branches": "best"},
            {"model": "all", "run": "full", "against": "best"},
        ),
        runs,
        manifest,
    )
    each = {name: mean_srcc(table, manifest) for name, table in runs["full"].branches.items()}
    assert found["model"][0] == f"best: {max(each, key=lambda name: each[name])}"
    assert found["srcc"][0] == pytest.approx(max(each.values()))
    assert found["against"][1] == found["model"][0]


def test_runs_that_tested_other_videos_make_no_table(runs: dict[str, Run], manifest: pd.DataFrame) -> None:
    worse = runs["worse"]
    fewer = Run(worse.splits, worse.branches, worse.ensemble.drop_duplicates("video_id"), worse.controls)
    chosen = sweep({"model": "a", "run": "full"}, {"model": "b", "run": "worse"})
    with pytest.raises(MsavqaError) as refused:
        made_of(chosen, {"full": runs["full"], "worse": fewer}, manifest)
    tested = int((runs["full"].ensemble["role"] == "test").sum())
    left = int((fewer.ensemble["role"] == "test").sum())
    assert str(refused.value) == (
        f"Test rows in line 'b': got {left} of which {left} are also 'a''s, expected the same {tested}; "
        "look for features that one run's stores lack, with `msavqa features info`."
    )


def test_a_run_is_told_its_seeds_and_each_branch_of_a_star() -> None:
    chosen = Sweep(
        seeds=[3, 4],
        resamples=100,
        seed=0,
        runs={"a": {"branches.*.pss.fusion": ["text", "cosine"], "train.ema": 0.5, "train.prompts": "own"}},
        lines=[Line(model="a", run="a")],
    )
    assert ablation.overrides(chosen, "a", branches=["frame", "sound"]) == [
        "split.seeds=[3,4]",
        "branches.frame.pss.fusion=[text,cosine]",
        "branches.sound.pss.fusion=[text,cosine]",
        "train.ema=0.5",
        "train.prompts=own",
    ]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ({"model": "b", "run": "no"}, "line 'b' is of run 'no', which is not in `runs`"),
        ({"model": "b", "run": "a", "against": "c"}, "line 'b' is against 'c', which is no line's model"),
        ({"model": "a", "run": "a"}, "two lines are called 'a'"),
    ],
)
def test_a_sweep_of_names_that_do_not_exist_is_refused(
    tmp_path: Path, line: dict[str, str], reason: str
) -> None:
    path = tmp_path / "sweep.yaml"
    lines = [{"model": "a", "run": "a"}, line]
    data = {"seeds": [0], "resamples": 100, "seed": 0, "runs": {"a": {}}, "lines": lines}
    path.write_text(yaml.safe_dump(data), encoding="utf-8")
    with pytest.raises(ProblemsError) as refused:
        ablation.read(path)
    assert str(refused.value).endswith(f"{reason}")


def test_the_sweep_asks_for_all_that_the_paper_and_its_reader_ask_for() -> None:
    chosen = ablation.read(ROOT / "presets/sweeps/ablation.yaml")
    assert len(chosen.seeds) >= 5
    settings = dict(one.split("=", 1) for one in ablation.overrides(chosen, "paper", branches=BRANCHES))
    del settings["split.seeds"]
    assert {key: yaml.safe_load(value) for key, value in settings.items()} == MODEL_OF_THE_PAPER
    known = flat(preset("sample")).keys()
    for run in chosen.runs:
        assert {one.split("=")[0] for one in ablation.overrides(chosen, run, branches=BRANCHES)} <= known
    subsets = {tuple(line.branches) for line in chosen.lines if isinstance(line.branches, list)}
    assert subsets == {("frame",), ("segment",), ("video",), ("frame", "segment"), ("frame", "video"),
                       ("segment", "video")}  # fmt: skip
    pairs = {(line.run, line.against) for line in chosen.lines if line.against}
    reading, measured = "our reading of the paper", "our reading + handcrafted measures"
    assert {("full", "best single branch"), ("full", reading)} <= pairs
    # Like for like: both with the handcrafted measures, both without.
    assert {("bare", reading), ("measured", reading), ("full", measured)} <= pairs


def test_the_runs_that_compare_like_with_like_differ_in_handcrafted_measures_alone() -> None:
    chosen = ablation.read(ROOT / "presets/sweeps/ablation.yaml")
    ours = flat(preset("sample"))
    handcrafted = {
        key for key in ours if key.startswith("branches.") and key.endswith((".statistics", ".measures"))
    }

    def changed(run: str) -> dict[str, Any]:
        words = (one.split("=", 1) for one in ablation.overrides(chosen, run, branches=BRANCHES))
        return {key: yaml.safe_load(value) for key, value in words if key != "split.seeds"}

    bare, paper, measured = (changed(run) for run in ("bare", "paper", "measured"))
    assert bare.keys() == handcrafted
    assert bare == {key: paper[key] for key in handcrafted}
    assert {key: measured[key] for key in handcrafted} == {key: ours[key] for key in handcrafted}
    assert {key: value for key, value in measured.items() if key not in handcrafted} == {
        key: value for key, value in paper.items() if key not in handcrafted
    }


def test_the_papers_own_sweep_sets_modules_alone_and_compares_every_subset() -> None:
    chosen = ablation.read(ROOT / "presets/sweeps/ablation_paper.yaml")
    known = flat(preset("sample_paper")).keys()
    for run in chosen.runs:
        keys = {one.split("=")[0] for one in ablation.overrides(chosen, run, branches=BRANCHES)}
        assert keys <= known
        assert {key.split(".")[-1] for key in keys} <= {"seeds", "enabled"}
    ours = ablation.read(ROOT / "presets/sweeps/ablation.yaml")
    assert not set(chosen.runs) & set(ours.runs)  # neither replaces the other's experiments
    for sweep in (chosen, ours):
        assert all(line.against for line in sweep.lines if isinstance(line.branches, list))


def test_the_table_says_what_it_was_made_from(
    made: Path, runs: dict[str, Run], manifest: pd.DataFrame, tmp_path: Path
) -> None:
    chosen = sweep({"model": "worse", "run": "worse"}, {"model": "full", "run": "full", "against": "worse"})
    path = tmp_path / "reports/ablation.csv"
    data = {"train_on": ["made"], "split": {"protocol": "given", "seeds": [0]}, "train": {"epochs": 4}}
    found = made_of(chosen, runs, manifest)
    ablation.write_table(found, path, data=data, revision="0123456789ab+")
    shown = ablation.read_table(path, "made", data)
    assert shown is not None
    assert list(shown.rows["against"]) == ["", "worse"]
    assert (shown.revision, shown.same) == ("0123456789ab+", True)
    assert list(shown.rows["plcc"]) == pytest.approx(list(found["plcc"]), abs=1e-6)
    other_seeds = {**data, "split": {"protocol": "given", "seeds": [5]}, "report": {"films": 4}}
    assert ablation.digest(other_seeds) == ablation.digest(data)
    shown = ablation.read_table(path, "made", {**data, "train": {"epochs": 5}})
    assert shown is not None
    assert not shown.same
    assert ablation.read_table(path, "other", data) is None
    assert ablation.read_table(tmp_path / "none.csv", "made", data) is None


def test_the_report_says_where_the_table_was_made_with_other_settings(
    made: Path, runs: dict[str, Run], manifest: pd.DataFrame, tmp_path: Path
) -> None:
    copy = shutil.copytree(made, tmp_path / "made")
    chosen = sweep({"model": "worse", "run": "worse"}, {"model": "full", "run": "full", "against": "worse"})
    content = build.build(copy, synthetic.DATASET, synthetic.PARAMS)
    assert "once <code>make ablation</code> has run on this dataset" in page.render(content)
    ablation.write_table(
        made_of(chosen, runs, manifest), copy / ablation.ABLATION_FILE,
        data=synthetic.PARAMS, revision="abcdef",
    )  # fmt: skip
    shown = page.render(build.build(copy, synthetic.DATASET, synthetic.PARAMS))
    assert "made this table at revision <code>abcdef</code>" in shown
    assert "against worse" in shown
    said = " ".join(shown.split())
    assert (
        "Its interval draws prompts and holds the trained models fixed. The table has 1 of them, not "
        "corrected for their number: of twenty true zeros, one interval excludes zero by luck." in said
    )
    assert 'id="unlike"' not in shown
    assert "ablation-stale" not in shown
    changed = {**synthetic.PARAMS, "train": {"epochs": 99}}
    shown = page.render(build.build(copy, synthetic.DATASET, changed))
    assert 'id="ablation-stale"' in shown
    assert "Made with other settings" in shown


def test_a_table_that_sets_unlike_against_like_says_so(
    made: Path, runs: dict[str, Run], manifest: pd.DataFrame, tmp_path: Path
) -> None:
    content = build.build(made, synthetic.DATASET, synthetic.PARAMS)
    unlike = (
        {"model": ablation.READING, "run": "worse"},
        {"model": ablation.OURS, "run": "full", "against": ablation.READING},
    )
    alike = {"model": "ours - handcrafted measures", "run": "full", "against": ablation.READING}
    for lines, words in (
        (unlike, "This table has no line that compares like with like"),
        ((*unlike, alike), "Lines that name the measures compare like with like."),
    ):
        path = tmp_path / "ablation.csv"
        table = made_of(sweep(*lines), runs, manifest)
        ablation.write_table(table, path, data=synthetic.PARAMS, revision="abcdef")
        read = ablation.read_table(path, synthetic.DATASET, synthetic.PARAMS)
        shown = page.render(dataclasses.replace(content, ablation=read))
        assert words in " ".join(shown.split())


def test_two_figures_of_ours_that_differ_are_explained(
    made: Path, runs: dict[str, Run], manifest: pd.DataFrame, tmp_path: Path
) -> None:
    copy = shutil.copytree(made, tmp_path / "made")
    lines = ({"model": "worse", "run": "worse"}, {"model": "ours", "run": "full", "against": "worse"})
    found = made_of(sweep(*lines), runs, manifest)
    content = build.build(copy, synthetic.DATASET, synthetic.PARAMS)
    at_the_top = content.metrics["srcc"]

    def said(ours: float, *, repeats: int, revision: str) -> str:
        table = found.assign(srcc=ours, low=ours, high=ours, repeats=repeats)
        ablation.write_table(table, copy / "ablation.csv", data=synthetic.PARAMS, revision=revision)
        read = ablation.read_table(copy / "ablation.csv", synthetic.DATASET, synthetic.PARAMS)
        shown = page.render(dataclasses.replace(content, ablation=read, revision="abcdef"))
        why = re.search('<p class="quiet" id="why-two">(.*?)</p>', shown, flags=re.DOTALL)
        return "" if why is None else " ".join(why[1].split())

    assert said(at_the_top, repeats=2, revision="abcdef") == ""
    sentence = (
        f"Our model has an SRCC of 0.500 here and of {at_the_top:.3f} at the top of the page. The figure "
        "here is the mean of 8 repeats; the one at the top is the mean of 2 repeats. Each repeat tests "
        "other videos."
    )
    assert said(0.5, repeats=8, revision="abcdef") == sentence
    assert said(0.5, repeats=8, revision="0123") == (
        f"{sentence} The two were also made at different revisions, which may have had other networks."
    )
    assert "The figure here is that of a single one;" in said(0.5, repeats=1, revision="0123")


def test_what_is_drawn_as_one_is_what_no_split_parts(runs: dict[str, Run], manifest: pd.DataFrame) -> None:
    lines = ({"model": "worse", "run": "worse"}, {"model": "full", "run": "full", "against": "worse"})
    expected = made_of(sweep(*lines), runs, manifest)
    cases = [text.upper() if number % 2 else text for number, text in enumerate(manifest["prompt"])]
    same = made_of(sweep(*lines), runs, manifest.assign(prompt=cases))
    pd.testing.assert_frame_equal(same, expected)


@pytest.mark.pipeline
def test_the_sweep_runs_experiments_reuses_stores_and_leaves_everything_as_it_was(
    tiny_world: Path, tmp_path: Path
) -> None:
    repo = Path(shutil.copytree(tiny_world, tmp_path / "msavqa", symlinks=True))
    kept = ("params.yaml", "reports/sample/metrics.json")
    before = {name: (repo / name).read_bytes() for name in kept}
    small = {
        "seeds": [0, 1], "resamples": 100, "seed": 0,
        "runs": {"full": {}, "neither": {"branches.*.pss.enabled": False, "branches.*.sma.enabled": False}},
        "lines": [
            {"model": "neither", "run": "neither"},
            {"model": "full", "run": "full", "against": "neither"},
            {"model": "frame + video", "run": "full", "branches": ["frame", "video"]},
        ],
    }  # fmt: skip
    (tmp_path / "sweep.yaml").write_text(yaml.safe_dump(small), encoding="utf-8")
    output = tiny.run("python", "-m", "pipeline.ablation", "--sweep", str(tmp_path / "sweep.yaml"), cwd=repo)
    ran = tiny.stages_run(output)
    assert "train@sample-frame" in ran
    assert not [name for name in ran if name.startswith(("extract", "decode", "index", "data"))]
    found = pd.read_csv(repo / "reports/ablation.csv")
    assert list(found["model"]) == ["neither", "full", "frame + video"]
    assert list(found["repeats"]) == [2, 2, 2]
    names = tiny.run("dvc", "exp", "show", "--csv", cwd=repo)
    assert "ablation-full" in names
    assert "ablation-neither" in names
    assert {name: (repo / name).read_bytes() for name in kept} == before
    assert 'id="ablation"' in (repo / "reports/sample/report.html").read_text(encoding="utf-8")
    assert tiny.repro(repo) == []
