"""Cached features as batches: which videos are usable, where their features reside, one batch at a time."""

import contextlib
import os
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from msavqa.ground.errors import MsavqaError
from msavqa.learning.branch import Shapes
from msavqa.learning.semantics import Batch, ClipShapes
from msavqa.networks import preprocess, weights
from msavqa.store import read as store
from msavqa.store.format import prompt_id
from msavqa.store.read import Store

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

Rows = npt.NDArray[np.int64]
PROMPT_TRUNK = "clip_text"


class InputsError(MsavqaError):
    """Features that training cannot use."""


@dataclass(frozen=True)
class Source:
    """One array of a store and where each video's row is in it."""

    key: str
    store: store.Store
    array: str
    rows: Rows
    """Row of the store for each video; several videos share the row of their prompt."""
    views: int
    """Cached views a video; 0 where the array has no such axis."""
    resident: Tensor | None
    places: Tensor
    """Row of `resident` for each video (of the store while streaming)."""

    @property
    def width(self) -> int:
        """Length of the feature axis; of a cut inside a network, of the features behind it."""
        if self.array == "stage":
            return int(self.store.attributes["architecture"]["width"])
        return self.store.spec(self.array).shape[-1]

    def take(self, videos: Rows, view: Rows, device: torch.device) -> Tensor:
        """The array of these videos, on the device, one view each."""
        place = self.places[torch.from_numpy(videos)]
        if self.resident is None:
            found = torch.from_numpy(self.store.read(self.array, place.numpy()))
        else:
            found = self.resident[place.to(self.resident.device)]
        if self.views:
            chosen = torch.from_numpy(view % self.views).to(found.device)
            found = found[torch.arange(len(videos), device=found.device), chosen]
        return found.to(device, non_blocking=True)


@dataclass(frozen=True)
class PixelSource:
    """A network's input for each video, from frames.zarr."""

    store: Store
    """The trunk's own: its fingerprint says how frames are prepared."""
    frames: Store
    rows: Rows
    """Row of `frames` for each video."""
    threads: ThreadPoolExecutor

    @property
    def views(self) -> int:
        """Crops, flips and starts that training draws from."""
        return int(self.store.fingerprint["views"])

    @property
    def width(self) -> int:
        """Features of a frame or time behind the network."""
        return int(self.store.attributes["architecture"]["width"])

    def take(self, videos: Rows, view: Rows, device: torch.device) -> Tensor:
        """uint8 (video, frame, 3, crop, crop) for image, (video, 3, frame, crop, crop) for video networks."""
        wanted = zip(videos.tolist(), view.tolist(), strict=True)
        return torch.stack(list(self.threads.map(lambda pair: self._one(*pair), wanted))).to(device)

    def _one(self, video: int, number: int) -> Tensor:
        row = int(self.rows[video])
        height, width = (int(self.frames.rows[name].iloc[row]) for name in ("height", "width"))
        pixels = self.frames.read("frames", [row])[0, :, :height, :width]
        how: Mapping[str, Any] = self.store.fingerprint
        look = preprocess.views(self.frames.ids[row], self.views)[number % self.views]
        sizes: dict[str, Any] = {name: how[name] for name in ("resize", "crop", "interpolation")}
        if how["kind"] == "image":
            found, _ = preprocess.image_views(pixels, looks=[look], key=how["frames"], **sizes)
        else:
            found = preprocess.video_views(pixels, looks=[look], sampling=how["sampling"], **sizes)
        return found[0]


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

    def batch(self, videos: Rows, *, views: Rows | None = None) -> Batch:
        """The videos' features, see `branches`; `views` (video,) are cached views, None the fixed one."""
        view = np.zeros(len(videos), dtype=np.int64) if views is None else views
        found = {key: source.take(videos, view, self.device) for key, source in self.sources.items()}
        if "text_tokens" in found:
            # Prompts are padded to the longest of the dataset: this batch needs its own longest only.
            longest = int(found["text_length"].max())
            found["text_tokens"] = found["text_tokens"][:, :longest]
        return found

    def index(self, ids: Sequence[str]) -> Rows:
        """Numbers of those of the videos that are usable, in their order."""
        number = {video: place for place, video in enumerate(self.ids)}
        return np.array([number[video] for video in ids if video in number], dtype=np.int64)

    @property
    def views(self) -> int:
        """Most cached views of any array."""
        return max([1, *(source.views for source in self.sources.values())])

    def shapes(self, *, statistics: Sequence[str]) -> Shapes:
        """Sizes of the arrays, for the branch; `statistics`: the groups beside the trunk's features."""
        found = self.sources
        clip = None
        if "frames_cls" in found:
            text = found.get("text_tokens")
            image = found.get("image_tokens")
            clip = ClipShapes(
                dim=found["frames_cls"].width,
                text_width=0 if text is None else text.width,
                image_width=0 if image is None else image.width,
            )
        motion = found.get("motion")
        return Shapes(
            features=found["features"].width,
            motion=0 if motion is None else motion.width,
            statistics=sum(found[group].width for group in statistics),
            changes=found["change"].width if "change" in found else 0,
            clip=clip,
        )


