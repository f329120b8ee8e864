"""The function that computed a store's rows, made again from the store's place and params.yaml.

with recompute.of(Path("features/sample/frame.zarr"), data=params.read()) as (found, compute):
    look.verify(found, sample=20, recompute=compute)
"""

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from msavqa.datasets import tables
from msavqa.frames import read as frames
from msavqa.frames import write
from msavqa.frames.read import DecodeSettings
from msavqa.ground import params, sources
from msavqa.store import read as store
from msavqa.store.read import Store, StoreError
from msavqa.store.shards import Compute
from msavqa.trunks.kinds import clip_text
from msavqa.trunks.measures import statistics
from msavqa.trunks.run import named
from msavqa.trunks.run.feature_rows import ExtractSettings
from msavqa.trunks.run.network import Trunk
from msavqa.trunks.run.prompts import Piece, PromptRows
from msavqa.trunks.run.videos import VideoRows


@contextlib.contextmanager
def of(path: Path, *, data: Mapping[str, Any], from_videos: bool = False) -> Iterator[tuple[Store, Compute]]:
    """The opened store at `features/<dataset>/<name>.zarr` and the function that computes its rows.

    `data` is the whole of params.yaml. Stored frames are taken for features as they are, or, `from_videos`,
    decoded again. Raises `StoreError` where the store is not one of a data set of these params, is of another
    fingerprint than they ask for, or has other rows than its frames.
    """
    dataset, name = path.parent.name, path.stem
    datasets = data.get("datasets", {})
    if dataset not in datasets:
        raise StoreError(
            what="Unknown dataset",
            where=path,
            got=repr(dataset),
            expected=f"one of params.yaml ({', '.join(datasets)})",
            next_step="name a store as features/<dataset>/<trunk>.zarr",
        )
    if name in (data.get("texts") or {}):
        yield _prompts(path, data)
        return
    decode = params.block(data, "decode", DecodeSettings)
    manifest = tables.read_manifest(Path("data") / dataset / "manifest.parquet").set_index("video_id")
    root = Path(datasets[dataset]["root"])
    if name == "frames":
        found = store.open(path, expect=frames.fingerprint(decode))
        ordered = manifest.loc[_known(found, manifest.index)].reset_index()
        with contextlib.closing(write.DecodeRows.of(ordered, root=root, settings=decode)) as compute:
            yield found, compute
        return
    opened = frames.open_frames(path.with_name("frames.zarr"), settings=decode)
    trunk, extract = _trunk(name, data)
    found = store.open(path, expect={**trunk.fingerprint, "decoded": opened.fingerprint})
    _known(found, opened.ids)
    paths = tables.files_of(manifest.reset_index(), root=root)
    with frames.source(opened, settings=decode, paths=paths, again=from_videos) as read_frames:
        rows = VideoRows(trunk=trunk, frames=opened, read_frames=read_frames, extract=extract)
        at = opened.index(found.ids)
        yield found, lambda asked: rows([int(at[row]) for row in asked])


def known(path: Path, *, data: Mapping[str, Any]) -> bool:
    """Whether params.yaml names what a store `features/<dataset>/<name>.zarr` would hold."""
    named_there = {*(data.get("texts") or {}), *(data.get("trunks") or {}), "frames", statistics.NAME}
    return path.parent.name in data.get("datasets", {}) and path.stem in named_there


def staging_root(found: Store) -> Path:
    """Where the stage that writes a store of this kind stages it, with the code as it is now."""
    kind = found.fingerprint.get("kind")
    stages = {None: "decode", statistics.NAME: "measure", named.TEXT: "prompts"}
    if kind in stages:
        return sources.staging_root(f"pipeline.{stages[kind]}")
    return sources.staging_root("pipeline.extract", f"msavqa.trunks.kinds.{kind}")


def _prompts(path: Path, data: Mapping[str, Any]) -> tuple[Store, Compute]:
    name = path.stem
    settings = params.block(data, f"texts.{name}", clip_text.TextSettings)
    weights = named.weights(data, name)
    found = store.open(path, expect=clip_text.fingerprint(settings, weights=weights))
    rows = found.rows[["id", "prompt", "piece", "pieces", "truncated", "unknown_script"]]
    facts = [{str(key): value for key, value in row.items()} for row in rows.to_dict("records")]
    pieces = [Piece(row.pop("id"), row.pop("prompt"), row) for row in facts]
    asked = [piece.text for piece in pieces]
    trunk = Trunk.of(clip_text, settings, weights=weights, tokens=clip_text.room(settings, asked))
    extract = params.block(data, "extract", ExtractSettings)
    return found, PromptRows(trunk=trunk, pieces=pieces, extract=extract)


def _trunk(name: str, data: Mapping[str, Any]) -> tuple[Trunk, ExtractSettings]:
    """What makes a store of that name of frames, and how it is run."""
    extract = params.block(data, "extract", ExtractSettings)
    if name == statistics.NAME:
        return statistics.trunk(), extract.model_copy(update={"device": "cpu"})
    kind, settings = named.trunk(data, name)
    count = params.block(data, "decode", DecodeSettings).frames
    return Trunk.of(kind, settings, weights=named.weights(data, name), frames=count), extract


def _known(found: Store, known: Any) -> list[str]:
    """The store's ids, all of them among the known ones."""
    missing = set(found.ids) - set(known)
    if missing:
        raise StoreError(
            what="Unknown rows",
            where=found.path,
            got=f"{len(missing)} rows that its sources lack ({sorted(missing)[0]!r})",
            expected="rows of the manifest",
            next_step="run `dvc repro` so that the store follows the manifest",
        )
    return found.ids
