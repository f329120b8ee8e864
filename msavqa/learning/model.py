"""A branch by its name: built from settings and sizes, its learned weights saved and strictly loaded."""

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, cast, runtime_checkable

import numpy.typing as npt
import safetensors.numpy
import safetensors.torch
from torch import Tensor, nn

from msavqa.errors import MsavqaError
from msavqa.learning.branch_parts import Output, Shapes
from msavqa.params import Settings


class BranchError(MsavqaError):
    """A branch that there is no code for."""


class BranchWeightsError(MsavqaError):
    """A file of branch weights that is not of the branch it is loaded into."""


@runtime_checkable
class BranchModule(Protocol):
    """What every module of `branches` offers."""

    BranchSettings: type[Settings]
    Branch: Any

    def inputs(self, settings: Any) -> dict[str, tuple[str, ...]]:
        """Batch key -> (trunk, arrays of which its store holds one)."""

    def loss(self, settings: Any, *, output: Output, mos: Tensor, weight: Tensor) -> Tensor:
        """Loss of one batch."""


def branch(name: str) -> BranchModule:
    """The module `msavqa.branches.<name>`; raises `BranchError` where there is none.

    Imported by name, so that editing one branch's file makes only that branch's training stale.
    """
    try:
        return cast(BranchModule, importlib.import_module(f"msavqa.branches.{name}"))
    except ModuleNotFoundError as error:
        if error.name != f"msavqa.branches.{name}":
            raise
        raise BranchError(
            what="Branch",
            where="msavqa/branches",
            got=name,
            expected="a file of that name",
            next_step="name a branch of params.yaml",
        ) from None


def assemble(
    name: str,
    settings: Settings,
    *,
    shapes: Shapes,
    backbone: nn.Module | None = None,
    text_tail: nn.Module | None = None,
    image_tail: nn.Module | None = None,
) -> nn.Module:
    """The untrained branch; no backbone means that the cached features are pooled already.

    The tails (`tail.ClipTail`) hold CLIP's frozen last blocks outside the state dict: they come with CLIP's
    own weights and are not saved again with every branch.
    """
    model: nn.Module = branch(name).Branch(
        settings,
        shapes=shapes,
        backbone=nn.Identity() if backbone is None else backbone,
        text_tail=text_tail,
        image_tail=image_tail,
    )
    return model


def save(weights: Mapping[str, npt.NDArray[Any]], path: Path) -> None:
    """Writes a branch's state dict as safetensors, atomically; the same weights give the same bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.partial")
    partial.write_bytes(safetensors.numpy.save(dict(weights)))
    partial.replace(path)


def load(model: nn.Module, path: Path) -> None:
    """Loads weights that `save` wrote; else a `BranchWeightsError` names missing, extra, misshapen ones."""
    _load(model, _read(path), expected=model.state_dict(), where=path)


def continue_from(model: nn.Module, path: Path) -> None:
    """Starts the technical half of a branch from pre-training without prompts; the semantic half stays fresh.

    As strict as `load`: the file must hold exactly the branch's tensors without those of PSS and SMA. The
    score's scale belongs to the pre-training labels and is not taken over.
    """
    tensors = _read(path)
    semantic = ("semantics.", "head.semantic.")
    expected = {name: tensor for name, tensor in model.state_dict().items() if not name.startswith(semantic)}
    scale = {name: tensor for name, tensor in expected.items() if name in ("head.slope", "head.offset")}
    _load(
        model, {**tensors, **scale} if set(scale) <= set(tensors) else tensors, expected=expected, where=path
    )


def _read(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise BranchWeightsError(
            what="Branch weights",
            where=path,
            got="no such file",
            expected="a safetensors file",
            next_step="run `dvc repro` to train the branch",
        )
    try:
        return safetensors.torch.load_file(path)
    except safetensors.SafetensorError as error:
        raise BranchWeightsError(
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
        raise BranchWeightsError(
            what="Branch weights",
            where=where,
            got="; ".join(found),
            expected=f"exactly the {len(expected)} tensors of this branch's settings",
            next_step="run `dvc repro` so that weights and params.yaml belong together",
        )
    # Frozen parts are not in the file: they stay as they are.
    model.load_state_dict({**model.state_dict(), **tensors}, strict=True)
