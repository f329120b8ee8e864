"""Stage `export DATASET`: a trained run -> runs/<dataset>/bundle, the folder that `msavqa score` uses."""

from collections.abc import Sequence
from pathlib import Path

from msavqa.bundle import export
from msavqa.ground import params, stage

REPEAT = 0
"""The repeat whose model is exported: the first seed's."""


def main(argv: Sequence[str] | None = None) -> None:
    """Exports the first repeat's model."""
    (dataset,) = stage.coordinates(argv, "dataset", description=__doc__)
    out = Path("runs") / dataset / "bundle"
    made = export.export(Path(), dataset, params.read(), repeat=REPEAT, out=out)
    print(f"{dataset}: {out}, model {made.digest[:12]}")


if __name__ == "__main__":
    stage.run(main)
