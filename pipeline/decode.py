"""Stage `decode DATASET`: manifest and videos -> features/<dataset>/frames.zarr, sampled frames and times."""

import time
from collections.abc import Sequence
from pathlib import Path

from msavqa.datasets import tables
from msavqa.frames.read import DecodeSettings
from msavqa.frames.write import decode_all
from msavqa.ground import params, sources, stage
from msavqa.store import read as store
from msavqa.store.shards import StoreSettings


def main(argv: Sequence[str] | None = None) -> None:
    """Decodes every video once; says which were quarantined and why."""
    began = time.monotonic()
    (dataset,) = stage.coordinates(argv, "dataset", description=__doc__)
    data = params.read()
    path = Path("features") / dataset / "frames.zarr"
    report = decode_all(
        path,
        manifest=tables.read_manifest(Path("data") / dataset / "manifest.parquet"),
        root=Path(data["datasets"][dataset]["root"]),
        settings=params.block(data, "decode", DecodeSettings),
        shard_mb=params.block(data, "store", StoreSettings).shard_mb,
        staging_root=sources.staging_root("pipeline.decode"),
        description=f"decode {dataset}",
    )
    rows = store.open(path).rows
    for row in rows[rows["status"] == "quarantined"].itertuples():
        print(f"quarantined: {row.id}: {row.error}")
    print(f"{dataset}: {report.rows} videos, {report.computed} tried now, {report.quarantined} quarantined")
    stage.write_seconds(Path("runs") / dataset / "seconds" / "decode.json", since=began)


if __name__ == "__main__":
    stage.run(main)
