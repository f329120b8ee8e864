"""A whole params.yaml: every mistake at once, of single blocks and of blocks that do not go together."""

import importlib
import os
import pkgutil
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from msavqa.machine import params
from msavqa.machine.params import Settings, nearest

# Block of params.yaml -> where its settings are defined. Looked up late: each is imported where it is read.
BLOCKS = {
    "index": "msavqa.datasets.manifest.IndexSettings",
    "split": "msavqa.datasets.splits.SplitSettings",
    "pretrain_split": "msavqa.datasets.splits.SplitSettings",
    "decode": "msavqa.frames.read.DecodeSettings",
    "store": "msavqa.store.shards.StoreSettings",
    "extract": "msavqa.trunks.run.feature_rows.ExtractSettings",
    "pretrain": "msavqa.learning.folds.PretrainSettings",
    "train": "msavqa.learning.fit.TrainSettings",
    "controls": "msavqa.evaluation.controls.ControlSettings",
    "ensemble": "msavqa.evaluation.ensemble.EnsembleSettings",
    "calibration": "msavqa.evaluation.calibration.CalibrationSettings",
    "report": "msavqa.report.build.ReportSettings",
}
FETCH = "msavqa.networks.hub.FetchSettings"
NAMES = ("dataset", "pretrain_dataset")
# Block of many named entries -> package and settings class that the entry's own key chooses.
CHOSEN = {
    "datasets": ("reader", "msavqa.datasets.readers.{}.ReaderSettings"),
    "trunks": ("kind", "msavqa.trunks.kinds.{}.TrunkSettings"),
}
BRANCHES = ("frame", "segment", "video")
# What dvc.yaml names: trunks that must stand in params.yaml, and the kind of those of one kind only.
TRUNKS = {
    "clip_text": "clip_text", "clip_image": "clip_image", "frame": None, "segment": "image", "video": "video",
    "statistics": "statistics",
}  # fmt: skip
# Names that a dataset's or a trunk's folder cannot bear, and whose place it would take.
TAKEN = {"datasets": {"pretrain": "runs/pretrain"}, "trunks": {"frames": "features/<dataset>/frames.zarr"}}
OUTS = ("features", "runs", "reports")  # and data/<dataset>/manifest.parquet


def problems(data: Mapping[str, Any]) -> list[str]:
    """One sentence for each mistake in a whole params file; empty where there is none."""
    return list(_problems(data))


def settings_class(path: str) -> type[Settings]:
    """The settings class at a dotted path."""
    module, name = path.rsplit(".", 1)
    found: type[Settings] = getattr(importlib.import_module(module), name)
    return found


def _problems(data: Mapping[str, Any]) -> Iterator[str]:
    known = [*NAMES, *BLOCKS, *CHOSEN, "fetch", "branches"]
    for name in data:
        if name not in known:
            yield f"{name}: unknown key{nearest(str(name), known)}"
    yield from (f"{name}: missing" for name in known if name not in data)
    for name in (*CHOSEN, "fetch", "branches"):
        if name in data and not isinstance(data[name], Mapping):
            empty = ", {} where there is none" if name == "fetch" else ""
            yield f"{name}: got {data[name]!r}, expected named blocks{empty}"
    yield from _datasets_named(data)
    for name, path in BLOCKS.items():
        if name in data:
            yield from params.problems_in(data[name], name, settings_class(path))
    for name, (choice, pattern) in CHOSEN.items():
        for entry, block in _named(data, name).items():
            yield from _bad_name(name, entry)
            yield from _chosen(block, f"{name}.{entry}", choice, pattern)
    yield from _in_the_way(_named(data, "datasets"))
    trunks = _named(data, "trunks")
    for name, kind in TRUNKS.items():
        if name not in trunks:
            yield from [f"trunks.{name}: missing"] if isinstance(data.get("trunks"), Mapping) else []
        elif kind is not None and (got := _at(trunks[name], "kind")) not in (kind, None):
            yield f"trunks.{name}.kind: got {got!r}, expected {kind!r}, as dvc.yaml has it"
    for entry, block in _named(data, "fetch").items():
        if entry not in trunks:
            yield f"fetch.{entry}: no such trunk{nearest(str(entry), [str(name) for name in trunks])}"
        yield from params.problems_in(block, f"fetch.{entry}", settings_class(FETCH))
        yield from _fetched_for_nothing(str(entry), trunks.get(entry))
    yield from _branches(data)
    yield from _frames_not_stored(data)
    yield from _more_frames_than_decoded(data)
    yield from _twice(data, "")


def _fetched_for_nothing(entry: str, trunk: Any) -> Iterator[str]:
    """A stage fetches weights/<trunk>.safetensors; a trunk that reads another file would never see them."""
    kinds = importlib.import_module("msavqa.networks.hub").KINDS
    made, kind, reads = f"weights/{entry}.safetensors", _at(trunk, "kind"), _at(trunk, "weights")
    if kind in kinds and isinstance(reads, str) and Path(reads) != Path(made):
        yield f"fetch.{entry}: makes {made}, but trunks.{entry}.weights is {reads!r}; name the same file"
    elif kind not in (*kinds, None):
        yield f"fetch.{entry}: got a trunk of kind {kind!r}, expected one of {', '.join(kinds)}"


