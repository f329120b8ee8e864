"""Stage `prompts DATASET TEXT`: prompts -> features/<dataset>/<text>.zarr, by one frozen text encoder."""

import time
from collections.abc import Sequence
from pathlib import Path

from msavqa.datasets import tables
from msavqa.ground import params, sources, stage
from msavqa.machine import device
from msavqa.store import read as store
from msavqa.store.shards import StoreSettings
from msavqa.trunks.kinds import clip_text
from msavqa.trunks.run import named, prompts
from msavqa.trunks.run.feature_rows import ExtractSettings
from msavqa.trunks.run.network import Trunk


def main(argv: Sequence[str] | None = None) -> None:
    """Runs one text encoder over one data set; says how much was computed now and what was too long."""
    began = time.monotonic()
    device.keep_freed()
    dataset, name = stage.coordinates(argv, "dataset", "text", description=__doc__)
    data = params.read()
    settings = params.block(data, f"texts.{name}", clip_text.TextSettings)
    asked = list(tables.read_manifest(Path("data") / dataset / "manifest.parquet")["prompt"])
    pieces = prompts.pieces(asked, read=clip_text.reader(settings))
    path = Path("features") / dataset / f"{name}.zarr"
    report = prompts.run(
        path,
        trunk=Trunk.of(
            clip_text,
            settings,
            weights=named.weights(data, name),
            tokens=clip_text.room(settings, [piece.text for piece in pieces]),
        ),
        pieces=pieces,
        extract=params.block(data, "extract", ExtractSettings),
        shard_mb=params.block(data, "store", StoreSettings).shard_mb,
        staging_root=sources.staging_root("pipeline.prompts"),
        description=f"prompts {dataset} {name}",
    )
    told = prompts.told(store.open(path).rows)
    print(f"{dataset} {name}: {report.rows} rows, {report.computed} computed now{told}")
    stage.write_seconds(Path("runs") / dataset / "seconds" / f"prompts_{name}.json", since=began)


if __name__ == "__main__":
    stage.run(main)
