"""The Ray cluster at RAY_ADDRESS, or one of this machine alone: what nodes have and what a worker gets."""

import logging
import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from msavqa.ground.errors import MsavqaError
from msavqa.machine.device import Device

OBJECT_STORE_BYTES = 256 << 20
"""Of a cluster of this machine alone; what travels is small."""
CONNECT_SECONDS = 10.0
GIB = 1 << 30


@dataclass(frozen=True)
class Size:
    """What one worker shall get, as far as somebody said so."""

    cpus: int | None = None
    gpus: float | None = None
    memory_gb: float | None = None


@dataclass(frozen=True)
class Request:
    """What one worker gets."""

    cpus: int
    gpus: float
    memory: int
    """Bytes; 0: nobody counts them."""

    def fit(self, node: Mapping[str, float]) -> int:
        """How many workers have room on a node with these resources of Ray's."""
        wanted = {"CPU": self.cpus, "GPU": self.gpus, "memory": self.memory}
        return min(int(node.get(name, 0.0) / need + 1e-9) for name, need in wanted.items() if need)

    def __str__(self) -> str:
        parts = [_count(self.cpus, "CPU")]
        parts += [_count(self.gpus, "GPU")] if self.gpus else []
        parts += [f"{self.memory / GIB:g} GiB of memory"] if self.memory else []
        return " and ".join(parts)


def connect() -> None:
    """Joins the cluster, once a process; raises `MsavqaError` where that cannot be."""
    import ray

    if ray.is_initialized():
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # or it says at length what will change
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    address = os.environ.get("RAY_ADDRESS", "").strip()
    if address in ("", "local"):
        ray.init("local", include_dashboard=False, object_store_memory=OBJECT_STORE_BYTES, **quiet)
        return
    if address != "auto":
        reach(address)
    try:
        ray.init(address, **quiet)
    except (ConnectionError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        raise MsavqaError(
            what="RAY_ADDRESS",
            where="the environment",
            got=f"{address}, and Ray says: {' '.join(str(error).split())}".rstrip("."),
            expected="a cluster that this machine is a node of, with the same Ray and Python",
            next_step="join it with `ray start --address=ADDRESS` here, or unset the variable to use this "
            "machine alone",
        ) from error


def nodes() -> list[dict[str, float]]:
    """Ray's resources of every node that is alive: CPU, GPU, memory in bytes."""
    import ray

    return [dict(node["Resources"]) for node in ray.nodes() if node["Alive"]]


def request(size: Size, *, device: Device, nodes: Sequence[Mapping[str, float]]) -> Request:
    """What one worker gets: what was said, else a GPU where a node has any, and that GPU's share of CPUs.

    Work that computes on "cpu" gets no GPU. Raises `MsavqaError` where no node has room for one worker.
    """
    having = [node for node in nodes if node.get("GPU", 0) >= 1]
    gpus = 0.0
    if device != "cpu":
        gpus = float(having != [] or device == "cuda") if size.gpus is None else float(size.gpus)
    cpus = size.cpus
    if cpus is None:
        shares = [node.get("CPU", 0) / node["GPU"] * gpus for node in having] if gpus else []
        cpus = max(1, int(min(shares, default=1)))
    found = Request(cpus, gpus, int((size.memory_gb or 0) * GIB))
    if not any(found.fit(node) for node in nodes):
        most = [max((node.get(name, 0) for node in nodes), default=0) for name in ("CPU", "GPU", "memory")]
        raise MsavqaError(
            what="MSAVQA_LAUNCHER",
            where="the environment",
            got=f"{_count(len(nodes), 'node')}, none of which has {found}",
            expected=f"at most {_count(most[0], 'CPU')}, {_count(most[1], 'GPU')} and "
            f"{int(most[2] / GIB * 10) / 10:g} GiB for one worker",
            next_step="ask for less, as in `ray:cpus=1,gpus=0`, or start Ray on a machine that has it",
        )
    return found


def reach(address: str) -> None:
    """Raises `MsavqaError` where nothing listens at an address, or it is none."""
    host, _, port = address.removeprefix("[").rpartition(":")
    if "://" in address or not host or not (port.isascii() and port.isdecimal()):
        raise MsavqaError(
            what="RAY_ADDRESS",
            where="the environment",
            got=repr(address),
            expected="host:port of a cluster that this machine is a node of, as in 10.0.0.1:6379",
            next_step="take the one that `ray start --head` prints, or unset the variable",
        )
    try:
        socket.create_connection((host.removesuffix("]"), int(port)), timeout=CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise MsavqaError(
            what="RAY_ADDRESS",
            where="the environment",
            got=f"{address}, where nothing listens ({error})",
            expected="a running cluster",
            next_step="start it with `ray start --head`, name another, or unset the variable to use this "
            "machine alone",
        ) from error


def _count(number: int | float, what: str) -> str:
    return f"{number:g} {what}{'' if number == 1 else 's'}"
