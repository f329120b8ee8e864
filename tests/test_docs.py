"""Every command of the documents is run by a test named here, or stands here with the reason why not."""

import ast
import contextlib
import importlib
import io
import re
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

import msavqa
from msavqa.ground import params
from tests import documents, media, tiny
from tests.conftest import ROOT, skip_or_fail

PIPELINE = "pipeline.test_pipeline::test_an_experiment_sets_a_knob_and_reuses_every_store"
QUEUE = (
    "pipeline.test_pipeline::test_a_queued_sweep_reuses_every_store_shows_its_progress_and_fits_a_terminal"
)
OWN = "pipeline.test_own_data::test_own_data_goes_from_a_csv_to_a_report_by_the_readmes_commands"
MAKE = "test_docs::test_make_runs_what_the_readme_shows_on_a_finished_project"
HELP = "test_docs::test_make_help_lists_every_target_that_the_documents_name"
FOLDER = (
    "pipeline.test_sharing::"
    "test_a_colleague_pulls_and_no_stage_runs_then_a_new_head_retrains_from_the_features"
)
STORE = "pipeline.test_sharing::test_another_project_takes_one_store"
FOLDER_SCORED = "app.test_score_folder::test_a_folder_is_scored_and_ranked_by_what_its_names_say"
FILE = "pipeline.test_sharing::test_a_store_travels_as_one_file"
SLURM = "machine.test_sbatch::test_the_script_starts_ray_on_all_nodes_and_the_stages_use_them"
RAY = "machine.test_ray::test_index_decode_extract_and_train_give_the_bytes_of_one_process"

