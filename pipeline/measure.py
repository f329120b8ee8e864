"""Stage `measure DATASET`: frames -> features/<dataset>/statistics.zarr, handcrafted measures."""

import time
from collections.abc import Sequence
from pathlib import Path

from msavqa.datasets import tables
from msavqa.frames import read as frames
from msavqa.frames.read import DecodeSettings
from msavqa.ground import params, sources, stage
from msavqa.machine import device
from msavqa.store.shards import StoreSettings
from msavqa.trunks.measures import statistics
from msavqa.trunks.run import videos
from msavqa.trunks.run.feature_rows import ExtractSettings


def main(argv: Sequence[str] | None = None) -> None:
    """Measures every video of one data set; says how many were measured now and what is quarantined."""
    began = time.monotonic()
    device.keep_freed()
    (dataset,) = stage.coordinates(argv, "dataset", description=__doc__)
    data = params.read()
    decode = params.block(data, "decode", DecodeSettings)
    folder, root = Path("features") / dataset, Path(data["datasets"][dataset]["root"])
    opened = frames.open_frames(folder / "frames.zarr", settings=decode)
    manifest = tables.read_manifest(Path("data") / dataset / "manifest.parquet")
    paths = tables.files_of(manifest, root=root)
    with videos.FrameReader(opened, decode, paths) as read_frames:
        report = videos.run(
            folder / f"{statistics.NAME}.zarr",
            trunk=statistics.trunk(),
            frames=opened,
            read_frames=read_frames,
            extract=params.block(data, "extract", ExtractSettings).model_copy(update={"device": "cpu"}),
            shard_mb=params.block(data, "store", StoreSettings).shard_mb,
            staging_root=sources.staging_root("pipeline.measure"),
            description=f"measure {dataset}",
        )
    counts = f"{report.rows} rows, {report.computed} computed now, {report.quarantined} quarantined"
    print(f"{dataset} {statistics.NAME}: {counts}")
    stage.write_seconds(Path("runs") / dataset / "seconds" / "measure.json", since=began)


if __name__ == "__main__":
    stage.run(main)
