"""What rows of any feature store need: the network when it is first asked for, room, and values that fit."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import Field

from msavqa.ground.errors import MsavqaError
from msavqa.ground.params import Settings
from msavqa.ground.progress import Progress
from msavqa.machine import device as devices
from msavqa.machine.device import Device
from msavqa.machine.launch import Kept
from msavqa.store.shards import ShardDone
from msavqa.trunks.run.network import Network, Trunk


class ExtractSettings(Settings):
    """The block `extract`: how fast and where; nothing here changes what is stored."""

    batch_frames: int = Field(ge=1)
    """Frames (or prompts) that pass the network at once."""
    ahead_videos: int = Field(ge=1)
    """Videos that are read and prepared ahead of the network."""
    threads: int = Field(ge=1)
    """Threads that prepare videos."""
    device: Device


@dataclass(frozen=True, kw_only=True)
class Rows:
    """What both kinds of rows need. Pickles, without network and progress: any launcher can run it."""

    trunk: Trunk
    extract: ExtractSettings
    progress: Progress | None = None
    _kept: Kept[Network[Any]] = field(default_factory=Kept, repr=False, compare=False)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "progress": None}

    @property
    def network(self) -> Network[Any]:
        """Loaded when it is first needed: a stage that finds all shards staged needs none."""
        return self._kept.get(self._load)

    def _load(self) -> Network[Any]:
        device: str = self.extract.device
        if device != "cpu":  # to ask for a GPU imports torch
            device = devices.chosen(self.extract.device, setting="`extract.device`").type
        return self.trunk.load(device=device, batch=self.extract.batch_frames)

    def empty(self, rows: Sequence[int]) -> dict[str, npt.NDArray[Any]]:
        """Arrays of zeros for these rows."""
        return {spec.name: np.zeros((len(rows), *spec.shape), dtype=spec.dtype) for spec in self.trunk.specs}

    def tell(self, count: int) -> None:
        """So many rows more."""
        if self.progress is not None:
            self.progress.advance(count)


def put(
    arrays: dict[str, npt.NDArray[Any]],
    found: dict[str, npt.NDArray[Any]],
    *,
    places: Sequence[int],
    names: Sequence[str],
) -> None:
    """Puts a batch's values in their rows, in the store's dtype; refuses what does not survive that."""
    for array, values in found.items():
        room = arrays[array]
        for place, name, row in zip(places, names, values, strict=True):
            target = (
                room[place][tuple(slice(0, size) for size in row.shape)]
                if row.ndim
                else room[place : place + 1]
            )
            with np.errstate(over="ignore", invalid="ignore"):
                target[...] = row
            if room.dtype.kind == "f" and not np.isfinite(target).all():
                raise _unstorable(name, array, row, room.dtype)


def _unstorable(name: str, array: str, row: npt.NDArray[Any], dtype: np.dtype[Any]) -> MsavqaError:
    largest = float(np.abs(row).max()) if np.isfinite(row).all() else math.nan
    got = f"values up to {largest:.3g}" if math.isfinite(largest) else "values that are not finite"
    return MsavqaError(
        what="Feature",
        where=f"{name} ({array})",
        got=got,
        expected=f"finite values of at most {float(np.finfo(dtype).max):.5g} ({dtype})",
        next_step="set the trunk's `dtype: float32` if they are large, or check its weights and precision",
    )


def staged(progress: Progress) -> Callable[[ShardDone], None]:
    """Counts a shard's rows that were not computed just now, and those computed in another process (the
    others were counted as they came)."""
    finished = quarantined = 0

    def tell(done: ShardDone) -> None:
        nonlocal finished, quarantined
        finished, quarantined = finished + done.rows, quarantined + done.quarantined
        progress.keep(done.rows - done.computed, quarantined=quarantined)
        progress.advance(max(0, finished - progress.done))

    return tell
