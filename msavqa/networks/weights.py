"""Weights of frozen networks: read without pickle, loaded strictly, known by their SHA-256.

A file is safetensors, or a `.pt`/`.pth` that `torch.load(weights_only=True)` accepts. CLIP lies in two files,
one a tower, with the keys of open_clip's own state dict: text (`transformer.*`, `token_embedding.*`,
`positional_embedding`, `ln_final.*`, `text_projection`) and image (`visual.*`); `split_clip` makes them.
"""

import contextlib
import hashlib
import os
import pickle
import zipfile
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from msavqa.ground.errors import MsavqaError

if TYPE_CHECKING:
    from torch import Tensor, nn

SAFETENSORS = (".safetensors",)
TORCH = (".pt", ".pth", ".bin")
_WRAPPERS = ("state_dict", "model")
_NEITHER_TOWER = {
    "logit_scale", "logit_bias", "input_resolution", "context_length", "vocab_size", "attn_mask",
}  # fmt: skip


def read(path: Path | str, *, keep: Callable[[str], bool] | None = None) -> "dict[str, Tensor]":
    """Tensors by name, on the CPU, of a safetensors or weights-only torch file.

    `keep` chooses by name; of a safetensors file nothing else is read. Raises `MsavqaError` where the file
    is missing, damaged, or would need pickle.
    """
    path = Path(path)
    if not path.is_file():
        raise MsavqaError(
            what="Weights",
            where=path,
            got="no such file",
            expected="a .safetensors or .pt file",
            next_step="run `dvc repro` to make it, or name another file in params.yaml",
        )
    if path.suffix in SAFETENSORS:
        state = _read_safetensors(path, keep)
    elif path.suffix in TORCH:
        state = _read_torch(path)
    else:
        endings = " ".join((*SAFETENSORS, *TORCH))
        raise _unreadable(path, got=f"a name ending in {path.suffix!r}", expected=f"one of {endings}")
    return {name: tensor for name, tensor in state.items() if keep is None or keep(name)}


def save(state: "Mapping[str, Tensor]", path: Path | str) -> None:
    """Writes tensors as safetensors, whole or not at all; the same tensors give the same bytes."""
    from safetensors.torch import save_file

    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        save_file({name: state[name].detach().cpu().contiguous() for name in sorted(state)}, partial)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def sha256(path: Path | str) -> str:
    """SHA-256 (hexadecimal) of a file; computed once for each state of the file."""
    path = Path(path)
    if not path.is_file():
        read(path)  # refuses in the usual sentence
    stat = path.stat()
    return _sha256(str(path.resolve()), stat.st_size, stat.st_mtime_ns)


def check_same(path: Path | str, asked: str | None) -> None:
    """Raises `MsavqaError` where a file is not the one of that SHA-256; None asks for nothing."""
    if asked is not None and (found := sha256(path)) != asked:
        raise MsavqaError(
            what="Other weights than those of the cached features",
            where=path,
            got=f"sha256 {found[:12]}",
            expected=f"sha256 {asked[:12]}",
            next_step="run `dvc repro` so that features and weights come from one file",
        )


@lru_cache(maxsize=256)
def _sha256(path: str, size: int, changed: int) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def load_strictly(module: "nn.Module", state: "Mapping[str, Tensor]", *, where: object, network: str) -> None:
    """Fills a module, in place, with tensors that fit it exactly; float16 and bfloat16 ones become float32.

    The module may have been made on the `meta` device. Raises `MsavqaError` naming missing and extra keys
    and wrong shapes, all in one sentence; `where` is the file and `network` the network to name in it.
    """
    import torch

    wanted = module.state_dict(keep_vars=True)
    wrong = differences(wanted, state)
    if wrong:
        raise MsavqaError(
            what="Weights of another network",
            where=where,
            got="; ".join(wrong),
            expected=f"exactly the {len(wanted)} tensors of {network}",
            next_step="name the model the weights were trained as in params.yaml, or fetch its weights",
        )
    ready = {
        name: tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor
        for name, tensor in state.items()
    }
    module.load_state_dict(ready, strict=True, assign=True)
    module.requires_grad_(False).eval()


