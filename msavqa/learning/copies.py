"""Trivial videos beside their originals: which pairs a model learns from, and batches that hold both.

A pair is an original and what must score below it: a spoilt copy, frames that show nothing, or the original's
own features with another video's prompt. A model learns from no copy that is made of, or has half its frames
from, a video that it does not learn from.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import Tensor
from torch.nn import functional

from msavqa.datasets import copies as planned
from msavqa.datasets.copies import FOREIGN
from msavqa.learning import inputs as opened
from msavqa.learning.inputs import OF_PROMPTS, Inputs, Source
from msavqa.learning.pixels import PixelSource, Rows
from msavqa.learning.semantics import Batch
from msavqa.learning.train_settings import RankSettings
from msavqa.store import prompt_rows

FOLDER = "copies"
"""Below a data set's features."""
NONE = -1
"""In the place of a number: no copy, or no video."""


@dataclass(frozen=True)
class Copies:
    """The plan's usable rows, their features open."""

    plan: pd.DataFrame
    """`datasets.copies.PLAN`, rows that have features, in the order of `inputs`."""
    inputs: Inputs
    """What a branch reads of frames; nothing of prompts."""
    praised: Mapping[str, Source]
    """What it reads of prompts, with words of praise behind the prompt of every video."""
    praised_otherwise: Mapping[str, Source]
    """The same with words that are never learned from."""


@dataclass(frozen=True)
class Shown:
    """What a batch holds, by row: a video's features or a copy's, and whose prompt; all (row,)."""

    video: Rows
    """Number in `Inputs`; `NONE` where a copy is shown."""
    copy: Rows
    """Number in `Copies.inputs`; `NONE` where the video is shown."""
    prompt: Rows
    """Number in `Inputs` of the video whose prompt is asked for."""
    praise: Rows
    """1 where words of praise stand behind it, else 0."""

    def __len__(self) -> int:
        return len(self.prompt)

    def at(self, places: Rows) -> "Shown":
        """Some of the rows."""
        return Shown(*(column[places] for column in self.columns))

    @property
    def columns(self) -> tuple[Rows, ...]:
        """All of it, in the order of the fields."""
        return self.video, self.copy, self.prompt, self.praise


@dataclass(frozen=True)
class Pairs:
    """What one model may compare, by kind."""

    copies: Copies
    videos: Rows
    """Numbers of the videos that the model learns from."""
    prompts: Sequence[str]
    """Of every video of `Inputs`."""
    of_video: Mapping[str, npt.NDArray[np.int64]]
    """Kind -> (pair, 2): the original's number and its copy's."""
    of_nothing: Mapping[str, Rows]
    """Kind -> numbers of copies that show nothing, against any of the videos."""
    foreign: bool
    """Whether other videos' prompts are asked with."""

    @property
    def kinds(self) -> list[str]:
        """Kinds of which there is a pair."""
        return [*self.of_video, *self.of_nothing, *([FOREIGN] if self.foreign else [])]


@dataclass(frozen=True)
class Drawn:
    """The pairs of one step."""

    originals: Shown
    copies: Shown
    margins: Tensor
    """(pair,), standard deviations of MOS."""
    praised: Rows
    """(video,), of the videos beside the pairs: 1 for words of praise behind the prompt, else 0."""

    def __len__(self) -> int:
        return len(self.originals)


