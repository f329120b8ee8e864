"""Memory that a process frees stays with it, for what it computes next: a batch is like the one before.

glibc gives large blocks back to the kernel as soon as they are freed and asks for them again a moment later;
the kernel then clears every page. That was half of the CPU time of a small network's forward pass.
"""

import ctypes
import sys

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # names of malloc.h
_LARGEST = 1 << 30
"""Bytes: a larger block still goes back at once, so that one odd video does not stay in memory."""


def keep_freed() -> None:
    """Lets this process keep what it frees, up to 1 GiB at the end of its heap; does nothing without glibc.

    For processes that compute and end, such as stages: values stay the same, the peak of memory about so.
    """
    if sys.platform != "linux":
        return
    set_option = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    if set_option is not None:
        set_option(_MMAP_THRESHOLD, _LARGEST)
        set_option(_TRIM_THRESHOLD, _LARGEST)
