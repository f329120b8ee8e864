"""The README's map of rooms, made of the modules' own first docstring lines: `python -m tests.readme_map`."""

import ast
import re
import sys
from pathlib import Path

from tests.conftest import ROOT

ROOMS = ("msavqa", "pipeline", "data", "benchmarks")


def rows(root: Path = ROOT) -> list[str]:
    """One table row a module, `| path | first docstring line |`, in reading order of the tree."""
    found = []
    for room in ROOMS:
        for path in sorted((root / room).rglob("*.py")):
            name = path.relative_to(root)
            if path.name != "__init__.py":
                docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "?"
                found.append(f"| `{name}` | {docstring.splitlines()[0]} |")
    return found


def main() -> int:
    """Writes the map between the README's two marks."""
    readme = ROOT / "README.md"
    table = "\n".join(["| file | what it does |", "|---|---|", *rows()])
    text = readme.read_text(encoding="utf-8")
    new = re.sub(r"(<!-- map -->\n).*(\n<!-- /map -->)", lambda m: m[1] + table + m[2], text, flags=re.DOTALL)
    readme.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
