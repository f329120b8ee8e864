"""params.yaml whole, as one model of the rooms' own settings: every mistake of a file at once."""

import importlib
import pkgutil
from collections.abc import Mapping
from types import ModuleType
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias, Union

from pydantic import Field, StringConstraints, ValidationError

import msavqa.datasets.readers
import msavqa.trunks.kinds
from msavqa.check import held_out, rules
from msavqa.datasets.copies import CopySettings
from msavqa.datasets.manifest import IndexSettings
from msavqa.datasets.splits import SplitSettings
from msavqa.evaluation.calibration import CalibrationSettings
from msavqa.evaluation.controls import ControlSettings
from msavqa.evaluation.ensemble import EnsembleSettings
from msavqa.frames.read import DecodeSettings
from msavqa.ground import params
from msavqa.ground.params import Settings, nearest
from msavqa.learning import branch
from msavqa.learning.folds import PretrainSettings
from msavqa.learning.train_settings import TrainSettings
from msavqa.networks.hub import FetchSettings
from msavqa.report.build import ReportSettings
from msavqa.store.shards import StoreSettings
from msavqa.trunks.kinds.clip_text import TextSettings
from msavqa.trunks.run.feature_rows import ExtractSettings


def _files(package: ModuleType, settings: str) -> dict[str, type[Settings]]:
    """The settings class of that name in each file of a package, by the file's name."""
    names = sorted(one.name for one in pkgutil.iter_modules(package.__path__) if not one.ispkg)
    modules = {name: importlib.import_module(f"{package.__name__}.{name}") for name in names}
    return {name: getattr(one, settings) for name, one in modules.items() if hasattr(one, settings)}


READERS = _files(msavqa.datasets.readers, "ReaderSettings")
KINDS = _files(msavqa.trunks.kinds, "TrunkSettings")
BRANCHES: dict[str, type[Settings]] = {kind: branch.settings_of(kind) for kind in branch.kinds()}
TEXT_KIND = "clip_text"
CHOSEN = {"datasets": ("reader", READERS), "trunks": ("kind", KINDS), "branches": ("kind", BRANCHES)}
"""Blocks of named entries -> the key of an entry that says which settings it has, and those."""

if TYPE_CHECKING:
    DataSet: TypeAlias = Settings
    Trunk: TypeAlias = Settings
    Branch: TypeAlias = Settings
else:
    DataSet = Annotated[Union[tuple(READERS.values())], Field(discriminator="reader")]  # noqa: UP007
    Trunk = Annotated[Union[tuple(KINDS.values())], Field(discriminator="kind")]  # noqa: UP007
    Branch = Annotated[Union[tuple(BRANCHES.values())], Field(discriminator="kind")]  # noqa: UP007
Name = Annotated[str, StringConstraints(pattern=rules.NAME)]


class Params(Settings):
    """A whole params.yaml: every knob, and no defaults."""

    train_on: list[str] = Field(min_length=1)
    """Data sets that the branches learn from; the first is the default of commands."""
    pretrain_on: list[str] = Field(max_length=1)
    """The data set without prompts that branches under `pretrain` learn technical quality from first; []:
    none do."""
    datasets: dict[Name, DataSet]
    """Data sets by name: each is the folder data/<name>, features/<name>, runs/<name>, reports/<name>."""
    index: IndexSettings
    """Hashing and probing of video files."""
    split: SplitSettings
    """Who trains, validates and tests, of the data sets under `train_on`."""
    pretrain_split: SplitSettings
    """The same of all other data sets."""
    decode: DecodeSettings
    """Videos -> frames."""
    store: StoreSettings
    """Stores of frames and features."""
    extract: ExtractSettings
    """How fast and where frozen networks run; no value depends on it."""
    weights: str = Field(min_length=1)
    """Folder of the frozen networks' weights: <name>.safetensors of each under `texts` and `trunks`."""
    fetch: dict[str, FetchSettings]
    """Where weights come from, by name under `texts` or `trunks`: it fills the folder weights."""
    texts: dict[Name, TextSettings]
    """Frozen networks that read prompts: each is the store features/<data set>/<name>.zarr."""
    trunks: dict[Name, Trunk]
    """Frozen networks that look at frames: each is the store features/<data set>/<name>.zarr."""
    copies: CopySettings
    """Trivial videos that must score low, made of the data sets under `train_on`."""
    pretrain: PretrainSettings
    """What is learned from `pretrain_on`."""
    branches: dict[Name, Branch] = Field(min_length=1)
    """What learns, by name: its kind is a file of msavqa/branches."""
    train: TrainSettings
    """How branches learn."""
    controls: ControlSettings
    """Predictors to compare with."""
    ensemble: EnsembleSettings
    """Whose scores are joined, and how."""
    calibration: CalibrationSettings
    """Scores -> the scale of the MOS, with intervals."""
    report: ReportSettings
    """The report's figures."""


def problems(data: Mapping[str, Any]) -> list[str]:
    """One sentence for each mistake in a whole params file; empty where there is none."""
    if form := rules.another_form(data):
        return [form]
    return [*_mistakes(data), *rules.problems(data), *held_out.problems(data)]


def _mistakes(data: Mapping[str, Any]) -> list[str]:
    """What the model refuses. Each entry of a block of names is judged by its own settings."""
    try:
        Params.model_validate(data)
    except ValidationError as error:
        errors = error.errors()
    else:
        return []
    found: list[str] = []
    places: dict[tuple[Any, ...], list[Any]] = {}
    for item in errors:
        block, *inner = item["loc"]
        if "[key]" in inner:
            continue  # names are among the rules
        if item["type"] == "dict_type" and not inner:
            empty = ", {} where there is none" if block == "fetch" else ""
            found.append(f"{block}: got {data[str(block)]!r}, expected named blocks{empty}")
        elif item["type"] in ("union_tag_invalid", "union_tag_not_found") and len(inner) == 1:
            found.append(_unknown_choice(str(block), inner[0], data))
        elif block in CHOSEN and len(inner) > 1:
            name, tag, *rest = inner
            places.setdefault((str(block), name, str(tag)), []).append({**item, "loc": tuple(rest)})
        else:
            places.setdefault((), []).append(item)
    for place, items in places.items():
        if not place:
            found += params.sentences(items, data, "", Params)
        else:
            block, name, tag = place
            kind = CHOSEN[block][1][tag]
            found += params.sentences(items, data[block][name], f"{block}.{name}", kind)
    return found


def _unknown_choice(block: str, name: Any, data: Mapping[str, Any]) -> str:
    choice, known = CHOSEN[block]
    got = data[block][name].get(choice)
    prompts = block == "trunks" and got == TEXT_KIND
    hint = "; what reads prompts stands under `texts`" if prompts else nearest(str(got), list(known))
    return f"{block}.{name}.{choice}: got {got!r}, expected one of {', '.join(known)}{hint}"
