"""Every `-S key=value` of DVC gives a params.yaml that the check reads, with that value."""

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from dvc.utils.hydra import apply_overrides

from msavqa.check import presets
from msavqa.check.params import Params, problems
from msavqa.ground import params
from tests.check.test_presets import flat, preset

Schema = dict[str, Any]


def other_values(value: Any, allowed: list[Any]) -> Iterator[Any]:
    """Values that might stand in a value's place, the value itself last."""
    if isinstance(value, bool):
        yield not value
    elif isinstance(value, int):
        yield from (value + 1, value - 1, value * 2)
    elif isinstance(value, float):
        yield from (value / 2, 0.5, 1e-05)
    elif isinstance(value, list):
        yield from ([*value[:-1]], [7], [word for word in allowed if word not in value][:1])
    elif isinstance(value, str):
        yield from (word for word in allowed if word != value)
        yield "a name, with {a} comma: 3"
    yield value


def words() -> list[str]:
    """Every word that some setting is one of."""
    found: set[str] = set()

    def look(schema: Any) -> None:
        if isinstance(schema, dict):
            found.update(word for word in schema.get("enum", ()) if isinstance(word, str))
            for one in schema.values():
                look(one)
        elif isinstance(schema, list):
            for one in schema:
                look(one)

    look(Params.model_json_schema())
    return sorted(found | {"frame", "segment", "video"})


def put(data: dict[str, Any], dotted: str, value: Any) -> dict[str, Any]:
    found = copy.deepcopy(data)
    *above, last = dotted.split(".")
    block = found
    for key in above:
        block = block[key]
    block[last] = value
    return found


def said(value: Any) -> str:
    """A value in the words of a command line, as Hydra reads it."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}:{said(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(said, value)) + "]"
    if isinstance(value, bool) or value is None:
        return str({True: "true", False: "false", None: "null"}[value])
    return f"'{value}'" if isinstance(value, str) else repr(value)


@pytest.mark.slow
def test_every_key_can_be_set_on_the_command_line(tmp_path: Path) -> None:
    data, allowed = preset("sample"), words()
    wanted = {
        key: next(one for one in other_values(value, allowed) if problems(put(data, key, one)) == [])
        for key, value in flat(data).items()
    }
    changed = [key for key, value in flat(data).items() if wanted[key] != value]
    assert len(changed) > 0.8 * len(wanted)
    path = tmp_path / "params.yaml"
    path.write_text(presets.compose("sample"), encoding="utf-8")
    apply_overrides(path, [f"{key}={said(value)}" for key, value in wanted.items()])
    found = params.read(path)
    assert {key: value for key, value in flat(found).items() if wanted[key] != value} == {}
    assert flat(found).keys() == wanted.keys()


def test_one_key_changes_no_other(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(presets.compose("sample"), encoding="utf-8")
    apply_overrides(path, ["branches.segment.technical.motion=trunk", "branches.video.start=null"])
    found = params.read(path)
    assert found == put(preset("sample"), "branches.segment.technical.motion", "trunk")
    assert problems(found) == []
    assert "# cls alone is the paper's" in path.read_text(encoding="utf-8"), "comments stay"
