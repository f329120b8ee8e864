"""A block of params.yaml becomes frozen, strict Settings; every mistake in it is named at once.

The code holds no second set of defaults: a Settings field without a default must stand in params.yaml,
and almost none has one. Each module defines its own Settings beside the code that reads them, so that a
new knob of one stage is not a new cache key of another.
"""

import contextlib
import difflib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from msavqa.ground.errors import MsavqaError, ProblemsError

PARAMS_FILE = Path("params.yaml")


class Settings(BaseModel):
    """Base of all settings: unknown keys refused, values not coerced, objects frozen."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


S = TypeVar("S", bound=Settings)


class _AsDvc(yaml.SafeLoader):
    """YAML as DVC reads and writes it: `1e-05` is a number, and a key that stands twice an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[object] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise yaml.constructor.ConstructorError(
                        None, None, f"the key {key.value!r} twice", key.start_mark
                    )
                seen.add(key.value)
        return super().construct_mapping(node, deep)


_AsDvc.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?[0-9][0-9_]*(\.[0-9_]*)?[eE][-+]?[0-9]+$"),
    list("-+0123456789"),
)


def read(path: Path = PARAMS_FILE) -> dict[str, Any]:
    """The whole of a params file as plain data.

    Raises `MsavqaError` where the file is missing or is not a YAML mapping.
    """
    if not path.is_file():
        raise MsavqaError(
            what="Settings",
            where=path,
            got="no such file",
            expected="a params.yaml",
            next_step="run from the project's root, or make one: `msavqa init --preset sample`",
        )
    try:
        data = yaml.load(path.read_text(encoding="utf-8"), _AsDvc)
    except UnicodeDecodeError as error:
        raise MsavqaError(
            what="Settings",
            where=path,
            got=f"byte {error.object[error.start]:#04x} at {error.start}",
            expected="UTF-8",
            next_step="save the file as UTF-8",
        ) from None
    except yaml.YAMLError as error:
        reason = " ".join(str(error).split())
        raise MsavqaError(
            what="Settings", where=path, got=reason, expected="valid YAML", next_step="mend that line"
        ) from error
    if not isinstance(data, dict):
        raise MsavqaError(
            what="Settings",
            where=path,
            got=type(data).__name__,
            expected="a mapping of blocks",
            next_step="start from a preset: `msavqa init --list` names them",
        )
    return data


def split_block(data: Mapping[str, Any], dataset: str) -> str:
    """Which block of a params file splits a data set: `split` where branches learn from it, else
    `pretrain_split`.

    It asks `train_on` alone, for the stage that splits depends on no more.
    """
    trained = data.get("train_on")
    return "pretrain_split" if isinstance(trained, list) and dataset not in trained else "split"


def dataset_of(given: str | None) -> str:
    """The data set that a command was given, else the first of params.yaml's `train_on`; `ProblemsError`
    where it names none."""
    if given:
        return given
    trained = read().get("train_on")
    if not (isinstance(trained, list) and trained and isinstance(trained[0], str)):
        problem = "train_on: missing" if trained is None else f"train_on: got {trained!r}, expected names"
        raise ProblemsError(where=PARAMS_FILE, problems=[problem], next_step="mend it or give --dataset")
    return trained[0]


def block(data: Mapping[str, Any], dotted: str, kind: type[S], *, where: object = PARAMS_FILE) -> S:
    """The block named by a dotted path (`trunks.clip_text`), as settings of the given kind.

    Raises `ProblemsError` naming every unknown key (with the nearest right name), every missing key and
    every wrong value of the block.
    """
    found: Any = data
    for depth, key in enumerate(dotted.split("."), start=1):
        if not isinstance(found, Mapping) or key not in found:
            here = ".".join(dotted.split(".")[:depth])
            raise ProblemsError(
                where=where, problems=[f"{here}: missing"], next_step="mend them and run again"
            )
        found = found[key]
    problems = problems_in(found, dotted, kind)
    if problems:
        raise ProblemsError(where=where, problems=problems, next_step="mend them and run again")
    return kind.model_validate(found)


