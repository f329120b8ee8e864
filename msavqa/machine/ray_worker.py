"""One worker of a Ray cluster: an actor that goes where the driver is, is compared with it, and does tasks.

What it answers is bytes and words, so that nothing of ours has to be known to read a refusal.
"""

import hashlib
import os
import pickle
import platform
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from msavqa.machine import device, launch

PACKAGES = (
    "torch", "torchvision", "timm", "open_clip_torch", "numpy", "scipy", "numba", "pandas", "pyarrow", "zarr",
    "numcodecs", "safetensors", "av", "decord",
)  # fmt: skip
"""What a value may depend on. Ray compares Python and itself when a node joins."""


@dataclass(frozen=True)
class Place:
    """Where a driver is and what its workers shall be like."""

    folder: str
    search: Sequence[str]
    """Where Python looks for modules."""
    facts: Mapping[str, str]
    """What must be the same there, see `facts`."""
    environment: Mapping[str, str]
    cpus: int


@dataclass(frozen=True)
class Arrived:
    """What a worker says once it is where the driver is; its `problem` is why it cannot work, or empty."""

    address: str
    kind: str = ""
    """Its processor and, where it has one, its GPU."""
    problem: str = ""
    got: str = ""
    expected: str = ""


class Worker:
    """The actor: `begin` once, then `do` task after task; the function that it is given stays warm."""

    def __init__(self) -> None:
        self._function: Callable[[Any], Any] | None = None

    def begin(self, function: bytes, place: Place) -> Arrived:
        """Goes to the driver's folder, compares itself with the driver, and unpacks the function."""
        import ray

        address = str(ray.util.get_node_ip_address())
        try:
            os.chdir(place.folder)
        except OSError as error:
            got = f"{place.folder} ({(error.strerror or str(error)).casefold()})"
            return Arrived(address, problem="folder", got=got, expected=place.folder)
        sys.path[:0] = [one for one in place.search if one not in sys.path]
        os.environ.update(place.environment)
        own = facts()
        unlike = [name for name, value in place.facts.items() if own.get(name) != value]
        if unlike:
            got, expected = (
                ", ".join(f"{name} {found.get(name, 'absent')}" for name in unlike)
                for found in (own, place.facts)
            )
            return Arrived(address, problem="facts", got=got, expected=expected)
        launch.give_cpus(place.cpus)
        device.keep_freed()
        self._function = pickle.loads(function)  # noqa: S301
        return Arrived(address, kind=kind(gpu=bool(ray.get_gpu_ids())))

    def do(self, task: bytes) -> tuple[bool, bytes]:
        """Whether the task was done, and its pickled result, or the exception that it ended with."""
        assert self._function is not None
        try:
            return True, pickle.dumps(self._function(pickle.loads(task)))  # noqa: S301
        except Exception as error:  # noqa: BLE001  (it is raised again where the task was given out)
            return False, _packed(error)


def facts() -> dict[str, str]:
    """Versions of packages, and a digest of all of our code, as they are here."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "absent"
    code, root = hashlib.sha256(), Path(__file__).resolve().parents[1]
    for file in sorted(root.rglob("*.py")):
        code.update(f"{file.relative_to(root)}\0".encode() + file.read_bytes() + b"\0")
    return {**found, "code of msavqa": code.hexdigest()[:12]}


def kind(*, gpu: bool) -> str:
    """The processor's name, and that of the first GPU where there is one."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        cpu = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        cpu = platform.machine()
    if not gpu:
        return cpu
    import torch

    return f"{cpu}, {torch.cuda.get_device_name(0)}" if torch.cuda.is_available() else cpu


def _packed(error: Exception) -> bytes:
    try:
        packed = pickle.dumps(error)
        pickle.loads(packed)  # noqa: S301
    except Exception:  # noqa: BLE001  (some exceptions go in and do not come out)
        packed = pickle.dumps(RuntimeError("".join(traceback.format_exception(error))))
    return packed
