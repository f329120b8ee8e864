"""What a store must be to hold the features that params.yaml asks for: no training reads other ones."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from msavqa.learning.semantic_settings import STATISTICS
from msavqa.networks import weights

ELSEWHERE = ("model", "kwargs")
"""Settings of a network that its fingerprint keeps under `architecture`."""


def expected(params: Mapping[str, Any], *, stores: Collection[str]) -> dict[str, dict[str, Any]]:
    """By store: facts that its fingerprint must hold, for `store.open(expect=...)`.

    `params` is the whole of params.yaml. Versions of libraries may differ, as in a colleague's store; weights
    are compared where their file is here.
    """
    decoded = {"decoded": {name: params["decode"][name] for name in ("frames", "box")}}
    found = {}
    for name in sorted(stores):
        if name in params["texts"]:
            found[name] = {"kind": "clip_text", **_network(name, params["texts"][name], params["weights"])}
        elif name == STATISTICS:
            found[name] = dict(decoded)
        else:
            found[name] = _network(name, params["trunks"][name], params["weights"]) | decoded
    return found


def of_copies(params: Mapping[str, Any], *, stores: Collection[str]) -> dict[str, dict[str, Any]]:
    """The same of the copies' stores, which hold the fixed view alone."""
    found = expected(params, stores=stores)
    return {name: {**facts, "views": 1} if "views" in facts else facts for name, facts in found.items()}


def _network(name: str, settings: Mapping[str, Any], folder: str) -> dict[str, Any]:
    found = {key: value for key, value in settings.items() if key not in ELSEWHERE}
    architecture = {key: settings[key] for key in ELSEWHERE if "kwargs" in settings}
    file = Path(folder) / f"{name}.safetensors"
    if file.is_file():
        architecture["weights_sha256"] = weights.sha256(file)
    return found | ({"architecture": architecture} if architecture else {})
