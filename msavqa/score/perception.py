"""One video and prompt -> what every frozen network says of it, as a branch reads it from the cache.

The same networks, the same dtype and the same fixed view as the stores have, so that a video scored alone
gets the score it would get in the pipeline; branches trained in bfloat16 score in float32 here (LOG.md).
"""

import functools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from msavqa.bundle import bundle
from msavqa.bundle.bundle import Bundle
from msavqa.ground.errors import MsavqaError
from msavqa.store.format import ArraySpec
from msavqa.trunks.measures import statistics
from msavqa.trunks.run import named, scripts
from msavqa.trunks.run.network import Network, Video
from msavqa.trunks.run.pieces import Pieces

BATCH_FRAMES = 64
Features = Mapping[str, Mapping[str, NDArray[Any]]]
"""Name of the network -> array name -> the video's row as a batch of one, (1, ...), the fixed view taken; of
a prompt a row for each of its pieces."""


@dataclass(frozen=True)
class Reading:
    """How a prompt was read, by the encoder that did worst."""

    pieces: int
    """In how many pieces; 1 where it fits."""
    whole: bool
    """Whether they hold all of it."""
    unknown_script: str | None
    """The script of a prompt whose letters the encoders hardly know, see `scripts.unknown`."""


@dataclass(frozen=True)
class Frozen:
    """One loaded frozen network, or the handcrafted measures in the place of one."""

    settings: Any
    """None of the measures, which have none."""
    network: Network[Any]
    specs: Callable[..., tuple[ArraySpec, ...]]
    """Arrays of its store by `frames` or `tokens`."""
    versions: Mapping[str, tuple[str, str]]
    """Packages whose version is not that of training: (then, now)."""
    read: Callable[[str], Pieces] | None = None
    """Of a network that reads: a prompt's pieces."""

    @classmethod
    def load(cls, found: Bundle, name: str, *, device: str) -> "Frozen":
        """From a bundle's settings; only the fixed view is ever computed.

        Raises `MsavqaError` where this code or these settings do not make what the fingerprint names.
        """
        then = found.fingerprints[name]
        if name == statistics.NAME:
            versions = _checked(statistics.fingerprint(), statistics.renewed(then), where=f"trunk {name!r}")
            specs = functools.cache(lambda frames: statistics.specs())
            return cls(None, statistics.load(), specs, versions)
        reads = name in found.texts
        settings: Mapping[str, Any] = found.texts[name] if reads else found.trunks[name]
        where = f"{'text' if reads else 'trunk'} {name!r}"
        kind: Any = named.module(named.TEXT if reads else settings["kind"])
        parsed = bundle.parsed(kind.TextSettings if reads else kind.TrunkSettings, settings, where=where)
        weights = found.of_network(name)
        versions = _checked(kind.fingerprint(parsed, weights=weights), then, where=where)
        if "views" in settings:
            parsed = parsed.model_copy(update={"views": 1})
        network = kind.load(parsed, weights=weights, device=device, batch=BATCH_FRAMES)
        # Kept: some kinds build the network once more to know its sizes.
        specs = functools.cache(functools.partial(kind.specs, parsed))
        return cls(parsed, network, specs, versions, kind.reader(parsed) if reads else None)

    def row(self, prepared: Any, *, specs: Sequence[ArraySpec]) -> dict[str, NDArray[Any]]:
        """What the network says of one prepared input, in the dtypes the store would have."""
        found = self.network.forward([prepared])
        by_name = {spec.name: spec for spec in specs}
        rows = {}
        for name, values in found.items():
            spec = by_name[name]
            row = values.astype(spec.dtype)
            rows[name] = row[:, 0] if "view" in spec.axes else row
        return rows

    def video(self, one: Video) -> dict[str, NDArray[Any]]:
        """What the network says of one video; with cut `pixels` also what it was shown.

        `pixels`, uint8 (1, ...), is what the branch's own, trained network reads; the frozen one's features
        stay the motion of a branch that learned from them.
        """
        prepared = self.network.prepare(one)
        found = self.row(prepared, specs=self.specs(frames=len(one.frames)))
        if getattr(self.settings, "cut", "") == "pixels":
            shown = prepared.pixels if self.settings.kind == "image" else prepared
            found["pixels"] = shown.numpy()
        return found

    def prompt(self, text: str) -> tuple[dict[str, NDArray[Any]], Pieces]:
        """What the network says of a prompt's pieces (piece, ...), and these."""
        assert self.read is not None
        pieces = self.read(text)
        prepared = [self.network.prepare(one) for one in pieces.texts]
        specs = self.specs(tokens=max(len(tokens.ids) for tokens in prepared))
        # Each alone, so that a prompt that fits and a piece of one are computed alike.
        rows = [self.row(tokens, specs=specs) for tokens in prepared]
        return {name: _stacked([row[name] for row in rows]) for name in rows[0]}, pieces


