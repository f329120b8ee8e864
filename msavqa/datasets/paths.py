"""Which file a label file means by a path, and that file's one name: its path below the dataset's root.

Root is tried first. A path may also start from the folder of its label file, or with root's own name
(`videos/a.mp4` with the root `videos`), or be absolute: what counts is that it ends below root. DVC follows
root and nothing beside it: a file elsewhere could change, and nothing would run again.

What a label file names may not leave root. A link that stands below root may, to a folder too: who could put
it there has said what belongs to the dataset.
"""

import os
import posixpath
import re
from collections.abc import Iterable, Iterator
from pathlib import Path


class Places:
    """Finds videos below one root, for every row of a dataset."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._root = os.path.abspath(root)
        # Root as it is written, and what it is a link to: a label file may name either.
        self._inside_of = tuple(dict.fromkeys([self._root, os.path.realpath(root)]))

    def below(self, name: str, labels: Path | None) -> tuple[list[str], str]:
        """The paths below root that a label file's path can mean, likeliest first, or why there is none.

        Nothing is looked for; `labels` is the label file, None where nothing may start from its folder.
        """
        if not name.strip():
            return [], "the video's path is empty"
        if "\0" in name:
            return [], f"path {name!r} holds a NUL byte"
        found = [path for start in self._starts(name, labels) if (path := self._inside(start)) is not None]
        if found:
            return list(dict.fromkeys(found)), ""
        if _is_absolute(name):
            return [], f"path {name!r} is absolute, expected one below root"
        return [], f"path {name!r} leads out of root"

    def find(self, name: str, labels: Path | None) -> tuple[str, str, bool]:
        """A video's path below root, or what is wrong with it; and whether it is just not there.

        `name` has a path `below` root.
        """
        can_mean, _ = self.below(name, labels)
        try:
            there = [path for path in can_mean if (self.root / path).is_file()]
        except OSError as error:  # a name that no file system takes
            return "", f"no video {str(self.root / can_mean[0])[:80]!r}...: {error.strerror}", False
        if not there:
            return "", self._not_there(name, can_mean[0], labels), True
        files = [self.root / path for path in there]
        if not all(file.samefile(files[0]) for file in files):
            both = " or ".join(repr(str(file)) for file in files)
            return "", f"video {name!r} can be {both}; take one of them away, or move the label file", False
        if not os.access(files[0], os.R_OK):
            return "", f"no permission to read {str(files[0])!r}", False
        return there[0], "", False

    def _not_there(self, name: str, path: str, labels: Path | None) -> str:
        if labels is not None and (labels.parent / name).is_file():
            beside = str(labels.parent / name)
            return f"video {beside!r} lies outside root {str(self.root)!r}; name a root that holds it"
        return f"no video {str(self.root / path)!r}"

    def _starts(self, name: str, labels: Path | None) -> Iterator[str]:
        """The absolute paths, without `..`, that a label file's path can mean."""
        if ".." in re.split(r"[/\\]", name):
            # Behind a link `..` is not what stands before it: taken where both readings are one file.
            written = os.path.join(os.path.abspath(labels.parent), name) if labels is not None else ""
            plain = os.path.normpath(written)
            alike = os.path.realpath(written) == os.path.realpath(plain)
            if labels is not None and not _is_absolute(name) and "\\" not in name and alike:
                yield plain
            return
        if _is_absolute(name):
            yield os.path.normpath(name)
            return
        plain = posixpath.normpath(name)
        yield os.path.join(self._root, plain)
        if labels is not None:
            yield os.path.join(os.path.abspath(labels.parent), plain)
        first, _, rest = plain.partition("/")
        if rest and first == os.path.basename(self._root):
            yield os.path.join(self._root, rest)

    def _inside(self, path: str) -> str | None:
        """The path below root, `/` between folders, of an absolute one; None where it lies elsewhere."""
        for root in self._inside_of:
            start = root.rstrip(os.sep) + os.sep
            if path.startswith(start):
                return path[len(start) :].replace(os.sep, "/")
        return None


def linked_folders(root: Path, paths: Iterable[str]) -> list[str]:
    """The folders below root that are links and that some path (below root) leads through.

    DVC does not look behind them: it sees a changed label file, and no changed video.
    """
    folders = dict.fromkeys(str(parent) for path in paths for parent in reversed(Path(path).parents[:-1]))
    return [folder for folder in folders if (root / folder).is_symlink()]


def _is_absolute(name: str) -> bool:
    """Whether a path is absolute, as this system or another writes it."""
    return name.startswith(("/", "\\")) or re.match(r"[A-Za-z]:[\\/]", name) is not None
