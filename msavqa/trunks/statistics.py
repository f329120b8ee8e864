"""Handcrafted no-reference measures of a video, in the place of a network: no weights, numpy alone."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from msavqa import frame_statistics, sources, weights
from msavqa.network import Arrays, Network, Video, versions
from msavqa.params import Settings
from msavqa.store_format import ArraySpec

AXIS = "video"
SOURCES = (
    "msavqa/frame_statistics.py",
    "msavqa/motion_statistics.py",
    "msavqa/texture_statistics.py",
)
"""Where the measures are written down."""


class TrunkSettings(Settings):
    """`trunks.statistics`."""

    kind: Literal["statistics"]
    weights: Literal["msavqa/frame_statistics.py"]
    """The source of the measures, which is to them what weights are to a network."""


def specs(settings: TrunkSettings, *, frames: int) -> tuple[ArraySpec, ...]:
    """`statistics` (video, statistic), named in the attribute `statistics`."""
    return (ArraySpec("statistics", (AXIS, "statistic"), (len(frame_statistics.NAMES),), "float32"),)


def attributes(settings: TrunkSettings) -> dict[str, Any]:
    """`statistics`: the measures' names; what each means is said in `frame_statistics`."""
    return {"statistics": list(frame_statistics.NAMES)}


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

    def forward(rows: Sequence[Any]) -> Arrays:
        return {"statistics": np.stack(rows)}

    return Network(lambda video: frame_statistics.measure(video.frames), forward)