def differences(wanted: "Mapping[str, Tensor]", found: "Mapping[str, Tensor]") -> list[str]:
    """What keeps `found` from being `wanted`: missing keys, extra keys, other shapes; empty where nothing."""
    missing = sorted(wanted.keys() - found.keys())
    extra = sorted(found.keys() - wanted.keys())
    shapes = [
        f"{name} of shape {list(found[name].shape)} for {list(wanted[name].shape)}"
        for name in sorted(wanted.keys() & found.keys())
        if wanted[name].shape != found[name].shape
    ]
    return [
        *([f"{len(missing)} missing ({_some(missing)})"] if missing else []),
        *([f"{len(extra)} extra ({_some(extra)})"] if extra else []),
        *([_some(shapes)] if shapes else []),
    ]


def split_clip(state: "Mapping[str, Tensor]") -> "tuple[dict[str, Tensor], dict[str, Tensor]]":
    """The text tower's and the image tower's tensors of one open_clip CLIP state dict, keys unchanged.

    What belongs to neither (the logit scale and the sizes that OpenAI's files repeat) is left out.
    """
    image = {name: tensor for name, tensor in state.items() if name.startswith("visual.")}
    text = {
        name: tensor for name, tensor in state.items() if name not in image and name not in _NEITHER_TOWER
    }
    return text, image


def _read_safetensors(path: Path, keep: Callable[[str], bool] | None) -> "dict[str, Tensor]":
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            names = [name for name in file.keys() if keep is None or keep(name)]  # noqa: SIM118
            return {name: file.get_tensor(name) for name in names}
    except SafetensorError as error:
        got = " ".join(str(error).split())
        raise _unreadable(path, got=got, expected="a whole safetensors file") from error


def _read_torch(path: Path) -> "dict[str, Tensor]":
    import torch

    expected = "a state dict that loads with weights_only=True"
    if _is_torchscript(path):
        raise MsavqaError(
            what="Unreadable weights",
            where=path,
            got="a TorchScript archive, which holds code",
            expected=expected,
            next_step="take the same weights as safetensors, as `fetch` does by hub name, or convert them",
        )
    with _reasons(path, expected):
        found = torch.load(path, map_location="cpu", weights_only=True)
    for wrapper in _WRAPPERS:
        if isinstance(found, Mapping) and isinstance(found.get(wrapper), Mapping):
            found = found[wrapper]
    if not isinstance(found, Mapping) or not all(isinstance(item, torch.Tensor) for item in found.values()):
        got = f"{type(found).__name__} that is no mapping of tensors"
        raise _unreadable(path, got=got, expected=expected)
    prefix = "module." if found and all(str(name).startswith("module.") for name in found) else ""
    return {str(name).removeprefix(prefix): value for name, value in found.items()}


def _is_torchscript(path: Path) -> bool:
    """As OpenAI published CLIP: a zip with the sources of the network."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.split("/")[1:2] == ["constants.pkl"] for name in archive.namelist())


@contextlib.contextmanager
def _reasons(path: Path, expected: str) -> Iterator[None]:
    try:
        yield
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, OSError) as error:
        lines = str(error).strip().splitlines()
        raise _unreadable(path, got=lines[0] if lines else type(error).__name__, expected=expected) from error


def _unreadable(path: Path, *, got: str, expected: str) -> MsavqaError:
    return MsavqaError(
        what="Unreadable weights",
        where=path,
        got=got.rstrip("."),
        expected=expected,
        next_step="fetch the file again, or convert it to safetensors where you trust it",
    )


def _some(names: list[str], count: int = 3) -> str:
    return ", ".join(names[:count]) + (", ..." if len(names) > count else "")
