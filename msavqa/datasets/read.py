"""A dataset's block of params.yaml -> its reader, its settings and its rows; nothing here opens a video.

    datasets:
      mine: {reader: csv, root: videos, labels: videos.csv, mos_range: [1, 5], columns: {video: file, ...}}

`reader` is the name of a file in msavqa/datasets/readers; a new dataset is a new file there, no more.
"""

import importlib
import pkgutil
from collections.abc import Mapping
from typing import Any, Protocol, cast

import msavqa.datasets.readers
from msavqa.datasets.rows import LabelSettings, Rows
from msavqa.ground import params
from msavqa.ground.errors import ProblemsError


class Reader(Protocol):
    """What each module of msavqa/datasets/readers offers."""

    ReaderSettings: type[LabelSettings]

    def read(self, settings: LabelSettings, *, check_files: bool, given: bool) -> Rows:
        """The rows of the label files in their order, or `ProblemsError` with all that is wrong with them.

        `check_files` and `given` are those of `rows.checked`.
        """


def read(data: Mapping[str, Any], dataset: str, *, check_files: bool) -> tuple[LabelSettings, Rows]:
    """The settings and rows of one dataset of a params file.

    `check_files` false reads the labels without looking for the videos. With the protocol `given` the rows'
    own splits must mean something. Raises `ProblemsError` for settings and `ProblemsError` for labels, with
    every mistake.
    """
    block = f"datasets.{dataset}"
    known = sorted(module.name for module in pkgutil.iter_modules(msavqa.datasets.readers.__path__))
    datasets = data.get("datasets")
    if not isinstance(datasets, Mapping) or not isinstance(datasets.get(dataset), Mapping):
        names = list(map(str, datasets)) if isinstance(datasets, Mapping) else []
        others = f", there are {', '.join(names)}" if names else ""
        problem = f"{block}: missing{params.nearest(dataset, names) or others}"
        raise ProblemsError(where=params.PARAMS_FILE, problems=[problem], next_step="mend it and run again")
    name = datasets[dataset].get("reader")
    if name not in known:
        hint = params.nearest(str(name), known)
        problem = f"{block}.reader: got {name!r}, expected one of {', '.join(known)}{hint}"
        raise ProblemsError(where=params.PARAMS_FILE, problems=[problem], next_step="mend it and run again")
    reader = cast(Reader, importlib.import_module(f"msavqa.datasets.readers.{name}"))
    settings = params.block(data, block, reader.ReaderSettings)
    split = data.get(params.split_block(data, dataset))
    given = isinstance(split, Mapping) and split.get("protocol") == "given"
    return settings, reader.read(settings, check_files=check_files, given=given)