RUN_BY = {
    "make repro": MAKE,
    "make table2": MAKE,
    "make exp-show": MAKE,
    "make help": HELP,
    "make ui": "test_docs::test_make_ui_leaves_the_checkout_itself_installed",
    "make docs": "test_docs::test_the_site_is_whole_and_asks_nobody",
    'msavqa score data/sample/videos/t2v/0093_aurora.mp4 --prompt "a red ring moves down in front of a '
    'brick wall"': "test_docs::test_the_score_of_the_readme_is_what_the_command_prints",
    "rm params.yaml && msavqa init --csv videos.csv --videos videos": OWN,
    "msavqa init --csv videos.csv --videos videos --preset csv_offline": OWN,
    "make real": "benchmarks.test_real::test_a_preset_gets_a_project_of_its_own_and_this_ones_settings_stay",
    "make weights": "networks.test_fetch::test_all_of_a_preset_is_fetched_once_each_or_named_at_once",
    "msavqa init": OWN,
    "msavqa init --list": "app.test_init::test_the_list_names_every_preset_with_one_line",
    "msavqa data check": OWN,
    "msavqa rank scores.csv": "app.test_rank::test_rank_says_who_is_better_and_who_cannot_be_told_apart",
    "msavqa score videos --names '{generator}/{prompt}-{index}.mp4' --out scores.csv": FOLDER_SCORED,
    "msavqa score FOLDER --names '{generator}/{prompt}-{index}.mp4' --out scores.csv": FOLDER_SCORED,
    "msavqa evaluate": "app.test_evaluate::test_scores_against_ratings",
    "msavqa evaluate runs/sample/bundle --labels ratings.csv --out scores.csv": (
        "app.test_evaluate::test_a_bundle_scores_the_rated_videos_first"
    ),
    "msavqa evaluate scores.csv --labels ratings.csv": "app.test_evaluate::test_scores_against_ratings",
    "msavqa evaluate scores.csv --pairs votes.csv": "app.test_evaluate::test_scores_against_votes",
    "msavqa rank scores.csv --videos videos.csv": "app.test_rank::test_every_option_reaches_what_it_changes",
    "msavqa score --csv videos.csv --out scores.csv": "score.test_score_csv::"
    "test_a_csv_with_bom_crlf_duplicates_and_a_bad_row_scores_the_others",
    "msavqa score --csv ratings.csv --out scores.csv": "score.test_score_csv::"
    "test_a_csv_with_bom_crlf_duplicates_and_a_bad_row_scores_the_others",
    "dvc repro": OWN,
    'dvc add videos && git add --all && git commit -m "feat: our videos and settings"': OWN,
    "msavqa compare runs/mine/ensemble runs/mine/branches/frame": OWN,
    "msavqa compare runs/mine/ensemble dover.csv": "app.test_compare::"
    "test_other_models_scores_are_compared_on_the_same_videos",
    "msavqa compare dover.csv videoscore.csv:alignment": "app.test_compare::"
    "test_videos_that_a_csv_lacks_are_counted_and_named",
    "dvc exp run -S train.epochs=24": PIPELINE,
    "dvc exp show": PIPELINE,
    "dvc exp run --queue -S 'train.epochs=8,16,24' && dvc queue start -j 1": QUEUE,
    "make ablation": "report.test_ablation::"
    "test_the_sweep_runs_experiments_reuses_stores_and_leaves_everything_as_it_was",
    "msavqa submission": "app.test_cli::test_withheld_scores_are_packed_for_the_challenge",
    "python -m benchmarks.epochs --accumulate 1 --cut pooled": "benchmarks.test_epochs::"
    "test_it_measures_both_cuts_of_a_branch",
    "python -m benchmarks.faults --videos 100": "benchmarks.test_faults::"
    "test_every_fault_has_its_share_of_the_videos_that_it_lowers",
    "python -m benchmarks.true_faults --videos 300": "benchmarks.test_true_faults::"
    "test_what_truly_lowers_quality_lowers_the_score_of_nearly_every_video",
    "python -m benchmarks.fooled": "benchmarks.test_fooled::test_trivial_videos_score_below_their_originals",
    "python -m benchmarks.odd_videos": "benchmarks.test_odd_videos::"
    "test_what_nobody_learned_from_loses_or_is_called_unlike",
    "python -m benchmarks.long_prompts": "benchmarks.test_long_prompts::"
    "test_most_of_a_prompt_behind_words_of_style_is_found_again",
    "python -m benchmarks.oof --preset sample_paper --branch frame --seeds 0 1 2 3": "benchmarks.test_oof::"
    "test_branches_and_their_ensemble_are_scored_by_models_of_the_folds_alone",
    "python -m benchmarks.oof --branch frame --seeds 0 1 2 3 --test --set train.copies.weight=0.0": ""
    "benchmarks.test_oof::test_final_models_are_asked_of_test_rows_where_that_is_wanted",
    "python -m benchmarks.score": "benchmarks.test_benchmark_score::"
    "test_it_measures_every_figure_of_a_bundle",
    "python -m tests.rooms": "test_docs::test_the_rooms_print_what_is_missing",
    "msavqa features info": "app.test_commands_features::test_info_shows_a_table_or_json",
    "msavqa features info features/sample/clip_image.zarr": "app.test_commands_features::"
    "test_info_shows_a_table_or_json",
    "msavqa features adopt --all features/mine": "app.test_recompute::"
    "test_all_stores_of_a_data_set_are_adopted_at_once",
    "msavqa features verify --sample": "app.test_recompute::"
    "test_the_command_refuses_a_store_of_other_settings",
    "dvc remote add --default team /mnt/team/msavqa": FOLDER,
    "dvc remote add --default team s3://bucket/msavqa": "pipeline.test_sharing::"
    "test_features_travel_through_s3",
    "dvc remote modify team endpointurl http://127.0.0.1:9000": "pipeline.test_sharing::"
    "test_features_travel_through_s3",
    "dvc remote add --default team ssh://me@host/srv/msavqa": "pipeline.test_sharing::"
    "test_features_travel_through_ssh",
    "dvc remote modify --local team keyfile ~/.ssh/id_ed25519": "pipeline.test_sharing::"
    "test_features_travel_through_ssh",
    'git add .dvc/config && git commit -m "build: add the team\'s remote"': FOLDER,
    "git add params.yaml reports '*dvc.lock'": FOLDER,
    'git commit -m "feat: features and runs of our data set"': FOLDER,
    "dvc push": FOLDER,
    "git push": FOLDER,
    "git pull": FOLDER,
    "dvc pull --allow-missing": FOLDER,
    "dvc repro --allow-missing": FOLDER,
    "dvc get    GIT_URL features/sample/clip_image.zarr": STORE,
    "dvc import GIT_URL features/sample/clip_image.zarr": STORE,
    "msavqa features export features/sample/clip_image.zarr clip_image.h5": FILE,
    "msavqa features import clip_image.h5 clip_image.zarr": FILE,
    "export MSAVQA_LAUNCHER=ray": "machine.test_ray::"
    "test_this_machine_alone_serves_and_ctrl_c_leaves_nothing",
    "export MSAVQA_LAUNCHER=ray RAY_ADDRESS=10.0.0.1:6379": RAY,
    "export RAY_USAGE_STATS_ENABLED=0": RAY,
    "ray start --head --port=6379": SLURM,
    "ray start --address=10.0.0.1:6379": SLURM,
    "sbatch docs/cluster.sbatch": SLURM,
}
"""Command -> `module::function` of the test that runs it, some with smaller numbers."""

