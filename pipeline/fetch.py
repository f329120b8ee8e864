"""Stage `fetch NAME`: a hub name, a file or a seed -> weights/<name>.safetensors, its network's tensors."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from msavqa.ground import params, stage
from msavqa.ground.errors import ProblemsError
from msavqa.networks import hub, weights
from msavqa.networks.hub import FetchSettings, NetworkSettings


def main(argv: Sequence[str] | None = None) -> None:
    """Fetches the weights of one network and says what they are."""
    (name,) = stage.coordinates(argv, "name", description=__doc__)
    data = params.read()
    wanted = params.block(data, f"fetch.{name}", FetchSettings)
    path = Path("weights") / f"{name}.safetensors"
    weights.save(hub.fetch(network(data, name), wanted), path)
    print(f"{path}: {wanted.source} {wanted.name}, sha256 {weights.sha256(path)[:12]}")


def network(data: Mapping[str, Any], name: str) -> NetworkSettings:
    """The network of that name under `texts` or `trunks`; `ProblemsError` where neither has one."""
    entries = {kind: data.get(kind) or {} for kind in ("texts", "trunks")}
    if isinstance(text := entries["texts"].get(name), Mapping):
        data = {"texts": {name: {**text, "kind": "clip_text"}}}  # all texts are
        return params.block(data, f"texts.{name}", NetworkSettings)
    if name not in entries["trunks"]:
        near = params.nearest(name, [*entries["texts"], *entries["trunks"]])
        problem = f"fetch.{name}: no such name under texts or trunks{near}"
        raise ProblemsError(where=params.PARAMS_FILE, problems=[problem], next_step="mend it and run again")
    return params.block(data, f"trunks.{name}", NetworkSettings)


if __name__ == "__main__":
    stage.run(main)
