"""What stages share: coordinates from argv, refusals as a sentence, what they cost, where progress shows."""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from msavqa.ground.errors import MsavqaError, full_disk, no_right, out_of_memory


def coordinates(argv: Sequence[str] | None, *names: str, description: str | None) -> list[str]:
    """The stage's coordinates (dataset, trunk, branch), in the order of `names`."""
    parser = argparse.ArgumentParser(description=description)
    for name in names:
        parser.add_argument(name)
    found = parser.parse_args(argv)
    return [str(getattr(found, name)) for name in names]


def write_seconds(path: Path, *, since: float) -> None:
    """Writes the wall-clock seconds since a `time.monotonic()`: what the report shows as the stage's cost.

    A file of its own, that the report alone depends on: results that came out the same run nothing again.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)  # it may be DVC's cached copy under a second name
    text = json.dumps({"seconds": round(time.monotonic() - since, 3)})
    path.write_text(text + "\n", encoding="utf-8")


def live_folder(name: str) -> Path | None:
    """Where DVCLive shows a stage's progress: `dvclive/<experiment>/<name>` in the project, ignored by git.

    A queued experiment runs in a copy of the project; its progress shows in the project itself. None where
    DVC does not run the stage.
    """
    root = os.environ.get("DVC_ROOT")
    return (
        None if root is None else Path(root) / "dvclive" / os.environ.get("DVC_EXP_NAME", "workspace") / name
    )


def kept_folder() -> Path:
    """Where interrupted trainings and finished models are found again: in the project, ignored by git."""
    return Path(os.environ.get("DVC_ROOT", ".")) / ".msavqa" / "train"


def run(main: Callable[[], None]) -> None:
    """Runs a stage; a refusal is printed as its sentence and ends it with 2, and so are a full disk, a full
    memory and a missing right."""
    try:
        main()
    except Exception as error:
        refusal: MsavqaError | None
        if isinstance(error, MsavqaError):
            refusal = error
        elif isinstance(error, OSError):
            refusal = full_disk(error, where=Path.cwd()) or no_right(error, where=Path.cwd())
        else:
            refusal = out_of_memory(error, where=" ".join([Path(sys.argv[0]).stem, *sys.argv[1:]]))
        if refusal is None:
            raise
        print(f"error: {refusal}", file=sys.stderr)
        sys.exit(2)
