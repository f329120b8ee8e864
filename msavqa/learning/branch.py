"""What the branches share beside the layers: sizes of their inputs, their output, their head's settings."""

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, cast, runtime_checkable

import numpy.typing as npt
import safetensors.numpy
import safetensors.torch
import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from msavqa.ground.errors import MsavqaError
from msavqa.learning.layers import ScoreHead, Standardise, compressed
from msavqa.learning.semantics import (
    NOTHING,
    STATISTICS_TRUNK,
    Batch,
    ClipShapes,
    Meaning,
    PssSettings,
    Semantics,
    SmaSettings,
)
from msavqa.machine.params import Settings

Standardised = list[tuple[Standardise, Callable[[Batch], Tensor]]]
"""Constants to be frozen, and what of a batch they standardise."""
Statistics = Literal["spatial", "temporal", "change"]
"""A group of handcrafted measures: of single frames, of how steady time is, of content that changes."""


class HeadSettings(Settings):
    """`branches.<branch>.head`: the network behind the features, see `layers.ScoreHead`."""

    width: int = Field(gt=0)
    dropout: float = Field(ge=0, lt=1)


@dataclass(frozen=True)
class Shapes:
    """Sizes of a branch's inputs, read from the stores; saved beside the weights to build it again."""

    features: int
    """Width of the branch's trunk."""
    motion: int
    """Width of the motion trunk; 0 where there is none."""
    statistics: int
    """Number of handcrafted measures beside the trunk's features; 0 where the branch reads none."""
    changes: int
    """Number of handcrafted measures that SMA reads; 0 where it reads none."""
    clip: ClipShapes | None
    """None where PSS and SMA are both off."""

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Shapes":
        """From plain data as `dataclasses.asdict` gives it."""
        clip = data["clip"]
        return cls(**{**data, "clip": None if clip is None else ClipShapes(**clip)})


@dataclass(frozen=True)
class Output:
    """What a branch says of a batch; parts that a branch does not have are None."""

    score: Float[Tensor, "video"]
    """In standard deviations of the training labels, unless the loss leaves the scale open."""
    frame_scores: Float[Tensor, "video time"] | None
    """Of each frame or segment of the branch's own trunk."""
    attention: Float[Tensor, "video frame"] | None
    """Where SMA looked."""


def semantics_of(
    *,
    pss: PssSettings,
    sma: SmaSettings,
    shapes: Shapes,
    text_tail: nn.Module | None,
    image_tail: nn.Module | None,
) -> Semantics | None:
    """The semantic modules of a branch, or None where both are off."""
    if shapes.clip is None:
        return None
    return Semantics(
        pss=pss,
        sma=sma,
        shapes=shapes.clip,
        changes=shapes.changes,
        text_tail=text_tail,
        image_tail=image_tail,
    )


def standardised(branch: Any, *, technical: bool) -> Standardised:
    """A branch's standardising constants and what each standardises; `technical`: of that half too."""
    found = [(branch.standardise, branch.technical)] if technical else []
    semantics = branch.semantics
    if semantics is not None and semantics.standardise is not None:
        found.append((semantics.standardise, semantics.measures))
    return found


def meaning_of(semantics: Semantics | None, batch: Batch) -> Meaning:
    """PSS and SMA features of a batch; an empty `Meaning` where both are off."""
    return NOTHING if semantics is None else semantics(batch)


def head_of(settings: HeadSettings, *, technical: int, semantics: Semantics | None) -> ScoreHead:
    """The scoring head over technical and semantic features."""
    semantic = 0 if semantics is None else semantics.dim
    return ScoreHead(technical=technical, semantic=semantic, width=settings.width, dropout=settings.dropout)


def technical_reads(*, trunk: str, statistics: Sequence[Statistics]) -> dict[str, tuple[str, ...]]:
    """Batch key -> (trunk, arrays of which its store holds one) of the branch's own features.

    `pixels` stands for frames instead of features, where the trunk's cut is `pixels`.
    """
    found: dict[str, tuple[str, ...]] = {"features": (trunk, "pixels", "stage", "pooled")}
    return found | {group: (STATISTICS_TRUNK, group) for group in statistics}


def beside(
    features: Float[Tensor, "video time width"], extra: Sequence[Float[Tensor, "video _"]]
) -> Float[Tensor, "video time all"]:
    """Features of each time, the video's own features repeated beside them; float32."""
    times = features.shape[1]
    return torch.cat(
        [features.float(), *(one.float()[:, None].expand(-1, times, -1) for one in extra)], dim=-1
    )


def statistics_in(batch: Batch, groups: Sequence[Statistics]) -> list[Tensor]:
    """The handcrafted measures (video, statistic) of these groups, as networks take them."""
    return [compressed(batch[group]) for group in groups]


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