def open_inputs(
    wanted: Mapping[str, tuple[str, ...]],
    *,
    features: Path,
    ids: Sequence[str],
    prompts: Sequence[str],
    resident: Resident,
    device: torch.device,
    processes: int = 1,
    expect: Mapping[str, Mapping[str, object]] | None = None,
) -> Inputs:
    """Opens the stores under `features` and loads what the settings want resident.

    `wanted` is batch key -> (trunk, arrays of which the store holds one), `pixels` among them for who learns
    from frames where the trunk's cut says so; ids and prompts are (video,);
    `expect` has, by trunk, what its store's fingerprint must hold, see `store.open`. Raises `StoreError`
    where a store or an array is missing or another's, and `InputsError` where no video is usable.
    """
    must = expect or {}
    stores = {
        trunk: store.open(features / f"{trunk}.zarr", expect=must.get(trunk))
        for trunk in sorted({names[0] for names in wanted.values()})
    }
    keys = {
        trunk: [prompt_id(one) for one in prompts] if trunk == PROMPT_TRUNK else list(ids) for trunk in stores
    }
    rows = {trunk: stores[trunk].index(keys[trunk]) for trunk in stores}
    usable = np.ones(len(ids), dtype=bool)
    for trunk, opened in stores.items():
        usable &= opened.valid[rows[trunk]]
    if not usable.any():
        raise InputsError(
            what="Features",
            where=features,
            got=f"0 usable of {len(ids)} videos",
            expected="at least one video that every store holds",
            next_step="look at the stores' rows.parquet for why videos are quarantined",
        )
    place = _place(wanted, stores, resident, device, processes)
    sources: dict[str, Source | PixelSource] = {}
    for key, (trunk, *arrays) in wanted.items():
        opened = stores[trunk]
        if _from_pixels(opened, arrays):
            frames = store.open(features / "frames.zarr")
            kept = frames.index([one for one, good in zip(ids, usable, strict=True) if good])
            sources[key] = PixelSource(
                opened, frames, kept, ThreadPoolExecutor(max(1, torch.get_num_threads()))
            )
            continue
        array = next((name for name in arrays if name in opened.specs), arrays[-1])
        sources[key] = _source(key, opened, array, rows[trunk][usable], place, device)
    return Inputs(
        ids=[one for one, good in zip(ids, usable, strict=True) if good],
        quarantined=[one for one, good in zip(ids, usable, strict=True) if not good],
        sources=sources,
        device=device,
        resident=place,
    )


def _from_pixels(opened: store.Store, arrays: Sequence[str]) -> bool:
    """Whether these are frames; the same trunk's pooled features, the segment's motion, stay an array."""
    return "pixels" in arrays and opened.fingerprint.get("cut") == "pixels"