def open_copies(
    wanted: Mapping[str, tuple[str, ...]],
    *,
    features: Path,
    prompts: Sequence[str],
    words: tuple[Sequence[str], Sequence[str]],
    device: torch.device,
    expect: Mapping[str, Mapping[str, object]] | None,
) -> Copies | None:
    """The copies of a data set whose features lie in `features`; None where none were made.

    `wanted` and `expect` are as for `inputs.open_inputs`; `prompts` are those of the usable videos, `words`
    those of praise that are learned and left out. Raises `StoreError` for features not asked for.
    """
    folder = features / FOLDER
    plan = planned.read(folder / "plan.parquet")
    if plan.empty:
        return None
    of_frames = {key: names for key, names in wanted.items() if not key.startswith(OF_PROMPTS)}
    ask = partial(opened.open_inputs, features=folder, device=device, expect=expect)
    found = ask(of_frames, ids=list(plan["copy_id"]), prompts=[""] * len(plan))
    usable = plan.set_index("copy_id", drop=False).loc[found.ids].reset_index(drop=True)
    of_prompts = {key: names for key, names in wanted.items() if key.startswith(OF_PROMPTS)}

    def praised(some: Sequence[str]) -> Mapping[str, Source]:
        told = [planned.praised(prompt, some) for prompt in prompts]
        if not of_prompts:
            return {}
        said = ask(of_prompts, ids=told, prompts=told)
        assert len(said.ids) == len(told), "prompts are never quarantined"
        return {key: one for key, one in said.sources.items() if isinstance(one, Source)}

    return Copies(plan=usable, inputs=found, praised=praised(words[0]), praised_otherwise=praised(words[1]))


def pairs(
    copies: Copies, *, inputs: Inputs, videos: Rows, prompts: Sequence[str], settings: RankSettings
) -> Pairs:
    """The pairs of a model that learns from these videos (numbers of `inputs`).

    `prompts` are those of all videos of `inputs`. Every other row that shows nothing is left for the tests.
    """
    number = {inputs.ids[video]: int(video) for video in videos}
    of_video: dict[str, list[tuple[int, int]]] = {}
    of_nothing: dict[str, list[int]] = {}
    for place, row in enumerate(copies.plan.to_dict("records")):
        kind, video, other = row["kind"], row["video_id"], row["other_id"]
        if not row["learned"]:
            continue
        if not video:
            if row["number"] % 2 == 0:
                of_nothing.setdefault(kind, []).append(place)
        elif video in number and (not other or other in number):
            of_video.setdefault(kind, []).append((number[video], place))
    told = {prompts[video] for video in videos} if inputs.reads_prompts else set()
    return Pairs(
        copies=copies,
        videos=videos,
        prompts=prompts,
        of_video={kind: np.array(found, dtype=np.int64) for kind, found in of_video.items()},
        of_nothing={kind: np.array(found, dtype=np.int64) for kind, found in of_nothing.items()},
        foreign=settings.foreign_prompts and len(told) > 1,
    )


def draw(known: Pairs | None, settings: RankSettings, *, videos: int, seed: Sequence[int]) -> Drawn | None:
    """The pairs of one step beside so many videos, the same for the same seed; None where there are none.

    Kinds take turns, so that each has its share whatever the number of its copies.
    """
    if known is None or not known.kinds:
        return None
    random = np.random.default_rng(seed)
    kinds, first = known.kinds, int(random.integers(len(known.kinds)))
    names = [kinds[(first + turn) % len(kinds)] for turn in range(settings.pairs)]
    rows = [_drawn(known, kind, random) for kind in names]
    video, *columns = (np.array(column, dtype=np.int64) for column in zip(*rows, strict=True))
    margin_of = dict.fromkeys(known.of_nothing, settings.empty_margin)
    return Drawn(
        originals=of_videos(video),
        copies=Shown(*columns),
        margins=torch.tensor([margin_of.get(kind, settings.margin) for kind in names]),
        praised=(random.uniform(size=videos) < settings.praise).astype(np.int64),
    )


def _drawn(known: Pairs, kind: str, random: np.random.Generator) -> tuple[int, int, int, int, int]:
    """One pair: the original, and the columns of what is `Shown` in its place."""
    if kind in known.of_video:
        video, copy = random.choice(known.of_video[kind]).tolist()
        return video, NONE, copy, video, 0
    video, other = (int(one) for one in random.choice(known.videos, size=2))
    if kind in known.of_nothing:
        return video, NONE, int(random.choice(known.of_nothing[kind])), video, 0
    while known.prompts[other] == known.prompts[video]:
        other = int(random.choice(known.videos))
    return video, video, NONE, other, 0


