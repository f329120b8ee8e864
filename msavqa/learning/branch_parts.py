"""What the branches share beside the layers: sizes of their inputs, their output, their head's settings."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from msavqa.learning.layers import ScoreHead, Standardise, compressed
from msavqa.learning.semantic_settings import STATISTICS_TRUNK, PssSettings, SmaSettings
from msavqa.learning.semantics import NOTHING, Batch, ClipShapes, Meaning, Semantics
from msavqa.params import Settings

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
