"""Which source files a stage's code is made of: the import closure of its module, read without running it.

`python -m tests.closure` prints, for every stage of every dvc.yaml, what it should declare and does not.
"""

import ast
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("msavqa", "pipeline", "data", "benchmarks")

# Stages whose module is found by name at run time: stage module -> where the second module lives.
CHOSEN = {"pipeline.extract": "msavqa.trunks", "pipeline.index": "msavqa.readers", "pipeline.train": "msavqa.branches"}


def file_of(module: str) -> Path | None:
    """The source file of one of our modules, relative to the root; None for packages and others' modules."""
    if module.split(".")[0] not in PACKAGES:
        return None
    path = Path(*module.split(".")).with_suffix(".py")
    return path if (ROOT / path).is_file() else None


@cache
def imports_of(path: Path) -> frozenset[Path]:
    """Our files that one file imports, inside functions too; what only type checkers read is left out."""
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    found: set[Path] = set()
    for node in _running_nodes(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        found.update(file for name in names if (file := file_of(name)))
    return frozenset(found)


def closure(module: str) -> set[Path]:
    """All our files that importing and running a module may execute, itself included, packages' __init__ not.

    An __init__.py holds a docstring and at most a lazy look-up (a law of tests/test_project.py).
    """
    start = file_of(module)
    if start is None:
        raise LookupError(f"{module} is none of our modules")
    done: set[Path] = set()
    waiting = [start]
    while waiting:
        path = waiting.pop()
        if path not in done:
            done.add(path)
            waiting.extend(imports_of(path))
    return done


def _running_nodes(tree: ast.AST) -> Iterable[ast.AST]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            yield from (child for other in node.orelse for child in ast.walk(other))
            continue
        yield node
        yield from _running_nodes(node)


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
            declared = {Path(dep.fs_path).relative_to(root) for dep in stage.deps if str(dep.fs_path).endswith(".py")}
            needed = closure(module)
            chosen = [path for path in declared if module in CHOSEN and str(path).startswith(CHOSEN[module].replace(".", "/"))]
            for path in chosen:
                needed |= closure(".".join(path.with_suffix("").parts))
            if module in CHOSEN and len(chosen) != 1:
                raise LookupError(f"{stage.addressing} declares {len(chosen)} of {CHOSEN[module]}, expected one")
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
