"""The laws of the house: rooms and what stages name of them, docstrings, the sample preset."""

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from msavqa.frames.read import DecodeSettings
from msavqa.ground import sources
from tests import rooms, tiny
from tests.conftest import skip_or_fail

ROOT = rooms.ROOT
SOURCES = sorted(
    Path(line)
    for line in subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.py"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    ).stdout.split()
    if (ROOT / line).is_file()
)  # fmt: skip


@pytest.fixture(scope="module")
def stages() -> list[rooms.StageCode]:
    return rooms.stages()


def test_every_stage_names_every_room_that_it_imports(stages: list[rooms.StageCode]) -> None:
    missing = {stage.name: sorted(map(str, stage.needed - stage.declared)) for stage in stages}
    assert {name: paths for name, paths in missing.items() if paths} == {}


def test_no_stage_names_a_room_that_it_does_not_import(stages: list[rooms.StageCode]) -> None:
    too_much = {stage.name: sorted(map(str, stage.declared - stage.needed)) for stage in stages}
    assert {name: paths for name, paths in too_much.items() if paths} == {}


def test_dvc_yaml_is_a_table_of_contents() -> None:
    text = (ROOT / "dvc.yaml").read_text(encoding="utf-8")
    assert text.count("\n") <= 300
    for name, stage in yaml.safe_load(text)["stages"].items():
        stage = stage.get("do", stage)
        module = "extract" if name == "extract_pretrain" else name
        assert stage["cmd"].startswith(f"python -m pipeline.{module}"), name
        assert stage["desc"], name


def test_the_house_has_few_rooms_and_no_circle() -> None:
    house = rooms.house()
    # tests/ aside: 15 rooms of msavqa/, its front door, pipeline, benchmarks, data.
    assert len(house) <= 20, sorted(house)
    assert sum(map(len, house.values())) <= 90
    waiting = dict(house)
    while free := [room for room, below in waiting.items() if not below & waiting.keys()]:
        for room in free:
            del waiting[room]
    assert waiting == {}, "these rooms import one another in a circle"


def test_no_file_stands_outside_the_rooms() -> None:
    stray = [path.name for path in (ROOT / "msavqa").iterdir() if path.suffix == ".py"]
    assert stray == ["__init__.py"]


def test_closure_sees_imports_inside_functions_and_not_those_for_type_checkers() -> None:
    tree = ast.parse(
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import a\ndef f():\n    import b\n"
    )
    names = [node.names[0].name for node in sources.running_nodes(tree) if isinstance(node, ast.Import)]
    assert names == ["b"]


def test_every_module_says_in_its_first_line_what_it_does() -> None:
    wrong = []
    for path in SOURCES:
        docstring = ast.get_docstring(ast.parse((ROOT / path).read_text(encoding="utf-8"))) or ""
        first = docstring.partition("\n")[0]
        if len(first) < 20 or not first.endswith((".", "?")):
            wrong.append(f"{path}: {first!r}")
    assert wrong == []


def test_package_files_hold_a_docstring_and_at_most_a_lazy_look_up() -> None:
    allowed = ast.Import | ast.ImportFrom | ast.If | ast.Assign | ast.FunctionDef
    for path in SOURCES:
        if path.name == "__init__.py":
            tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
            assert all(isinstance(node, allowed) for node in tree.body[1:]), path
            assert path == Path("msavqa/__init__.py") or len(tree.body) == 1, path


def test_a_video_that_timed_out_is_read_again_with_more_time() -> None:
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    assert "index.timeout_seconds" in stages["index"]["do"]["params"]
    assert "decode.timeout_seconds" in stages["decode"]["do"]["params"]


def test_a_stage_that_decodes_follows_every_setting_of_it_but_how_many_do_it() -> None:
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    followed = {one.removeprefix("decode.") for one in stages["decode"]["do"]["params"] if "decode" in one}
    assert followed == set(DecodeSettings.model_fields) - {"workers"}


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
