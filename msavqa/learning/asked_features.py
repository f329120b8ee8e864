"""What a store must be to hold the features that params.yaml asks for: no training reads other ones."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from msavqa.networks import weights

ELSEWHERE = ("model", "kwargs", "weights")
"""Settings of a trunk that its fingerprint keeps under `architecture`."""


def expected(params: Mapping[str, Any] | None, *, trunks: Collection[str]) -> dict[str, dict[str, Any]]:
    """By trunk: facts that the fingerprint of its store must hold, for `store.open(expect=...)`.

    `params` is the whole of params.yaml; None asks for nothing. Versions of libraries may differ, as in a
    colleague's store; weights are compared where their file is here.
    """
    if params is None:
        return {}
    return {name: _facts(params["trunks"][name], decode=params["decode"]) for name in sorted(trunks)}


def _facts(trunk: Mapping[str, Any], *, decode: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {name: value for name, value in trunk.items() if name not in ELSEWHERE}
    if trunk["kind"] != "clip_text":
        found["decoded"] = {"frames": decode["frames"], "box": decode["box"]}
    if trunk["kind"] == "statistics":
        return found
    architecture = {name: trunk[name] for name in ("model", "kwargs") if "kwargs" in trunk}
    if Path(trunk["weights"]).is_file():
        architecture["weights_sha256"] = weights.sha256(trunk["weights"])
    return found | ({"architecture": architecture} if architecture else {})
