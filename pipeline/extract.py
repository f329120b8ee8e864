"""Stage `extract DATASET TRUNK`: frames or prompts -> features/<dataset>/<trunk>.zarr, by one network."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from msavqa.datasets import tables
from msavqa.frames import read as frames
from msavqa.frames.read import DecodeSettings
from msavqa.ground import sources
from msavqa.machine import device, params
from msavqa.store import read as store
from msavqa.store.shards import StoreSettings
from msavqa.trunks.run import extract, feature_rows
from msavqa.trunks.run.feature_rows import ExtractSettings
from pipeline import stage


def main(argv: Sequence[str] | None = None) -> None:
    """Runs one trunk over one dataset; says how much was computed now and what is quarantined."""
    began = time.monotonic()
    device.keep_freed()
    dataset, name = stage.coordinates(argv, "dataset", "trunk", description=__doc__)
    data = params.read()
    settings = feature_rows.settings_of(data, name)
    folder = Path("features") / dataset
    path = folder / f"{name}.zarr"
    how: dict[str, Any] = {
        "settings": settings,
        "extract": params.block(data, "extract", ExtractSettings),
        "shard_mb": params.block(data, "store", StoreSettings).shard_mb,
        "staging_root": sources.staging_root("pipeline.extract", f"msavqa.trunks.kinds.{settings.kind}"),
        "description": f"extract {dataset} {name}",
    }
    manifest = tables.read_manifest(Path("data") / dataset / "manifest.parquet")
    if feature_rows.trunk(settings.kind).AXIS == "prompt":
        report = extract.prompts(path, prompts=list(manifest["prompt"]), **how)
        note = f"{int(store.open(path).rows['truncated'].sum())} longer than the context"
    else:
        decode = params.block(data, "decode", DecodeSettings)
        opened = extract.open_frames(folder / "frames.zarr", settings=decode)
        root = Path(data["datasets"][dataset]["root"])
        paths = dict(zip(manifest["video_id"], (root / one for one in manifest["path"]), strict=True))
        with frames.source(opened, settings=decode, paths=paths) as read_frames:
            report = extract.videos(path, frames=opened, read_frames=read_frames, **how)
        note = f"{report.quarantined} quarantined"
    print(f"{dataset} {name}: {report.rows} rows, {report.computed} computed now, {note}")
    stage.write_seconds(Path("runs") / dataset / "seconds" / f"extract_{name}.json", since=began)


if __name__ == "__main__":
    stage.run(main)
