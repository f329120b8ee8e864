"""Handcrafted no-reference measures of a video, in the place of a network: no weights, numpy alone."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from msavqa.extraction import frame_statistics
from msavqa.extraction.network import Arrays, Network, Video, versions
from msavqa.networks import weights
from msavqa.params import Settings
from msavqa.storage import sources
from msavqa.storage.store_format import ArraySpec

AXIS = "video"
SOURCES = (
    "msavqa/extraction/frame_statistics.py",
    "msavqa/extraction/motion_statistics.py",
    "msavqa/extraction/texture_statistics.py",
)
"""Where the measures are written down."""


class TrunkSettings(Settings):
    """`trunks.statistics`."""

    kind: Literal["statistics"]
    weights: Literal["msavqa/extraction/frame_statistics.py"]
    """The source of the measures, which is to them what weights are to a network."""


def specs(settings: TrunkSettings, *, frames: int) -> tuple[ArraySpec, ...]:
    """One array (video, statistic) a group of measures: `spatial`, `temporal`, `change`."""
    return tuple(
        ArraySpec(group, (AXIS, "statistic"), (len(names),), "float32")
        for group, names in frame_statistics.GROUPS.items()
    )


def attributes(settings: TrunkSettings) -> dict[str, Any]:
    """`statistics`: the measures' names by group; what each means is said in `frame_statistics`."""
    return {"statistics": {group: list(names) for group, names in frame_statistics.GROUPS.items()}}


def fingerprint(settings: TrunkSettings) -> dict[str, Any]:
    """Everything the measures depend on besides the frames themselves."""
    return {
        "kind": settings.kind,
        **attributes(settings),
        "source_sha256": {name: weights.sha256(sources.ROOT / name) for name in SOURCES},
        "versions": versions("numpy", "scipy"),
    }


def load(settings: TrunkSettings, *, device: str, batch: int) -> Network[Video]:
    """The measures of videos; device and batch mean nothing here."""

    order = {name: place for place, name in enumerate(frame_statistics.NAMES)}
    columns = {group: [order[name] for name in names] for group, names in frame_statistics.GROUPS.items()}

    def forward(rows: Sequence[Any]) -> Arrays:
        measures = np.stack(rows)
        return {group: measures[:, places] for group, places in columns.items()}

    return Network(measures, forward, prepares_apart=True)


def measures(video: Video) -> frame_statistics.Floats:
    """All measures of a video, in the order of `frame_statistics.NAMES`."""
    return frame_statistics.measure(video.frames)