TIMED = "it measures for minutes; test_every_benchmark_says_what_it_measures runs its --help"
NOT_RUN = {
    "make test": "it is what runs this test; `.ci/run` calls it from a fresh clone",
    "make check": "it is `make lint` and a part of `make test`",
    "make paper-smoke": "a quarter of an hour; test_paper_smoke tests its parts, LOG.md has its figures",
    "source .venv/bin/activate": "the shell's own; `make repro` makes the file",
    "make picture": "it writes into the checkout; test_picture shoots the same page into another folder",
    "dvc push --run-cache": "the page advises against it",
    "python -m benchmarks.verdicts": TIMED,
    "python -m benchmarks.ceilings": TIMED,
    "python -m benchmarks.decode": TIMED,
    "python -m benchmarks.video_swin": "benchmarks.test_benchmark_keys::",
    "python -m benchmarks.statistics": "benchmarks.test_benchmark_keys::",
    "python -m benchmarks.statistics --start": TIMED,
    "python -m benchmarks.epochs --videos 64 --accumulate 8 --cut last_stage --rounds 1": TIMED,
    "python -m benchmarks.trunks": TIMED,
    "python -m benchmarks.train_epoch": TIMED,
    "python -m benchmarks.tail_step": TIMED,
    "python -m benchmarks.store_read": TIMED,
    "python -m benchmarks.extract": TIMED,
    "python -m benchmarks.scale": TIMED,
    "pip install --constraint constraints.txt --editable '.[ray]'": "the environment of the tests has it",
    "ray start": "the page speaks of it",
    "ray get-auth-token --generate": "it writes into the user's home",
    "ray stop": "it would end every Ray of the machine's user",
    "ray symmetric-run": "the page advises against it",
    "rm params.yaml && msavqa init --preset sample_paper": "test_presets holds what that preset changes",
    "python -m msavqa.check.schema": "tests/check holds that the committed schema is what it prints",
    "dvc commit --force": "test_pipeline::test_moved_files_rerun_nothing_after_a_commit runs it, quietly",
    "dvc checkout": "test_house::"
    "test_a_second_data_set_takes_nothing_of_the_first runs it in a second project",
    "make ablation SWEEP=presets/sweeps/ablation_paper.yaml": "another sweep, half an hour; "
    "test_ablation reads that file and runs a smaller one",
    "dvc commit --force train@t2vqa_db-frame": "it follows a training by several GPUs; "
    "test_ranks holds its result",
}
"""Command -> why no test runs it."""

