"""Handcrafted no-reference measures of a video, in the place of a network: no weights, nothing trained."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from msavqa.store.format import ArraySpec
from msavqa.trunks.measures import frame_statistics, perceptual_blur
from msavqa.trunks.run.network import Arrays, Network, Trunk, Video, versions

NAME = "statistics"
"""Of the store, `features/<data set>/statistics.zarr`, and of its kind in fingerprints."""
VERSION = 2
"""Of the measures' values: raised by whoever changes one, so that what older code measured is not mixed with
what newer code measures. A comment changes none. tests/trunks/golden_measures.json holds the values."""
LIBRARIES = ("numba", "numpy", "scipy")
"""Packages that compute the values."""
AXIS = "video"
NO_REFERENCE = "no_reference"
"""The array that the control of that name reads, and no branch and no other control does."""
_SOURCES_OF_VERSION_1 = frozenset(
    (
        "f59924399d577edfa14ab74ee2c1dbbd443635d661db5916e94071f42c50ffdc",  # frame_statistics.py
        "db911f5b068c55fbaf2511fa3df7fdfec3c25b0afdab1f871275575fbecc8746",  # the same, other import lines
        "09e11fdc725bda84757390f015f264c954c94e9b9085dfbab703313adbe3fc53",  # motion_statistics.py
        "f30f7ea74f4b96cbc84cfe8e52b4e01d1336719a6c08b1a514bd5867c2ea0047",  # perceptual_blur.py
        "7f9364163a22a6ef2e90e0be3f5d544b9bfd928e6cdc9a59d5286f50e2f09ff8",  # texture_statistics.py
    )
)


def specs() -> tuple[ArraySpec, ...]:
    """One array (video, statistic) a group of measures: `spatial`, `temporal`, `change`; `no_reference`."""
    groups = {**frame_statistics.GROUPS, NO_REFERENCE: perceptual_blur.NAMES}
    return tuple(
        ArraySpec(group, (AXIS, "statistic"), (len(names),), "float32") for group, names in groups.items()
    )


def attributes() -> dict[str, Any]:
    """`statistics`: the measures' names by group; what each means is said in `frame_statistics`.
    `no_reference`: what that array holds, see `perceptual_blur`."""
    return {
        "statistics": {group: list(names) for group, names in frame_statistics.GROUPS.items()},
        NO_REFERENCE: list(perceptual_blur.NAMES),
    }


def fingerprint() -> dict[str, Any]:
    """Everything the measures depend on besides the frames themselves."""
    return {"kind": NAME, **attributes(), "measures_version": VERSION, "versions": versions(*LIBRARIES)}


def renewed(found: Mapping[str, Any]) -> dict[str, Any]:
    """A fingerprint of the measures as this msavqa writes it; one of today's form is returned as it is.

    Before there was a version, a fingerprint held the SHA-256 of the measures' sources. The sources that are
    known to have measured what version 1 does are listed above (their syntax trees are the same but for the
    import lines); a fingerprint that names only such sources becomes one of version 1. Any other keeps its
    `source_sha256` and has no version, so that it matches none.
    """
    sources = found.get("source_sha256")
    if not isinstance(sources, Mapping) or not sources or not {*sources.values()} <= _SOURCES_OF_VERSION_1:
        return dict(found)
    return {key: value for key, value in found.items() if key != "source_sha256"} | {"measures_version": 1}


def trunk() -> Trunk:
    """The measures as the extraction sees a network."""
    return Trunk(specs=specs(), attributes=attributes(), fingerprint=fingerprint(), load=load)


def load(*, device: str = "cpu", batch: int = 1) -> Network[Video]:
    """The measures of videos; device and batch mean nothing here."""
    order = {name: place for place, name in enumerate(frame_statistics.NAMES)}
    columns = {group: [order[name] for name in names] for group, names in frame_statistics.GROUPS.items()}
    columns[NO_REFERENCE] = [len(order)]

    def forward(rows: Sequence[Any]) -> Arrays:
        found = np.stack(rows)
        return {group: found[:, places] for group, places in columns.items()}

    return Network(measures, forward)


def measures(video: Video) -> frame_statistics.Floats:
    """All measures of a video, in the order of `frame_statistics.NAMES`, and `perceptual_blur`'s behind."""
    sharpness = np.float32(perceptual_blur.sharpness(video.frames))
    return np.append(frame_statistics.measure(video.frames), sharpness)
