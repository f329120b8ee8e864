"""The function that computed a store's rows, made again from the store's place and params.yaml.

with recompute.of(Path("features/sample/frame.zarr"), data=params.read()) as (found, compute):
    store_info.verify(found, sample=20, recompute=compute)
"""

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from msavqa.datasets import tables
from msavqa.frames import read as frames
from msavqa.frames import write
from msavqa.frames.read import DecodeSettings
from msavqa.ground import sources
from msavqa.machine import params
from msavqa.store import read as store
from msavqa.store.read import Store, StoreError
from msavqa.store.shards import Compute
from msavqa.trunks.run import feature_rows
from msavqa.trunks.run.extract import open_frames
from msavqa.trunks.run.feature_rows import ExtractSettings


@contextlib.contextmanager
def of(path: Path, *, data: Mapping[str, Any]) -> Iterator[tuple[Store, Compute]]:
    """The opened store at `features/<dataset>/<name>.zarr` and the function that computes its rows.

    `data` is the whole of params.yaml. Raises `StoreError` where the store is not one of a dataset of these
    params, is of another fingerprint than they ask for, or has other rows than its frames.
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
    decode = params.block(data, "decode", DecodeSettings)
    manifest = tables.read_manifest(Path("data") / dataset / "manifest.parquet").set_index("video_id")
    root = Path(datasets[dataset]["root"])
    if name == "frames":
        found = store.open(path, expect=frames.fingerprint(decode))
        ordered = manifest.loc[_known(found, manifest.index)].reset_index()
        with write.computing(manifest=ordered, root=root, settings=decode) as compute:
            yield found, compute
        return
    settings = feature_rows.settings_of(data, name)
    extract = params.block(data, "extract", ExtractSettings)
    trunk = feature_rows.trunk(settings.kind)
    if trunk.AXIS == "prompt":
        found = store.open(path, expect=trunk.fingerprint(settings))
        specs = tuple(found.specs.values())
        yield (
            found,
            feature_rows.PromptRows(
                settings=settings, specs=specs, prompts=list(found.rows["prompt"]), extract=extract
            ),
        )
        return
    opened = open_frames(path.with_name("frames.zarr"), settings=decode)
    found = store.open(path, expect={**trunk.fingerprint(settings), "decoded": opened.fingerprint})
    _known(found, opened.ids)
    specs = tuple(found.specs.values())
    paths = {str(video): root / one for video, one in manifest["path"].items()}
    with frames.source(opened, settings=decode, paths=paths) as read_frames:
        compute = feature_rows.VideoRows(
            settings=settings, specs=specs, frames=opened, read_frames=read_frames, extract=extract
        )
        at = opened.index(found.ids)
        yield found, lambda rows: compute([int(at[row]) for row in rows])


def staging_root(found: Store) -> Path:
    """Where the stage that writes a store of this kind stages it, with the code as it is now."""
    if "kind" not in found.fingerprint:
        return sources.staging_root("pipeline.decode")
    return sources.staging_root("pipeline.extract", f"msavqa.trunks.kinds.{found.fingerprint['kind']}")


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
