"""What docs/sharing.md promises, on real remotes: a folder, an S3 server, an SSH server."""

import getpass
import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import yaml
import zarr

from tests import documents, tiny
from tests.conftest import skip_or_fail

pytestmark = pytest.mark.pipeline

PAGE = documents.read("docs/sharing.md")
STORE = "features/sample/clip_image.zarr"
EXAMPLES = {
    "folder": "/mnt/team/msavqa",
    "bucket": "s3://bucket/msavqa",
    "server": "http://127.0.0.1:9000",
    "host": "ssh://me@host/srv/msavqa",
    "keyfile": "~/.ssh/id_ed25519",
    "git": "GIT_URL",
}
"""What the page writes for places of one's own."""
AFTER_TRAINING = ["examine@sample-frame", "ensemble@sample", "report@sample", "export@sample"]


@pytest.fixture
def first(tiny_world: Path, tmp_path: Path) -> Path:
    """The clone of whoever ran the pipeline and has committed nothing of it; `hub.git` is its origin."""
    copy = Path(shutil.copytree(tiny_world, tmp_path / "first", symlinks=True))
    tiny.run("git", "reset", "--quiet", "HEAD~1", cwd=copy)
    tiny.run("git", "clone", "--quiet", "--bare", str(copy), str(tmp_path / "hub.git"), cwd=tmp_path)
    tiny.run("git", "remote", "add", "origin", str(tmp_path / "hub.git"), cwd=copy)
    tiny.run("git", "fetch", "--quiet", cwd=copy)
    tiny.run("git", "branch", "--quiet", "--set-upstream-to=origin/main", cwd=copy)
    return copy


def type_in(heading: str, *, cwd: Path, only: tuple[str, ...] = ("",), **places: str) -> str:
    """Types the commands under a heading of the page, those that hold one of `only`; returns what they say.

    `places` gives what stands for the page's example addresses on this machine.
    """
    said = ""
    for command in documents.commands(documents.section(PAGE, heading)):
        if any(word in command for word in only):
            for example, real in places.items():
                command = command.replace(EXAMPLES[example], real)
            said += tiny.run("bash", "-euc", command, cwd=cwd)
    return said


def share(first: Path, *remote: str, **places: str) -> Path:
    """The page from its first command to the colleague's last: returns the colleague's clone, ran nothing."""
    type_in("Once per team: a remote", cwd=first, only=(*remote, "git add"), **places)
    assert tiny.stages_run(type_in("Who has run the pipeline", cwd=first)) == []
    second = tiny.clone(first.parent / "hub.git", first.parent / "second")
    if "keyfile" in places:  # each has a key of their own: it is not in git
        type_in("Once per team: a remote", cwd=second, only=("keyfile",), **places)
    assert tiny.stages_run(type_in("Who has not", cwd=second)) == []
    assert tiny.run("git", "status", "--short", cwd=second) == ""
    return second


def test_a_colleague_pulls_and_no_stage_runs_then_a_new_head_retrains_from_the_features(
    first: Path, tmp_path: Path
) -> None:
    second = share(first, "/mnt/", folder=str(tmp_path / "remote"))
    assert tiny.repro(second) == []  # without --allow-missing too: the sample world's videos were pulled
    shutil.rmtree(second / "data/sample/videos")
    assert tiny.repro(second, "--allow-missing") == []

    tiny.edit(second / "params.yaml", {"branches.frame.head.width": 24})
    ran = tiny.repro(second, "--allow-missing")
    assert [name for name in ran if name != "check"] == ["train@sample-frame", *AFTER_TRAINING]


def test_another_project_takes_one_store(first: Path, tmp_path: Path) -> None:
    type_in("Once per team: a remote", cwd=first, only=("/mnt/", "git add"), folder=str(tmp_path / "remote"))
    type_in("Who has run the pipeline", cwd=first)
    for verb in ("dvc get", "dvc import"):
        other = tmp_path / verb
        other.mkdir()
        tiny.run("git", "init", "--quiet", cwd=other)
        tiny.run("dvc", "init", "--quiet", cwd=other)
        type_in("One store into another project", cwd=other, only=(verb,), git=str(tmp_path / "hub.git"))
        taken, made = (zarr.open_group(str(place), mode="r")["cls"][:]
                       for place in (other / Path(STORE).name, first / STORE))  # fmt: skip
        np.testing.assert_array_equal(taken, made)
        assert (other / "clip_image.zarr.dvc").is_file() == (verb == "dvc import")
    assert "didn't change" in tiny.run("dvc", "update", "clip_image.zarr.dvc", cwd=other)


def test_a_store_travels_as_one_file(first: Path, tmp_path: Path) -> None:
    type_in("One store into another project", cwd=first, only=("msavqa",))
    assert "files whole" in tiny.run("msavqa", "features", "verify", "clip_image.zarr", cwd=first)


def test_variants_live_side_by_side_and_a_branch_reads_the_one_it_names(first: Path) -> None:
    before = (first / STORE / "shards.json").read_bytes()
    weights = first / "data/sample/weights"
    shutil.copy(weights / "clip_image.safetensors", weights / "clip_image_l14.safetensors")
    params = first / "params.yaml"
    data = yaml.safe_load(params.read_text(encoding="utf-8"))
    data["trunks"]["clip_image_l14"] = {**data["trunks"]["clip_image"], "cut": "cls"}
    frame = data["branches"]["frame"]
    data["branches"]["frame_l14"] = {**frame, "reads": {**frame["reads"], "image": "clip_image_l14"}}
    params.write_text(yaml.safe_dump(data, sort_keys=False), encoding="utf-8")
    said = tiny.run("dvc", "repro", cwd=first)
    ran = tiny.stages_run(said)
    assert [name for name in ran if name.startswith("extract")] == ["extract@sample-clip_image_l14"]
    assert "train@sample-frame_l14" in ran
    trained = said.split("Running stage 'train@sample-frame':")[1].split("Running stage")[0]
    assert "3 models, 3 of them trained before" in trained
    metrics = json.loads((first / "reports/sample/metrics.json").read_text(encoding="utf-8"))
    assert "frame_l14_srcc" in metrics
    variant = STORE.replace("clip_image", "clip_image_l14")
    assert "tokens" in zarr.open_group(str(first / STORE), mode="r")
    assert "tokens" not in zarr.open_group(str(first / variant), mode="r")
    assert (first / STORE / "shards.json").read_bytes() == before
    lock = (first / "dvc.lock").read_text(encoding="utf-8")
    assert f"path: {STORE}" in lock
    assert f"path: {variant}" in lock


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
def test_features_travel_through_s3(first: Path, s3_server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    share(first, "s3://", "endpointurl", bucket="s3://team/msavqa", server=s3_server)


@pytest.fixture
def ssh_server(tmp_path: Path) -> Iterator[tuple[int, Path]]:
    """Port and client key of an OpenSSH server on this machine, for this user alone."""
    sshd = shutil.which("sshd", path="/usr/sbin:/usr/bin:/usr/local/sbin")
    if sshd is None:
        skip_or_fail("no sshd here (Debian: openssh-server)", needs="sshd")
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
            skip_or_fail("sshd does not start here", needs="sshd")
        yield port, tmp_path / "client"
    finally:
        server.terminate()
        server.communicate(timeout=10)


def test_features_travel_through_ssh(first: Path, tmp_path: Path, ssh_server: tuple[int, Path]) -> None:
    port, key = ssh_server
    url = f"ssh://{getpass.getuser()}@127.0.0.1:{port}{tmp_path / 'remote'}"
    share(first, "ssh://", "keyfile", host=url, keyfile=str(key))
