"""The settings' JSON schema, for editors: `python -m msavqa.check.schema` writes it.

params.schema.json is that of a whole params.yaml. preset.schema.json is that of a preset, which says what it
changes of its base: the same, and no key must be there. A key is described by what stands below its field in
the code, or beside it.
"""

import ast
import inspect
import json
import textwrap
from pathlib import Path
from typing import Any

from pydantic.json_schema import GenerateJsonSchema

from msavqa.check import presets
from msavqa.check.params import Params
from msavqa.ground.params import Settings

FOLDER = Path(__file__).parent
Schema = dict[str, Any]


def files() -> dict[Path, str]:
    """What belongs in each of the two files."""
    whole = Params.model_json_schema(schema_generator=_Described)
    found = {"params.schema.json": whole, "preset.schema.json": of_changes(whole)}
    return {FOLDER / name: json.dumps(schema, indent=1) + "\n" for name, schema in found.items()}


def of_changes(whole: Schema) -> Schema:
    """The schema of a preset: no key is required, and null takes an entry out of a block of names."""
    found: Schema = _optional(whole)
    found["title"], found["description"] = "Preset", "What a preset changes of its base."
    found["properties"]["base"] = {"description": "The preset that this one changes.", "type": "string"}
    for name in presets.NAMED:
        block = found["properties"][name]
        for key in ("patternProperties", "additionalProperties"):
            if key == "patternProperties":
                block[key] = {word: _or_null(one) for word, one in block.get(key, {}).items()}
            elif isinstance(block.get(key), dict):
                block[key] = _or_null(block[key])
    return found


def documented(cls: type[Settings]) -> dict[str, str]:
    """What stands below each of a class's own fields, or else beside it or above it."""
    try:
        lines = textwrap.dedent(inspect.getsource(cls)).splitlines()
    except (OSError, TypeError):
        return {}  # made when it was asked for: its fields are described where they come from
    body = ast.parse("\n".join(lines)).body[0]
    found: dict[str, str] = {}
    before = ""
    for node in getattr(body, "body", []):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and before:
            found[before] = " ".join(str(node.value.value).split())
        before = ""
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            before = node.target.id
            found.update({before: said} if (said := _beside(lines, node)) else {})
    return found


class _Described(GenerateJsonSchema):
    """Pydantic's own schema, its keys described and without titles that repeat them."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    def model_schema(self, schema: Any) -> Schema:
        found: Schema = super().model_schema(schema)
        for cls in reversed(schema["cls"].__mro__):
            if isinstance(cls, type) and issubclass(cls, Settings):
                for name, text in documented(cls).items():
                    found.get("properties", {}).get(name, {})["description"] = text
        return found


def _beside(lines: list[str], node: ast.AnnAssign) -> str:
    last = lines[(node.end_lineno or node.lineno) - 1][node.end_col_offset or 0 :].strip()
    if last.startswith("#"):
        return last.lstrip("# ")
    above: list[str] = []
    for line in reversed(lines[: node.lineno - 1]):
        if not line.strip().startswith("#"):
            break
        above.insert(0, line.strip().lstrip("# "))
    return " ".join(above)


def _optional(schema: Any) -> Any:
    """A copy in which no key must be there, so that one of several kinds may be meant by any of them."""
    if isinstance(schema, list):
        return [_optional(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: _optional(one) for key, one in schema.items() if not _drops(key, one)}
    if "oneOf" in found:
        found["anyOf"] = found.pop("oneOf")
    return found


def _drops(key: str, value: Any) -> bool:
    return (key == "required" and isinstance(value, list)) or (
        key == "minProperties" and isinstance(value, int)
    )


def _or_null(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


if __name__ == "__main__":
    for path, text in files().items():
        path.write_text(text, encoding="utf-8")
        print(path)
