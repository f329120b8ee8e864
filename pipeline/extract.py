"""Stage `extract DATASET TRUNK`: frames -> features/<dataset>/<trunk>.zarr, by one frozen network."""

import time
from collections.abc import Sequence
from pathlib import Path

from msavqa.datasets import tables
from msavqa.frames import read as frames
from msavqa.frames.read import DecodeSettings
from msavqa.ground import params, sources, stage
from msavqa.machine import device
from msavqa.store.shards import StoreSettings
from msavqa.trunks.run import named, videos
from msavqa.trunks.run.feature_rows import ExtractSettings
from msavqa.trunks.run.network import Trunk


def main(argv: Sequence[str] | None = None) -> None:
    """Runs one trunk over one data set; says how much was computed now and what is quarantined."""
    began = time.monotonic()
    device.keep_freed()
    dataset, name = stage.coordinates(argv, "dataset", "trunk", description=__doc__)
    data = params.read()
    kind, settings = named.trunk(data, name)
    decode = params.block(data, "decode", DecodeSettings)
    folder, root = Path("features") / dataset, Path(data["datasets"][dataset]["root"])
    opened = frames.open_frames(folder / "frames.zarr", settings=decode)
    manifest = tables.read_manifest(Path("data") / dataset / "manifest.parquet")
    paths = tables.files_of(manifest, root=root)
    with videos.FrameReader(opened, decode, paths) as read_frames:
        report = videos.run(
            folder / f"{name}.zarr",
            trunk=Trunk.of(kind, settings, weights=named.weights(data, name), frames=decode.frames),
            frames=opened,
            read_frames=read_frames,
            extract=params.block(data, "extract", ExtractSettings),
            shard_mb=params.block(data, "store", StoreSettings).shard_mb,
            staging_root=sources.staging_root("pipeline.extract", f"msavqa.trunks.kinds.{settings.kind}"),
            description=f"extract {dataset} {name}",
        )
    counts = f"{report.rows} rows, {report.computed} computed now, {report.quarantined} quarantined"
    print(f"{dataset} {name}: {counts}")
    stage.write_seconds(Path("runs") / dataset / "seconds" / f"extract_{name}.json", since=began)


if __name__ == "__main__":
    stage.run(main)
