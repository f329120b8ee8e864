"""Presets: a file of presets/ is a whole params.yaml, or names a `base` and says what it changes of it.

    base: sample
    trunks: {frame: {crop: 320}}

Blocks are merged; lists, and what `kwargs` holds, replace what was there; `name: null` takes an entry out of
a block of names. Comments stay beside the values that they stand beside; a preset's own comment takes the
place of its base's.
"""

import difflib
import io
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import yaml
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.error import CommentMark, YAMLError
from ruamel.yaml.tokens import CommentToken

from msavqa.ground.errors import MsavqaError

NAMED = ("datasets", "fetch", "texts", "trunks", "branches")
"""Blocks of entries that the user names."""
REPLACED = ("kwargs",)
"""Blocks that are not ours to merge: arguments of somebody's function."""
SCHEMA = "msavqa/check/params.schema.json"
"""Where an editor finds the schema of a params.yaml, from the project's root."""
_MODELINE = "# yaml-language-server: $schema="


def folder() -> Path:
    """Where presets lie: in the current project, else in the package. In a checkout the package has a link to
    them, in a wheel it has the files."""
    here = Path("presets")
    return here if here.is_dir() else Path(__file__).resolve().parents[1] / "presets"


def names() -> list[str]:
    """The names of all presets."""
    return sorted(path.stem for path in folder().glob("*.yaml"))


def about(name: str) -> str:
    """What a preset is for: the first sentence of its header."""
    header, _ = _parts(source(name))
    words = " ".join(line.lstrip("# ") for line in header if not line.startswith(_MODELINE))
    return re.split(r"(?<=\w)[.:](?: |$)", words, maxsplit=1)[0]


def whole(name: str) -> dict[str, Any]:
    """A preset as a whole params file, plain data; `MsavqaError` for a name that is none."""
    found: dict[str, Any] = yaml.safe_load(compose(name))
    return found


def compose(name: str, *, change: Callable[[CommentedMap], None] = lambda data: None) -> str:
    """A preset as the text of a whole params.yaml, with its comments; `MsavqaError` for a name that is none.

    The header is the preset's own. `change` is called with the settings before they are written.
    """
    header, _ = _parts(source(name))
    data = _composed(name, ())
    change(data)
    return written(data, header=header, like=source(_first_base(name)))


def _composed(name: str, above: tuple[str, ...]) -> CommentedMap:
    if name in above:
        raise MsavqaError(
            what="Base",
            where=_path(name),
            got=" -> ".join((*above, name)),
            expected="presets of which none is its own base",
            next_step="name another `base`",
        )
    found = loaded(source(name), where=_path(name))
    if "base" not in found:
        return found
    base = str(found.pop("base"))
    merged = _composed(base, (*above, name))
    merge(merged, found)
    return merged


def _first_base(name: str) -> str:
    """The preset without a base that a preset builds on."""
    base = loaded(source(name), where=_path(name)).get("base")
    return name if base is None else _first_base(str(base))


def merge(base: CommentedMap, changes: CommentedMap, *, named: bool = False) -> None:
    """Puts what a preset changes into a whole form. `named`: the keys are the user's own names."""
    for key, value in changes.items():
        if named and value is None:
            base.pop(key, None)
            continue
        both = isinstance(value, CommentedMap) and isinstance(base.get(key), CommentedMap)
        if both and key not in REPLACED:
            merge(base[key], value, named=key in NAMED)
        else:
            base[key] = value
        comment = _comments(changes).get(key)
        if comment is not None and any(comment):
            _comments(base)[key] = comment


def loaded(text: str, *, where: object) -> CommentedMap:
    """A YAML mapping with its comments, without blank lines and header; `MsavqaError` for anything else."""
    _, body = _parts(text)
    try:
        found = _yaml().load("\n".join(line for line in body if line.strip()))
    except YAMLError as error:
        reason = " ".join(str(error).split())
        raise MsavqaError(
            what="Settings", where=where, got=reason, expected="valid YAML", next_step="mend that line"
        ) from None
    if not isinstance(found, CommentedMap):
        raise MsavqaError(
            what="Settings",
            where=where,
            got="a list" if isinstance(found, list) else repr(found),
            expected="a mapping of blocks",
            next_step="start from a preset: `msavqa init --list` names them",
        )
    return found


def written(data: CommentedMap, *, header: Iterable[str], like: str) -> str:
    """The text of a params.yaml: blank lines stand before the same blocks as in `like`."""
    _close_up(data)
    out = io.StringIO()
    _yaml().dump(data, out)
    apart = set(re.findall(r"^$\n(?:^#.*\n)*^(\w+):", like, flags=re.MULTILINE))
    known = set(re.findall(r"^(\w+):", like, flags=re.MULTILINE))
    lines = [f"{_MODELINE}{SCHEMA}", *(line for line in header if not line.startswith(_MODELINE)), ""]
    for number, line in enumerate(out.getvalue().splitlines()):
        block = re.match(r"(\w+):", line)
        if number and block and (block[1] in apart or block[1] not in known):
            lines.append("")
        lines.append(line.rstrip())
    return "\n".join(lines) + "\n"


def header_of(text: str) -> list[str]:
    """The comment lines that a file begins with."""
    return _parts(text)[0]


def _parts(text: str) -> tuple[list[str], list[str]]:
    """The comment lines at the top, and all others."""
    lines = text.splitlines()
    count = next((at for at, line in enumerate(lines) if not line.startswith("#")), len(lines))
    return lines[:count], lines[count:]


def _comments(data: CommentedMap) -> dict[Any, Any]:
    found: dict[Any, Any] = data.ca.items
    return found


def _close_up(data: CommentedMap) -> None:
    """Puts each comment one space behind its value, however long the value it was written beside."""
    for tokens in _comments(data).values():
        for token in tokens:
            for one in token if isinstance(token, list) else [token]:
                if isinstance(one, CommentToken) and not str(one.value).startswith("\n"):
                    one.start_mark = CommentMark(0)  # type: ignore[assignment]
    for value in data.values():
        if isinstance(value, CommentedMap):
            _close_up(value)


def _yaml() -> YAML:
    found = YAML()
    found.width = 10_000
    found.preserve_quotes = True
    found.representer.add_representer(
        type(None), lambda representer, _: representer.represent_scalar("tag:yaml.org,2002:null", "null")
    )
    return found


def _path(name: str) -> Path:
    return folder() / f"{name}.yaml"


def source(name: str) -> str:
    """The text of a preset as it was written; `MsavqaError` for a name that is none."""
    known = names()
    if name not in known:
        nearest = sorted(
            known, key=lambda one: -difflib.SequenceMatcher(None, one, Path(name).stem.casefold()).ratio()
        )
        raise MsavqaError(
            what="Preset",
            where=folder(),
            got=repr(name),
            expected=f"one of {', '.join(nearest)}",
            next_step="`msavqa init --list` says what each is for",
        )
    return _path(name).read_text(encoding="utf-8")
