"""Which kind of network an entry under `trunks` of params.yaml means, and its settings."""

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msavqa.ground import params
from msavqa.ground.errors import ProblemsError
from msavqa.trunks.run.network import Kind

KINDS = Path(__file__).parents[1] / "kinds"
TEXT = "clip_text"
"""The kind of what stands under `texts`; no trunk is of it."""


def kinds() -> list[str]:
    """The kinds that a trunk may be of: a file each."""
    found = (file.stem for file in KINDS.glob("*.py"))
    return sorted(name for name in found if name not in ("__init__", TEXT))


def module(kind: str) -> Kind:
    """The module of a kind, `msavqa.trunks.kinds.<kind>`."""
    found: Any = importlib.import_module(f"msavqa.trunks.kinds.{kind}")
    return found  # type: ignore[no-any-return]


def trunk(data: Mapping[str, Any], name: str) -> tuple[Kind, Any]:
    """The kind and the settings of the trunk `trunks.<name>` of a params file.

    Raises `ProblemsError` for an unknown trunk or kind and for every mistake in the block.
    """
    block = f"trunks.{name}"
    trunks = data.get("trunks")
    if not isinstance(trunks, Mapping) or not isinstance(trunks.get(name), Mapping):
        names = list(map(str, trunks)) if isinstance(trunks, Mapping) else []
        problem = f"{block}: missing{params.nearest(name, names)}"
        raise ProblemsError(where=params.PARAMS_FILE, problems=[problem], next_step="mend it and run again")
    known, kind = kinds(), trunks[name].get("kind")
    if kind not in known:
        hint = params.nearest(str(kind), known)
        problem = f"{block}.kind: got {kind!r}, expected one of {', '.join(known)}{hint}"
        raise ProblemsError(where=params.PARAMS_FILE, problems=[problem], next_step="mend it and run again")
    found: Any = module(kind)
    return found, params.block(data, block, found.TrunkSettings)


def weights(data: Mapping[str, Any], name: str) -> Path:
    """The weights file of the network of that name: `<weights>/<name>.safetensors`."""
    return Path(str(data.get("weights"))) / f"{name}.safetensors"
