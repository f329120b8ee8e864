"""Which of our source files a module is made of, read without running them, and one digest of what they do.

DVC does not follow imports; a stage names whole rooms. What is staged of unfinished stores, and models that
are trained already, do not ask DVC: they are kept apart by the digest, so that values of older code are never
joined with those of newer code. The digest is of syntax trees without docstrings: a comment changes nothing.
"""

import ast
import hashlib
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("msavqa", "pipeline", "data", "benchmarks")

VALUE_FREE = Path(__file__).resolve().parent.relative_to(ROOT)
"""The room whose files cannot change a value under the name that it is kept by. All others can.

What code says and shows (errors, progress), the words of a stage's command line, this file. Settings too:
those that a value depends on are in the fingerprint, which is part of the same name.

Who carries pixels or features from one place to another is not here (workers, the readers and writers of
stores, settings of torch): what goes wrong on the way is stored.
"""


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
    """Of what these modules do, as they are now, those files left out that cannot change a value."""
    files = sorted(set().union(*(closure(module) for module in modules)))
    found = hashlib.sha256()
    for path in files:
        if not path.is_relative_to(VALUE_FREE):
            found.update(f"{path}\0{meaning((ROOT / path).read_text(encoding='utf-8'))}\0".encode())
    return found.hexdigest()[:16]


@cache
def meaning(source: str) -> str:
    """What of a source text can change what it does: its syntax tree without docstrings, as text."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            # Every text that stands alone goes: fields and constants have theirs below them.
            node.body = [line for line in node.body if not _is_text(line)]
    return ast.dump(tree)


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


def _is_text(line: ast.stmt) -> bool:
    return isinstance(line, ast.Expr) and isinstance(getattr(line.value, "value", None), str)
