"""What a process frees stays with it where it asked for that."""

import platform
import subprocess
import sys
from pathlib import Path

import pytest

from msavqa.machine import device
from msavqa.score import scorer

SCRIPT = """
import resource, sys
import numpy as np
from msavqa.machine import device

if sys.argv[1] == "kept":
    device.keep_freed()
count, size = int(sys.argv[2]), int(sys.argv[3]) << 20
def round():
    for one in [np.empty(size, np.uint8) for _ in range(count)]:
        one[::4096] = 1
round()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(4):
    round()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(how: str, *, count: int, size: int) -> int:
    """Pages that a process of its own was given anew for four times so many arrays of so many MiB at once."""
    command = [sys.executable, "-c", SCRIPT, how, str(count), str(size)]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library has its own ways")
@pytest.mark.parametrize(("count", "size"), [(1, 32), (5, 256)], ids=["one", "more than 1 GiB"])
def test_large_arrays_that_come_and_go_are_asked_for_once(count: int, size: int) -> None:
    assert faults("kept", count=count, size=size) < faults("given back", count=count, size=size) / 10


def test_a_scorer_asks_for_it(random_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []
    monkeypatch.setattr(device, "keep_freed", lambda: asked.append(True))
    with scorer.load(random_bundle):
        assert asked == [True]


def test_asking_twice_is_no_mistake() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from msavqa.machine import device; device.keep_freed(); device.keep_freed()"],
        check=False,
    )
    assert done.returncode == 0
