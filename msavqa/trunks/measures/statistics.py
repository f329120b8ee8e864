"""Handcrafted no-reference measures of a video, in the place of a network: no weights, nothing trained."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from msavqa.ground import sources
from msavqa.machine.params import Settings
from msavqa.networks import weights
from msavqa.store.format import ArraySpec
from msavqa.trunks.measures import frame_statistics, perceptual_blur
from msavqa.trunks.run.network import Arrays, Network, Video, versions

AXIS = "video"
SOURCES = (
    "msavqa/trunks/measures/frame_statistics.py",
    "msavqa/trunks/measures/motion_statistics.py",
    "msavqa/trunks/measures/perceptual_blur.py",
    "msavqa/trunks/measures/texture_statistics.py",
)
"""Where the measures are written down."""
NO_REFERENCE = "no_reference"
"""The array that the control of that name reads, and no branch and no other control does."""


class TrunkSettings(Settings):
    """`trunks.statistics`."""

    kind: Literal["statistics"]
    weights: Literal["msavqa/trunks/measures/frame_statistics.py"]
    """The source of the measures, which is to them what weights are to a network."""


def specs(settings: TrunkSettings, *, frames: int) -> tuple[ArraySpec, ...]:
    """One array (video, statistic) a group of measures: `spatial`, `temporal`, `change`; `no_reference`."""
    groups = {**frame_statistics.GROUPS, NO_REFERENCE: perceptual_blur.NAMES}
    return tuple(
        ArraySpec(group, (AXIS, "statistic"), (len(names),), "float32") for group, names in groups.items()
    )


def attributes(settings: TrunkSettings) -> dict[str, Any]:
    """`statistics`: the measures' names by group; what each means is said in `frame_statistics`.
    `no_reference`: what that array holds, see `perceptual_blur`."""
    return {
        "statistics": {group: list(names) for group, names in frame_statistics.GROUPS.items()},
        NO_REFERENCE: list(perceptual_blur.NAMES),
    }


def fingerprint(settings: TrunkSettings) -> dict[str, Any]:
    """Everything the measures depend on besides the frames themselves."""
    return {
        "kind": settings.kind,
        **attributes(settings),
        "source_sha256": {name: weights.sha256(sources.ROOT / name) for name in SOURCES},
        "versions": versions("numpy", "scikit-image", "scipy"),
    }


def load(settings: TrunkSettings, *, device: str, batch: int) -> Network[Video]:
    """The measures of videos; device and batch mean nothing here."""

    order = {name: place for place, name in enumerate(frame_statistics.NAMES)}
    columns = {group: [order[name] for name in names] for group, names in frame_statistics.GROUPS.items()}
    columns[NO_REFERENCE] = [len(order)]

    def forward(rows: Sequence[Any]) -> Arrays:
        found = np.stack(rows)
        return {group: found[:, places] for group, places in columns.items()}

    return Network(measures, forward, prepares_apart=True)


def measures(video: Video) -> frame_statistics.Floats:
    """All measures of a video, in the order of `frame_statistics.NAMES`, and `perceptual_blur`'s behind."""
    sharpness = np.float32(perceptual_blur.sharpness(video.frames))
    return np.append(frame_statistics.measure(video.frames), sharpness)
