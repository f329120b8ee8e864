"""Cached features as batches: which videos are usable, where their features reside, one batch at a time."""

import contextlib
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from msavqa.ground.errors import MsavqaError
from msavqa.learning.branch import INDEX, Shapes
from msavqa.learning.pixels import PixelSource, Rows
from msavqa.learning.semantics import Batch, ClipShapes
from msavqa.store import prompt_rows
from msavqa.store import read as store

Resident = Literal["auto", "ram", "device", "stream"]
"""Where features wait: RAM, the accelerator's memory, or on disk behind the memory map. `auto` takes the
accelerator where they fill at most half of what is free, RAM where they fill at most half of what is free
there (for all processes together), and streams otherwise."""
MEMINFO = Path("/proc/meminfo")
CGROUP_LIMITS = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)
"""Where a container's limit stands, in cgroups of version 2 and 1."""

OF_PROMPTS = "text_"
"""How keys begin whose rows are prompts; all others' are videos."""


@dataclass(frozen=True)
class Source:
    """One array of a store and where each video's row is in it."""

    key: str
    store: store.Store
    array: str
    rows: Rows
    """Row of the store for each video; several videos share the row of their prompt. (video, piece) with -1
    behind a prompt's last piece, where a prompt is longer than its encoder reads."""
    views: int
    """Cached views per video; 0 where the array has no such axis."""
    resident: Tensor | None
    places: Tensor
    """Row of `resident` for each video (of the store while streaming), shaped as `rows`."""

    @property
    def single_frames(self) -> int:
        """Frames of a video, where the array holds all of them in every view, each by itself; else 0."""
        made_of, axes = self.store.fingerprint, self.store.spec(self.array).axes
        every = made_of.get("kind") == "image" and made_of.get("frames") == "all"
        return self.store.spec(self.array).shape[1] if every and axes[1:3] == ("view", "frame") else 0

    @property
    def width(self) -> int:
        """Length of the feature axis; of a cut inside a network, of the features behind it."""
        if self.array == "stage":
            return int(self.store.attributes["architecture"]["width"])
        return self.store.spec(self.array).shape[-1]

    def take(self, videos: Rows, view: Rows, device: torch.device) -> Tensor:
        """The array of these videos, on the device; of a prompt's pieces one after another.

        `view` is one each, (video,), or of single frames one each, (video, frame).
        """
        place = self.places[torch.from_numpy(videos)]
        if place.ndim == 2:  # of prompts in pieces
            place = place[place != prompt_rows.NO_PIECE]
        if self.resident is None:
            found = torch.from_numpy(self.store.read(self.array, place.numpy()))
        else:
            found = self.resident[place.to(self.resident.device)]
        if self.views:
            each = self.single_frames if view.ndim == 2 else 0
            chosen = torch.from_numpy((view if each or view.ndim == 1 else view[:, 0]) % self.views)
            number, chosen = torch.arange(len(videos), device=found.device), chosen.to(found.device)
            if each:
                found = found[number[:, None], chosen, torch.arange(each, device=found.device)]
            else:
                found = found[number, chosen]
        return found.to(device, non_blocking=True)


@dataclass(frozen=True)
class Inputs:
    """Everything one branch reads of one dataset. Videos are numbered as in `ids`."""

    ids: list[str]
    """Usable videos in the order asked for."""
    quarantined: list[str]
    """Videos left out because a store holds no features of them."""
    sources: Mapping[str, Source | PixelSource]
    device: torch.device
    resident: Resident
    """Where the features are: never `auto`."""

    @property
    def reads_prompts(self) -> bool:
        """Whether any array is of prompts."""
        return any(key.startswith(OF_PROMPTS) for key in self.sources)

    def batch(self, videos: Rows, *, views: Rows | None = None) -> Batch:
        """The videos' features, see `branches`; `views` (video,), or of frames (video, frame), are cached
        views, None the fixed one."""
        view = np.zeros(len(videos), dtype=np.int64) if views is None else views
        found = {key: source.take(videos, view, self.device) for key, source in self.sources.items()}
        in_pieces = [one for one in self.sources.values() if isinstance(one, Source) and one.places.ndim == 2]
        if in_pieces:
            held = in_pieces[0].places[torch.from_numpy(videos)] != prompt_rows.NO_PIECE
            found["text_pieces"] = held.sum(dim=1).to(self.device)
        return trimmed(found)

    def index(self, ids: Sequence[str]) -> Rows:
        """Numbers of those of the videos that are usable, in their order."""
        number = {video: place for place, video in enumerate(self.ids)}
        return np.array([number[video] for video in ids if video in number], dtype=np.int64)

    @property
    def single_frames(self) -> int:
        """Frames of a video, each of which may be seen in a view of its own; 0: a video is seen in one."""
        return self.sources["features"].single_frames

    @property
    def views(self) -> int:
        """Most cached views of any array."""
        return max([1, *(source.views for source in self.sources.values())])

    def shapes(self, *, statistics: Sequence[str]) -> Shapes:
        """Sizes of the arrays, for the branch; `statistics`: the groups beside the trunk's features."""
        found = self.sources
        clip = None
        if "frames_cls" in found:
            text, image = found.get("text_tokens"), found.get("image_tokens")
            prompts = found.get("text_cls", text)
            clip = ClipShapes(
                dim=found["frames_cls"].width,
                text_width=0 if text is None else text.width,
                image_width=0 if image is None else image.width,
                sharpness=0.0 if prompts is None else prompt_rows.sharpness(prompts.store),
            )
        motion = found.get("motion")
        return Shapes(
            features=found["features"].width,
            motion=0 if motion is None else motion.width,
            statistics=sum(found[group].width for group in statistics),
            changes=found["change"].width if "change" in found else 0,
            clip=clip,
        )


