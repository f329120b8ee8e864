"""Which files of weights are not here and cannot be fetched, all of them at once, before anything is decoded.

Of a hub it is only asked whether it answers. Sizes and hashes are those that the libraries' own tables know.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from msavqa.ground.errors import MsavqaError
from msavqa.networks import download, hub, packaged, weights
from msavqa.networks.hub import FetchSettings


@dataclass(frozen=True)
class Absent:
    """A file that has to be put somewhere by hand."""

    url: str
    put: Path
    facts: str
    """Its size and SHA-256, as far as they are known."""
    reason: str


def look(
    wanted: Mapping[str, tuple[Any, FetchSettings]], *, downloads: Path = download.DOWNLOADS
) -> tuple[list[Absent], list[str]]:
    """Files on hubs that cannot be had, each once; and what is wrong with other sources, a sentence each.

    `wanted`: a network and its `fetch` by name. Nothing is downloaded: a hub that answers is enough.
    """
    missing: dict[str, Absent] = {}
    wrong: list[str] = []
    answers = True
    for name, (network, how) in wanted.items():
        try:
            if how.source == "hub":
                remote, _ = hub.remote(network, how.name)
                if remote.url in missing or download.held(remote, downloads) is not None:
                    continue
                reason = download.unreachable(remote) if answers else next(iter(missing.values())).reason
                if reason:
                    answers = False  # each further file would wait as long
                    put = downloads / remote.local_name
                    missing[remote.url] = Absent(remote.url, put, _facts(network, how, remote), reason)
            elif how.source == "package":
                packaged.check_pinned(packaged.file_of(how.name, how.file), how.sha256)
            elif how.source == "file":
                packaged.check_pinned(Path(how.name), how.sha256 or weights.sha256(how.name))
        except MsavqaError as error:
            wrong.append(f"fetch.{name}: {str(error).removesuffix('.')}")
    return list(missing.values()), wrong


def sentence(missing: Iterable[Absent]) -> str:
    """One sentence that lists every file, its address, size and SHA-256, and where to put it."""
    found = list(missing)
    files = "; ".join(f"{one.url} ({one.facts}) as {one.put}" for one in found)
    count = f"{len(found)} file{'s' if len(found) > 1 else ''} of weights"
    return (
        f"fetch: {count} cannot be fetched ({found[0].reason}): fetch on a machine that has a network, and "
        f"put here, {files}; or take a preset that needs no hub (`msavqa init --list`)"
    )


def _facts(network: Any, how: FetchSettings, remote: download.Remote) -> str:
    size = hub.megabytes(network, how.name)
    begins = how.sha256 or getattr(remote, "sha256", "")
    sha = (
        f"SHA-256 {'' if len(begins) == 64 else 'begins with '}{begins}"
        if begins
        else "SHA-256: its page has it"
    )
    return f"{size}, {sha}"
