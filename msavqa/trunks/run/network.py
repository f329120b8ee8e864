"""A frozen network as the extraction sees it: videos in, float32 arrays per video out, on one device."""

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Literal, Protocol, TypeVar, runtime_checkable

import numpy as np
import numpy.typing as npt

from msavqa.store.format import ArraySpec

if TYPE_CHECKING:
    from torch import Tensor

Precision = Literal["fp32", "bf16"]
Arrays = dict[str, npt.NDArray[Any]]
"""Values by array name, one row per input, floating ones in float32."""
I_ = TypeVar("I_")


@dataclass(frozen=True)
class Video:
    """The sampled frames of one video. The id seeds the choice of views."""

    id: str
    frames: npt.NDArray[np.uint8]
    """(frame, height, width, channel), RGB, upright, without padding."""

    def __str__(self) -> str:
        return self.id


@dataclass(frozen=True)
class Network(Generic[I_]):
    """A loaded trunk in two steps, so that inputs can be prepared while the network works.

    `prepare` does one input's work on the CPU and may run in a thread; `forward` takes several prepared ones.
    """

    prepare: Callable[[I_], Any]
    forward: Callable[[Sequence[Any]], Arrays]

    def __call__(self, inputs: Sequence[I_]) -> Arrays:
        """Arrays of all inputs, one row each."""
        return self.forward([self.prepare(one) for one in inputs])


@runtime_checkable
class Kind(Protocol):
    """What every module of msavqa/trunks/kinds offers beside the class of its settings."""

    AXIS: str
    """What a row is: `video` or `prompt`."""

    @property
    def specs(self) -> Callable[..., tuple[ArraySpec, ...]]:
        """From settings, and `frames` or `tokens`, which the input decides: the arrays of the store."""

    def attributes(self, settings: Any, *, weights: Path) -> dict[str, Any]:
        """What a consumer of the store needs to know."""

    def fingerprint(self, settings: Any, *, weights: Path) -> dict[str, Any]:
        """Everything the features depend on besides their input."""

    def load(self, settings: Any, *, weights: Path, device: str, batch: int) -> Network[Any]:
        """The network, ready to run."""


@dataclass(frozen=True)
class Trunk:
    """What a run over a data set needs to know of a frozen network. Pickles, for launchers of processes."""

    specs: tuple[ArraySpec, ...]
    """The arrays of its store."""
    attributes: Mapping[str, Any]
    """What a consumer of the store needs to know."""
    fingerprint: Mapping[str, Any]
    """Everything its features depend on besides their input."""
    load: Callable[..., Network[Any]]
    """`load(device=..., batch=...)`: the network; called where and when the first row is computed."""
    views: int = 1
    """Views of a video that pass the network."""

    @classmethod
    def of(cls, kind: Kind, settings: Any, *, weights: Path, **sizes: int) -> "Trunk":
        """A network of some kind with its settings and weights; `sizes` as its `specs` want them."""
        return cls(
            specs=kind.specs(settings, **sizes),
            attributes=kind.attributes(settings, weights=weights),
            fingerprint=kind.fingerprint(settings, weights=weights),
            load=functools.partial(kind.load, settings, weights=weights),
            views=getattr(settings, "views", 1),
        )


def precisely(precision: Precision, *, device: str) -> AbstractContextManager[None]:
    """Autocast to bfloat16, or nothing; entered around a forward pass."""
    if precision == "fp32":
        return nullcontext()
    import torch

    context: AbstractContextManager[None] = torch.autocast(device.split(":")[0], dtype=torch.bfloat16)
    return context


def to_numpy(tensor: "Tensor") -> npt.NDArray[np.float32]:
    """A tensor of any float dtype and device as a float32 array."""
    array: npt.NDArray[np.float32] = tensor.float().cpu().numpy()
    return array


def chunks(items: Sequence[I_], size: int) -> Iterator[Sequence[I_]]:
    """Consecutive parts of at most `size` items."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


def versions(*packages: str) -> dict[str, str]:
    """Installed versions by package, as fingerprints hold them."""
    return {name: version(name) for name in packages}
