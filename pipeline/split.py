"""Stage `split DATASET`: data/<dataset>/manifest.parquet -> splits.parquet, who learns and who is tested."""

from collections.abc import Sequence
from pathlib import Path

from msavqa.datasets import tables
from msavqa.datasets.splits import SplitSettings, check_tested, split
from msavqa.ground import params, stage


def main(argv: Sequence[str] | None = None) -> None:
    """Splits one data set by `split`, or by `pretrain_split` where branches are only pre-trained on it."""
    (dataset,) = stage.coordinates(argv, "dataset", description=__doc__)
    data = params.read()
    settings = params.block(data, params.split_block(data, dataset), SplitSettings)
    folder = Path("data") / dataset
    manifest = tables.read_manifest(folder / "manifest.parquet")
    splits = split(manifest, settings)
    if dataset in data["train_on"]:  # what is reported
        check_tested(splits, manifest, settings)
    tables.write_splits(splits, folder / "splits.parquet")
    counts = splits[splits["repeat"] == 0]["role"].value_counts()
    again = int(manifest.loc[manifest["sha256"] != "", "sha256"].duplicated().sum())
    if again:
        print(f"{dataset}: {again} files are copies of others, and stay on their side")
    sizes = ", ".join(f"{counts.get(role, 0)} {role}" for role in tables.ROLES)
    print(f"{dataset}: {settings.protocol}, {splits['repeat'].nunique()} repeats, the first has {sizes}")


if __name__ == "__main__":
    stage.run(main)
