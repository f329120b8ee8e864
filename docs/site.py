"""What mkdocs asks while it builds the site: pages from outside docs/, and the reference, a page per room."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parent.parent
OUTSIDE = {"README.md": "index.md", "LOG.md": "log.md", "CONTRIBUTING.md": "contributing.md"}
"""A file in the checkout's root -> its page on the site."""
TAGS = (
    "a|abbr|article|blockquote|br|code|del|details|div|dd|dl|dt|em|h[1-6]|hr|img|ins|label|li|nav|ol|p|pre|small|"
    "span|strong|sub|summary|sup|svg|table|tbody|td|th|thead|tr|ul"
)
"""What pages are made of."""
ROOMS = (
    "datasets", "frames", "store", "networks", "trunks", "learning", "branches", "evaluation", "report",
    "bundle", "score", "check", "app", "machine", "ground",
)  # fmt: skip
"""The rooms of msavqa/, in the order in which the data goes; those that all stand on come last."""


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Adds the reference to the navigation."""
    rooms = [{"Front door": "reference/msavqa.md"}, *({room: f"reference/{room}.md"} for room in ROOMS)]
    config.nav = [*(config.nav or []), {"Reference": rooms}]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the pages whose text lies elsewhere."""
    for name, page in OUTSIDE.items():
        text = (ROOT / name).read_text(encoding="utf-8")
        files.append(File.generated(config, page, content=_links_of_root(text)))
    files.append(File.generated(config, "reference/msavqa.md", content="# msavqa\n\n::: msavqa\n"))
    for room in ROOMS:
        files.append(File.generated(config, f"reference/{room}.md", content=_reference(room)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """A page of docs/ links to LOG.md by `../LOG.md`, which is right in the checkout."""
    for name, target in OUTSIDE.items():
        markdown = markdown.replace(f"](../{name}", f"]({target}")
    return markdown


def on_page_content(html: str, **_: Any) -> str:
    """A docstring may say `test_<name>`: that is no tag."""
    return re.sub(rf"<(?!/|(?:{TAGS})\b)([a-z][a-z_ ]*)>", r"&lt;\1&gt;", html)


def _links_of_root(text: str) -> str:
    """The text of a file in the root, with the links that its page needs."""
    for name, target in OUTSIDE.items():
        text = text.replace(f"]({name}", f"]({target}")
    return re.sub(r"\]\(docs/", "](", text)


def _reference(room: str) -> str:
    return f"# {room}\n\n" + "\n".join(f"::: {module}\n" for module in _modules(room))


def _modules(room: str) -> Iterator[str]:
    for path in sorted((ROOT / "msavqa" / room).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
