"""The device that a setting names: `auto` takes a GPU where torch sees one, `cuda` insists on it."""

import ctypes
import sys
from typing import TYPE_CHECKING, Literal

from msavqa.ground.errors import MsavqaError

if TYPE_CHECKING:
    import torch

Device = Literal["auto", "cpu", "cuda"]


def chosen(name: Device, *, setting: str) -> "torch.device":
    """The torch device that `name` means on this machine; `setting` is what the user would change.

    Where it is a GPU, float32 is float32 in this process from here on: left alone, cuDNN's convolutions round
    what they multiply to TF32's 10 bits. Raises `MsavqaError` for `cuda` where torch sees no GPU.
    """
    import torch  # slow to import, and not needed to decode

    seen = torch.cuda.is_available()
    if name == "cuda" and not seen:
        built = torch.version.cuda
        raise MsavqaError(
            what="Device",
            where=setting,
            got=f"cuda, and torch {torch.__version__} "
            + (f"(CUDA {built}) sees no GPU" if built else "was built without CUDA"),
            expected="a GPU that torch sees, or `cpu`",
            next_step="say `auto`, or look at what `nvidia-smi` and torch's CUDA version say",
        )
    if not seen or name == "cpu":
        return torch.device("cpu")
    torch.backends.cudnn.allow_tf32 = False
    return torch.device("cuda")


_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # names of malloc.h
_LARGEST = 1 << 30
"""Bytes: a larger block still goes back at once, so that one odd video does not stay in memory."""
_NEVER = -1


def keep_freed() -> None:
    """Lets this process keep what it frees, blocks above 1 GiB excepted; does nothing without glibc.

    Left alone, glibc gives a network's arrays back after each video and asks for fresh pages for the next,
    which cost up to half of its time. Values stay the same, the peak of memory about so. For who computes
    many alike: stages, the scorer, benchmarks.
    """
    if sys.platform != "linux":
        return
    set_option = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    if set_option is not None:
        set_option(_MMAP_THRESHOLD, _LARGEST)
        set_option(_TRIM_THRESHOLD, _NEVER)


def in_order(device: str = "cpu") -> None:
    """Makes this process add up in one order on a CPU; on a GPU ("cuda") torch is left to its own rules.

    Left alone, threads race for the entries of a table that is read at very many places (the positions of
    Swin and Video Swin), and the sum is rounded in the order in which they come: now and then a training
    ended in other weights.
    """
    import torch

    # `use_deterministic_algorithms` sets the same and imports torch's compiler: a second, where others train.
    torch.set_deterministic_debug_mode("error" if device == "cpu" else "default")
    # Nothing here reads what it has not written; filling every new tensor would take its time.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
