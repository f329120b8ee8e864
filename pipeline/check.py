"""Stage `check`: every mistake in params.yaml, then in what it points to, at once -> runs/params.checked."""

import argparse
from collections.abc import Sequence

from msavqa.check import inputs
from msavqa.check.params import problems
from msavqa.ground.errors import ProblemsError
from msavqa.machine import files, params
from pipeline import stage

OUT = "runs/params.checked"


def main(argv: Sequence[str] | None = None) -> None:
    """Refuses a params.yaml with any mistake, or with labels, videos or weights that are not in order.

    The file that it writes is always the same.

    `make` asks with --only before DVC starts: DVC itself needs some of the keys to read dvc.yaml, and names
    one that is missing, and no other mistake. The stage follows at once: networks, slow to ask of, are its.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", action="store_true", help="write nothing, leave networks to the stage")
    only = parser.parse_args(argv).only
    data = params.read()
    if found := problems(data):
        raise ProblemsError(where=params.PARAMS_FILE, problems=found, next_step="mend them and run again")
    if found := inputs.problems(data, leave_networks=only):
        raise ProblemsError(
            where="what params.yaml points to",
            problems=found,
            next_step="mend them and run again, nothing was started",
        )
    if not only:
        files.fresh(OUT).write_text("params.yaml has no mistakes\n", encoding="utf-8")


if __name__ == "__main__":
    stage.run(main)