def _datasets_named(data: Mapping[str, Any]) -> Iterator[str]:
    choices = [str(name) for name in _named(data, "datasets")]
    expected = f"one of {', '.join(choices)}" if choices else "a name under datasets"
    for name in NAMES:
        if name in data and not (isinstance(data[name], str) and data[name] in choices):
            hint = nearest(data[name], choices) if isinstance(data[name], str) else ""
            yield f"{name}: got {data[name]!r}, expected {expected}{hint}"
    if data.get("dataset") in choices and data.get("dataset") == data.get("pretrain_dataset"):
        yield f"pretrain_dataset: got {data['dataset']!r}, expected another one than dataset"


def _bad_name(block: str, entry: object) -> Iterator[str]:
    """A name is a folder, a stage and a word of its command line at once."""
    if not (isinstance(entry, str) and re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_-]*", entry)):
        yield f"{block}: got the name {entry!r}, expected letters a-z, digits, _ and - only, as text"
    elif entry in TAKEN[block]:
        yield f"{block}.{entry}: the name is taken, {TAKEN[block][entry]} is another's; choose another"


def _chosen(block: Any, where: str, choice: str, pattern: str) -> Iterator[str]:
    name = _at(block, choice)
    package = importlib.import_module(pattern.rsplit(".", 2)[0])
    known = sorted(module.name for module in pkgutil.iter_modules(package.__path__) if not module.ispkg)
    if name not in known:
        hint = nearest(str(name), known)
        yield f"{where}.{choice}: got {name!r}, expected one of {', '.join(known)}{hint}"
        return
    yield from params.problems_in(block, where, settings_class(pattern.format(name)))


def _in_the_way(datasets: Mapping[str, Any]) -> Iterator[str]:
    """Labels and videos are dependencies: DVC takes one path for each, and none that holds a stage's out."""
    outs = [Path(out) for out in OUTS] + [Path("data", str(name), "manifest.parquet") for name in datasets]
    for name, block in datasets.items():
        for key in ("root", "labels"):
            path = _at(block, key)
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


def _branches(data: Mapping[str, Any]) -> Iterator[str]:
    branches = _named(data, "branches")
    if isinstance(data.get("branches"), Mapping):
        yield from (f"branches.{name}: missing" for name in BRANCHES if name not in branches)
    for name, block in branches.items():
        where = f"branches.{name}"
        if name not in BRANCHES:
            yield f"{where}: unknown key{nearest(str(name), list(BRANCHES))}"
            continue
        kind = settings_class(f"msavqa.branches.{name}.BranchSettings")
        found = params.problems_in(block, where, kind)
        yield from found
        for key, trunk in (("trunk", name), ("motion_trunk", "video")):
            if _at(block, key) not in (trunk, None):
                yield f"{where}.{key}: got {_at(block, key)!r}, expected {trunk!r}, as dvc.yaml has it"
        if not found:
            yield from _tokens_not_cached(kind.model_validate(block), where, _named(data, "trunks"))
    joined = _at(data.get("ensemble"), "branches")
    for one in joined if isinstance(joined, list) else []:
        if isinstance(one, str) and one not in BRANCHES:
            yield (
                f"ensemble.branches: got {one!r}, expected some of {', '.join(BRANCHES)}"
                f"{nearest(one, list(BRANCHES))}"
            )


def _tokens_not_cached(branch: Any, where: str, trunks: Mapping[str, Any]) -> Iterator[str]:
    """Adapters around CLIP's last block read its tokens, which a trunk with cut `cls` does not cache."""
    plan = importlib.import_module("msavqa.learning.semantics").Plan.of(pss=branch.pss, sma=branch.sma)
    for trunk, array in plan.reads().values():
        if array == "tokens" and _at(trunks.get(trunk), "cut") == "cls":
            yield (
                f"trunks.{trunk}.cut: got 'cls' beside {where}.pss.adapters 'tail', expected 'last_block': "
                "adapters inside CLIP read its tokens"
            )


def _frames_not_stored(data: Mapping[str, Any]) -> Iterator[str]:
    """Whole networks (cut `pixels`) learn from frames, which `decode.store: none` does not keep."""
    if _at(data.get("decode"), "store") == "none":
        yield from (
            f"trunks.{name}.cut: got 'pixels' beside decode.store 'none', expected decode.store 'frames': "
            "training reads the frames"
            for name, block in _named(data, "trunks").items()
            if _at(block, "cut") == "pixels"
        )


def _twice(found: Any, where: str) -> Iterator[str]:
    """Words that stand twice in a list: branches, tokens, measures, columns are each meant once."""
    if isinstance(found, Mapping):
        for key, value in found.items():
            yield from _twice(value, f"{where}.{key}" if where else str(key))
    elif isinstance(found, list):
        words = [one for one in found if isinstance(one, str)]
        yield from (
            f"{where}: got {word!r} {words.count(word)} times, expected it once"
            for word in dict.fromkeys(words)
            if words.count(word) > 1
        )


def _more_frames_than_decoded(data: Mapping[str, Any]) -> Iterator[str]:
    """Key frames are chosen from the decoded ones."""
    decoded = _at(data.get("decode"), "frames")
    for name, block in _named(data, "trunks").items():
        wanted = _at(block, "frames")
        if type(wanted) is int and type(decoded) is int and wanted > decoded:
            yield f"trunks.{name}.frames: got {wanted} beside decode.frames {decoded}, expected no more"


def _named(data: Mapping[str, Any], name: str) -> Mapping[Any, Any]:
    found = data.get(name)
    return found if isinstance(found, Mapping) else {}


def _at(block: Any, key: str) -> Any:
    return block.get(key) if isinstance(block, Mapping) else None
