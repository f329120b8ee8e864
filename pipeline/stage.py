"""What every stage's command line shares: coordinates from argv, refusals as one sentence, exit code 2."""

import argparse
import sys
from collections.abc import Callable, Sequence

from msavqa.errors import MsavqaError


def coordinates(argv: Sequence[str] | None, *names: str, description: str | None) -> list[str]:
    """The stage's coordinates (dataset, trunk, branch), in the order of `names`."""
    parser = argparse.ArgumentParser(description=description)
    for name in names:
        parser.add_argument(name)
    found = parser.parse_args(argv)
    return [str(getattr(found, name)) for name in names]


def run(main: Callable[[], None]) -> None:
    """Runs a stage; a refusal is printed as its sentence and ends the process with 2."""
    try:
        main()
    except MsavqaError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
