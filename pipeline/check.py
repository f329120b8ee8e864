"""Stage `check`: every mistake in params.yaml, then in what it points to, at once -> runs/start."""

import argparse
from collections.abc import Sequence

from msavqa.check import inputs
from msavqa.check.params import problems
from msavqa.ground import params, stage
from msavqa.ground.errors import ProblemsError
from msavqa.machine import files, launchers

OUTS = {
    "runs/start/params.checked": "params.yaml has no mistakes",
    "runs/start_seconds/about.txt": "How long the pre-training of each branch took, in seconds",
}
"""Always the same: what follows runs again when its own settings change, not when this stage has run. Stages
depend on both folders, also where nothing is pre-trained."""


def main(argv: Sequence[str] | None = None) -> None:
    """Refuses a params.yaml with any mistake, or with labels, videos or weights that are not in order; and an
    MSAVQA_LAUNCHER that cannot be read.

    `make` asks with --only before DVC starts: DVC itself needs some of the keys to read dvc.yaml, and names
    one that is missing, and no other mistake. Networks take seconds: the stage, which follows at once, asks.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", action="store_true", help="write nothing, leave networks to the stage")
    only = parser.parse_args(argv).only
    launchers.asked()
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
        for path, text in OUTS.items():
            files.fresh(path).write_text(f"{text}\n", encoding="utf-8")


if __name__ == "__main__":
    stage.run(main)
