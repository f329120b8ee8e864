"""Blocks of params.yaml that are right one by one and do not go together, one sentence each.

The rules read plain data, and say nothing of what is no block or no name: the model does. So all mistakes
of a file are named at once.
"""

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from msavqa.check import frame_rules
from msavqa.check.frame_rules import at as _at
from msavqa.check.frame_rules import blocks as _blocks
from msavqa.check.frame_rules import named as _named
from msavqa.ground.params import nearest
from msavqa.learning.semantic_settings import Plan, PssSettings, SmaSettings

NAME = "^[A-Za-z0-9_][A-Za-z0-9_-]*$"
FETCHED = "weights"
"""The folder that `fetch` fills, see weights/dvc.yaml."""
_FOLDERS = {"start": "runs/start is", "start_seconds": "runs/start_seconds is"}
_STORES = {name: f"features/<data set>/{name}.zarr is" for name in ("frames", "statistics")}
_PREDICTORS = ("ensemble", "no_pixel", "no_reference", "clipsim", "trees", "shuffled_prompts")
_COLUMNS = (
    "repeat", "video_id", "role", "score", "raw", "mapped", "low", "high", "mos", "mos_se", "prompt",
    "generator", "given_split", "quality_true",
)  # fmt: skip
_FIGURES = ("noise_ceiling", "within_generator")
TAKEN = {
    "datasets": _FOLDERS,
    "texts": _STORES,
    "trunks": _STORES,
    "branches": {
        **{name: "a predictor of the report is" for name in _PREDICTORS},
        **{name: "a column beside the branches' scores is" for name in _COLUMNS},
        **{name: "a figure of the report is" for name in _FIGURES},
    },
}
"""Names that an entry cannot bear, and whose they are."""
OUTS, TABLES = ("features", "runs", "reports"), ("splits", "manifest")
"""Folders that stages write, and the tables below data/<data set>."""
FRAME_KINDS = ("image", "video")
"""Kinds of trunks that branches read technical features of."""
CLIP_KIND = "clip_image"


def another_form(data: Mapping[str, Any]) -> str | None:
    """What to say of a file of another form: one of an earlier version, or a preset that was not composed."""
    if "base" in data:
        return (
            f"base: got {data['base']!r}, a preset that says what it changes, expected a whole params file; "
            "`msavqa init --preset NAME` makes one"
        )
    if is_old(data):
        return (
            "the form of an earlier version, with `dataset` and `trunks.<trunk>.weights`; "
            "`msavqa init --convert params.yaml --out new.yaml` writes it in today's form, "
            "put that in its place"
        )
    return None


def is_old(data: Mapping[str, Any]) -> bool:
    """Is it the form before `train_on`?"""
    weights = any("weights" in block for _, block in _blocks(data, "trunks"))
    return "train_on" not in data and (weights or "dataset" in data or "pretrain_dataset" in data)


def problems(data: Mapping[str, Any]) -> Iterator[str]:
    """Every mistake between the blocks of a whole params file."""
    for name in TAKEN:
        for entry in _named(data, name):
            yield from _bad_name(name, entry)
    yield from _data_sets(data)
    yield from _in_the_way(data)
    yield from _one_store_each(data)
    yield from _fetched(data)
    yield from _pretrained(data)
    for name, block in _blocks(data, "branches"):
        yield from _reads(f"branches.{name}.reads", _at(block, "reads"), data)
        yield from _starts(name, block, data)
        yield from _tokens_not_cached(f"branches.{name}", block, data)
    yield from _known("ensemble.branches", _at(data.get("ensemble"), "branches"), _named(data, "branches"))
    yield from _controls(data)
    yield from frame_rules.problems(data)
    yield from _twice(data, "")


def _bad_name(block: str, entry: object) -> Iterator[str]:
    """A name is a folder, a stage and a word of its command line at once."""
    if not (isinstance(entry, str) and re.fullmatch(NAME, entry)):
        yield f"{block}: got the name {entry!r}, expected letters a-z, digits, _ and - only, as text"
    elif entry in TAKEN[block]:
        yield f"{block}.{entry}: the name is taken, {TAKEN[block][entry]} another's; choose another"


