"""What was computed is found again as long as the code that makes values does the same, and no longer."""

import ast
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from msavqa.ground import sources
from msavqa.store import read as store
from tests import media, videos

MODULES = (
    ("pipeline.decode",),
    ("pipeline.measure",),
    ("pipeline.prompts",),
    *(("pipeline.extract", f"msavqa.trunks.kinds.{kind}") for kind in ("clip_image", "image", "video")),
)
"""What the stages that write stores are made of, as they name it themselves."""
COUNT = 3

# Where the pixels pass on their way -> (file, code, the same with every pixel inverted).
INVERTED = {
    "the decoder": ("msavqa/frames/pyav.py", "finish(upright(", "finish(255 - upright("),
    "the channel of the workers": (
        "msavqa/machine/channel.py",
        "head, *buffers = [_read(channel, size, deadline) for size in sizes]",
        "head, *buffers = [_read(channel, size, deadline) for size in sizes]\n"
        "    buffers = [bytearray(255 - b for b in one) if len(one) > 2000 else one for one in buffers]",
    ),
    "the pool": (
        "msavqa/machine/processes.py",
        "        return Outcome(value, error)",
        "        if hasattr(value, 'frames'):\n            value.frames[:] = 255 - value.frames\n"
        "        return Outcome(value, error)",
    ),
    "the store's writer": (
        "msavqa/store/shard_file.py",
        "values = np.ascontiguousarray(values, dtype",
        "values = 255 - values if values.dtype == np.uint8 else values\n"
        "    values = np.ascontiguousarray(values, dtype",
    ),
    "the shards": (
        "msavqa/store/shard.py",
        "        return result.arrays[spec.name]",
        "        found = result.arrays[spec.name]\n"
        "        return 255 - found if found.dtype == np.uint8 else found",
    ),
    "the store's reader": (
        "msavqa/store/read.py",
        "        return out\n\n    def all",
        "        return 255 - out if out.dtype == np.uint8 else out\n\n    def all",
    ),
    "the reader of frames": (
        "msavqa/frames/read.py",
        'np.asarray(frames.read("frames", [row])[0',
        'np.asarray(255 - frames.read("frames", [row])[0',
    ),
}
COMMENTS = "comments everywhere"
MEASURED = ("the store's reader", "the reader of frames")
"""What the decode stage does not use."""


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of our sources, to edit."""
    copied(tmp_path)
    monkeypatch.setattr(sources, "ROOT", tmp_path)
    sources.imports_of.cache_clear()
    yield tmp_path
    sources.imports_of.cache_clear()


def copied(folder: Path) -> Path:
    for package in ("msavqa", "pipeline"):
        shutil.copytree(
            sources.ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__")
        )
    return folder


def edit(tree: Path, file: str, old: str, new: str) -> None:
    text = (tree / file).read_text(encoding="utf-8")
    assert text.count(old) == 1, f"{file} has no {old!r} any more, or more than one"
    (tree / file).write_text(text.replace(old, new), encoding="utf-8")


def places() -> list[Path]:
    return [sources.staging_root(*modules) for modules in MODULES]


def test_comments_docstrings_and_blank_lines_change_nothing(tree: Path) -> None:
    before = places()
    for file in tree.rglob("*.py"):
        text = file.read_text(encoding="utf-8").replace('"""\n', '\n\nAnd more is said.\n"""\n')
        file.write_text(f"# A comment.\n\n{text}\n# Another one.\n", encoding="utf-8")
    assert places() == before


def test_a_changed_constant_changes_what_uses_it_and_nothing_else(tree: Path) -> None:
    before = places()
    edit(tree, "msavqa/trunks/kinds/clip_image.py", '"bicubic"', '"bilinear"')
    assert [now != then for now, then in zip(places(), before, strict=True)] == [
        False, False, False, True, False, False,
    ]  # fmt: skip
    edit(tree, "msavqa/trunks/measures/frame_statistics.py", "EDGE_LEVELS = 20.0", "EDGE_LEVELS = 21.0")
    assert places()[1] != before[1]
    assert places()[2] == before[2]


@pytest.mark.parametrize("where", INVERTED)
def test_wherever_pixels_pass_a_change_makes_them_be_computed_anew(tree: Path, where: str) -> None:
    before = places()
    edit(tree, *INVERTED[where])
    moved = [now != then for now, then in zip(places(), before, strict=True)]
    assert all(
        found for modules, found in zip(MODULES, moved, strict=True) if modules != ("pipeline.prompts",)
    )


def test_prompts_depend_on_nothing_of_decoding() -> None:
    files = {str(path) for path in sources.closure("pipeline.prompts")}
    assert not [file for file in files if file.startswith(("msavqa/frames", "msavqa/trunks/measures"))]


def test_every_file_of_a_stage_moves_it_but_those_that_are_said_to_be_free(tree: Path) -> None:
    for modules in MODULES:
        for path in sorted(set().union(*(sources.closure(module) for module in modules))):
            before, text = sources.digest(*modules), (tree / path).read_text(encoding="utf-8")
            (tree / path).write_text(f"{text}\nCHANGED = 1\n", encoding="utf-8")
            moved = sources.digest(*modules) != before
            (tree / path).write_text(text, encoding="utf-8")
            assert moved != (path.parts[:2] == ("msavqa", "ground")), path


def test_no_value_passes_through_what_is_free() -> None:
    """They know neither arrays nor tensors nor tables."""
    for file in sorted((sources.ROOT / sources.VALUE_FREE).rglob("*.py")):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        names = {
            name.split(".")[0]
            for node in ast.walk(tree)
            if isinstance(node, ast.Import | ast.ImportFrom)
            for name in imported(node)
        }
        assert not names & {"numpy", "torch", "pandas", "pyarrow", "zarr", "av", "PIL"}, file


def imported(node: ast.Import | ast.ImportFrom) -> list[str]:
    return [node.module or ""] if isinstance(node, ast.ImportFrom) else [one.name for one in node.names]


def test_another_trunk_leaves_what_is_staged(tree: Path) -> None:
    before = sources.staging_root("pipeline.extract", "msavqa.trunks.kinds.image")
    edit(tree, "msavqa/trunks/kinds/video.py", 'AXIS = "video"', 'AXIS = "film"')
    assert sources.staging_root("pipeline.extract", "msavqa.trunks.kinds.image") == before


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of three videos that was decoded and measured by the code as it is."""
    folder, place = tmp_path_factory.mktemp("films"), tmp_path_factory.mktemp("project")
    for number in range(COUNT):
        media.write(folder / f"v{number}.mp4", media.numbered(number + 6))
    videos.project(place, folder)
    data = yaml.safe_load((place / "params.yaml").read_text())
    data["extract"] = {"batch_frames": 16, "ahead_videos": 2, "threads": 1, "device": "cpu"}
    (place / "params.yaml").write_text(yaml.safe_dump(data))
    assert run(place, sources.ROOT, "decode") == COUNT
    assert run(place, sources.ROOT, "measure") == COUNT
    return place


