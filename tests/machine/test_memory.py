"""What a process frees stays with it where it asked for that."""

import platform
import subprocess
import sys

import pytest

SCRIPT = """
import resource, sys
import numpy as np
from msavqa.machine import device

if sys.argv[1] == "kept":
    device.keep_freed()
np.ones(4 << 20)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    np.ones(4 << 20)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(how: str) -> int:
    """Pages that a process of its own was given anew for twenty arrays of 32 MiB, one after the other."""
    done = subprocess.run([sys.executable, "-c", SCRIPT, how], check=True, capture_output=True, text=True)
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library has its own ways")
def test_large_arrays_that_come_and_go_are_asked_for_once() -> None:
    assert faults("kept") < faults("given back") / 10


def test_asking_twice_is_no_mistake() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from msavqa.machine import device; device.keep_freed(); device.keep_freed()"],
        check=False,
    )
    assert done.returncode == 0
