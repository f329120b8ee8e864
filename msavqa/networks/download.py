"""A file of weights on a hub -> that file here, in the cache that the hub's own library has.

Hugging Face's files lie under HF_HOME; HF_ENDPOINT names a mirror, HF_HUB_OFFLINE asks no network. All others
are torch.hub's: they lie under TORCH_HOME. A download that breaks off goes on where it was. A file put by
hand into weights/downloads is taken before either is asked.
"""

import re
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPException
from pathlib import Path

from msavqa.ground.errors import MsavqaError
from msavqa.ground.progress import track
from msavqa.networks import weights

DOWNLOADS = Path("weights/downloads")
PIECE = 2**20
NETWORK_SECONDS = 30.0
"""Without an answer for that long there is no network."""


@dataclass(frozen=True, kw_only=True)
class HuggingFaceFile:
    """A file of a repository on Hugging Face."""

    repository: str
    file: str

    @property
    def url(self) -> str:
        """Its address on the hub, or on the mirror that HF_ENDPOINT names."""
        from huggingface_hub import hf_hub_url

        return hf_hub_url(self.repository, self.file)

    @property
    def local_name(self) -> str:
        """What it is called in weights/downloads."""
        return f"{self.repository.replace('/', '--')}--{self.file}"

    def held(self) -> Path | None:
        """The file in Hugging Face's own cache; None where it is not there."""
        from huggingface_hub import try_to_load_from_cache

        found = try_to_load_from_cache(self.repository, self.file)
        return Path(found) if isinstance(found, str) else None

    def ask(self) -> None:
        """Asks the hub what the file is, no more; raises what its library raises without an answer."""
        import huggingface_hub

        huggingface_hub.get_hf_file_metadata(self.url, timeout=NETWORK_SECONDS)

    def cached(self, by_hand: Path) -> Path:
        """The file in Hugging Face's own cache, fetched where it is not there."""
        from huggingface_hub import hf_hub_download

        with _refusals(self.url, by_hand, _on_the_way()):
            path = Path(hf_hub_download(self.repository, self.file))
        told = re.fullmatch("[0-9a-f]{64}", path.resolve().name)  # a large file's is its SHA-256
        return _whole(path, told[0] if told else "", says=self.url)


@dataclass(frozen=True, kw_only=True)
class AddressedFile:
    """A file at an address, which may tell its SHA-256: `swin3d_t-7615ae03.pth`, `<sha256>/ViT.pt`."""

    url: str

    @property
    def local_name(self) -> str:
        """What it is called in weights/downloads."""
        return self.url.rsplit("/", 1)[-1]

    @property
    def sha256(self) -> str:
        """How its SHA-256 begins; empty where the address does not say."""
        told = re.search(r"-([0-9a-f]{8,64})\.\w+$|/([0-9a-f]{64})/", self.url)
        return next(filter(None, told.groups())) if told else ""

    def held(self) -> Path | None:
        """The file in torch.hub's own cache; None where it is not there."""
        path = self._place()
        return path if path.is_file() else None

    def ask(self) -> None:
        """Asks for the file's head, no more; raises `OSError` without an answer."""
        request = urllib.request.Request(self.url, method="HEAD")
        urllib.request.urlopen(request, timeout=NETWORK_SECONDS).close()

    def _place(self) -> Path:
        import torch

        return Path(torch.hub.get_dir()) / "checkpoints" / self.local_name

    def cached(self, by_hand: Path) -> Path:
        """The file in torch.hub's own cache, fetched where it is not there."""
        path = self._place()
        if not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            with _refusals(self.url, by_hand, (HTTPException, RuntimeError)):  # of another hash
                _fetch(self.url, path, begins=self.sha256)
        return _whole(path, self.sha256, says=self.url)


Remote = HuggingFaceFile | AddressedFile


