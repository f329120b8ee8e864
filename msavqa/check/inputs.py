"""What params.yaml points to: labels, videos, weights, networks, all mistakes at once, before all else.

Asked of what no stage has read yet and no stage makes. Who pulled a colleague's features has neither the
videos nor the weights and needs none: dvc.lock names the files that stages have read, and the networks that
they have made.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from msavqa.check.rules import FETCHED
from msavqa.datasets import read as datasets
from msavqa.datasets import splits
from msavqa.ground import params
from msavqa.ground.errors import MsavqaError, ProblemsError

LOCK = Path("dvc.lock")
WEIGHTS_LOCK = Path("weights/dvc.lock")
MADE = Path("data/sample")
"""What lies below is made by the stages of its own dvc.yaml."""


def problems(data: Mapping[str, Any], *, leave_networks: bool = False) -> list[str]:
    """One sentence for each mistake in the files and networks that a params file without mistakes names.

    `leave_networks`: where nothing else is wrong, no network is built; that takes seconds.
    """
    stages = _stages(LOCK)
    found = list(_files(data, stages))
    if leave_networks and not found:
        return []
    networks = list(_networks(data, stages))
    return [*found, *networks, *([] if networks else _weights(data, stages))]


def _files(data: Mapping[str, Any], stages: Mapping[str, Any]) -> Iterator[str]:
    read = {dep["path"] for stage in stages.values() for dep in stage.get("deps", ())}
    for name, block in data["datasets"].items():
        if all(_made(path) or _name(path) in read for path in (block["labels"], block["root"])):
            continue
        try:
            _, rows = datasets.read(data, name, check_files=True)
        except ProblemsError as error:
            yield from (f"datasets.{name}: {error.where}: {problem}" for problem in error.problems)
        else:
            yield from _unsplit(data, name, rows)
    fetched = {f"{FETCHED}/{entry}.safetensors" for entry in data["fetch"]}
    for name, block in _networks_named(data):
        file = f"{data['weights']}/{name}.safetensors"
        if not (_made(file) or _name(file) in read | fetched or Path(file).is_file()):
            yield (
                f"{block}.{name}: no such file {file!r}; put it there, or let an entry under `fetch` make it "
                f"(fetch.{name} makes {FETCHED}/{name}.safetensors, see presets/csv.yaml)"
            )


def _unsplit(data: Mapping[str, Any], name: str, rows: Any) -> Iterator[str]:
    """What the stage `split` would refuse of rows that are all readable."""
    block = "split" if name in data["train_on"] else "pretrain_split"
    try:
        splits.split(splits.unread(rows), params.block(data, block, splits.SplitSettings))
    except MsavqaError as error:
        yield f"{block}: {str(error).removesuffix('.')}"


def _weights(data: Mapping[str, Any], stages: Mapping[str, Any]) -> Iterator[str]:
    """What `fetch` cannot get, all files in one sentence; a network that was fetched so is there."""
    from msavqa.networks import absent, hub

    read = {dep["path"] for stage in stages.values() for dep in stage.get("deps", ())}
    fetched = _stages(WEIGHTS_LOCK)
    wanted = {}
    for name, block in _networks_named(data):
        if name not in data["fetch"]:
            continue
        file = f"{FETCHED}/{name}.safetensors"
        ran = fetched.get(f"fetch@{name}", {}).get("params", {}).get("params.yaml", {})
        same = ran.get(f"fetch.{name}") == data["fetch"][name]
        same = same and ran.get(block, {}).get(name) == data[block][name]
        if same and (Path(file).is_file() or file in read):
            continue
        wanted[name] = (hub.network(data, name), params.block(data, f"fetch.{name}", hub.FetchSettings))
    missing, wrong = absent.look(wanted)
    yield from wrong
    if missing:
        yield absent.sentence(missing)


def _networks(data: Mapping[str, Any], stages: Mapping[str, Any]) -> Iterator[str]:
    """Builds every network that no stage has built so, without weights and without memory."""
    from msavqa.networks import backbones, clip_model

    ran = list(_made_networks(data, stages))
    for name, networks in _networks_named(data):
        block = data[networks][name]
        if (f"{networks}.{name}", block) in ran:
            continue
        kind = block.get("kind", "clip_text")
        try:
            if kind == "image":
                backbones.image_width(block["model"], block["kwargs"])
            elif kind == "video":
                frames = data["decode"]["frames"]
                backbones.video_shape(block["model"], block["kwargs"], frames=frames, crop=block["crop"])
            elif kind in ("clip_text", "clip_image"):
                clip_model.config(block["model"])
        except MsavqaError as error:
            yield f"{networks}.{name}: {error}"


def _networks_named(data: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Each network's name, and the block that it stands in."""
    return [(name, block) for block in ("texts", "trunks") for name in data[block]]


def _made_networks(data: Mapping[str, Any], stages: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Settings of networks that stages have run, by their place in params.yaml."""
    for stage in ("prompts", "extract", "extract_pretrain"):
        for dataset in (*data["train_on"], *data["pretrain_on"]):
            for name, block in _networks_named(data):
                ran = stages.get(f"{stage}@{dataset}-{name}", {}).get("params", {}).get("params.yaml", {})
                if f"{block}.{name}" in ran:
                    yield f"{block}.{name}", ran[f"{block}.{name}"]


def _stages(lock: Path) -> dict[str, Any]:
    """What ran, by stage, as a dvc.lock has it: `deps`, `params`, `outs`."""
    if not lock.is_file():
        return {}
    try:
        # The C parser, where it is: the file has thousands of lines.
        found = yaml.load(lock.read_text(encoding="utf-8"), getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        return {name: dict(stage) for name, stage in found["stages"].items()}
    except (yaml.YAMLError, TypeError, ValueError, KeyError, AttributeError):
        raise MsavqaError(
            what="DVC's record",
            where=lock,
            got="something else",
            expected="what DVC wrote",
            next_step=f"restore it (`git checkout {lock}`), or remove it, and every stage runs again",
        ) from None


def _name(path: str) -> str:
    return Path(path).as_posix()


def _made(path: str) -> bool:
    """Is it another stage's out, or a file that DVC tracks and can pull (`videos.dvc`)?"""
    place = Path(path)
    tracked = [one.with_name(f"{one.name}.dvc") for one in (place, *place.parents) if one.name]
    return place.is_relative_to(MADE) or (not place.exists() and any(file.is_file() for file in tracked))
