"""What each stage declares of its module's import closure, and what it should.

`python -m tests.closure` prints, for every stage of every dvc.yaml, what it should declare and does not.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

from msavqa.ground.sources import ROOT, closure

# Stages whose module is found by name at run time: stage module -> where the second module lives.
CHOSEN = {
    "pipeline.extract": "msavqa.trunks",
    "pipeline.index": "msavqa.datasets.readers",
    "pipeline.train": "msavqa.branches",
}


@dataclass(frozen=True)
class StageCode:
    """One resolved stage: its name, the module it runs, the sources it declares and those it should."""

    name: str
    declared: frozenset[Path]
    needed: frozenset[Path]


def stages(root: Path = ROOT) -> list[StageCode]:
    """Every stage of every dvc.yaml that runs one of our modules."""
    from dvc.repo import Repo

    found = []
    with Repo(str(root)) as repo:
        for stage in repo.index.stages:
            words = str(stage.cmd).split()
            if words[:2] != ["python", "-m"]:
                continue
            module = words[2]
            declared = {
                Path(dep.fs_path).relative_to(root) for dep in stage.deps if str(dep.fs_path).endswith(".py")
            }
            needed = closure(module)
            chosen = [
                path
                for path in declared
                if module in CHOSEN and str(path).startswith(CHOSEN[module].replace(".", "/"))
            ]
            for path in chosen:
                needed |= closure(".".join(path.with_suffix("").parts))
            if module in CHOSEN and len(chosen) != 1:
                raise LookupError(
                    f"{stage.addressing} declares {len(chosen)} of {CHOSEN[module]}, expected one"
                )
            found.append(StageCode(stage.addressing, frozenset(declared), frozenset(needed)))
    return found


def main() -> int:
    """Prints what is missing and what is too much; exit code 1 where anything is."""
    wrong = 0
    for stage in stages():
        for path in sorted(stage.needed - stage.declared):
            wrong += 1
            print(f"{stage.name}: add {path}")
        for path in sorted(stage.declared - stage.needed):
            print(f"{stage.name}: not imported {path}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
