"""The device that a setting names: `auto` takes a GPU where torch sees one, `cuda` insists on it."""

from typing import TYPE_CHECKING, Literal

from msavqa.errors import MsavqaError

if TYPE_CHECKING:
    import torch

Device = Literal["auto", "cpu", "cuda"]


class DeviceError(MsavqaError):
    """A GPU that is asked for and not there."""


def chosen(name: Device, *, setting: str) -> "torch.device":
    """The torch device that `name` means on this machine; `setting` is what the user would change.

    Where it is a GPU, float32 is float32 in this process from here on: left alone, cuDNN's convolutions round
    what they multiply to TF32's 10 bits. Raises `DeviceError` for `cuda` where torch sees no GPU.
    """
    import torch  # slow to import: who only decodes needs it not

    seen = torch.cuda.is_available()
    if name == "cuda" and not seen:
        built = torch.version.cuda
        raise DeviceError(
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
