"""What the stores of a preset take on disk, from their shapes alone: nothing is read, decoded or computed.

    python -m benchmarks.cost presets/paper.yaml [--videos t2vqa_db=10000 lsvq=38815] [--prompts 1000]

For the dataset that is trained on: frames, every trunk of `trunks`, prompts; for the one that pre-trains:
frames and what the segment branch reads. Bytes are of full rows, `row_mb` of one video (or prompt); `frames`
is what `decode.store: frames` would take before its lossless compression, and counts in the sum only where
the preset stores them. All views of a trunk are counted. Prompts are taken as long as the context.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from msavqa.frames import read as frames
from msavqa.frames.read import DecodeSettings
from msavqa.machine import params
from msavqa.networks import clip_model
from msavqa.store import format
from msavqa.trunks.run import feature_rows

PUBLISHED = {"t2vqa_db": 10_000, "lsvq": 38_815}
PRETRAIN_READS = ("frames", "segment", "video", "statistics")


def main(argv: Sequence[str] | None = None) -> int:
    """Prints one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("preset", type=Path)
    parser.add_argument("--videos", nargs="*", default=[], help="dataset=number")
    parser.add_argument("--prompts", type=int, default=1000)
    given = parser.parse_args(argv)
    counts = PUBLISHED | {name: int(count) for name, count in (one.split("=") for one in given.videos)}
    data = yaml.safe_load(given.preset.read_text(encoding="utf-8"))
    print(json.dumps(measure(data, counts, prompts=given.prompts)))
    return 0


def measure(data: Mapping[str, Any], videos: Mapping[str, int], *, prompts: int) -> dict[str, Any]:
    """Datasets by name: bytes of each store, of one row of it, and of all that the preset stores."""
    rows = row_bytes(data)
    found: dict[str, Any] = {}
    for dataset in dict.fromkeys((data["dataset"], data["pretrain_dataset"])):
        names = rows if dataset == data["dataset"] else PRETRAIN_READS
        stores = {
            name: {
                "gb": round(rows[name] * (prompts if name == "clip_text" else videos[dataset]) / 1e9, 3),
                "row_mb": round(rows[name] / 1e6, 4),
            }
            for name in names
        }
        kept = data["decode"]["store"] == "frames"
        total = sum(one["gb"] for name, one in stores.items() if name != "frames" or kept)
        found[dataset] = {"videos": videos[dataset], "stores": stores, "sum_gb": round(total, 1)}
    return found


def row_bytes(data: Mapping[str, Any]) -> dict[str, int]:
    """Bytes of one row of each store, all its arrays and views together."""
    decode = params.block(data, "decode", DecodeSettings)
    stored = frames.specs(decode.model_copy(update={"store": "frames"}))
    found = {"frames": _bytes(stored)}
    for name in data["trunks"]:
        settings = feature_rows.settings_of(data, name)
        trunk: Any = feature_rows.trunk(settings.kind)
        if trunk.AXIS == "prompt":
            context = clip_model.architecture(settings.model, "text")["tokens"]
            found[name] = _bytes(trunk.specs(settings, tokens=context))
        else:
            found[name] = _bytes(trunk.specs(settings, frames=decode.frames))
    return found


def _bytes(specs: Sequence[format.ArraySpec]) -> int:
    return sum(spec.row_bytes for spec in specs)


if __name__ == "__main__":
    raise SystemExit(main())