NO_COMMANDS = {
    "import msavqa",
    "data/sample/videos/t2v/0093_aurora.mp4: ",
    "video,prompt,mos",
    "generator,prompt,score",
    "new-model is better than old-model: ",
    "dvc.yaml        ",
    "video + prompt",
    "trunks:",
    "datasets:",
    "branches:",
    "fetch:",
    '"""',
}
"""How code blocks without a command begin: Python and output (checked below), data, the map, settings."""


PREDICTORS = {
    "ensemble": "ensemble", "frame": "frame", "segment": "segment", "video": "video", "extra-trees": "trees",
    "CLIPSim": "clipsim", "no pixel": "no pixel", "no reference": "no reference",
    "the ensemble with": "shuffled prompts",
}  # fmt: skip
"""How a row of the README's results begins -> its predictor in reports/sample/plots/comparison.csv."""


def shown() -> set[str]:
    """Every command of every page."""
    texts = [documents.read(page) for page in documents.PAGES]
    return {command for text in texts for command in documents.commands(text) + documents.mentioned(text)}


def test_every_command_is_run_by_a_test_or_has_a_reason_why_not() -> None:
    assert sorted(shown() - RUN_BY.keys() - NOT_RUN.keys()) == []
    assert sorted((RUN_BY.keys() | NOT_RUN.keys()) - shown()) == []
    assert RUN_BY.keys() & NOT_RUN.keys() == set()


def test_the_tests_that_run_them_exist() -> None:
    for named in sorted(set(RUN_BY.values())):
        module, function = named.split("::")
        path = (ROOT / "tests").joinpath(*module.split(".")).with_suffix(".py")
        tree = ast.parse(path.read_text(encoding="utf-8"))
        assert function in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, named


def test_a_code_block_without_a_command_is_known() -> None:
    for page in documents.PAGES:
        text = documents.read(page)
        for block in documents.blocks(text):
            known = documents.commands("\n".join(f"    {line}" for line in block))
            assert len(known) == len(block) or block[0].startswith(tuple(NO_COMMANDS)), (page, block[0])


def test_a_page_is_read_as_a_reader_reads_it() -> None:
    text = "Say `make x` or\n`dvc y\nz`, not `dvc`.\n\n    make x  # why\n\n    a,b\n\n"
    text += "```\npip z\n```\n    git q\n"
    assert documents.blocks(text) == [["make x  # why"], ["a,b"], ["pip z"], ["git q"]]
    assert documents.commands(text) == ["make x", "pip z", "git q"]
    assert documents.mentioned(text) == ["make x", "dvc y z"]
    table = "| a | b |\n|---|---|\n| `make t` | `python` |\n"
    assert documents.mentioned(f"{table}\n`git z`") == ["make t", "git z"]