def run(place: Path, tree: Path, stage: str) -> int:
    """Runs a stage in a project by a tree's code; how many videos it says that it computed."""
    env = {**os.environ, "PYTHONPATH": str(tree), "DVC_ROOT": str(place)}
    command = [sys.executable, "-m", f"pipeline.{stage}", "mine"]
    done = subprocess.run(command, cwd=place, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (count,) = re.findall(r", (\d+) (?:tried|computed) now", done.stdout)
    return int(count)


@pytest.mark.slow
@pytest.mark.parametrize("where", [*INVERTED, COMMENTS])
def test_inverted_pixels_are_never_found_again_as_computed_and_comments_are(
    project: Path, tmp_path: Path, where: str
) -> None:
    """Wherever they are inverted, the stage that carries them computes every video again."""
    place = Path(shutil.copytree(project, tmp_path / "project", symlinks=True))
    tree = copied(tmp_path / "tree")
    if where == COMMENTS:
        for file in tree.rglob("*.py"):
            file.write_text(file.read_text(encoding="utf-8") + "\n# A comment.\n", encoding="utf-8")
    else:
        edit(tree, *INVERTED[where])
    stage, array = ("measure", "statistics") if where in MEASURED else ("decode", "frames")
    before = store.open(project / f"features/mine/{array}.zarr")
    assert run(place, tree, stage) == (0 if where == COMMENTS else COUNT)
    after = store.open(place / f"features/mine/{array}.zarr")
    name = "frames" if array == "frames" else "spatial"
    same = bool((before.all(name) == after.all(name)).all())
    assert same == (where == COMMENTS), "the edit inverts nothing"


@pytest.mark.slow
def test_settings_that_are_read_otherwise_make_another_store(project: Path, tmp_path: Path) -> None:
    """Why the reading of settings may be left out of the digest: what it gives is in the fingerprint."""
    place = Path(shutil.copytree(project, tmp_path / "project", symlinks=True))
    tree = copied(tmp_path / "tree")
    file = "msavqa/ground/params.py"
    edit(tree, file, "return kind.model_validate(found)", "return kind.model_validate(halved(found))")
    with (tree / file).open("a", encoding="utf-8") as source:
        source.write('\n\ndef halved(found):\n    return {**found, "box": 16} if "box" in found else found\n')
    assert run(place, tree, "decode") == COUNT
