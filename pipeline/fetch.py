"""Stage `fetch TRUNK`: a hub name, a file or a seed -> weights/<trunk>.safetensors, exactly its tensors."""

import importlib
from collections.abc import Sequence
from pathlib import Path

from msavqa.ground.errors import ProblemsError
from msavqa.machine import params
from msavqa.networks import hub, weights
from msavqa.networks.hub import FetchSettings
from pipeline import stage


def main(argv: Sequence[str] | None = None) -> None:
    """Fetches the weights of one trunk and says what they are."""
    (name,) = stage.coordinates(argv, "trunk", description=__doc__)
    data = params.read()
    wanted = params.block(data, f"fetch.{name}", FetchSettings)
    kind = (data.get("trunks") or {}).get(name, {}).get("kind")
    if kind not in hub.KINDS:
        problem = f"trunks.{name}.kind: got {kind!r}, expected one of {', '.join(hub.KINDS)}"
        raise ProblemsError(where=params.PARAMS_FILE, problems=[problem], next_step="mend it and run again")
    # By name, and not by the extraction's own way to it: an edited decoder must not fetch weights again.
    settings = importlib.import_module(f"msavqa.trunks.kinds.{kind}").TrunkSettings
    path = Path("weights") / f"{name}.safetensors"
    weights.save(hub.fetch(params.block(data, f"trunks.{name}", settings), wanted), path)
    print(f"{path}: {wanted.source} {wanted.name}, sha256 {weights.sha256(path)[:12]}")


if __name__ == "__main__":
    stage.run(main)
