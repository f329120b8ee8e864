"""The laws of the house: closures, docstrings, sizes, the map in the README, the presets."""

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from msavqa.ground import sources
from tests import closure, readme_map, tiny
from tests.conftest import skip_or_fail

ROOT = closure.ROOT
SOURCES = sorted(
    Path(line)
    for line in subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.py"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    ).stdout.split()
    if (ROOT / line).is_file()
)  # fmt: skip
PRESETS = sorted((ROOT / "presets").glob("*.yaml"))


@pytest.fixture(scope="module")
def stages() -> list[closure.StageCode]:
    return closure.stages()


def test_every_stage_declares_the_import_closure_of_its_module(stages: list[closure.StageCode]) -> None:
    missing = {stage.name: sorted(map(str, stage.needed - stage.declared)) for stage in stages}
    assert {name: paths for name, paths in missing.items() if paths} == {}


def test_no_stage_declares_a_source_that_no_stage_of_its_group_imports(
    stages: list[closure.StageCode],
) -> None:
    groups: dict[str, list[closure.StageCode]] = {}
    for stage in stages:
        groups.setdefault(stage.name.split("@")[0], []).append(stage)
    for name, members in groups.items():
        needed = frozenset().union(*(stage.needed for stage in members))
        too_much = {str(path) for stage in members for path in stage.declared - needed}
        assert too_much == set(), name


def test_closure_sees_imports_inside_functions_and_not_those_for_type_checkers() -> None:
    tree = ast.parse(
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import a\ndef f():\n    import b\n"
    )
    names = [node.names[0].name for node in sources.running_nodes(tree) if isinstance(node, ast.Import)]
    assert names == ["b"]


@pytest.mark.parametrize("path", SOURCES, ids=str)
def test_a_module_says_in_its_first_line_what_it_does(path: Path) -> None:
    docstring = ast.get_docstring(ast.parse((ROOT / path).read_text(encoding="utf-8")))
    assert docstring, f"{path} has no docstring"
    first = docstring.splitlines()[0]
    assert len(first) >= 20, f"{path}: {first!r}"
    assert first.endswith((".", "?")), f"{path}: {first!r}"


@pytest.mark.parametrize("path", SOURCES, ids=str)
def test_a_file_is_read_in_one_sitting(path: Path) -> None:
    lines = (ROOT / path).read_text(encoding="utf-8").count("\n")
    assert lines <= 300, f"{path} has {lines} lines: are there two rooms in it?"


@pytest.mark.parametrize("path", [path for path in SOURCES if path.name == "__init__.py"], ids=str)
def test_a_package_file_holds_a_docstring_and_at_most_a_lazy_look_up(path: Path) -> None:
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    calls = [
        node
        for node in tree.body[1:]
        if not isinstance(node, ast.Import | ast.ImportFrom | ast.If | ast.Assign | ast.FunctionDef)
    ]
    assert calls == []
    assert path == Path("msavqa/__init__.py") or len(tree.body) == 1


def test_a_video_that_timed_out_is_read_again_with_more_time() -> None:
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    assert "index.timeout_seconds" in stages["index"]["do"]["params"]
    assert "decode" in stages["decode"]["do"]["params"]  # its own time is in this block


def test_make_says_what_a_python_without_venv_lacks(tmp_path: Path) -> None:
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    bare = tmp_path / "bare"
    bare.write_text(f'#!/bin/sh\ncase "$2" in *ensurepip*) exit 1;; esac\nexec {sys.executable} "$@"\n')
    bare.chmod(0o755)
    outside = {name: value for name, value in os.environ.items() if name not in tiny.OUTER}
    done = subprocess.run(
        ["make", f"PYTHON={bare}", "install"],
        cwd=tmp_path, env=outside, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stdout.splitlines()[-1] == (
        f"{bare} has no venv of its own: install it first (Debian: apt-get install python3-venv)"
    )
    assert not (tmp_path / ".venv").exists()


def test_a_skip_fails_where_the_machine_is_said_to_have_what_it_is_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MSAVQA_NO_SKIPS", "sample,ffmpeg")
    with pytest.raises(pytest.fail.Exception, match="no ffmpeg"):
        skip_or_fail("no ffmpeg", needs="ffmpeg")
    with pytest.raises(pytest.skip.Exception, match="no sshd"):
        skip_or_fail("no sshd", needs="sshd")


def test_nothing_committed_names_a_path_of_a_machine_or_a_registry() -> None:
    # Put together here, so that this file does not find itself.
    folders = "|".join(("ro" + "ot", "wo" + "rk", "ho" + "me"))
    forbidden = re.compile(rf"(?<![\w}}.])/(?:{folders})/|files\.python" + "hosted")
    found = []
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in listed.splitlines():
        path = ROOT / name
        if path.is_file() and path.suffix not in {".png", ".jpg"}:
            text = path.read_text(encoding="utf-8", errors="replace")
            found += [f"{name}: {match[0]}" for match in forbidden.finditer(text)]
    assert found == []


def test_the_readme_map_is_made_of_the_modules_own_first_lines() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    between = readme.split("<!-- map -->")[1].split("<!-- /map -->")[0]
    assert [line for line in between.splitlines() if line.startswith("| `")] == readme_map.rows()


@pytest.mark.parametrize("path", [ROOT / "params.yaml", *PRESETS], ids=lambda path: path.name)
def test_params_and_every_preset_pass_the_strict_check(path: Path) -> None:
    from msavqa.check.params import problems

    assert problems(yaml.safe_load(path.read_text(encoding="utf-8"))) == []


def test_params_yaml_is_the_sample_preset() -> None:
    if yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))["dataset"] != "sample":
        pytest.skip("params.yaml reports another dataset")
    assert (ROOT / "params.yaml").read_bytes() == (ROOT / "presets" / "sample.yaml").read_bytes()
