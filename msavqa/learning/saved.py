"""A branch's weights as a file: the same weights give the same bytes, and none is read but in full."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy.typing as npt
import safetensors.numpy
import safetensors.torch
from torch import Tensor, nn

from msavqa.ground.errors import MsavqaError


def save(weights: Mapping[str, npt.NDArray[Any]], path: Path) -> None:
    """Writes a branch's state dict as safetensors, atomically; the same weights give the same bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.partial")
    partial.write_bytes(safetensors.numpy.save(dict(weights)))
    partial.replace(path)


def load(model: nn.Module, path: Path) -> None:
    """Loads weights that `save` wrote; else an `MsavqaError` names missing, extra, misshapen ones."""
    _load(model, _read(path), expected=model.state_dict(), where=path)


def continue_from(model: nn.Module, path: Path) -> None:
    """Starts the technical half of a branch from pre-training without prompts; the semantic half stays fresh.

    As strict as `load`: the file must hold exactly the branch's tensors without those of PSS and SMA. The
    score's scale belongs to the pre-training labels and is not taken over.
    """
    tensors = _read(path)
    semantic = ("semantics.", "head.semantic.", "head.more.")
    expected = {name: tensor for name, tensor in model.state_dict().items() if not name.startswith(semantic)}
    scale = {name: tensor for name, tensor in expected.items() if name in ("head.slope", "head.offset")}
    _load(
        model, {**tensors, **scale} if set(scale) <= set(tensors) else tensors, expected=expected, where=path
    )


def _read(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise MsavqaError(
            what="Branch weights",
            where=path,
            got="no such file",
            expected="a safetensors file",
            next_step="run `dvc repro` to train the branch",
        )
    try:
        return safetensors.torch.load_file(path)
    except safetensors.SafetensorError as error:
        raise MsavqaError(
            what="Branch weights",
            where=path,
            got=str(error),
            expected="a safetensors file",
            next_step="delete it and run `dvc repro` to train the branch",
        ) from error


def _load(
    model: nn.Module, tensors: Mapping[str, Tensor], *, expected: Mapping[str, Tensor], where: Path
) -> None:
    missing = sorted(set(expected) - set(tensors))
    extra = sorted(set(tensors) - set(expected))
    shapes = [
        f"{name} {tuple(tensors[name].shape)} for {tuple(tensor.shape)}"
        for name, tensor in expected.items()
        if name in tensors and tensors[name].shape != tensor.shape
    ]
    wrong = {"missing": missing, "extra": extra, "misshapen": shapes}
    found = [f"{what} {', '.join(names)}" for what, names in wrong.items() if names]
    if found:
        raise MsavqaError(
            what="Branch weights",
            where=where,
            got="; ".join(found),
            expected=f"exactly the {len(expected)} tensors of this branch's settings",
            next_step="run `dvc repro` so that weights and params.yaml belong together",
        )
    # Frozen parts are not in the file: they stay as they are.
    model.load_state_dict({**model.state_dict(), **tensors}, strict=True)
