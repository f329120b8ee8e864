"""Stage `copies DATASET`: spoilt copies of some videos -> features/<dataset>/copies, by every network."""

import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from msavqa.datasets import copies, tables
from msavqa.datasets.copies import CopySettings
from msavqa.frames import copies as copied
from msavqa.frames import read as frames
from msavqa.frames.read import DecodeSettings
from msavqa.ground import params, sources, stage
from msavqa.machine import device
from msavqa.store.shards import StoreSettings
from msavqa.trunks.kinds import clip_text
from msavqa.trunks.measures import statistics
from msavqa.trunks.run import named, prompts, videos
from msavqa.trunks.run.feature_rows import ExtractSettings
from msavqa.trunks.run.network import Trunk

RUNS = ("msavqa.frames.copies", "msavqa.trunks.run.videos")
"""What decides the features of a copy beside the network; another plan makes none of them anew."""


def main(argv: Sequence[str] | None = None) -> None:
    """Writes the plan of the copies and their features, the fixed view alone; and prompts with praise."""
    began = time.monotonic()
    device.keep_freed()
    (dataset,) = stage.coordinates(argv, "dataset", description=__doc__)
    data = params.read()
    settings = params.block(data, "copies", CopySettings)
    decode = params.block(data, "decode", DecodeSettings)
    manifest = tables.read_manifest(Path("data") / dataset / "manifest.parquet")
    plan = copies.plan(manifest, settings, box=decode.box)
    out = Path("features") / dataset / "copies"
    shutil.rmtree(out, ignore_errors=True)
    copies.write(plan, out / "plan.parquet")
    if len(plan):
        look(out, plan, data, dataset=dataset, decode=decode, manifest=manifest)
        told = [
            copies.praised(prompt, words)
            for words in (settings.praise, settings.praise_left_out)
            for prompt in manifest["prompt"]
        ]
        read(out, told, data, dataset)
    print(f"{dataset}: {len(plan)} copies of {plan['kind'].nunique()} kinds")
    stage.write_seconds(Path("runs") / dataset / "seconds" / "copies.json", since=began)


def look(
    out: Path,
    plan: pd.DataFrame,
    data: Mapping[str, Any],
    *,
    dataset: str,
    decode: DecodeSettings,
    manifest: pd.DataFrame,
) -> None:
    """Every network of `trunks`, and the measures, over the frames of all copies."""
    extract = params.block(data, "extract", ExtractSettings)
    shard_mb = params.block(data, "store", StoreSettings).shard_mb
    opened = frames.open_frames(out.parent / "frames.zarr", settings=decode)
    paths = tables.files_of(manifest, root=Path(data["datasets"][dataset]["root"]))
    index = copied.index(
        out / "frames.zarr", plan=plan, originals=opened, shard_mb=shard_mb,
        staging_root=sources.staging_root("msavqa.frames.copies"),
    )  # fmt: skip
    measured = sources.staging_root(*RUNS, "msavqa.trunks.measures.statistics")
    networks = {statistics.NAME: (statistics.trunk(), measured)}
    for name in data["trunks"]:
        kind, asked = named.trunk(data, name)
        one_view = asked.model_copy(update={"views": 1}) if hasattr(asked, "views") else asked
        networks[name] = (
            Trunk.of(kind, one_view, weights=named.weights(data, name), frames=decode.frames),
            sources.staging_root(*RUNS, f"msavqa.trunks.kinds.{asked.kind}"),
        )
    with videos.FrameReader(opened, decode, paths) as read_frames:
        for name, (trunk, staging_root) in networks.items():
            here = {"device": "cpu"} if name == statistics.NAME else {}
            videos.run(
                out / f"{name}.zarr",
                trunk=trunk,
                frames=index,
                read_frames=copied.reader(plan=plan, originals=opened, read_frames=read_frames),
                extract=extract.model_copy(update=here),
                shard_mb=shard_mb,
                staging_root=staging_root,
                description=f"copies {dataset} {name}",
            )


def read(out: Path, asked: Sequence[str], data: Mapping[str, Any], dataset: str) -> None:
    """Every text encoder over these prompts."""
    for name in data["texts"]:
        settings = params.block(data, f"texts.{name}", clip_text.TextSettings)
        pieces = prompts.pieces(asked, read=clip_text.reader(settings))
        room = clip_text.room(settings, [piece.text for piece in pieces])
        prompts.run(
            out / f"{name}.zarr",
            trunk=Trunk.of(clip_text, settings, weights=named.weights(data, name), tokens=room),
            pieces=pieces,
            extract=params.block(data, "extract", ExtractSettings),
            shard_mb=params.block(data, "store", StoreSettings).shard_mb,
            staging_root=sources.staging_root("msavqa.trunks.run.prompts", "msavqa.trunks.kinds.clip_text"),
            description=f"copies {dataset} {name}",
        )


if __name__ == "__main__":
    stage.run(main)
