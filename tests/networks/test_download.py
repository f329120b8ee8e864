"""Files of weights: the hubs' own libraries fetch them, from a server of this machine that plays the hub."""

import hashlib
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from msavqa.ground.errors import MsavqaError
from msavqa.networks import download
from msavqa.networks.download import AddressedFile, HuggingFaceFile

CONTENT = os.urandom(3_000_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
COMMIT = "c" * 40
FILE = HuggingFaceFile(repository="lab/net", file="model.safetensors")


class Hub(ThreadingHTTPServer):
    """Serves `content` under any name, breaks off the first `breaks` downloads, notes who asked what."""

    content, etag, breaks = CONTENT, SHA256, 0

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, str]] = []
        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def gets(self) -> list[tuple[str, str]]:
        """Paths and ranges of the downloads."""
        return [(path, wanted) for method, path, wanted in self.asked if method == "GET"]


class Handler(BaseHTTPRequestHandler):
    server: Hub

    def do_HEAD(self) -> None:
        self.answer(body=False)

    def do_GET(self) -> None:
        self.answer(body=True)

    def answer(self, *, body: bool) -> None:
        if self.path.startswith("/api/"):  # what else the library asks of a hub is its own affair
            self.send_error(404)
            return
        wanted = self.headers.get("Range", "")
        self.server.asked.append((self.command, self.path, wanted))
        begin = int(wanted.removeprefix("bytes=").split("-")[0]) if wanted else 0
        if begin >= len(self.server.content):
            self.send_error(416)
            return
        content = self.server.content[begin:]
        self.send_response(206 if wanted else 200)
        for name, value in {
            "ETag": f'"{self.server.etag}"', "X-Repo-Commit": COMMIT, "Content-Length": str(len(content)),
            "Content-Range": f"bytes {begin}-{len(self.server.content) - 1}/{len(self.server.content)}",
        }.items():  # fmt: skip
            self.send_header(name, value)
        self.end_headers()
        if body and self.server.breaks:
            self.server.breaks -= 1
            self.wfile.write(content[: len(content) * 2 // 3])
            self.wfile.flush()
            self.connection.close()
        elif body:
            self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def fetched(hub: Hub, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """`download.local` in a process of its own: the libraries read their environment as they are loaded."""
    code = (
        "from pathlib import Path\nfrom msavqa.ground.errors import MsavqaError\n"
        "from msavqa.networks import download\n"
        "file = download.HuggingFaceFile(repository='lab/net', file='model.safetensors')\n"
        f"try: print(download.local(file, Path({str(folder / 'downloads')!r})))\n"
        "except MsavqaError as error: print('refused:', error)"
    )
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING"))}
    hubs = {"HF_HOME": str(folder / "hf"), "HF_ENDPOINT": hub.address, "NO_PROXY": "127.0.0.1"}
    return subprocess.run(
        [sys.executable, "-c", code],
        env=kept | hubs | environment,
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_a_mirror_is_asked_once_and_then_hugging_faces_own_cache_has_the_file(
    hub: Hub, tmp_path: Path
) -> None:
    said = fetched(hub, tmp_path)
    path = Path(said.stdout.strip())
    assert path.is_relative_to(tmp_path / "hf"), said.stderr
    assert path.read_bytes() == CONTENT
    assert hub.gets() == [("/lab/net/resolve/main/model.safetensors", "")]
    again = fetched(hub, tmp_path)
    offline = fetched(hub, tmp_path, HF_HUB_OFFLINE="1")
    hub.shutdown()
    hub.server_close()
    alone = fetched(hub, tmp_path)
    assert again.stdout == offline.stdout == alone.stdout == said.stdout
    assert len(hub.gets()) == 1
    assert not (tmp_path / "downloads").exists()


def test_a_download_that_breaks_off_goes_on_where_it_was(hub: Hub, tmp_path: Path) -> None:
    hub.content = CONTENT * 8  # the library keeps whole pieces of 10 MB
    hub.etag, hub.breaks = hashlib.sha256(hub.content).hexdigest(), 1
    said = fetched(hub, tmp_path)
    assert Path(said.stdout.strip()).read_bytes() == hub.content, said.stderr
    (_, first), (_, second) = hub.gets()
    assert first == ""
    assert int(second.removeprefix("bytes=").rstrip("-")) > 0


def test_a_file_that_is_not_what_the_hub_says_is_refused(hub: Hub, tmp_path: Path) -> None:
    hub.etag = "0" * 64
    path = tmp_path / "hf" / "hub" / "models--lab--net" / "snapshots" / COMMIT / "model.safetensors"
    assert fetched(hub, tmp_path).stdout.strip() == (
        f"refused: Weights in {path}: got a file with SHA-256 {SHA256}, expected one that begins with "
        f"{hub.etag}, as {hub.address}/lab/net/resolve/main/model.safetensors says; delete it and run again."
    )


@pytest.mark.parametrize("offline", [pytest.param("0", marks=pytest.mark.slow), "1"])  # it tries again
def test_without_a_network_one_sentence_says_which_file_to_put_where(
    hub: Hub, tmp_path: Path, offline: str
) -> None:
    hub.shutdown()
    hub.server_close()
    said = fetched(hub, tmp_path, HF_HUB_OFFLINE=offline).stdout.strip()
    by_hand = tmp_path / "downloads" / "lab--net--model.safetensors"
    begin = f"refused: Weights in {by_hand}: got no such file, and it could not be fetched ("
    assert said.startswith(begin)
    reason, rest = said.removeprefix(begin).split("), expected ")
    assert ("HF_HUB_OFFLINE" in reason) == (offline == "1"), reason
    assert rest == (
        f"the file of {hub.address}/lab/net/resolve/main/model.safetensors; fetch it on a machine that has a "
        "network, put it there and run `dvc repro` again."
    )


def test_a_file_put_by_hand_is_taken_and_no_hub_is_asked(hub: Hub, tmp_path: Path) -> None:
    by_hand = tmp_path / "downloads" / "lab--net--model.safetensors"
    by_hand.parent.mkdir()
    by_hand.write_bytes(b"by hand")
    assert fetched(hub, tmp_path).stdout.strip() == str(by_hand)
    assert hub.asked == []


@pytest.fixture
def torch_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return tmp_path / "torch" / "hub" / "checkpoints"


def test_a_file_at_an_address_lies_in_torch_hubs_own_cache(
    hub: Hub, tmp_path: Path, torch_home: Path
) -> None:
    name = f"net-{SHA256[:8]}.pth"
    file = AddressedFile(url=f"{hub.address}/models/{name}")
    for _ in range(2):
        assert download.local(file, tmp_path / "downloads") == torch_home / name
    assert (torch_home / name).read_bytes() == CONTENT
    assert hub.gets() == [(f"/models/{name}", "")]
    assert [path.name for path in torch_home.iterdir()] == [name]


@pytest.mark.parametrize("kept", [CONTENT, b"x" * len(CONTENT)], ids=["whole", "another's"])
def test_a_download_that_was_killed_before_its_last_step_is_made_anew(
    hub: Hub, tmp_path: Path, torch_home: Path, kept: bytes
) -> None:
    name = f"net-{SHA256[:8]}.pth"
    torch_home.mkdir(parents=True)
    (torch_home / f"{name}.partial").write_bytes(kept)
    file = AddressedFile(url=f"{hub.address}/models/{name}")
    assert download.local(file, tmp_path / "downloads").read_bytes() == CONTENT
    assert [wanted for _, wanted in hub.gets()] == [f"bytes={len(CONTENT)}-", ""]
    assert [path.name for path in torch_home.iterdir()] == [name]


@pytest.mark.parametrize("address", ["net-00000000.pth", f"{'0' * 64}/net.pt"])
def test_a_file_whose_hash_is_not_that_of_its_address_is_not_kept(
    hub: Hub, tmp_path: Path, torch_home: Path, address: str
) -> None:
    file = AddressedFile(url=f"{hub.address}/{address}")
    with pytest.raises(MsavqaError) as refusal:
        download.local(file, tmp_path / "downloads")
    told = "0" * (64 if "/" in address else 8)
    assert str(refusal.value) == (
        f"Weights in {tmp_path / 'downloads' / file.local_name}: got no such file, and it could not be "
        f'fetched (invalid hash value (expected "{told}", got "{SHA256}")), expected the file of {file.url}; '
        "fetch it on a machine that has a network, put it there and run `dvc repro` again."
    )
    assert list(torch_home.iterdir()) == []
    (torch_home / file.local_name).write_bytes(CONTENT)  # as a break of an earlier day can leave it
    with pytest.raises(
        MsavqaError, match=f"got a file with SHA-256 {SHA256}, expected one that begins with {told}"
    ):
        download.local(file, tmp_path / "downloads")


def test_a_download_from_an_address_that_breaks_off_goes_on_where_it_was(
    hub: Hub, tmp_path: Path, torch_home: Path
) -> None:
    hub.breaks = 1
    file = AddressedFile(url=f"{hub.address}/net-{SHA256[:8]}.pth")
    with pytest.raises(MsavqaError, match="and it could not be fetched"):
        download.local(file, tmp_path / "downloads")
    (left,) = torch_home.iterdir()
    assert left.name == f"{file.local_name}.partial"
    kept = left.stat().st_size
    assert 0 < kept < len(CONTENT)
    assert download.held(file, tmp_path / "downloads") is None
    assert download.local(file, tmp_path / "downloads").read_bytes() == CONTENT
    assert [wanted for _, wanted in hub.gets()] == ["", f"bytes={kept}-"]
    assert [path.name for path in torch_home.iterdir()] == [file.local_name]


def test_torch_hub_waits_no_longer_than_allowed_and_then_as_before(
    hub: Hub, tmp_path: Path, torch_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def fetch(url: str, path: Path, *, begins: str) -> None:
        seen.append(socket.getdefaulttimeout())
        path.touch()

    monkeypatch.setattr(download, "_fetch", fetch)
    download.local(AddressedFile(url=f"{hub.address}/net.pth"), tmp_path)
    assert seen == [download.NETWORK_SECONDS]
    assert socket.getdefaulttimeout() is None
