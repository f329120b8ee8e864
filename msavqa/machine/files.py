"""A file about to be written, and the old one gone: it may be DVC's cached copy under a second name."""

from pathlib import Path


def fresh(path: Path | str) -> Path:
    """The path, where no file stands any more; its folder exists.

    DVC links outs into its cache, read-only. Whoever runs a stage by hand and writes in place would change
    the cached copy of the run before, or be refused.
    """
    found = Path(path)
    found.parent.mkdir(parents=True, exist_ok=True)
    found.unlink(missing_ok=True)
    return found
