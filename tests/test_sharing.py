"""What docs/sharing.md promises, on real remotes: a folder, an S3 server, an SSH server."""

import getpass
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import zarr

from tests import tiny
from tests.conftest import skip_or_fail

pytestmark = pytest.mark.pipeline

STORE = "features/sample/clip_image.zarr"


@pytest.fixture(scope="module")
def first(tiny_world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The clone of whoever ran the pipeline: its outputs are in its own cache."""
    copy = tmp_path_factory.mktemp("first") / "msavqa"
    shutil.copytree(tiny_world, copy, symlinks=True)
    return copy


def _share(first: Path, target: Path, url: str, **options: str) -> Path:
    """Pushes from the first clone, pulls into a second one; returns the second."""
    tiny.add_remote(first, url, **options)
    tiny.run("dvc", "push", cwd=first)
    second = tiny.clone(first, target, remote=url, **options)
    tiny.run("dvc", "pull", "--allow-missing", cwd=second)
    return second


def test_a_colleague_pulls_and_no_stage_runs_then_a_new_head_retrains_from_the_features(
    first: Path, tmp_path: Path
) -> None:
    second = _share(first, tmp_path / "second", str(tmp_path / "remote"))
    shutil.rmtree(second / "data/sample/videos", ignore_errors=True)

    assert tiny.repro(second, "--allow-missing") == []

    tiny.edit(second / "params.yaml", {"branches.frame.head.width": 24})
    ran = tiny.repro(second, "--allow-missing")
    assert [name for name in ran if name != "check"] == ["train@frame", "ensemble", "report", "export"]


def test_another_project_takes_one_store(first: Path, tmp_path: Path) -> None:
    tiny.add_remote(first, str(tmp_path / "remote"))
    tiny.run("dvc", "push", cwd=first)
    other = tmp_path / "other"
    other.mkdir()
    tiny.run("git", "init", "--quiet", cwd=other)
    tiny.run("dvc", "init", "--quiet", cwd=other)

    tiny.run("dvc", "get", str(first), STORE, "--out", "copy.zarr", cwd=other)
    tiny.run("dvc", "import", str(first), STORE, "--out", "followed.zarr", cwd=other)

    expected = zarr.open_group(str(first / STORE), mode="r")["cls"][:]
    for name in ("copy.zarr", "followed.zarr"):
        np.testing.assert_array_equal(zarr.open_group(str(other / name), mode="r")["cls"][:], expected)
    assert (other / "followed.zarr.dvc").is_file()


@pytest.fixture
def s3_server() -> Iterator[str]:
    """The address of a server on this machine that speaks S3, with one bucket `team`."""
    server_module = pytest.importorskip("moto.server")
    boto3 = pytest.importorskip("boto3")
    server = server_module.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    try:
        client = boto3.client(
            "s3",
            endpoint_url=url,
            aws_access_key_id="key",
            aws_secret_access_key="secret",
            region_name="us-east-1",
        )
        client.create_bucket(Bucket="team")
        yield url
    finally:
        server.stop()


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_features_travel_through_s3(first: Path, tmp_path: Path, s3_server: str) -> None:
    options = {"endpointurl": s3_server, "access_key_id": "key", "secret_access_key": "secret"}
    second = _share(first, tmp_path / "second", "s3://team/msavqa", **options)
    assert tiny.repro(second, "--allow-missing") == []


@pytest.fixture
def ssh_server(tmp_path: Path) -> Iterator[tuple[int, Path]]:
    """Port and client key of an OpenSSH server on this machine, for this user alone."""
    sshd = shutil.which("sshd", path="/usr/sbin:/usr/bin:/usr/local/sbin")
    if sshd is None:
        skip_or_fail("no sshd here (Debian: openssh-server)")
    for name in ("host", "client"):
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / name)],
            check=True,
            timeout=30,
        )
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    keys = tmp_path / "authorized_keys"
    shutil.copy(tmp_path / "client.pub", keys)
    settings = {
        "Port": port, "ListenAddress": "127.0.0.1", "HostKey": tmp_path / "host", "AuthorizedKeysFile": keys,
        "PidFile": "none", "StrictModes": "no", "UsePAM": "no", "Subsystem": "sftp internal-sftp",
        "PermitRootLogin": "yes",
    }  # fmt: skip
    configuration = tmp_path / "sshd_config"
    configuration.write_text("".join(f"{key} {value}\n" for key, value in settings.items()))
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # where sshd, as root, confines itself
    server = subprocess.Popen(
        [str(sshd), "-D", "-e", "-f", str(configuration)], stderr=subprocess.PIPE, text=True
    )
    try:
        for _ in range(50):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        else:
            skip_or_fail("sshd does not start here")
        yield port, tmp_path / "client"
    finally:
        server.terminate()
        server.communicate(timeout=10)


def test_features_travel_through_ssh(first: Path, tmp_path: Path, ssh_server: tuple[int, Path]) -> None:
    port, key = ssh_server
    url = f"ssh://{getpass.getuser()}@127.0.0.1:{port}{tmp_path / 'remote'}"
    second = _share(first, tmp_path / "second", url, keyfile=str(key))
    assert tiny.repro(second, "--allow-missing") == []
