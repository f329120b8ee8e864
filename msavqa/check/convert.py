"""A params.yaml of an earlier version -> today's form, with its comments and values.

It named `dataset` and `pretrain_dataset`, gave each trunk its weights' path, and had exactly the branches
frame, segment and video, each over its own trunk.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml.comments import CommentedMap, CommentedSeq

from msavqa.check import presets, rules
from msavqa.ground.errors import MsavqaError

TEXT, IMAGE = "clip_text", "clip_image"
"""The networks whose prompts and frames every branch read."""


def convert(path: Path) -> str:
    """The text of a params.yaml in today's form; `MsavqaError` where the file has it already, or cannot."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "no UTF-8"
        raise MsavqaError(
            what="Settings",
            where=path,
            got=f"{why}".casefold(),
            expected="a params.yaml of an earlier version",
            next_step="name the file to convert",
        ) from None
    old = presets.loaded(text, where=path)
    if not rules.is_old(old):
        raise MsavqaError(
            what="Settings",
            where=path,
            got="no `dataset` and no weights of trunks",
            expected="the form of an earlier version",
            next_step="use the file as it is",
        )
    sample = presets.source("sample")
    return presets.written(_converted(old, path), header=presets.header_of(text), like=sample)


def _converted(old: CommentedMap, path: Path) -> CommentedMap:
    """The blocks in the order that they have today; a block of an unknown form stays as it is."""
    new, rest = CommentedMap(), CommentedMap(old)
    sample = presets.loaded(presets.source("sample"), where="presets/sample.yaml")
    new["train_on"] = _names(rest.pop("dataset", None))
    new["pretrain_on"] = _names(rest.pop("pretrain_dataset", None))
    for key in list(rest):
        value = rest.pop(key)
        if key == "decode" and isinstance(value, CommentedMap):
            value.insert(0, "backend", "pyav")
        if key == "fetch":
            new["weights"] = _folder(old.get("trunks"), path)
        if key == "trunks" and isinstance(value, CommentedMap):
            new["texts"], value = _networks(value)
        if key == "pretrain" and isinstance(value, CommentedMap):
            value.insert(0, "trunks", _flow("segment", "video"))
            value.insert(1, "branches", _flow("segment"))
        if key == "branches" and isinstance(value, CommentedMap):
            for name, block in value.items():
                if isinstance(block, CommentedMap):
                    _branch(name, block, starts=bool(new["pretrain_on"]))
        if key == "controls" and isinstance(value, CommentedMap):
            value.insert(0, "text", TEXT)
            value.insert(1, "image", IMAGE)
        if key == "calibration" and isinstance(value, CommentedMap):
            for name, knob in sample["calibration"].items():
                value.setdefault(name, knob)
        if key == "ensemble" and isinstance(value, CommentedMap):
            joined = value.get("branches")
            if isinstance(joined, list) and sorted(map(str, joined)) == sorted(old.get("branches") or ()):
                value["branches"] = "all"
        if key == "train" and isinstance(value, CommentedMap):
            new["copies"] = sample["copies"]
            ranked = sample["train"]["copies"]
            ranked["weight"] = 0.0  # nothing was learned of copies
            value["copies"] = ranked
            value.setdefault("least_steps", 0)  # as many epochs as were asked for
            value.setdefault("view_of", "video")
            value.setdefault("test_views", "fixed")
        new[key] = value
        if key in old.ca.items:
            new.ca.items[key] = old.ca.items[key]
    return new


def _folder(trunks: Any, path: Path) -> str:
    """The one folder that all weights lie in, each under its network's name."""
    files = {
        name: Path(str(block["weights"]))
        for name, block in (trunks or {}).items()
        if isinstance(block, Mapping) and block.get("kind") != "statistics" and "weights" in block
    }
    folders = {file.parent for file in files.values()}
    if len(folders) == 1 and all(file.name == f"{name}.safetensors" for name, file in files.items()):
        return folders.pop().as_posix()
    raise MsavqaError(
        what="Weights",
        where=path,
        got=", ".join(f"{name}: {file}" for name, file in files.items()) or "none",
        expected="one folder with a file <trunk>.safetensors for each trunk",
        next_step="put them, or links to them, into one folder under those names, give each trunk its path "
        "there, and convert again",
    )


def _networks(trunks: CommentedMap) -> tuple[CommentedMap, CommentedMap]:
    """The networks that read prompts, and those that look at frames. The handcrafted measures are neither."""
    texts, frames = CommentedMap(), CommentedMap()
    for name, block in trunks.items():
        kind = block.get("kind") if isinstance(block, CommentedMap) else None
        if kind == "statistics":
            continue
        found = texts if kind == "clip_text" else frames
        found[name] = block
        if name in trunks.ca.items:
            found.ca.items[name] = trunks.ca.items[name]
        if isinstance(block, CommentedMap):
            block.pop("weights", None)
        if kind == "clip_text":
            del block["kind"]
            # Prompts that fit keep their features; longer ones were cut.
            pieces = CommentedMap(most=16, sharpness=2.0)
            pieces.fa.set_flow_style()
            block["pieces"] = pieces
    return texts, frames


def _branch(name: str, block: CommentedMap, *, starts: bool) -> None:
    """What a branch reads, and the settings of its kind, as blocks of their own."""
    reads = CommentedMap(
        trunk=block.pop("trunk", name), motion=block.pop("motion_trunk", None), text=TEXT, image=IMAGE
    )
    technical = CommentedMap({key: block.pop(key) for key in ("motion", "pooling") if key in block})
    for one in (reads, technical):
        one.fa.set_flow_style()
    start = "segment" if starts and name == "segment" else None
    first = {"kind": name, "reads": reads, "start": start, "technical": technical}
    for place, (key, value) in enumerate(first.items()):
        block.insert(place, key, value)


def _names(one: Any) -> CommentedSeq:
    return _flow() if one is None else _flow(one)


def _flow(*items: Any) -> CommentedSeq:
    found = CommentedSeq(items)
    found.fa.set_flow_style()
    return found
