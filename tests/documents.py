"""What the documents tell a reader to type: the commands of their code blocks and of their running text."""

import itertools
import re

from tests.conftest import ROOT

PAGES = (
    "README.md",
    "CONTRIBUTING.md",
    "features/README.md",
    *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")),
)
PROGRAMS = (
    "cp", "dvc", "export", "git", "make", "msavqa", "pip", "python", "ray", "rm", "sbatch", "source",
)  # fmt: skip
"""A line of code that begins with one of these is a command."""


def read(page: str) -> str:
    """A page's text."""
    return (ROOT / page).read_text(encoding="utf-8")


def section(text: str, heading: str) -> str:
    """What stands under one `## heading`."""
    return text.split(f"\n## {heading}\n")[1].split("\n## ")[0]


def _lines(text: str) -> list[tuple[bool, str]]:
    """Each line, and whether it is code: fenced, or indented by four spaces (which are taken off)."""
    fence, found = False, []
    for line in text.splitlines():
        if line.startswith("```"):
            fence = not fence
            found.append((False, ""))
        else:
            code = fence or line.startswith("    ")
            found.append((code, line if fence or not code else line[4:]))
    return found


def blocks(text: str) -> list[list[str]]:
    """Code blocks: their lines without the blank ones."""
    grouped = itertools.groupby(_lines(text), key=lambda one: one[0])
    return [[line for _, line in lines if line.strip()] for code, lines in grouped if code]


def commands(text: str) -> list[str]:
    """Commands of the code blocks, in order, without their comments."""
    lines = [line for block in blocks(text) for line in block]
    return [re.sub(r"\s+# .*", "", line) for line in lines if line.split()[0] in PROGRAMS]


def mentioned(text: str) -> list[str]:
    """Commands between backticks in text and tables: a program and a word or more."""
    prose = "\n".join(line for code, line in _lines(text) if not code)
    spans = [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", prose)]
    return [span for span in spans if span.split(" ")[0] in PROGRAMS and " " in span]