@dataclass(frozen=True)
class Perception:
    """All frozen networks of one bundle."""

    texts: Mapping[str, Frozen]
    trunks: Mapping[str, Frozen]

    @classmethod
    def load(cls, found: Bundle, *, device: str) -> "Perception":
        """Raises `MsavqaError` where a weights file is not of its network; else as `Frozen.load`."""
        loaded = {name: Frozen.load(found, name, device=device) for name in sorted(found.fingerprints)}
        return cls(
            texts={name: one for name, one in loaded.items() if name in found.texts},
            trunks={name: one for name, one in loaded.items() if name not in found.texts},
        )

    @property
    def versions(self) -> dict[str, tuple[str, str]]:
        """Packages whose version is not that of training: (then, now)."""
        networks = (*self.texts.values(), *self.trunks.values())
        return {name: pair for one in networks for name, pair in one.versions.items()}

    def see(self, frames: NDArray[np.uint8], *, video_id: str) -> dict[str, dict[str, NDArray[Any]]]:
        """Features of sampled frames (frame, height, width, 3) by every network that looks at videos."""
        one = Video(video_id, frames)
        return {name: trunk.video(one) for name, trunk in self.trunks.items()}

    def read(self, prompt: str) -> tuple[dict[str, dict[str, NDArray[Any]]], Reading]:
        """Features of a prompt by every network that reads, and how it was read."""
        found = {name: text.prompt(prompt) for name, text in self.texts.items()}
        reading = Reading(
            pieces=max((len(pieces.texts) for _, pieces in found.values()), default=1),
            whole=all(pieces.whole for _, pieces in found.values()),
            unknown_script=scripts.unknown(prompt) if found else None,
        )
        return {name: rows for name, (rows, _) in found.items()}, reading


def _stacked(rows: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Rows (1, ...) of pieces as one array; the shorter ones' tokens are followed by zeros, as in a store."""
    if len(rows) == 1:
        return rows[0]
    sizes = np.max([row.shape for row in rows], axis=0)
    found = np.zeros((len(rows), *sizes[1:]), dtype=rows[0].dtype)
    for place, row in enumerate(rows):
        inside = tuple(map(slice, row.shape))
        found[place : place + 1][inside] = row
    return found


def _checked(now: Mapping[str, Any], then: Mapping[str, Any], *, where: str) -> dict[str, tuple[str, str]]:
    """Packages of another version than then; raises `MsavqaError` where anything else differs."""
    now = json.loads(json.dumps(now))  # tuples are lists in a bundle
    for key, value in now.items():
        if key != "versions" and then.get(key) != value:
            got, expected = _differing(value, then.get(key))
            raise MsavqaError(
                what="Frozen network",
                where=where,
                got=f"{key} {got}",
                expected=f"{expected}, as in training",
                next_step="run `dvc repro` to train with this msavqa, or score with that of the training",
            )
    before = then["versions"]
    return {
        one: (before.get(one, "none"), new) for one, new in now["versions"].items() if before.get(one) != new
    }


def _differing(now: Any, then: Any) -> tuple[str, str]:
    """Two values as text, of mappings only what differs, each at most a line long."""
    if isinstance(now, Mapping) and isinstance(then, Mapping):
        keys = [key for key in {**now, **then} if now.get(key) != then.get(key)]
        now, then = ({key: one.get(key) for key in keys} for one in (now, then))
    shown = (repr(one) for one in (now, then))
    first, second = (text if len(text) <= 80 else f"{text[:77]}..." for text in shown)
    return first, second