def test_python_of_the_readme_scores(
    random_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (lines,) = [
        block for block in documents.blocks(documents.read("README.md")) if block[0] == "import msavqa"
    ]
    (tmp_path / "runs" / "sample").mkdir(parents=True)
    (tmp_path / "runs" / "sample" / "bundle").symlink_to(random_bundle)
    media.write(tmp_path / "some.mp4", media.numbered(8))
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    exec("\n".join([*lines[:-1], f"found = {lines[-1]}"]), names)
    with msavqa.load(random_bundle) as scorer:
        assert names["found"] == scorer.score("some.mp4", "a red ball rolls left")


@pytest.mark.sample
def test_the_score_of_the_readme_is_what_the_command_prints() -> None:
    if not (ROOT / "runs/sample/bundle/bundle.json").is_file():
        skip_or_fail("no runs/sample/bundle: run `make repro` first", needs="sample")
    page = documents.section(documents.read("README.md"), "A score in one line")
    (command,) = [one for one in documents.commands(page) if one.startswith("msavqa score")]
    ((stated, *stated_warnings),) = [block for block in documents.blocks(page) if " interval " in block[0]]
    lines = tiny.run("bash", "-c", command, cwd=ROOT).strip().splitlines()
    (printed,) = [line for line in lines if not line.startswith("warning: ")]
    assert [line for line in lines if line != printed] == stated_warnings
    number = r"\d+(\.\d+)?"
    assert re.sub(number, "#", printed) == re.sub(number, "#", stated)
    (scores, means), (stated_scores, stated_means) = (
        ([float(one) for one in re.findall(r"\d+\.\d+", part)] for part in line.split("  alignment "))
        for line in (printed, stated)
    )
    # Another machine trains another model: one refilming moved the branches' scores by up to 3.5.
    assert scores == pytest.approx(stated_scores, abs=4)
    assert means[:2] == pytest.approx(stated_means[:2], abs=0.05)  # alignment, consistency


def test_the_readme_fits_a_screen_or_three_and_leads_with_what_it_is_for() -> None:
    readme = documents.read("README.md")
    assert readme.count("\n") <= 150
    order = (
        "![", "\n## Why not another tool?", "\n## Two commands", "\n## A score in one line",
        "\n## What it reaches on the sample world", "\n## How it works",
        "\n## Your own data in three commands", "\n## Where to read on",
    )  # fmt: skip
    places = [readme.find(mark) for mark in order]
    assert places == sorted(places)
    assert places[0] >= 0


def test_every_entry_of_the_lab_notebook_stands_under_a_topic() -> None:
    entries = [line[3:] for line in documents.read("LOG.md").splitlines() if line.startswith("## ")]
    page = documents.read("docs/notebook.md")
    sorted_by_topic = [
        f"{date} · {title}" if date else title
        for date, title in re.findall(r"^- (?:([\d-]+): )?\[(.*)\]\(", page, flags=re.MULTILINE)
    ]
    assert sorted(sorted_by_topic) == sorted(entries)


# Anchors are looked for where the site is built.
def test_links_of_the_documents_lead_somewhere() -> None:
    for page in documents.PAGES:
        for target in re.findall(r"\]\(([^)#]+)", documents.read(page)):
            if "://" not in target:
                assert (ROOT / page).parent.joinpath(target).exists(), (page, target)


@pytest.mark.sample
def test_the_results_of_the_readme_are_those_of_the_report() -> None:
    file = ROOT / "reports/sample/plots/comparison.csv"
    if not file.is_file():
        skip_or_fail("no reports/sample/plots/comparison.csv: run `make repro` first", needs="sample")
    measured = pd.read_csv(file).set_index("predictor")[["srcc", "low", "high"]]
    page = documents.section(documents.read("README.md"), "What it reaches on the sample world")
    cells = [[cell.strip(" *") for cell in line.split("|")[1:-1]] for line in page.splitlines()]
    stated = {
        row[0]: [float(one) for one in (row[1], *row[2].split(" to "))]
        for row in cells
        if len(row) == 4 and " to " in row[2]
    }
    known = {name: next(one for one in stated if one.startswith(name)) for name in PREDICTORS}
    assert set(known.values()) == set(stated)
    for name, row in known.items():
        assert measured.loc[PREDICTORS[name]].tolist() == pytest.approx(stated[row], abs=0.02), row


def python_of(page: str) -> list[str]:
    """The Python files that a page shows."""
    return [
        f"{text}\n"
        for text in re.findall(
            r"^```python\n(.*?)\n```$", documents.read(page), flags=re.DOTALL | re.MULTILINE
        )
    ]


@pytest.fixture
def shown_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """The files of docs/extend.md, each where Python finds its siblings: package -> file."""
    packages = ("msavqa.branches", "msavqa.datasets.readers", "msavqa.trunks.kinds")
    found = {}
    for package, name, text in zip(
        packages, ("worst", "spaced", "grid"), python_of("docs/extend.md"), strict=True
    ):
        folder = tmp_path / package
        folder.mkdir()
        found[package] = folder / f"{name}.py"
        found[package].write_text(text, encoding="utf-8")
        home = importlib.import_module(package)
        monkeypatch.setattr(home, "__path__", [*home.__path__, str(folder)])
        monkeypatch.delitem(sys.modules, f"{package}.{name}", raising=False)
    return found


def test_the_files_of_the_page_on_own_ones_are_in_good_order(shown_files: dict[str, Path]) -> None:
    for command in (["check"], ["format", "--check"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *command, "--config", "pyproject.toml", *shown_files.values()],
            cwd=ROOT, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout


def test_the_branch_of_the_page_scores_and_learns(shown_files: dict[str, Path]) -> None:
    import torch

    from msavqa.learning import branch
    from msavqa.learning.output import Output

    kind = branch.branch("worst")
    (block,) = [
        found["branches"]["worst"]
        for text in re.findall(r"```yaml\n(.*?)```", documents.read("docs/extend.md"), flags=re.DOTALL)
        if "worst" in (found := yaml.safe_load(text)).get("branches", {})
    ]
    settings = params.block({"branches": {"worst": block}}, "branches.worst", branch.settings_of("worst"))
    frame = yaml.safe_load((ROOT / "presets/sample.yaml").read_text(encoding="utf-8"))["branches"]["frame"]
    assert block.keys() == frame.keys()
    scores = torch.tensor([[8.0, 1, 2, 3, 4, 5, 6, 7]], requires_grad=True)
    video = kind.of_video(scores)
    assert video.tolist() == [1.5]
    output = Output(score=video, frame_scores=scores, attention=None)
    lost = kind.loss(settings.loss, output=output, mos=torch.tensor([0.0]), weight=torch.tensor([2.0]))
    lost.backward()
    assert lost.item() == pytest.approx(1.0)  # 1.5 - 0.5: the straight part of smooth-L1
    assert scores.grad is not None
    assert (scores.grad != 0).tolist() == [[False, True, True, *[False] * 5]]


def test_the_reader_of_the_page_reads_its_line_and_names_mistakes(
    shown_files: dict[str, Path], tmp_path: Path
) -> None:
    from msavqa.datasets import read
    from msavqa.ground.errors import ProblemsError

    labels = tmp_path / "labels.txt"
    block = {"reader": "spaced", "root": str(tmp_path), "labels": str(labels), "mos_range": [1, 5]}
    data = {"train_on": ["mine"], "datasets": {"mine": block}}
    (line,) = re.findall(r"`(\S+\.mp4 \S+ [a-z ]+)`", documents.read("docs/extend.md"))
    labels.write_text(f"{line}\n", encoding="utf-8")
    (row,) = read.read(data, "mine", check_files=False)[1]
    assert (row.video_id, row.mos, row.prompt) == ("0001.mp4", 3.5, "a red ball rolls left")
    labels.write_text(f"{line}\n0002.mp4 good\n", encoding="utf-8")
    with pytest.raises(ProblemsError, match="line 2: score is 'good', not a finite number"):
        read.read(data, "mine", check_files=False)


def test_the_network_of_the_page_makes_features(shown_files: dict[str, Path], tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    from msavqa.trunks.run import named
    from msavqa.trunks.run.network import Trunk, Video

    kind = named.module("grid")
    (block,) = [
        found["trunks"]["grid"]
        for text in re.findall(r"```yaml\n(.*?)```", documents.read("docs/extend.md"), flags=re.DOTALL)
        if "grid" in (found := yaml.safe_load(text)).get("trunks", {})
    ]
    settings = params.block({"trunks": {"grid": block}}, "trunks.grid", kind.TrunkSettings)  # type: ignore[attr-defined]
    weights = tmp_path / "grid.safetensors"
    save_file({"matrix": np.eye(48, 32, dtype=np.float32)}, weights)
    trunk = Trunk.of(kind, settings, weights=weights, frames=3)
    frames = np.zeros((3, 12, 9, 3), dtype=np.uint8)
    frames[1, :3, :2] = 255  # the first cell of the second frame
    found = trunk.load(device="cpu", batch=8)([Video("a", frames)])
    assert {spec.name: spec.shape for spec in trunk.specs} == {
        name: array.shape[1:] for name, array in found.items()
    }
    assert found["pooled"][0, 0, 1].tolist() == [1.0] * 3 + [0.0] * 29
    assert found["pooled"][0, 0, 0].tolist() == [0.0] * 32


def test_the_page_names_all_that_a_kind_of_network_offers() -> None:
    from msavqa.trunks.run.network import Kind

    section = documents.section(documents.read("docs/extend.md"), "A kind of network")
    named = set(re.findall(r"^\| `(\w+)`", section, flags=re.MULTILINE))
    assert named == {"AXIS", "TrunkSettings", *(name for name in vars(Kind) if not name.startswith("_"))}


def test_the_site_is_whole_and_asks_nobody(tmp_path: Path) -> None:
    from mkdocs.commands.build import build
    from mkdocs.config import load_config

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of packages that only build the site
        build(load_config(str(ROOT / "mkdocs.yml"), site_dir=str(tmp_path), strict=True))
    pages = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.html")}
    rooms = {path.name for path in (ROOT / "msavqa").iterdir() if (path / "__init__.py").is_file()}
    texts = {path.stem for path in (ROOT / "docs").glob("*.md")}
    assert {f"reference/{room}.html" for room in rooms} | {f"{text}.html" for text in texts} <= pages
    for page in sorted(pages):
        html = (tmp_path / page).read_text(encoding="utf-8")
        assert re.findall(r"""(?:src|<link[^>]*href)=["'](?:https?:)?//[^"']+""", html) == [], page
    home = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert 'href="costs.html"' in home


def test_make_ui_leaves_the_checkout_itself_installed(tmp_path: Path) -> None:
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    programs = tmp_path / ".venv" / "bin"
    programs.mkdir(parents=True)
    for name in ("python", "msavqa"):
        (programs / name).write_text('#!/bin/sh\necho "$(basename "$0") $*"\n', encoding="utf-8")
        (programs / name).chmod(0o755)
    (programs / ".installed").touch()
    said = tiny.run("make", "--silent", "ui", cwd=tmp_path).splitlines()
    assert said == [
        "python -m pip install --quiet --no-compile --constraint constraints.txt --editable .[ui]",
        "msavqa ui",
    ]
    assert tiny.run("make", "--silent", "ui", cwd=tmp_path).splitlines() == ["msavqa ui"]


def test_make_help_lists_every_target_that_the_documents_name() -> None:
    listed = subprocess.run(["make", "help"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    known = {line.split()[0] for line in listed.splitlines()}
    assert {command.split()[1] for command in shown() if command.startswith("make ")} - {"help"} <= known


def test_every_benchmark_says_what_it_measures() -> None:
    for path in sorted((ROOT / "benchmarks").glob("[a-z]*.py")):
        if path.stem == "presets":  # what the others read
            continue
        said = io.StringIO()
        module = __import__(f"benchmarks.{path.stem}", fromlist=["main"])
        with contextlib.redirect_stdout(said), pytest.raises(SystemExit) as ended:
            module.main(["--help"])
        assert ended.value.code == 0
        assert f"python -m benchmarks.{path.stem}" in said.getvalue()


def test_the_rooms_print_what_is_missing() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.rooms"], cwd=ROOT, check=False, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.pipeline
def test_make_runs_what_the_readme_shows_on_a_finished_project(tiny_world: Path, tmp_path: Path) -> None:
    repo = Path(shutil.copytree(tiny_world, tmp_path / "msavqa", symlinks=True))
    (repo / ".venv/bin").mkdir(parents=True)
    (repo / ".venv/bin/.installed").touch()  # what `make install` leaves: these packages are another .venv's
    said = tiny.run("make", "repro", cwd=repo)
    assert tiny.stages_run(said) == []
    assert "report: reports/sample/report.html" in said
    assert "prompt_disjoint" in tiny.run("make", "table2", cwd=repo)
    assert "SRCC" in tiny.run("make", "exp-show", cwd=repo)