def _data_sets(data: Mapping[str, Any]) -> Iterator[str]:
    datasets = _named(data, "datasets")
    for key in ("train_on", "pretrain_on"):
        for name in _words(data.get(key)):
            if name not in datasets:
                yield _not_one_of(key, name, datasets, otherwise="a name under datasets")
    for name in dict.fromkeys(_words(data.get("pretrain_on"))):
        if name in datasets and name in _words(data.get("train_on")):
            yield f"pretrain_on: got {name!r}, expected another one than those of train_on"


def _in_the_way(data: Mapping[str, Any]) -> Iterator[str]:
    """Labels and videos are dependencies: DVC takes one path for each, and none that holds a stage's out."""
    tables = [f"data/{name}/{table}.parquet" for name in _named(data, "datasets") for table in TABLES]
    outs = [Path(out) for out in (*OUTS, *tables)]
    for name, block in _blocks(data, "datasets"):
        for key in ("root", "labels"):
            path = block.get(key)
            if isinstance(path, Mapping):
                yield (
                    f"datasets.{name}.{key}: got a file for each split, expected one path that DVC can "
                    "follow: a folder with the files under the names that its reader knows"
                )
            elif isinstance(path, str) and path.strip():
                here = Path(os.path.abspath(path))
                inside = [str(out) for out in outs if out.absolute().is_relative_to(here)]
                if inside:
                    yield (
                        f"datasets.{name}.{key}: got {path!r}, which holds {inside[-1]} that a stage writes, "
                        "expected a path of its own"
                    )


def _one_store_each(data: Mapping[str, Any]) -> Iterator[str]:
    trunks = _named(data, "trunks")
    for name in _named(data, "texts"):
        if name in trunks:
            yield f"texts.{name}: a trunk has that name, and both would write its store; choose another"


def _fetched(data: Mapping[str, Any]) -> Iterator[str]:
    """A stage fetches weights/<name>.safetensors; a network that reads another folder would never see it."""
    fetch, folder = _named(data, "fetch"), data.get("weights")
    networks = [*_named(data, "texts"), *_named(data, "trunks")]
    for name in fetch:
        if name not in networks:
            yield f"fetch.{name}: nothing under texts or trunks is called so{nearest(str(name), networks)}"
    if fetch and isinstance(folder, str) and folder and Path(folder) != Path(FETCHED):
        yield f"weights: got {folder!r} beside `fetch`, which fills the folder weights, expected 'weights'"


def _pretrained(data: Mapping[str, Any]) -> Iterator[str]:
    """The block `pretrain` is read where `pretrain_on` names a data set."""
    if not _words(data.get("pretrain_on")):
        return
    branches, block = _named(data, "branches"), data.get("pretrain")
    named, trunks = _words(_at(block, "branches")), _words(_at(block, "trunks"))
    yield from _known("pretrain.branches", named, branches)
    yield from _known("pretrain.trunks", trunks, _named(data, "trunks"))
    if not isinstance(_at(block, "trunks"), list):
        return
    for name in dict.fromkeys(named):
        reads = _at(branches.get(name), "reads")
        for key in ("trunk", "motion"):
            trunk = _at(reads, key)
            if isinstance(trunk, str) and trunk in _named(data, "trunks") and trunk not in trunks:
                yield (
                    f"pretrain.trunks: got {trunks}, expected {trunk!r} too, "
                    f"which branches.{name}.reads.{key} names"
                )


def _reads(where: str, reads: Any, data: Mapping[str, Any]) -> Iterator[str]:
    """Every network that a branch reads is there, and of a kind that gives what is read of it."""
    if not isinstance(data.get("texts"), Mapping) or not isinstance(data.get("trunks"), Mapping):
        return
    texts, trunks = _named(data, "texts"), _named(data, "trunks")
    kinds = {name: _at(block, "kind") for name, block in trunks.items()}
    unclear = [name for name, kind in kinds.items() if kind not in (*FRAME_KINDS, CLIP_KIND)]
    frames = [name for name, kind in kinds.items() if kind in FRAME_KINDS]
    images = [name for name, kind in kinds.items() if kind == CLIP_KIND]
    of_frames, of_clip = f"a trunk of kind {' or '.join(FRAME_KINDS)}", f"a trunk of kind {CLIP_KIND}"
    wanted: tuple[tuple[str, Iterable[Any], str], ...] = (
        ("trunk", frames, of_frames), ("motion", frames, of_frames), ("text", texts, "a name under texts"),
        ("image", images, of_clip),
    )  # fmt: skip
    for key, known, otherwise in wanted:
        name = _at(reads, key)
        if isinstance(name, str) and name not in known and name not in unclear:
            yield _not_one_of(f"{where}.{key}", name, known, otherwise=otherwise)


