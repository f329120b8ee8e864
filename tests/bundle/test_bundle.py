"""A bundle is loaded as it was exported, or refused with a sentence."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from msavqa.bundle import bundle
from msavqa.bundle import contents as bundle_contents
from msavqa.evaluation.verdict import Verdict
from msavqa.ground.errors import MsavqaError
from msavqa.score.scorer import load
from msavqa.trunks.measures import statistics
from tests import media, tiny
from tests import random_bundle as random_model
from tests.app.test_cli import fresh
from tests.conftest import ROOT

CANNOT_TELL = (
    "this bundle cannot tell whether a video is like its training videos: it was exported before that was "
    "measured"
)


@pytest.fixture
def copy(random_bundle: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(random_bundle, tmp_path / "bundle"))


def refusal_of(folder: Path) -> str:
    with pytest.raises(MsavqaError) as refusal:
        bundle.load(folder)
    return str(refusal.value).replace(str(folder), "bundle")


def test_a_bundle_may_move_and_stays_the_same_model(random_bundle: Path, copy: Path) -> None:
    first, second = bundle.load(random_bundle), bundle.load(copy)
    assert first.digest == second.digest
    assert second.of_network("frame").is_relative_to(copy)
    assert Path(second.texts["clip_text"]["model"]).is_relative_to(copy)
    assert (first.ensemble, first.calibration, first.reference) == (
        second.ensemble,
        second.calibration,
        second.reference,
    )


def test_nothing_in_a_bundle_names_where_it_was_made(random_bundle: Path) -> None:
    text = (random_bundle / "bundle.json").read_text(encoding="utf-8")
    assert str(random_bundle.parent) not in text
    assert str(random_bundle.anchor) + "tmp" not in text


def test_a_bundle_of_the_form_of_before_scores_the_same(
    random_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    former = random_model.make(tmp_path, former=True)
    assert (
        json.loads((former.path / "bundle.json").read_text(encoding="utf-8"))["format"] == "msavqa-bundle/1"
    )
    video = media.write(tmp_path / "a.mp4", media.numbered(12))
    scores = []
    # As if the measures were still those of then. They have another version, and bundles of then are refused.
    for path, version in ((former.path, 1), (random_bundle, statistics.VERSION)):
        monkeypatch.setattr(statistics, "VERSION", version)
        with load(path) as scorer:
            scores.append(scorer.score(video, "a red ball").to_dict())
    assert scores[0].pop("model") != scores[1].pop("model")
    told = ("familiarity", "familiarity_bound", "change_threshold", "warnings")
    assert [scores[0].pop(name) for name in told] == [None, None, None, (CANNOT_TELL,)]
    assert [scores[1].pop(name) for name in told] == [1.0, 0.01, random_model.CHANGE, ()]
    assert scores[0] == scores[1]


def test_a_bundle_of_the_form_of_before_made_by_unknown_measures_is_refused(tmp_path: Path) -> None:
    former = random_model.make(tmp_path, former=True)
    name = "msavqa/extraction/motion_statistics.py"
    forge(former.path, put("fingerprints", "statistics", "source_sha256", name, value="0" * 64))
    with load(former.path) as scorer, pytest.raises(MsavqaError) as refusal:
        scorer.ready()
    assert str(refusal.value) == (
        "Frozen network in trunk 'statistics': got measures_version 2, expected None, as in training; run "
        "`dvc repro` to train with this msavqa, or score with that of the training."
    )


@pytest.mark.parametrize("part", ["trunks", "branches", "reference"])
def test_broken_contents_of_the_form_of_before_are_refused(tmp_path: Path, part: str) -> None:
    former = random_model.make(tmp_path, former=True)
    forge(former.path, put(part, value={"frame": {}}))
    missing = {"trunks": "kind", "branches": "settings", "reference": "quantiles"}[part]
    said = refusal_of(former.path)
    assert said == (
        f"Model bundle in bundle/bundle.json: got contents of another shape (KeyError: '{missing}'), "
        "expected a bundle's contents; export the bundle again with `msavqa export`."
    )


@pytest.mark.slow
def test_a_comment_in_every_source_leaves_a_bundle_usable(random_bundle: Path, tmp_path: Path) -> None:
    ignored = shutil.ignore_patterns("__pycache__")
    package = Path(shutil.copytree(ROOT / "msavqa", tmp_path / "commented" / "msavqa", ignore=ignored))
    for file in package.rglob("*.py"):
        text = file.read_text(encoding="utf-8")
        file.write_text(f"# a comment\n{text}\n# another\n", encoding="utf-8")
    video = media.write(tmp_path / "a.mp4", media.numbered(12))
    words = ("score", str(video), "--prompt", "a red ball", "--model", str(random_bundle), "--json")
    done = subprocess.run(
        [sys.executable, "-m", "msavqa.app.cli", *words], cwd=package.parent,
        env={**os.environ, "PYTHONPATH": str(package.parent)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    with load(random_bundle) as scorer:
        assert json.loads(done.stdout)["score"] == scorer.score(video, "a red ball").score


@pytest.mark.parametrize("names", [("sound",), ("sound", "light"), ("a", "b", "c", "d")])
def test_branches_of_any_names_score(tmp_path: Path, names: tuple[str, ...]) -> None:
    blocks = [*random_model.BRANCHES.values(), random_model.BRANCHES["frame"]]
    made = random_model.make(tmp_path, branches=dict(zip(names, blocks, strict=False)))
    video = media.write(tmp_path / "a.mp4", media.numbered(12))
    with load(made.path) as scorer:
        found = scorer.score(video, "a red ball")
    assert tuple(found.branches) == names
    assert all(one.share_below is not None for one in found.branches.values())
    assert found.timeline[0].score is not None


def test_a_bundle_knows_what_it_is_and_one_of_before_does_not(random_bundle: Path, tmp_path: Path) -> None:
    said = Verdict(
        "Trained on 100 videos of 4 generators, not better than nothing: do not use.", "do not use"
    )
    made = random_model.make(tmp_path, verdict=said)
    assert bundle.load(made.path).verdict == said
    contents = json.loads((made.path / "bundle.json").read_text(encoding="utf-8"))
    assert (contents["verdict"], contents["verdict_level"]) == (said.sentence, "do not use")
    assert bundle.load(random_bundle).verdict is None
    assert "verdict" not in json.loads((random_bundle / "bundle.json").read_text(encoding="utf-8"))


def test_one_flipped_bit_of_a_weight_is_refused(copy: Path) -> None:
    file = copy / "branches" / "frame.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    said = refusal_of(copy)
    assert said.startswith("Model bundle in bundle/branches/frame.safetensors: got SHA-256 ")
    assert said.endswith("; export the bundle again with `msavqa export`.")


def test_a_missing_file_is_refused(copy: Path) -> None:
    (copy / "networks" / "video.safetensors").unlink()
    said = refusal_of(copy)
    assert said.startswith(
        "Model bundle in bundle/networks/video.safetensors: got no such file, expected a file"
    )


def test_changed_settings_are_refused(copy: Path) -> None:
    file = copy / "bundle.json"
    contents = json.loads(file.read_text(encoding="utf-8"))
    contents["calibration"]["half_width"] = 0.1
    file.write_text(json.dumps(contents), encoding="utf-8")
    assert refusal_of(copy) == (
        "Model bundle in bundle/bundle.json: got contents that were changed, expected those of digest "
        f"{contents['digest']}; export the bundle again with `msavqa export`."
    )


def forge(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Changes the contents and gives them the digest that they then have."""
    file = folder / "bundle.json"
    contents = json.loads(file.read_text(encoding="utf-8"))
    del contents["digest"]
    change(contents)
    contents["digest"] = bundle_contents.digest(contents)
    file.write_text(json.dumps(contents), encoding="utf-8")


