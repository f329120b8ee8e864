"""The command line: lean to start, plain to read, one sentence and exit code 2 for what it refuses."""

import contextlib
import io
import json
import os
import re
import resource
import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import pytest
import typer
import yaml

from msavqa.app import cli
from msavqa.datasets import tables
from tests import media, synthetic
from tests.check.test_presets import preset
from tests.conftest import ROOT


@dataclass(frozen=True)
class Done:
    """What a command printed."""

    stdout: str
    stderr: str


def msavqa(*words: object, cwd: Path, code: int = 0, **environment: str) -> Done:
    """Runs one command in this process: a fresh one spends most of its time on imports."""
    out, err, found = io.StringIO(), io.StringIO(), 0
    with (
        pytest.MonkeyPatch.context() as patch,
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        patch.chdir(cwd)
        patch.delenv("MSAVQA_BUNDLE", raising=False)
        for name, value in {"COLUMNS": "200", **environment}.items():
            patch.setenv(name, value)
        try:
            cli.main([str(word) for word in words])
        except SystemExit as leaving:
            found = int(leaving.code or 0)
    done = Done(out.getvalue(), err.getvalue())
    assert found == code, f"{done.stdout}\n{done.stderr}"
    return done


def fresh(*words: object, cwd: Path, code: int = 0) -> Done:
    """Runs one command as a user does, in a process of its own."""
    inherited = {name: value for name, value in os.environ.items() if name != "MSAVQA_BUNDLE"}
    done = subprocess.run(
        [sys.executable, "-m", "msavqa.app.cli", *map(str, words)],
        cwd=cwd, capture_output=True, text=True, check=False, timeout=300,
        env={**inherited, "PYTHONPATH": str(ROOT), "COLUMNS": "200"},
    )  # fmt: skip
    assert done.returncode == code, f"{done.stdout}\n{done.stderr}"
    return Done(done.stdout, done.stderr)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return synthetic.project(tmp_path_factory.mktemp("made"), videos=120, repeats=1)


def test_the_version_is_said() -> None:
    assert msavqa("--version", cwd=ROOT).stdout == f"msavqa {metadata.version('msavqa')}\n"


def test_help_imports_nothing_heavy() -> None:
    code = "import sys, msavqa.app.cli; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    heavy = {"torch", "numpy", "pandas", "scipy", "av", "decord", "zarr", "matplotlib", "dvc", "pydantic"}
    assert heavy & set(done.stdout.split()) == set()


def test_help_takes_less_than_half_a_second() -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    said = fresh("--help", cwd=ROOT).stdout
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert "msavqa score some.mp4" in said
    # CPU seconds: on a machine with nothing else to do, as long as it takes.
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 0.5


def commands(group: typer.Typer, above: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """The words of every command, those of the groups below as well."""
    found = [(*above, str(one.name)) for one in group.registered_commands]
    for below in group.registered_groups:
        assert below.typer_instance is not None
        found += commands(below.typer_instance, (*above, str(below.name)))
    return found


def test_every_command_has_a_help_text_with_an_example() -> None:
    every = commands(cli.app)
    assert {("score",), ("ui",), ("data", "check"), ("features", "adopt")} <= set(every)
    for words in every:
        said = msavqa(*words, "--help", cwd=ROOT).stdout
        example = said[re.search("Examples?\\b", said).start() :]  # type: ignore[union-attr]
        assert f"msavqa {' '.join(words)}" in example, said


def test_a_score_is_one_line_and_json_is_everything(random_bundle: Path, tmp_path: Path) -> None:
    media.write(tmp_path / "-a b.mp4", media.numbered(8))
    words = ["score", "--prompt", "a red ball", "--model", random_bundle]
    line = fresh(*words, "--", "-a b.mp4", cwd=tmp_path).stdout
    assert re.fullmatch(
        r"-a b\.mp4: \d+\.\d of 0-100  90% interval \d+\.\d-\d+\.\d  frame -?\d+\.\d, segment -?\d+\.\d, "
        r"video -?\d+\.\d  alignment .*  consistency .*\n",
        line,
    )
    found = json.loads(msavqa(*words, "--json", "--", "-a b.mp4", cwd=tmp_path).stdout)
    assert found["mos_range"] == [0.0, 100.0]
    assert len(found["timeline"]) == 4
    assert line.startswith(f"-a b.mp4: {found['score']:.1f} of")


def test_the_model_of_the_pipeline_is_the_default(random_bundle: Path, tmp_path: Path) -> None:
    media.write(tmp_path / "a.mp4", media.numbered(8))
    (tmp_path / "params.yaml").write_text("train_on: [mine]\n", encoding="utf-8")
    said = msavqa("score", "a.mp4", "--prompt", "x", cwd=tmp_path, code=2).stderr
    assert said == (
        "error: Model bundle in runs/mine/bundle: got no such folder, expected a folder with one; run `dvc "
        "repro` "
        "to train a model and export it, or give a bundle's folder with --model.\n"
    )
    (tmp_path / "runs" / "mine").mkdir(parents=True)
    (tmp_path / "runs" / "mine" / "bundle").symlink_to(random_bundle)
    assert msavqa("score", "a.mp4", "--prompt", "x", cwd=tmp_path).stdout.startswith("a.mp4: ")


def test_outside_a_project_the_model_is_asked_for(tmp_path: Path) -> None:
    assert msavqa("score", "a.mp4", "--prompt", "x", cwd=tmp_path, code=2).stderr == (
        "error: Model bundle in --model: got none, and no params.yaml here that would name one, expected a "
        "bundle's folder; name it with --model or in MSAVQA_BUNDLE, or run from the project's root.\n"
    )


def test_params_without_a_dataset_name_no_model(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text("train: {}\n", encoding="utf-8")
    assert msavqa("score", "a.mp4", "--prompt", "x", cwd=tmp_path, code=2).stderr == (
        "error: Model bundle in --model: got none, and no set in `train_on` of params.yaml that would "
        "name one, expected a bundle's folder; name it with --model or in MSAVQA_BUNDLE, or run from the "
        "project's root.\n"
    )


def test_stores_and_files_that_are_not_there_are_named(tmp_path: Path) -> None:
    no_store = (
        "error: Incomplete store in nowhere: got no such store, expected a finished store; run `dvc repro` "
        "or `dvc pull` to get it whole.\n"
    )
    for words in (("info", "nowhere"), ("verify", "nowhere", "--sample", 2), ("export", "nowhere", "a.h5")):
        assert msavqa("features", *words, cwd=tmp_path, code=2).stderr == no_store
    assert msavqa("features", "import", "nowhere.h5", "a.zarr", cwd=tmp_path, code=2).stderr == (
        "error: Not an exported store in nowhere.h5: got no such file, expected a whole HDF5 file of format "
        "1; ask for a file made by `msavqa features export`.\n"
    )


def test_a_bad_video_is_one_sentence_and_exit_code_2(random_bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.mp4").write_text("no", encoding="utf-8")
    done = msavqa("score", "bad.mp4", "--prompt", "x", cwd=tmp_path, code=2, MSAVQA_BUNDLE=str(random_bundle))
    assert done.stdout == ""
    assert re.fullmatch(r"error: .* in bad\.mp4: got .*, expected .*; .*\.\n", done.stderr)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "give either a video, a folder or --csv"),
        (["a.mp4", "--csv", "b.csv"], "give either a video, a folder or --csv"),
        (["--csv", "b.csv"], "--csv needs --out, and takes neither --prompt nor --json"),
        (["a.mp4"], 'give --prompt (--prompt "" where there is none)'),
    ],
)
def test_words_that_do_not_go_together_are_refused(tmp_path: Path, words: list[str], said: str) -> None:
    assert said in msavqa("score", *words, cwd=tmp_path, code=2).stderr


def test_a_csv_is_scored_from_the_command_line(random_bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "videos").mkdir()
    media.write(tmp_path / "videos" / "a.mp4", media.numbered(8))
    (tmp_path / "list.csv").write_text("file,text\na.mp4,a ball\nb.mp4,a ball\n", encoding="utf-8")
    done = msavqa(
        "score", "--csv", "list.csv", "--out", "scores.csv", "--root", "videos", "--video-column", "file",
        "--prompt-column", "text", "--model", random_bundle, cwd=tmp_path, code=2,
    )  # fmt: skip
    assert done.stdout == "scores.csv: 1 scored, 1 failed\n"
    assert "score: 2/2 videos" in done.stderr
    (tmp_path / "list.csv").write_text("video,prompt\na.mp4,a ball\n", encoding="utf-8")
    words = ("--csv", "list.csv", "--out", "good.csv", "--root", "videos", "--model", random_bundle)
    assert msavqa("score", *words, cwd=tmp_path).stdout == "good.csv: 1 scored, 0 failed\n"


def test_withheld_scores_are_packed_for_the_challenge(made: Path, tmp_path: Path) -> None:
    shutil.copytree(made / "data", tmp_path / "data")
    shutil.copytree(made / "runs", tmp_path / "runs")
    shutil.copy(made / "params.yaml", tmp_path)
    words = ["submission", "--out", "s.zip", "--seconds", "0.4"]
    said = msavqa(*words, cwd=tmp_path, code=2).stderr
    assert said == (
        "error: 1 problem in the manifest; check `labels`:\n  - every video has a MOS, none is withheld\n"
    )
    path = tmp_path / "data/made/manifest.parquet"
    manifest = tables.read_manifest(path)
    predicted = tables.read_predictions(tmp_path / "runs/made/ensemble/predictions.parquet")
    tested = predicted.loc[predicted["role"] == "test"].set_index("video_id")["score"]
    chosen = manifest["video_id"].isin(tested.index[:3])
    tables.write_manifest(manifest.assign(mos=manifest["mos"].mask(chosen)), path)
    assert msavqa(*words, cwd=tmp_path).stdout == "s.zip: 3 scores, the mean of 1 repeats\n"
    with zipfile.ZipFile(tmp_path / "s.zip") as archive:
        lines = archive.read("output.txt").decode().splitlines()
        readme = archive.read("readme.txt").decode()
    assert lines == [f"{name},{float(tested[name])!r}" for name in manifest.loc[chosen, "video_id"]]
    assert readme.startswith("Runtime per video [s] : 0.400\nCPU[1] / GPU[0] : 1\nExtra Data [1]")


def test_features_info_verify_export_and_import_go_round(made: Path, tmp_path: Path) -> None:
    store = "features/made/clip_image.zarr"
    facts = json.loads(msavqa("features", "info", store, "--json", cwd=made).stdout)
    assert (facts["rows"], facts["fingerprint"]) == (122, {"made": "clip_image"})
    assert "clip_image.zarr" in msavqa("features", "info", store, cwd=made).stdout
    assert msavqa("features", "verify", store, cwd=made).stdout.endswith("files whole\n")
    file, copy = tmp_path / "clip.h5", tmp_path / "copy.zarr"
    msavqa("features", "export", store, file, cwd=made)
    assert msavqa("features", "import", file, copy, cwd=made).stdout == f"{copy}: 122 rows, 0 quarantined\n"
    assert msavqa("features", "verify", copy, cwd=made).stdout.endswith("files whole\n")


def test_a_damaged_store_is_named(made: Path, tmp_path: Path) -> None:
    said = msavqa("features", "info", tmp_path, cwd=made, code=2).stderr
    assert said.startswith(f"error: Incomplete store in {tmp_path}: got no ")


def test_data_check_names_every_mistake(tmp_path: Path) -> None:
    (tmp_path / "videos").mkdir()
    media.write(tmp_path / "videos" / "a.mp4", media.numbered(2))
    (tmp_path / "videos.csv").write_text("video,prompt,mos\na.mp4,x,5\nb.mp4,y,15\n", encoding="utf-8")
    whole, wrong = yaml.safe_dump(preset("csv_offline")), preset("csv_offline")
    wrong["datasets"]["mine"]["label"] = wrong["datasets"]["mine"].pop("labels")
    del wrong["train_on"]
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(wrong), encoding="utf-8")
    assert msavqa("data", "check", cwd=tmp_path, code=2).stderr == (
        "error: 3 problems in params.yaml; mend them and run again:\n"
        "  - train_on: missing\n"
        "  - datasets.mine.labels: missing\n"
        "  - datasets.mine.label: unknown key, did you mean 'labels'?\n"
    )
    (tmp_path / "params.yaml").write_text(whole, encoding="utf-8")
    said = msavqa("data", "check", cwd=tmp_path, code=2).stderr
    assert "b.mp4" in said
    assert "15" in said
    (tmp_path / "videos.csv").write_text("video,prompt,mos\na.mp4,x,5\n", encoding="utf-8")
    assert msavqa("data", "check", cwd=tmp_path).stdout == (
        "mine: of 1 ratings 1 is exactly 5, where the scale ends; if that means that somebody did not rate, "
        "`missing` of a csv leaves it out\n"
        "mine: 1 videos, 1 prompts, 0 generators, 1 with a MOS, MOS 5 to 5 on 1-5: no mistakes\n"
    )


