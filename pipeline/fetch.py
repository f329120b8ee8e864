"""Stage `fetch TRUNK`: a hub name, a file or a seed -> weights/<trunk>.safetensors, exactly its tensors."""

from collections.abc import Sequence
from pathlib import Path

from msavqa import feature_rows, hub, params, weights
from msavqa.hub import FetchSettings
from pipeline import stage


def main(argv: Sequence[str] | None = None) -> None:
    """Fetches the weights of one trunk and says what they are."""
    (name,) = stage.coordinates(argv, "trunk", description=__doc__)
    data = params.read()
    wanted = params.block(data, f"fetch.{name}", FetchSettings)
    path = Path("weights") / f"{name}.safetensors"
    weights.save(hub.fetch(feature_rows.settings_of(data, name), wanted), path)
    print(f"{path}: {wanted.source} {wanted.name}, sha256 {weights.sha256(path)[:12]}")


if __name__ == "__main__":
    stage.run(main)
