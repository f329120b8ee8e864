"""Which launcher the environment asks for: this process, some processes, or the workers of a Ray cluster.

    MSAVQA_LAUNCHER=                                 here, as without it
    MSAVQA_LAUNCHER=processes:4                      four processes of this machine
    MSAVQA_LAUNCHER=ray                              Ray: the cluster at RAY_ADDRESS, or this machine
    MSAVQA_LAUNCHER=ray:cpus=4,gpus=1,memory_gb=32   the same, and what one worker gets

An environment variable and no setting, for who computes a value changes neither the value nor its name.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Literal

from msavqa.ground.errors import MsavqaError
from msavqa.machine.device import Device
from msavqa.machine.launch import Launcher, in_turn, processes

VARIABLE = "MSAVQA_LAUNCHER"
FORMS = "`processes:4`, `ray` or `ray:cpus=4,gpus=1,memory_gb=32`"
SIZES = ("cpus", "gpus", "memory_gb")


@dataclass(frozen=True)
class Asked:
    """What the variable says; what it leaves open is None."""

    kind: Literal["here", "processes", "ray"]
    count: int = 1
    """Processes."""
    cpus: int | None = None
    """Of one worker."""
    gpus: float | None = None
    """Of one worker: whole ones, or a part of one."""
    memory_gb: float | None = None
    """Of one worker, in GiB."""


def asked(environment: Mapping[str, str] | None = None) -> Asked:
    """What MSAVQA_LAUNCHER says; raises `MsavqaError` for what cannot be read."""
    text = (os.environ if environment is None else environment).get(VARIABLE, "").strip()
    if not text:
        return Asked("here")
    kind, _, rest = text.partition(":")
    if kind == "processes":
        if not (rest.isascii() and rest.isdecimal() and int(rest)):
            raise _mistake(text, expected="a number of processes from 1 on, as in `processes:4`")
        return Asked("processes", count=int(rest))
    if kind != "ray":
        raise _mistake(text, expected=FORMS)
    sizes = _sizes(text, rest) if ":" in text else {}
    cpus = sizes.get("cpus")
    return Asked(
        "ray",
        cpus=None if cpus is None else int(cpus),
        gpus=sizes.get("gpus"),
        memory_gb=sizes.get("memory_gb"),
    )


def chosen(
    *, here: Launcher = in_turn, device: Device = "cpu", tell: Callable[[int], None] = lambda count: None
) -> Launcher:
    """The launcher that the environment asks for; `here` where it asks for none.

    `device` is where the work computes: only workers of what may use a GPU get one. `tell` hears how many
    workers there are, as they come and go. Raises `MsavqaError` for a variable that cannot be read and where
    Ray is not installed.
    """
    wanted = asked()
    if wanted.kind == "here":
        return here
    if wanted.kind == "processes":
        tell(wanted.count)
        return processes(wanted.count, cpus=max(1, len(os.sched_getaffinity(0)) // wanted.count))
    if find_spec("ray") is None:
        raise MsavqaError(
            what=VARIABLE,
            where="the environment",
            got="ray, which is not installed",
            expected="the package `ray`",
            next_step="run `pip install 'msavqa[ray]'`, or unset the variable to compute here",
        )
    from msavqa.machine import ray_actors  # Ray takes a second to import: only who asks for it

    return ray_actors.launcher(
        ray_actors.Size(cpus=wanted.cpus, gpus=wanted.gpus, memory_gb=wanted.memory_gb),
        device=device,
        tell=tell,
    )


def elsewhere() -> bool:
    """Whether the environment asks for another launcher than this process."""
    return asked().kind != "here"


def _sizes(text: str, rest: str) -> dict[str, float]:
    found: dict[str, float] = {}
    for part in rest.split(","):
        name, _, value = part.strip().partition("=")
        if name not in SIZES:
            raise _mistake(text, expected=f"{', '.join(f'`{size}=`' for size in SIZES)} behind `ray:`")
        if name in found:
            raise _mistake(text, expected=f"`{name}=` once")
        number = _number(value)
        if name == "cpus" and (number is None or number < 1 or number % 1):
            raise _mistake(text, expected="a number of CPUs from 1 on, as in `cpus=4`")
        if name == "gpus" and (number is None or number < 0 or (number > 1 and number % 1)):
            raise _mistake(text, expected="whole GPUs or a part of one, as in `gpus=1` or `gpus=0.5`")
        if name == "memory_gb" and not number:
            raise _mistake(text, expected="GiB of memory, as in `memory_gb=32`")
        assert number is not None
        found[name] = number
    return found


def _number(value: str) -> float | None:
    """A decimal number from 0 on; None for anything else, `inf` and `1e3` too."""
    digits = value.replace(".", "", 1)
    return float(value) if digits.isascii() and digits.isdecimal() else None


def _mistake(text: str, *, expected: str) -> MsavqaError:
    return MsavqaError(
        what=VARIABLE,
        where="the environment",
        got=repr(text),
        expected=expected,
        next_step="set it right, or unset it to compute in this process",
    )