def of_videos(videos: Rows) -> Shown:
    """Videos as they are."""
    return Shown(videos, np.full_like(videos, NONE), videos, np.zeros_like(videos))


def beside(videos: Rows, drawn: Drawn | None) -> Shown:
    """Videos, and behind them the originals and the copies of some pairs."""
    if drawn is None:
        return of_videos(videos)
    parts = [replace(of_videos(videos), praise=drawn.praised), drawn.originals, drawn.copies]
    columns = zip(*(one.columns for one in parts), strict=True)
    return Shown(*(np.concatenate(column) for column in columns))


def beside_views(views: Rows, drawn: Drawn | None) -> Rows:
    """The views of `beside`: pairs are compared on the fixed view, which alone copies have."""
    count = 2 * len(drawn) if drawn else 0
    return np.concatenate([views, np.zeros((count, *views.shape[1:]), dtype=views.dtype)])


def batch(shown: Shown, *, inputs: Inputs, copies: Copies, views: Rows | None = None) -> Batch:
    """Features of what is shown, as `Inputs.batch` has them; of copies there is the fixed view alone.

    `views` (row,), or (row, frame), are the cached views of the videos, None the fixed one.
    """
    view = np.zeros(len(shown), dtype=np.int64) if views is None else views
    nothing, copied, praised = np.zeros_like(view), shown.copy != NONE, shown.praise == 1
    found: Batch = {}
    for key, source in inputs.sources.items():
        if key.startswith(OF_PROMPTS):
            other: Source | PixelSource = copies.praised[key]
            both = (source, shown.prompt, nothing), (other, shown.prompt, nothing)
            found[key], pieces = _side_by_side(*both, praised, inputs.device)
            if any(isinstance(each, Source) and each.places.ndim == 2 for each in (source, other)):
                found["text_pieces"] = torch.from_numpy(pieces).to(inputs.device)
        else:
            both = (source, shown.video, view), (copies.inputs.sources[key], shown.copy, nothing)
            found[key], _ = _side_by_side(*both, copied, inputs.device)
    return opened.trimmed(found)


Taken = tuple[Source | PixelSource, Rows, Rows]  # a source, and each row's number and view in it


def _side_by_side(
    one: Taken, other: Taken, of_other: npt.NDArray[np.bool_], device: torch.device
) -> tuple[Tensor, Rows]:
    """Rows of one source and, where `of_other` says so, of another, in their order; and how many pieces each
    row has, one after another: 1 but where a prompt is longer than its encoder reads."""
    parts, places, counts = [], [], []
    for (source, number, view), here in ((one, ~of_other), (other, of_other)):
        if here.any():
            parts.append(source.take(number[here], view[here], device))
            places.append(np.flatnonzero(here))
            counts.append(_pieces(source, number[here]))
    if len(parts) == 1:
        return parts[0], counts[0]
    if parts[0].shape[1:] != parts[1].shape[1:]:  # tokens of prompts, padded to the longest of their set
        longest = max(part.shape[1] for part in parts)
        parts = [functional.pad(part, (0, 0, 0, longest - part.shape[1])) for part in parts]
    count, order = np.concatenate(counts), np.argsort(np.concatenate(places), kind="stable")
    first = np.cumsum(count) - count
    rows = np.concatenate([np.arange(first[row], first[row] + count[row]) for row in order])
    return torch.cat(parts)[torch.from_numpy(rows).to(device)], count[order]


def _pieces(source: Source | PixelSource, numbers: Rows) -> Rows:
    """How many rows of the source each of these is."""
    if not isinstance(source, Source) or source.places.ndim == 1:
        return np.ones(len(numbers), dtype=np.int64)
    held: Rows = (source.places.numpy()[numbers] != prompt_rows.NO_PIECE).sum(axis=1)
    return held
