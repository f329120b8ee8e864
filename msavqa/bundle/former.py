"""bundle.json as it was before a branch named its kind and what it reads: read as what it would be now.

Then three branches with fixed names read CLIP's towers `clip_text` and `clip_image`, the handcrafted measures
were a trunk without weights, and a trunk's settings held the name of its weights file.
"""

from collections.abc import Mapping
from typing import Any

from msavqa.bundle.reference import of_branch

FORMAT = "msavqa-bundle/1"
TEXT, IMAGE, MEASURES = "clip_text", "clip_image", "statistics"
TECHNICAL = {"frame": (), "segment": ("motion",), "video": ("pooling",)}
"""The branches there were, each its own kind, and which of their settings belonged to the kind alone."""


def renewed(data: Mapping[str, Any]) -> dict[str, Any]:
    """The contents in today's form; what is wrong with them is left for who reads that.

    Raises `KeyError`, `TypeError` or `AttributeError` where they are no such contents at all.
    """
    networks = {
        name: {key: value for key, value in settings.items() if key != "weights"}
        for name, settings in data["trunks"].items()
        if settings["kind"] != MEASURES
    }
    texts = {name: settings for name, settings in networks.items() if settings["kind"] == TEXT}
    kept = ("dataset", "decode", "fingerprints", "ensemble", "calibration", "files")
    return {
        **{key: data[key] for key in kept},
        "format": FORMAT,
        "weights": "trunks",
        "texts": {name: {k: v for k, v in one.items() if k != "kind"} for name, one in texts.items()},
        "trunks": {name: one for name, one in networks.items() if name not in texts},
        "clip": {"text": TEXT, "image": IMAGE},
        "branches": {name: _branch(name, facts) for name, facts in data["branches"].items()},
        "reference": {
            "quantiles": {
                of_branch(name) if name in data["branches"] else name: points
                for name, points in data["reference"]["quantiles"].items()
            }
        },
    }


def _branch(kind: str, facts: Mapping[str, Any]) -> dict[str, Any]:
    then = dict(facts["settings"])
    technical = {key: then.pop(key) for key in TECHNICAL[kind]}
    reads = {
        "trunk": then.pop("trunk"),
        "motion": then.pop("motion_trunk", None),
        "text": TEXT,
        "image": IMAGE,
    }
    settings = {"kind": kind, "reads": reads, "start": None, "technical": technical, **then}
    return {key: facts[key] for key in facts if key in ("shapes", "architectures")} | {"settings": settings}