def local(remote: Remote, downloads: Path) -> Path:
    """The file: the one in `downloads`, else its library's own, which fetches what it does not have.

    Raises `MsavqaError` where it cannot be had, with what to put where, and where its SHA-256 is another's.
    """
    by_hand = downloads / remote.local_name
    if by_hand.is_file():
        return _whole(by_hand, getattr(remote, "sha256", ""), says=remote.url)
    return remote.cached(by_hand)


def held(remote: Remote, downloads: Path) -> Path | None:
    """The file where it is on this machine already; None where it has to be fetched."""
    by_hand = downloads / remote.local_name
    if by_hand.is_file():
        return _whole(by_hand, getattr(remote, "sha256", ""), says=remote.url)
    return remote.held()


def unreachable(remote: Remote) -> str:
    """Why a file cannot be fetched now; empty where its hub answers."""
    expected: tuple[type[Exception], ...] = (OSError, HTTPException, *_on_the_way())
    try:
        remote.ask()
    except expected as error:
        return _reason(error)
    return ""


def _fetch(url: str, path: Path, *, begins: str) -> None:
    """A file of an address, whole or not at all; it goes on from what a break left beside it.

    Raises `RuntimeError` where its SHA-256 begins otherwise.
    """
    partial = path.with_name(f"{path.name}.partial")
    have = partial.stat().st_size if partial.is_file() else 0
    asked = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        opened = urllib.request.urlopen(asked, timeout=NETWORK_SECONDS)
    except urllib.error.HTTPError as error:
        if error.code != HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE or not have:
            raise
        partial.unlink()  # as long as the file already: a kill before the last step left it
        _fetch(url, path, begins=begins)
        return
    with opened as answer:
        have = have if answer.status == HTTPStatus.PARTIAL_CONTENT else 0
        whole = have + int(answer.headers["Content-Length"] or 0)
        pieces = iter(lambda: answer.read(PIECE), b"")
        count = -(-(whole - have) // PIECE)
        with partial.open("ab" if have else "wb") as file:
            for piece in track(pieces, description=path.name, total=count, unit="MB"):
                file.write(piece)
    if (size := partial.stat().st_size) < whole:
        raise ConnectionError(f"it broke off after {size} of {whole} bytes")
    if not (found := weights.sha256(partial)).startswith(begins):
        partial.unlink()
        raise RuntimeError(f'invalid hash value (expected "{begins}", got "{found}")')
    partial.replace(path)


def _on_the_way() -> tuple[type[Exception], ...]:
    """What goes wrong on the way is of the library below Hugging Face's, which has changed once."""
    from huggingface_hub import errors

    return (getattr(errors, "XetDownloadError", OSError), *errors.HfHubHTTPError.__bases__)


def _reason(error: Exception) -> str:
    cause = error.__cause__ or error
    words = " ".join(str(getattr(cause, "reason", cause)).split()).rstrip(".")
    return words or type(cause).__name__


@contextmanager
def _refusals(url: str, by_hand: Path, others: tuple[type[Exception], ...]) -> Iterator[None]:
    """What went wrong on the network, as a sentence with the file to put by hand."""
    expected: tuple[type[Exception], ...] = (OSError, *others)
    patience = socket.getdefaulttimeout()
    socket.setdefaulttimeout(NETWORK_SECONDS)
    try:
        yield
    except expected as error:
        raise MsavqaError(
            what="Weights",
            where=by_hand,
            got=f"no such file, and it could not be fetched ({_reason(error)})",
            expected=f"the file of {url}",
            next_step="fetch it on a machine that has a network, put it there and run `dvc repro` again",
        ) from error
    finally:
        socket.setdefaulttimeout(patience)


def _whole(path: Path, begins: str, *, says: str) -> Path:
    """The file, once its SHA-256 begins as it should."""
    found = weights.sha256(path) if begins else ""
    if found.startswith(begins):
        return path
    raise MsavqaError(
        what="Weights",
        where=path,
        got=f"a file with SHA-256 {found}",
        expected=f"one that begins with {begins}, as {says} says",
        next_step="delete it and run again",
    )