def put(*keys: str | int, value: object) -> Callable[[dict[str, Any]], None]:
    def change(contents: Any) -> None:
        for key in keys[:-1]:
            contents = contents[key]
        contents[keys[-1]] = value

    return change


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda data: data.pop("files"), "files: Field required, expected a bundle's contents"),
        (
            put("ensemble", "weights", value=["x", 0, 1]),
            "ensemble.weights.0: Input should be a valid number, unable to parse string as a number, "
            "expected a bundle's contents",
        ),
        (
            put("ensemble", "weights", value=[1.0]),
            "an ensemble of 3 branches with other numbers of constants, expected contents that go together",
        ),
        (
            put("ensemble", "branches", 0, value="../../frame"),
            "an ensemble of branch '../../frame' without its settings or weights, expected contents that go "
            "together",
        ),
        (put("calibration", value={}), "calibration.logistic: Field required, expected a bundle's contents"),
        (put("trunks", value=[]), "trunks: Input should be a valid dictionary, expected a bundle's contents"),
        (
            put("weights", value="/etc"),
            "text 'clip_text' of file '/etc/clip_text.safetensors', which `files` does not list, expected "
            "contents that go together",
        ),
        (
            put("texts", "clip_text", "model", value="elsewhere.json"),
            "text 'clip_text' of file 'elsewhere.json', which `files` does not list, expected contents that "
            "go together",
        ),
        (
            lambda data: data["fingerprints"].pop("video"),
            "trunk 'video' without a fingerprint, expected contents that go together",
        ),
        (
            put("clip", "image", value="frames"),
            "a CLIP of 'clip_text' and 'frames', which are not both there, expected contents that go "
            "together",
        ),
    ],
)
def test_contents_that_were_forged_with_their_digest_are_refused(
    copy: Path, change: Callable[[dict[str, Any]], object], said: str
) -> None:
    forge(copy, change)
    assert refusal_of(copy) == (
        f"Model bundle in bundle/bundle.json: got {said}; export the bundle again with `msavqa export`."
    )


