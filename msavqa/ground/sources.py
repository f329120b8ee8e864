"""Which of our source files a module is made of, read without running them, and one digest of them all.

DVC does not follow imports: each stage declares this closure. The staging of unfinished stores does not ask
DVC: it is kept apart by the digest, so that shards of older code are never joined with those of newer code.
"""

import ast
import hashlib
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("msavqa", "pipeline", "data", "benchmarks")

# Sources that cannot change a value that is cached: what they say, show, refuse, or where they put it. How a
# store lies on disk has a number of its own (`store_format.FORMAT`), which the names in staging hold.
VALUE_FREE = frozenset(
    Path(f"{name}.py")
    for name in (
        "msavqa/errors",
        "msavqa/launch",
        "msavqa/memory",
        "msavqa/params",
        "msavqa/progress",
        "msavqa/storage/publish",
        "msavqa/storage/shards",
        "msavqa/storage/sources",
        "msavqa/storage/staging",
        "msavqa/storage/store",
        "msavqa/storage/store_format",
        "msavqa/storage/store_settings",
        "msavqa/tables",
        "msavqa/videos/decode_progress",
        "msavqa/worker_channel",
        "msavqa/workers",
        "pipeline/stage",
    )
)


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
    for node in running_nodes(tree):
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


def digest(*modules: str) -> str:
    """Of these modules' sources, as they are now, those left out that cannot change a value."""
    files = sorted(set().union(*(closure(module) for module in modules)) - VALUE_FREE)
    found = hashlib.sha256()
    for path in files:
        found.update(f"{path}\0{hashlib.sha256((ROOT / path).read_bytes()).hexdigest()}\0".encode())
    return found.hexdigest()[:16]


def staging_root(*modules: str) -> Path:
    """`$DVC_ROOT/.msavqa/<digest>`: where stores made by these modules, as they are now, are staged."""
    return Path(os.environ.get("DVC_ROOT", ".")) / ".msavqa" / digest(*modules)


def running_nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """The nodes of a syntax tree that may run: all but the bodies of `if TYPE_CHECKING`."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            yield from (child for other in node.orelse for child in ast.walk(other))
            continue
        yield node
        yield from running_nodes(node)
