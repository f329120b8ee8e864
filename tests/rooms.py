"""What each stage declares of the rooms that its module imports, and what it should: `python -m tests.rooms`.

DVC does not follow imports. A stage therefore names every room of msavqa/ that its module reaches, whole, and
the files of pipeline/ and data/ that it is made of. `msavqa/ground` is named by none: no value depends on it.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

from msavqa.ground.sources import ROOT, closure, imports_of

GROUND = Path("msavqa/ground")
CORNERS = {Path("msavqa/trunks")}
"""Rooms whose folders are named one by one: a network does not change when a handcrafted measure does."""
CHOSEN = {
    "pipeline.check": Path("msavqa/branches"),
    "pipeline.extract": Path("msavqa/trunks/kinds"),
    "pipeline.copies": Path("msavqa/trunks/kinds"),
    "pipeline.train": Path("msavqa/branches"),
    "pipeline.pretrain": Path("msavqa/branches"),
    "pipeline.examine": Path("msavqa/branches"),
}
"""Stages that find a module of a folder by a name in params.yaml: stage module -> that folder."""


@dataclass(frozen=True)
class StageCode:
    """One resolved stage: its name, the code that it declares and the code that it should."""

    name: str
    declared: frozenset[Path]
    needed: frozenset[Path]


def room_of(path: Path) -> Path:
    """What a stage names for one of our source files: its room, or the file itself outside msavqa/."""
    if path.parts[0] != "msavqa":
        return path
    room = Path(*path.parts[:2])
    return Path(*path.parts[:3]) if room in CORNERS else room


def needed_by(module: str) -> frozenset[Path]:
    """Rooms and files that a stage's module is made of, those that it finds by name included."""
    files = closure(module)
    chosen = CHOSEN.get(module)
    for path in sorted((ROOT / chosen).glob("*.py")) if chosen else []:
        files |= closure(".".join(path.relative_to(ROOT).with_suffix("").parts))
    return frozenset(room for room in map(room_of, files) if room != GROUND)


def stages(root: Path = ROOT) -> list[StageCode]:
    """Every stage of every dvc.yaml that runs one of our modules."""
    from dvc.repo import Repo

    found = []
    with Repo(str(root)) as repo:
        for stage in repo.index.stages:
            words = str(stage.cmd).split()
            if words[:2] != ["python", "-m"]:
                continue
            paths = {Path(dep.fs_path).relative_to(root) for dep in stage.deps}
            code = {path for path in paths if path.suffix == ".py" or path.parts[0] == "msavqa"}
            found.append(StageCode(stage.addressing, frozenset(code), needed_by(words[2])))
    return found


def house(root: Path = ROOT) -> dict[str, set[str]]:
    """Room -> the rooms that it imports: of msavqa/, and pipeline, benchmarks, data as one room each."""
    found: dict[str, set[str]] = {}
    for top in ("msavqa", "pipeline", "benchmarks", "data"):
        for path in sorted((root / top).rglob("*.py")):
            here = _room_name(path.relative_to(root))
            there = {_room_name(one) for one in imports_of(path.relative_to(root))}
            found.setdefault(here, set()).update(there - {here})
    return found


def _room_name(path: Path) -> str:
    return path.parts[1] if path.parts[0] == "msavqa" and len(path.parts) > 2 else path.parts[0]


def main() -> int:
    """Prints what is missing and what is too much; exit code 1 where anything is."""
    wrong = 0
    for stage in stages():
        for path in sorted(stage.needed - stage.declared):
            wrong += 1
            print(f"{stage.name}: add {path}")
        for path in sorted(stage.declared - stage.needed):
            wrong += 1
            print(f"{stage.name}: not imported {path}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
