"""Stage `check`: every mistake in params.yaml at once, before anything starts -> runs/params.checked."""

import importlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from msavqa import params
from msavqa.errors import ProblemsError
from msavqa.params import Settings
from pipeline import stage

OUT = Path("runs/params.checked")

# Block of params.yaml -> where its settings are defined. Looked up late: each is imported where it is read.
BLOCKS = {
    "index": "msavqa.videos.manifest.IndexSettings",
    "split": "msavqa.splits.SplitSettings",
    "pretrain_split": "msavqa.splits.SplitSettings",
    "decode": "msavqa.videos.frames.DecodeSettings",
    "store": "msavqa.storage.store_settings.StoreSettings",
    "extract": "msavqa.extraction.feature_rows.ExtractSettings",
    "pretrain": "pipeline.pretrain.PretrainSettings",
    "train": "msavqa.learning.fit.TrainSettings",
    "controls": "msavqa.evaluation.controls.ControlSettings",
    "ensemble": "msavqa.evaluation.ensemble.EnsembleSettings",
    "calibration": "msavqa.evaluation.calibration.CalibrationSettings",
    "report": "msavqa.report.build.ReportSettings",
}
FETCH = "msavqa.networks.hub.FetchSettings"
NAMES = ("dataset", "pretrain_dataset")
# Block of many named entries -> package and settings class that the entry's own key chooses.
CHOSEN = {
    "datasets": ("reader", "msavqa.readers.{}.ReaderSettings"),
    "trunks": ("kind", "msavqa.trunks.{}.TrunkSettings"),
}
BRANCHES = ("frame", "segment", "video")


def main(argv: Sequence[str] | None = None) -> None:
    """Refuses a params.yaml with any mistake; the file that it writes is always the same."""
    stage.coordinates(argv, description=__doc__)
    found = problems(params.read())
    if found:
        raise ProblemsError(where=params.PARAMS_FILE, problems=found, next_step="mend them and run again")
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text("params.yaml has no mistakes\n", encoding="utf-8")


def problems(data: Mapping[str, Any]) -> list[str]:
    """One sentence for each mistake in a whole params file; empty where there is none."""
    return list(_problems(data))


def _problems(data: Mapping[str, Any]) -> Iterator[str]:
    known = [*NAMES, *BLOCKS, *CHOSEN, "fetch", "branches"]
    for name in data:
        if name not in known:
            yield f"{name}: unknown key{params.nearest(str(name), known)}"
    yield from (f"{name}: missing" for name in known if name not in data)
    for name in NAMES:
        if name in data and data[name] not in (data.get("datasets") or {}):
            choices = list(map(str, data.get("datasets") or {}))
            yield f"{name}: got {data[name]!r}, expected one of {', '.join(choices)}"
    for name, path in BLOCKS.items():
        if name in data:
            yield from params.problems_in(data[name], name, settings_class(path))
    for name, (choice, pattern) in CHOSEN.items():
        for entry, block in (data.get(name) or {}).items():
            yield from _chosen(block, f"{name}.{entry}", choice, pattern)
    for entry, block in (data.get("fetch") or {}).items():
        yield from params.problems_in(block, f"fetch.{entry}", settings_class(FETCH))
    branches = data.get("branches") or {}
    yield from (
        f"branches.{name}: missing" for name in BRANCHES if "branches" in data and name not in branches
    )
    for name, block in branches.items():
        if name in BRANCHES:
            kind = settings_class(f"msavqa.branches.{name}.BranchSettings")
            yield from params.problems_in(block, f"branches.{name}", kind)
            yield from _unknown_trunks(block, f"branches.{name}", list(data.get("trunks") or {}))
        else:
            yield f"branches.{name}: unknown key{params.nearest(str(name), list(BRANCHES))}"
    yield from _nothing_cached(data)


def settings_class(path: str) -> type[Settings]:
    """The settings class at a dotted path."""
    module, name = path.rsplit(".", 1)
    found: type[Settings] = getattr(importlib.import_module(module), name)
    return found


def _chosen(block: Any, where: str, choice: str, pattern: str) -> Iterator[str]:
    name = block.get(choice) if isinstance(block, Mapping) else None
    package = Path(*pattern.split(".")[:2])
    known = sorted(path.stem for path in package.glob("*.py") if path.name != "__init__.py")
    if name not in known:
        hint = params.nearest(str(name), known)
        yield f"{where}.{choice}: got {name!r}, expected one of {', '.join(known)}{hint}"
        return
    yield from params.problems_in(block, where, settings_class(pattern.format(name)))


def _unknown_trunks(block: Any, where: str, trunks: list[str]) -> Iterator[str]:
    for key in ("trunk", "motion_trunk"):
        if isinstance(block, Mapping) and key in block and block[key] not in trunks:
            yield f"{where}.{key}: got {block[key]!r}, expected one of {', '.join(trunks)}"


def _nothing_cached(data: Mapping[str, Any]) -> Iterator[str]:
    """What a trunk with cut `pixels` cannot give, because it caches no features."""
    trunks = data.get("trunks") or {}
    pixels = [name for name, block in trunks.items() if _at(block, "cut") == "pixels"]
    if _at(data.get("decode"), "store") == "none":
        yield from (
            f"trunks.{name}.cut: got 'pixels' beside decode.store 'none', expected decode.store 'frames': "
            "training reads the frames"
            for name in pixels
        )
    segment = _at(data.get("branches"), "segment")
    source = _at(segment, "motion_trunk")
    if _at(segment, "motion") == "trunk" and source in pixels:
        yield (
            f"branches.segment.motion: got 'trunk', but trunks.{source} with cut 'pixels' caches no "
            "features, expected difference or none"
        )


def _at(block: Any, key: str) -> Any:
    return block.get(key) if isinstance(block, Mapping) else None


if __name__ == "__main__":
    stage.run(main)
