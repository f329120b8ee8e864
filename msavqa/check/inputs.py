"""What params.yaml points to: labels, videos, weights, networks, all mistakes at once, before all else.

Asked of what no stage has read yet and no stage makes. Who pulled a colleague's features has neither the
videos nor the weights and needs none: dvc.lock names the files that stages have read, and the networks that
they have made.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from msavqa.datasets import read as datasets
from msavqa.ground.errors import MsavqaError, ProblemsError

LOCK = Path("dvc.lock")
MADE = Path("data/sample")
"""What lies below is made by the stages of its own dvc.yaml."""


def problems(data: Mapping[str, Any], *, leave_networks: bool = False) -> list[str]:
    """One sentence for each mistake in what a params file, right in itself, points to.

    `leave_networks`: where nothing else is wrong, no network is built; that takes seconds.
    """
    stages = _stages()
    found = list(_files(data, stages))
    return found if leave_networks and not found else [*found, *_networks(data, stages)]


def _files(data: Mapping[str, Any], stages: Mapping[str, Any]) -> Iterator[str]:
    read = {dep["path"] for stage in stages.values() for dep in stage.get("deps", ())}
    for name, block in data["datasets"].items():
        if all(_made(path) or _name(path) in read for path in (block["labels"], block["root"])):
            continue
        try:
            datasets.read(data, name, check_files=True)
        except ProblemsError as error:
            yield from (f"datasets.{name}: {error.where}: {problem}" for problem in error.problems)
    fetched = {f"weights/{entry}.safetensors" for entry in data["fetch"]}
    for name, block in data["trunks"].items():
        file = block["weights"]
        if not (_made(file) or _name(file) in read | fetched or Path(file).is_file()):
            yield (
                f"trunks.{name}.weights: no such file {file!r}; put it there, or let an entry under `fetch` "
                f"make it (fetch.{name} makes weights/{name}.safetensors, see presets/paper.yaml)"
            )


def _networks(data: Mapping[str, Any], stages: Mapping[str, Any]) -> Iterator[str]:
    """Every network that no stage has made as it is now is made, without weights and without memory."""
    from msavqa.networks import backbones, clip_model

    for name, block in data["trunks"].items():
        ran = stages.get(f"extract@{name}", {}).get("params", {}).get("params.yaml", {})
        if ran.get(f"trunks.{name}") == block:
            continue
        kind = block["kind"]
        try:
            if kind == "image":
                backbones.image_width(block["model"], block["kwargs"])
            elif kind == "video":
                frames = data["decode"]["frames"]
                backbones.video_shape(block["model"], block["kwargs"], frames=frames, crop=block["crop"])
            elif kind in ("clip_text", "clip_image"):
                clip_model.config(block["model"])
        except MsavqaError as error:
            yield f"trunks.{name}: {error}"


def _stages() -> dict[str, Any]:
    """What ran, by stage, as dvc.lock has it: `deps`, `params`, `outs`."""
    if not LOCK.is_file():
        return {}
    try:
        # The C parser, where it is: the file has thousands of lines.
        found = yaml.load(LOCK.read_text(encoding="utf-8"), getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        return {name: dict(stage) for name, stage in found["stages"].items()}
    except (yaml.YAMLError, TypeError, ValueError, KeyError, AttributeError):
        raise MsavqaError(
            what="DVC's record",
            where=LOCK,
            got="something else",
            expected="what DVC wrote",
            next_step="restore it (`git checkout dvc.lock`), or remove it, and every stage runs again",
        ) from None


def _name(path: str) -> str:
    return Path(path).as_posix()


def _made(path: str) -> bool:
    """Is it another stage's out, or a file that DVC tracks and can pull (`videos.dvc`)?"""
    place = Path(path)
    tracked = [one.with_name(f"{one.name}.dvc") for one in (place, *place.parents) if one.name]
    return place.is_relative_to(MADE) or (not place.exists() and any(file.is_file() for file in tracked))
