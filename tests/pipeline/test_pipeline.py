"""The whole pipeline on a tiny world: it runs, it reruns what an edit can change, and nothing else."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from tests import tiny

pytestmark = pytest.mark.pipeline


@pytest.fixture
def repo(tiny_world: Path, tmp_path: Path) -> Path:
    """A copy of the tiny world to change, with its cache: nothing in it needs to run."""
    return Path(shutil.copytree(tiny_world, tmp_path / "msavqa", symlinks=True))


def test_every_stage_completes_and_the_metrics_are_flat_and_whole(tiny_world: Path) -> None:
    metrics = json.loads((tiny_world / "reports/sample/metrics.json").read_text(encoding="utf-8"))
    wanted = {
        "srcc", "plcc", "krcc", "rmse", "avg_score", "srcc_ci95_low", "srcc_ci95_high", "noise_ceiling_srcc",
        "videos_test", "videos_quarantined", "frame_srcc", "segment_srcc", "video_srcc",
    }  # fmt: skip
    assert wanted <= metrics.keys()
    words = {"verdict", "verdict_level"}
    assert all(isinstance(value, int | float) for name, value in metrics.items() if name not in words)
    assert (metrics["videos"], metrics["videos_quarantined"]) == (12, 0)
    trained = [metrics[f"seconds_train_{branch}"] for branch in ("frame", "segment", "video")]
    assert metrics["seconds"] == pytest.approx(sum(trained), abs=0.01)
    assert min(trained) > 0
    assert {
        "seconds_decode",
        "seconds_measure",
        "seconds_pretrain_segment",
        "seconds_extract_clip_image",
    } <= metrics.keys()
    assert "<html" in (tiny_world / "reports/sample/report.html").read_text(encoding="utf-8")


def test_a_second_repro_runs_no_stage(repo: Path) -> None:
    assert tiny.repro(repo) == []


TRAINED = [f"train@sample-{branch}" for branch in ("frame", "segment", "video")]
EXAMINED = [f"examine@sample-{branch}" for branch in ("frame", "segment", "video")]


def said_of(stage: str, output: str) -> str:
    """What one stage printed, out of what `dvc repro` did."""
    return output.split(f"Running stage '{stage}':")[1].split("Running stage '")[0]


def test_an_edited_branch_trains_that_branch_alone(repo: Path) -> None:
    """DVC runs what stands on the room; whose models come out the same takes them as they are."""
    path = repo / "msavqa/branches/frame.py"
    text = path.read_text(encoding="utf-8")
    assert text.count("mean(dim=1)") == 1
    path.write_text(text.replace("mean(dim=1)", "amax(dim=1)"), encoding="utf-8")
    output = tiny.run("dvc", "repro", cwd=repo)
    assert sorted(tiny.stages_run(output)) == sorted(
        [
            "check",
            "pretrain@sample_ugc-segment",
            *TRAINED,
            *EXAMINED,
            "ensemble@sample",
            "report@sample",
            "export@sample",
        ]
    )
    assert "3 models, 0 of them trained before" in said_of("train@sample-frame", output)
    for stage in TRAINED[1:]:
        assert "3 models, 3 of them trained before" in said_of(stage, output)


def test_a_comment_trains_and_extracts_nothing(repo: Path) -> None:
    for room in ("branches", "learning", "store", "trunks/kinds"):
        path = next((repo / "msavqa" / room).glob("[a-z]*.py"))
        path.write_text(path.read_text(encoding="utf-8") + "\n# edited\n", encoding="utf-8")
    output = tiny.run("dvc", "repro", cwd=repo)
    ran = tiny.stages_run(output)
    assert {"extract@sample-frame", "decode@sample", *TRAINED} <= set(ran)
    for stage in ran:
        if stage.startswith(("extract", "prompts", "measure")):
            assert " 0 computed now" in said_of(stage, output), stage
        elif stage.startswith("train"):
            assert "3 models, 3 of them trained before" in said_of(stage, output), stage


def test_a_changed_parameter_of_one_trunk_extracts_that_trunk_and_trains_who_reads_it(repo: Path) -> None:
    tiny.edit(repo / "params.yaml", {"trunks.frame.dtype": "float32"})
    output = tiny.run("dvc", "repro", cwd=repo)
    ran = tiny.stages_run(output)
    extracted = [
        name for name in ran if name.startswith(("extract", "prompts", "measure", "decode", "index", "data/"))
    ]
    assert extracted == ["extract@sample-frame"]
    assert "3 models, 0 of them trained before" in said_of("train@sample-frame", output)
    for stage in TRAINED[1:]:
        assert "3 models, 3 of them trained before" in said_of(stage, output)


def test_more_epochs_leave_the_pre_training_alone(repo: Path) -> None:
    tiny.edit(repo / "params.yaml", {"train.epochs": 3, "branches.segment.sma.width": 64})
    stale = tiny.run("dvc", "status", cwd=repo)
    assert "train@sample-segment" in stale
    assert "pretrain" not in stale


def test_an_edited_statistic_marks_no_network_and_prompts_do_not_wait_for_videos(repo: Path) -> None:
    path = repo / "msavqa/trunks/measures/frame_statistics.py"
    path.write_text(path.read_text(encoding="utf-8") + "\n# edited\n", encoding="utf-8")
    stale = [
        line.rstrip(":") for line in tiny.run("dvc", "status", cwd=repo).splitlines() if line[:1].isalpha()
    ]
    assert sorted(stale) == ["copies@sample", "measure@sample", "measure@sample_ugc"]
    tiny.run("git", "checkout", "msavqa", cwd=repo)
    tiny.edit(repo / "params.yaml", {"decode.frames": 8})
    stale = tiny.run("dvc", "status", cwd=repo)
    assert "decode@sample" in stale
    assert "prompts@" not in stale


def test_a_changed_control_retrains_nothing(repo: Path) -> None:
    path = repo / "pipeline/examine.py"
    path.write_text(path.read_text(encoding="utf-8") + "\n# edited\n", encoding="utf-8")
    assert sorted(tiny.repro(repo)) == EXAMINED  # what they say is the same: nothing follows


def test_moved_files_rerun_nothing_after_a_commit(repo: Path) -> None:
    (repo / "msavqa/learning/losses.py").rename(repo / "msavqa/learning/loss.py")
    tiny.run("dvc", "commit", "--force", "--quiet", cwd=repo)
    assert tiny.repro(repo, "--dry") == []


def test_torchrun_trains_with_two_processes_what_one_trains_in_two_parts(repo: Path) -> None:
    keys = ["repeat", "role", "video_id"]

    def predicted(*command: str, accumulate: int) -> pd.DataFrame:
        tiny.edit(repo / "params.yaml", {"train.accumulate": accumulate})
        file = repo / "runs/sample/branches/frame/predictions.parquet"
        file.unlink()
        tiny.run(*command, "-m", "pipeline.train", "sample", "frame", cwd=repo)
        return pd.read_parquet(file).sort_values(keys, ignore_index=True)

    alone = predicted("python", accumulate=2)
    together = predicted("torchrun", "--standalone", "--nproc-per-node", "2", accumulate=1)
    assert together[keys].equals(alone[keys])
    assert np.abs(together["score"] - alone["score"]).max() < 1e-4 * alone["score"].std()


def test_an_experiment_sets_a_knob_and_reuses_every_store(repo: Path) -> None:
    output = tiny.run("dvc", "exp", "run", "--set-param", "train.epochs=1", cwd=repo)
    assert not [name for name in tiny.stages_run(output) if name.startswith(("extract", "decode"))]
    shown = tiny.run("dvc", "exp", "show", "--csv", cwd=repo)
    assert "srcc" in shown.splitlines()[0]


def test_a_queued_sweep_reuses_every_store_shows_its_progress_and_fits_a_terminal(repo: Path) -> None:
    before = (repo / "dvc.yaml").read_bytes()
    tiny.run("dvc", "exp", "run", "--queue", "--set-param", "branches.frame.head.width=16,24", cwd=repo)
    tiny.run("dvc", "queue", "start", "--jobs", "2", cwd=repo)
    names = tiny.run("dvc", "queue", "status", cwd=repo).split("\n")[1:3]
    for name in (line.split()[1] for line in names):
        output = tiny.run("dvc", "queue", "logs", "--follow", name, cwd=repo)
        ran = tiny.stages_run(output)
        assert [one for one in ran if one != "check"] == [
            "train@sample-frame", "examine@sample-frame", "ensemble@sample", "report@sample", "export@sample"
        ]  # fmt: skip
        shown = repo / "dvclive" / name / "frame" / "repeat0" / "plots" / "metrics" / "loss.tsv"
        assert [line.split("\t")[0] for line in shown.read_text(encoding="utf-8").splitlines()] == [
            "step",
            "1",
            "2",
        ]
    tiny.wait_for_queue(repo)
    table = tiny.run("python", "-m", "pipeline.experiments", cwd=repo).splitlines()
    assert max(map(len, table)) <= 120
    assert table[-5].split() == ["experiment", "width", "SRCC", "95%", "PLCC", "95%", "seconds"]
    assert [line.split()[1] for line in table[-4:-2]] == ["256", "256"]
    assert {line.split()[1] for line in table[-2:]} == {"16", "24"}
    assert all(len(line.split()) == 11 for line in table[-2:])
    assert (repo / "dvc.yaml").read_bytes() == before
    assert tiny.run("git", "status", "--short", cwd=repo) == ""


def test_dvc_shows_the_stages_and_the_metrics(tiny_world: Path) -> None:
    drawn = tiny.run("dvc", "dag", "--mermaid", cwd=tiny_world)
    assert all(f'"{name}"' in drawn for name in ("check", "train@sample-frame", "export@sample"))
    shown = tiny.run("dvc", "metrics", "show", "--md", cwd=tiny_world).splitlines()
    names = [cell.strip() for cell in shown[0].strip("|").split("|")]
    assert {"Path", "srcc", "plcc", "control_no_pixel_srcc"} <= set(names)
    assert {line.strip("|").split("|")[0].strip() for line in shown[2:] if line} == {
        "reports/sample/metrics.json",
    }


def test_dvc_plots_draws_the_reports_curves(tiny_world: Path) -> None:
    plots = json.loads(tiny.run("dvc", "plots", "show", "--json", cwd=tiny_world))["data"]
    drawn = {name: json.dumps(one[0]["content"]) for name, one in plots.items()}
    expected = {
        "scatter": ("score", "mos"),
        "calibration": ("score",),
        "comparison": ("srcc", "predictor"),
        "generators": ("srcc", "generator"),
    }
    assert set(drawn) == {f"reports/sample/plots/{name}.csv" for name in expected}
    for name, fields in expected.items():
        for field in fields:
            assert f'"field": "{field}"' in drawn[f"reports/sample/plots/{name}.csv"]


def test_wrong_keys_stop_everything_with_all_their_names(repo: Path) -> None:
    path = repo / "params.yaml"
    data = yaml.safe_load(path.read_text(encoding="utf-8"))
    data["train"]["epoch"] = data["train"].pop("epochs")
    data["branches"]["frame"]["sma"]["head"] = 4
    path.write_text(yaml.safe_dump(data, sort_keys=False), encoding="utf-8")
    output = tiny.run("python", "-m", "pipeline.check", cwd=repo, ok=False)
    assert output.strip() == (
        "error: 3 problems in params.yaml; mend them and run again:\n"
        "  - branches.frame.sma.head: unknown key, did you mean 'heads'?\n"
        "  - train.epochs: missing\n"
        "  - train.epoch: unknown key, did you mean 'epochs'?"
    )


def test_make_names_every_wrong_key_that_dvc_would_stumble_over(repo: Path) -> None:
    (repo / ".venv/bin").mkdir(parents=True)
    (repo / ".venv/bin/.installed").touch()  # what `make install` leaves: these packages are another .venv's
    path = repo / "params.yaml"
    data = yaml.safe_load(path.read_text(encoding="utf-8"))
    data["datasets"]["sample"]["label"] = data["datasets"]["sample"].pop("labels")
    data["texts"]["clip_txt"] = data["texts"].pop("clip_text")
    del data["fetch"]
    path.write_text(yaml.safe_dump(data, sort_keys=False), encoding="utf-8")
    assert "failed to parse" in tiny.run("dvc", "repro", cwd=repo, ok=False)
    for target in ("repro", "ablation"):
        said = tiny.run("make", target, cwd=repo, ok=False)
        assert said.startswith(
            "error: 7 problems in params.yaml; mend them and run again:\n"
            "  - datasets.sample.labels: missing\n"
            "  - datasets.sample.label: unknown key, did you mean 'labels'?\n"
            "  - fetch: missing\n"
            + "".join(
                f"  - {key}.text: got 'clip_text', expected one of clip_txt, did you mean 'clip_txt'?\n"
                for key in (*(f"branches.{name}.reads" for name in ("frame", "segment", "video")), "controls")
            )
            + "make: *** "
        )


def test_a_video_scores_from_the_command_line_of_a_fresh_run(tiny_world: Path) -> None:
    video = next((tiny_world / "data/sample/videos/t2v").rglob("*.mp4"))
    output = tiny.run("msavqa", "score", str(video), "--prompt", "a red ball", "--json", cwd=tiny_world)
    found = json.loads(output[output.index("{") :])
    assert 0 <= found["score"] <= 100