@pytest.mark.parametrize(
    ("change", "got"),
    [
        (lambda data: data["branches"]["frame"].pop("shapes"), "KeyError: 'shapes'"),
        (
            put("trunks", "frame", "kind", value="none"),
            "ModuleNotFoundError: No module named 'msavqa.trunks.kinds.none'",
        ),
    ],
)
def test_settings_that_make_no_networks_are_refused(
    copy: Path, change: Callable[[dict[str, Any]], object], got: str
) -> None:
    forge(copy, change)
    with load(copy) as scorer, pytest.raises(MsavqaError) as refusal:
        scorer.ready()
    assert str(refusal.value).replace(str(copy), "bundle") == (
        f"Model bundle in bundle/bundle.json: got contents that make no networks ({got}), expected those "
        "that an export writes; export the bundle again with `msavqa export`."
    )


def test_contents_nested_without_end_are_refused(copy: Path) -> None:
    (copy / "bundle.json").write_text("[" * 100_000, encoding="utf-8")
    said = refusal_of(copy)
    assert said.startswith("Model bundle in bundle/bundle.json: got broken JSON (")
    assert said.endswith("), expected a bundle's contents; export the bundle again with `msavqa export`.")


def test_a_file_name_that_leaves_the_folder_is_refused(copy: Path) -> None:
    forge(copy, put("files", "../outside", value="0" * 64))
    assert refusal_of(copy) == (
        "Model bundle in bundle/bundle.json: got the file name '../outside', expected a file inside the "
        "bundle; export the bundle again with `msavqa export`."
    )


def test_a_bundle_of_links_into_a_cache_elsewhere_loads(
    copy: Path, random_bundle: Path, tmp_path: Path
) -> None:
    for file in [one for one in copy.rglob("*") if one.is_file()]:  # as DVC checks out by symlinks
        kept = tmp_path / "cache" / file.relative_to(copy)
        kept.parent.mkdir(parents=True, exist_ok=True)
        file.replace(kept)
        file.symlink_to(kept)
    assert bundle.load(copy).digest == bundle.load(random_bundle).digest


@pytest.mark.parametrize(
    ("content", "got"),
    [
        ("{", "broken JSON (Expecting property name enclosed in double quotes: line 1 column 2 (char 1))"),
        ("[]", "list"),
    ],
)
def test_a_broken_table_of_contents_is_refused(copy: Path, content: str, got: str) -> None:
    (copy / "bundle.json").write_text(content, encoding="utf-8")
    assert refusal_of(copy) == (
        f"Model bundle in bundle/bundle.json: got {got}, expected a bundle's contents; export the bundle "
        "again with `msavqa export`."
    )


def test_another_format_is_refused(copy: Path) -> None:
    (copy / "bundle.json").write_text('{"format": "msavqa-bundle/9"}', encoding="utf-8")
    assert refusal_of(copy) == (
        "Model bundle in bundle/bundle.json: got format 'msavqa-bundle/9', expected format "
        "'msavqa-bundle/2'; export the bundle again with `msavqa export`."
    )


@pytest.mark.parametrize(("exists", "got"), [(True, "no bundle.json"), (False, "no such folder")])
def test_a_folder_that_is_no_bundle_says_how_to_make_one(tmp_path: Path, exists: bool, got: str) -> None:
    folder = tmp_path / "bundle"
    if exists:
        folder.mkdir()
    assert refusal_of(folder) == (
        f"Model bundle in bundle: got {got}, expected a folder with one; run `dvc repro` to train a model "
        "and export it, or give a bundle's folder with --model."
    )


def test_a_fresh_process_gives_the_same_json_whatever_the_threads(
    random_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    media.write(tmp_path / "a.mp4", media.numbered(8))
    words = ("score", "a.mp4", "--prompt", "a red ball", "--json", "--model", random_bundle)
    said = []
    for threads in ("1", "2"):
        monkeypatch.setenv("OMP_NUM_THREADS", threads)
        said.append(fresh(*words, cwd=tmp_path).stdout)
    assert said[0] == said[1]


ALONE = """
import sys
sys.modules |= dict.fromkeys(("dvc", "dvclive", "git"))  # importing one of them fails
from msavqa.app.cli import main
main(sys.argv[1:])
"""


@pytest.mark.pipeline
def test_an_exported_bundle_scores_without_the_training_data_dvc_or_git(
    tiny_world: Path, tmp_path: Path
) -> None:
    made = tmp_path / "made"
    said = tiny.run("msavqa", "export", "--out", str(made), cwd=tiny_world)
    assert said.startswith(f"{made}: model {bundle.load(made).digest[:12]}, ")
    away = tmp_path / "away"
    away.mkdir()
    shutil.move(made, away / "model")
    source = min((tiny_world / "data/sample/videos/t2v").glob("*.mp4"))
    shutil.copy(source, away / "some.mp4")
    words = ("score", "some.mp4", "--prompt", "a red ball rolls left", "--model", "model", "--json")
    done = subprocess.run(
        [sys.executable, "-c", ALONE, *words],
        cwd=away, env={"PATH": "", "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    with load(tiny_world / "runs/sample/bundle") as scorer:
        known = scorer.score(source, "a red ball rolls left")
    found = json.loads(done.stdout)
    assert (found["score"], found["low"], found["high"]) == (known.score, known.low, known.high)