def test_export_refuses_a_folder_that_exists(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    assert msavqa("export", "--out", "out", cwd=tmp_path, code=2).stderr == (
        "error: Folder of a new bundle in out: got something that exists, expected a new name; choose "
        "another "
        "--out or remove it first.\n"
    )


def test_export_without_a_run_says_what_to_run(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text("train_on: [mine]\n", encoding="utf-8")
    assert msavqa("export", "--out", "out", cwd=tmp_path, code=2).stderr == (
        "error: Trained run in runs/mine/ensemble/ensemble.json: got no such file, expected what `dvc "
        "repro` makes; "
        "run `dvc repro` first.\n"
    )


def test_output_that_nobody_takes_ends_with_a_sentence_and_2() -> None:
    command = [sys.executable, "-m", "msavqa.app.cli", "--help"]
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (
        2,
        "error: Full disk in the output: got no space left, expected room for what is written; free some "
        "space and run again.\n",
    )


def test_a_name_that_the_terminal_cannot_show_is_shown_all_the_same(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "msavqa.app.cli", "data", "check", "数"]
    (tmp_path / "params.yaml").write_bytes((ROOT / "presets/sample.yaml").read_bytes())
    env = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (
        2,
        "error: 1 problem in params.yaml; mend it and run again:\n"
        "  - datasets.\\u6570: missing, there are sample, sample_ugc\n",
    )
