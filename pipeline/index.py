"""Stage `index DATASET`: a dataset's own label files and videos -> data/<dataset>/manifest.parquet."""

from collections.abc import Sequence
from pathlib import Path

from msavqa.datasets import manifest, paths, tables
from msavqa.datasets import read as datasets
from msavqa.ground import params, stage


def main(argv: Sequence[str] | None = None) -> None:
    """Checks all labels, then hashes and probes every video; says how many cannot be read."""
    (dataset,) = stage.coordinates(argv, "dataset", description=__doc__)
    data = params.read()
    settings = params.block(data, "index", manifest.IndexSettings)
    labels, rows = datasets.read(data, dataset, check_files=True)
    for note in rows.notes:
        print(f"{dataset}: {note}")
    table = manifest.build(rows, root=labels.root, settings=settings, description=f"index {dataset}")
    tables.write_manifest(table, Path("data") / dataset / "manifest.parquet")
    for row in table[table["status"] == "unreadable"].itertuples():
        print(f"unreadable: {row.video_id}: {row.error}")
    for kind, count in sorted(table.attrs[manifest.PECULIAR].items()):
        print(f"{count} of {len(table)} videos: {kind}")
    if linked := paths.linked_folders(labels.root, table["path"]):
        names = f"{', '.join(linked[:3])}{', ...' if len(linked) > 3 else ''}"
        print(
            f"links to folders ({names}): DVC does not look behind them; after a video there has changed, "
            f"run `dvc repro --force --single-item index@{dataset}` and then `dvc repro`"
        )
    prompts = table.loc[table["prompt"] != "", "prompt"].nunique()
    unreadable = (table["status"] == "unreadable").sum()
    print(f"{dataset}: {len(table)} videos, {prompts} prompts, {unreadable} videos unreadable")


if __name__ == "__main__":
    stage.run(main)