def _starts(name: Any, block: Mapping[str, Any], data: Mapping[str, Any]) -> Iterator[str]:
    """A branch goes on from one that was pre-trained, of its own kind and over the same trunk."""
    start, where = block.get("start"), f"branches.{name}.start"
    if not isinstance(start, str) or not isinstance(data.get("pretrain_on"), list):
        return
    if not data["pretrain_on"]:
        yield f"{where}: got {start!r} beside pretrain_on [], expected null"
        return
    before = _words(_at(data.get("pretrain"), "branches"))
    other = _named(data, "branches").get(start)
    if start not in before:
        yield f"{where}: got {start!r}, expected null or one of pretrain.branches{nearest(start, before)}"
    elif isinstance(other, Mapping) and other is not block:
        same = [(one.get("kind"), _at(one.get("reads"), "trunk")) for one in (block, other)]
        if same[0] != same[1]:
            yield f"{where}: got {start!r}, expected a branch of the same kind over the same trunk"


def _tokens_not_cached(where: str, block: Mapping[str, Any], data: Mapping[str, Any]) -> Iterator[str]:
    """Adapters around CLIP's last block read its tokens, which a network with cut `cls` does not cache."""
    try:
        pss, sma = PssSettings.model_validate(block.get("pss")), SmaSettings.model_validate(block.get("sma"))
    except ValueError:
        return  # the model says what is wrong
    plan = Plan.of(pss=pss, sma=sma)
    adapted = (("texts", "text", plan.adapts_text), ("trunks", "image", plan.adapts_image))
    for networks, key, adapts in adapted:
        name = _at(block.get("reads"), key)
        cut = _at(_named(data, networks).get(name), "cut") if isinstance(name, str) else None
        if plan.inside and adapts and cut == "cls":
            yield (
                f"{networks}.{name}.cut: got 'cls' beside {where}.pss.adapters 'tail', expected "
                "'last_block': adapters inside CLIP read its tokens"
            )


def _controls(data: Mapping[str, Any]) -> Iterator[str]:
    controls = data.get("controls")
    yield from _reads("controls", {key: _at(controls, key) for key in ("text", "image")}, data)


def _twice(found: Any, where: str) -> Iterator[str]:
    """Words that stand twice in a list of branches, tokens, measures or columns."""
    if isinstance(found, Mapping):
        for key, value in found.items():
            yield from _twice(value, f"{where}.{key}" if where else str(key))
    elif isinstance(found, list):
        words = _words(found)
        yield from (
            f"{where}: got {word!r} {words.count(word)} times, expected it once"
            for word in dict.fromkeys(words)
            if words.count(word) > 1
        )


def _known(where: str, names: Any, known: Mapping[Any, Any]) -> Iterator[str]:
    """Names of a list that are not known; where none is known at all, that is the mistake."""
    choices = [str(name) for name in known]
    if not choices:
        return
    for name in dict.fromkeys(_words(names)):
        if name not in choices:
            yield f"{where}: got {name!r}, expected some of {', '.join(choices)}{nearest(name, choices)}"


def _not_one_of(where: str, name: str, known: Iterable[Any], *, otherwise: str) -> str:
    choices = [str(one) for one in known]
    expected = f"one of {', '.join(choices)}" if choices else otherwise
    return f"{where}: got {name!r}, expected {expected}{nearest(name, choices)}"


def _words(found: Any) -> list[str]:
    return [one for one in found if isinstance(one, str)] if isinstance(found, list) else []