def _source(
    key: str, opened: store.Store, array: str, rows: Rows, place: Resident, device: torch.device
) -> Source:
    spec = opened.spec(array)
    views = spec.shape[spec.axes.index("view") - 1] if "view" in spec.axes else 0
    if place == "stream":
        return Source(key, opened, array, rows, views, None, torch.from_numpy(rows))
    distinct, places = np.unique(rows, return_inverse=True)
    loaded = torch.from_numpy(opened.read(array, distinct))
    if place == "device":
        loaded = loaded.to(device)
    return Source(key, opened, array, rows, views, loaded, torch.from_numpy(places))


def _place(
    wanted: Mapping[str, tuple[str, ...]],
    stores: Mapping[str, store.Store],
    resident: Resident,
    device: torch.device,
    processes: int,
) -> Resident:
    if resident == "device" and device.type == "cpu":
        return "ram"
    if resident != "auto":
        return resident
    arrays = {
        (trunk, name)
        for trunk, *names in wanted.values()
        for name in names
        if name in stores[trunk].specs and not _from_pixels(stores[trunk], names)
    }
    need = sum(stores[trunk].nbytes(array) for trunk, array in arrays)
    return place_for(need, device=device, processes=processes)


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


ELSEWHERE = ("model", "kwargs", "weights")
"""Settings of a trunk that its fingerprint keeps under `architecture`."""


def expected(params: Mapping[str, Any] | None, *, trunks: Collection[str]) -> dict[str, dict[str, Any]]:
    """By trunk: facts that the fingerprint of its store must hold, for `store.open(expect=...)`.

    `params` is the whole of params.yaml; None asks for nothing. Versions of libraries may differ, as in a
    colleague's store; weights are compared where their file is here.
    """
    if params is None:
        return {}
    return {name: _facts(params["trunks"][name], decode=params["decode"]) for name in sorted(trunks)}


def _facts(trunk: Mapping[str, Any], *, decode: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {name: value for name, value in trunk.items() if name not in ELSEWHERE}
    if trunk["kind"] != "clip_text":
        found["decoded"] = {"frames": decode["frames"], "box": decode["box"]}
    if trunk["kind"] == "statistics":
        return found
    architecture = {name: trunk[name] for name in ("model", "kwargs") if "kwargs" in trunk}
    if Path(trunk["weights"]).is_file():
        architecture["weights_sha256"] = weights.sha256(trunk["weights"])
    return found | ({"architecture": architecture} if architecture else {})


def givers(prompts: Sequence[str], *, seed: Sequence[int]) -> Rows:
    """A permutation (video,): whose prompt each video gets, never one of its own text where that is possible.

    Videos lie in a random order by prompt and each takes the prompt that lies as many places on as the most
    frequent prompt has videos: no smaller step leaves that prompt, and none leaves more of it.
    """
    random = np.random.default_rng(seed)
    _, numbers, counts = np.unique(np.asarray(prompts, dtype=object), return_inverse=True, return_counts=True)
    shuffled = random.permutation(len(prompts))
    ranks = random.permutation(len(counts))[numbers]
    order = shuffled[np.argsort(ranks[shuffled], kind="stable")]
    found = np.empty(len(prompts), dtype=np.int64)
    found[order] = np.roll(order, -int(counts.max()))
    return found


def beside(inputs: Inputs, *, videos: Rows, prompts: Mapping[str, str], seed: Sequence[int]) -> Inputs | None:
    """Features in which these videos (video,) have one another's prompts; `prompts` is by video id.

    None where that changes nothing: no prompt is read, or all are one.
    """
    own = [prompts[inputs.ids[video]] for video in videos]
    read = {
        key: one for key, one in inputs.sources.items() if key.startswith("text_") and isinstance(one, Source)
    }
    if not read or len(set(own)) < 2:
        return None
    others = videos[givers(own, seed=seed)]
    moved = {}
    for key, source in read.items():
        rows, places = source.rows.copy(), source.places.clone()
        rows[videos] = source.rows[others]
        places[torch.from_numpy(videos)] = source.places[torch.from_numpy(others)]
        moved[key] = replace(source, rows=rows, places=places)
    return replace(inputs, sources={**inputs.sources, **moved})