def problems_in(found: Any, dotted: str, kind: type[Settings]) -> list[str]:
    """Every mistake in one block, one sentence each; empty where the block is right."""
    try:
        kind.model_validate(found)
    except ValidationError as error:
        return sentences(error.errors(), found, dotted, kind)
    return []


def sentences(
    errors: Sequence[Mapping[str, Any]], found: Any, dotted: str, kind: type[Settings]
) -> list[str]:
    """What pydantic says of one block, one sentence a mistake; places in `errors` start at the block."""
    return [_sentence(item, dotted, kind) for item in _joined(errors, found)]


def nearest(name: str, known: list[str]) -> str:
    """A hint at the known name nearest to a wrong one: `, did you mean 'epochs'?` or an empty string."""
    same = [one for one in known if one.strip().casefold() == name.strip().casefold()]
    close = same or difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return f", did you mean {close[0]!r}?" if close else ""


def _joined(errors: Sequence[Mapping[str, Any]], found: Any) -> list[dict[str, Any]]:
    """One mistake a value: where one of several kinds would do, pydantic names what each kind wants apart."""
    joined: dict[tuple[Any, ...], dict[str, Any]] = {}
    for item in errors:
        loc = tuple(item["loc"])
        above = loc[:-1]
        of_a_kind = item["type"] != "missing" and not isinstance(item["input"], Mapping)
        if of_a_kind and not _holds(found, loc) and _holds(found, above):
            before = joined.get(above)
            wants = _wanted(item)
            msg = wants if before is None else f"{before['msg']} or {wants.removeprefix('input should be ')}"
            joined[above] = {**item, "loc": above, "msg": msg}
        else:
            joined[(*loc, item["type"])] = {**item, "msg": _wanted(item)}
    return list(joined.values())


def _wanted(item: Mapping[str, Any]) -> str:
    """What pydantic expected instead, in the words of YAML."""
    found = str(item["msg"]).removeprefix("Value error, ")
    if item["type"] in ("model_type", "dict_type", "mapping_type", "model_attributes_type"):
        return "expected a block of keys"
    if item["type"] in ("list_type", "tuple_type"):
        return "expected a list such as [a, b]"
    if item["type"] in ("float_type", "int_type") and isinstance(item["input"], str):
        # YAML takes a number without a point, such as 1e-3, for text.
        with contextlib.suppress(ValueError):
            return f"expected a number: write {float(item['input'])!r}"
    return found[:1].lower() + found[1:]


def _holds(found: Any, path: Sequence[Any]) -> bool:
    """Whether a path of keys and places leads to a value."""
    for part in path:
        try:
            found = found[part]
        except (KeyError, IndexError, TypeError):
            return False
    return True


def _sentence(item: dict[str, Any], dotted: str, kind: type[Settings]) -> str:
    path = ".".join(str(part) for part in (dotted, *item["loc"]) if part != "")
    if item["type"] in ("extra_forbidden", "invalid_key"):
        return f"{path}: unknown key{nearest(str(item['loc'][-1]), _fields_at(kind, item['loc'][:-1]))}"
    if item["type"] == "missing":
        return f"{path}: missing"
    got = repr(item["input"])
    shown = got if len(got) <= 80 else got[:77] + "..."
    return f"{path}: got {shown}, {item['msg']}"


def _fields_at(kind: type[Settings], path: tuple[Any, ...]) -> list[str]:
    """Names of the settings class that a path inside `kind` leads to; empty where that is no class."""
    current: Any = kind
    for part in path:
        field = getattr(current, "model_fields", {}).get(part)
        if field is None:
            continue  # the name of a union's member or a mapping's key: the class stays
        current = field.annotation
        if get_origin(current) is dict:
            current = get_args(current)[-1]  # named blocks: each of them is one
    return list(getattr(current, "model_fields", {}))