def trimmed(batch: Batch) -> Batch:
    """Prompts are padded to the longest of the data set: a batch needs its own longest only."""
    if "text_tokens" in batch:
        batch["text_tokens"] = batch["text_tokens"][:, : int(batch["text_length"].max())]
    return batch


def open_inputs(
    wanted: Mapping[str, tuple[str, ...]],
    *,
    features: Path,
    ids: Sequence[str],
    prompts: Sequence[str],
    device: torch.device,
    expect: Mapping[str, Mapping[str, object]] | None = None,
) -> Inputs:
    """Opens the stores under `features`, nothing loaded yet: batches are read from disk.

    `wanted` is batch key -> (store, arrays of which it holds one), `pixels` among them for who learns from
    frames where the trunk's cut says so; a key that starts with `text_` is of prompts, all others of videos.
    ids and prompts are (video,); `expect` has, by store, what its fingerprint must hold, see `store.open`.
    Raises `StoreError` where a store or an array is missing or another's, `MsavqaError` where no video is
    usable.
    """
    must = expect or {}
    stores = {
        name: store.open(features / f"{name}.zarr", expect=must.get(name))
        for name in sorted({names[0] for names in wanted.values()})
    }
    of_prompts = {names[0] for key, names in wanted.items() if key.startswith(OF_PROMPTS)}
    rows = {
        name: _of_prompts(opened, prompts) if name in of_prompts else opened.index(list(ids))
        for name, opened in stores.items()
    }
    usable = np.ones(len(ids), dtype=bool)
    for name, opened in stores.items():
        held = rows[name] if rows[name].ndim == 1 else rows[name][:, 0]
        usable &= opened.valid[held]
    if not usable.any():
        raise MsavqaError(
            what="Features",
            where=features,
            got=f"0 usable of {len(ids)} videos",
            expected="at least one video that every store holds",
            next_step="look at the stores' rows.parquet for why videos are quarantined",
        )
    kept = [one for one, good in zip(ids, usable, strict=True) if good]
    sources: dict[str, Source | PixelSource] = {}
    for key, (name, *arrays) in wanted.items():
        opened = stores[name]
        # The same trunk's pooled features, a segment's motion, stay an array.
        if "pixels" in arrays and opened.fingerprint.get("cut") == "pixels":
            frames = store.open(features / "frames.zarr")
            threads = ThreadPoolExecutor(max(1, torch.get_num_threads()))
            sources[key] = PixelSource(opened, frames, frames.index(kept), threads)
        else:
            array = next((one for one in arrays if one in opened.specs), arrays[-1])
            sources[key] = _source(key, opened, array, rows[name][usable])
        if key == "features" and INDEX in opened.specs and opened.fingerprint.get("frames") != "all":
            sources[INDEX] = _source(INDEX, opened, INDEX, rows[name][usable])
    return Inputs(
        ids=kept,
        quarantined=[one for one, good in zip(ids, usable, strict=True) if not good],
        sources=sources,
        device=device,
        resident="stream",
    )


def _of_prompts(opened: store.Store, prompts: Sequence[str]) -> Rows:
    rows = prompt_rows.rows_of(opened, prompts)
    return rows if rows.shape[1] > 1 else rows[:, 0]


def _source(key: str, opened: store.Store, array: str, rows: Rows) -> Source:
    spec = opened.spec(array)
    views = spec.shape[spec.axes.index("view") - 1] if "view" in spec.axes else 0
    return Source(key, opened, array, rows, views, None, torch.from_numpy(rows))


def loaded(inputs: Inputs, *, resident: Resident, processes: int) -> Inputs:
    """The same features where the settings want them to wait; `processes` load as much, each its own."""
    place = _place(inputs, resident, processes)
    if place == "stream":
        return inputs
    sources: dict[str, Source | PixelSource] = {}
    for key, source in inputs.sources.items():
        if isinstance(source, Source):
            held = source.rows != prompt_rows.NO_PIECE
            places = np.full(source.rows.shape, prompt_rows.NO_PIECE)
            distinct, places[held] = np.unique(source.rows[held], return_inverse=True)
            values = torch.from_numpy(source.store.read(source.array, distinct))
            if place == "device":
                values = values.to(inputs.device)
            sources[key] = replace(source, resident=values, places=torch.from_numpy(places))
        else:
            sources[key] = source
    return replace(inputs, sources=sources, resident=place)


def _place(inputs: Inputs, resident: Resident, processes: int) -> Resident:
    if resident == "device" and inputs.device.type == "cpu":
        return "ram"
    if resident != "auto":
        return resident
    arrays = {
        (one.store.path, one.array): one.store.nbytes(one.array)
        for one in inputs.sources.values()
        if isinstance(one, Source)
    }
    return place_for(sum(arrays.values()), device=inputs.device, processes=processes)


def place_for(need: int, *, device: torch.device, processes: int) -> Resident:
    """Where `auto` has features of so many bytes, each of the processes its own."""
    if device.type == "cuda" and 2 * need <= torch.cuda.mem_get_info(device)[0]:
        return "device"
    return "ram" if 2 * need * processes <= free_memory() else "stream"


def free_memory() -> int:
    """Bytes that may be filled: of what the machine has, of what is available now, of the cgroup's limit."""
    found = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    with contextlib.suppress(OSError, StopIteration):
        lines = MEMINFO.read_text(encoding="ascii").splitlines()
        found.append(next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")))
    for limit in CGROUP_LIMITS:
        with contextlib.suppress(OSError, ValueError):  # "max": no limit
            found.append(int(limit.read_text(encoding="ascii")))
    return min(found)
