"""What the stores of a preset take on disk, from their shapes alone: nothing is read, decoded or computed.

    python -m benchmarks.cost paper [--videos t2vqa_db=10000 lsvq=38815] [--prompts 1000]

The argument is a preset's name, or a params file. For data sets that are trained on: frames, handcrafted
measures, every network of `trunks`, prompts; for the one that pre-trains: frames, measures,
`pretrain.trunks`. Bytes are of full rows, `row_mb` of one video (or prompt); `frames` is what `decode.store:
frames` would take before its lossless compression, and counts in the sum only where the preset stores them.
All views of a trunk are counted. Prompts are taken as long as the context.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks import presets
from msavqa.frames import read as frames
from msavqa.frames.read import DecodeSettings
from msavqa.ground import params
from msavqa.networks import clip_model
from msavqa.store import format
from msavqa.trunks.kinds import clip_text
from msavqa.trunks.measures import statistics
from msavqa.trunks.run import named

PUBLISHED = {"t2vqa_db": 10_000, "lsvq": 38_815}


def main(argv: Sequence[str] | None = None) -> int:
    """Prints one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("preset")
    parser.add_argument("--videos", nargs="*", default=[], help="dataset=number")
    parser.add_argument("--prompts", type=int, default=1000)
    given = parser.parse_args(argv)
    counts = PUBLISHED | {name: int(count) for name, count in (one.split("=") for one in given.videos)}
    data = presets.read(given.preset)
    print(json.dumps(measure(data, counts, prompts=given.prompts)))
    return 0


def measure(data: Mapping[str, Any], videos: Mapping[str, int], *, prompts: int) -> dict[str, Any]:
    """Datasets by name: bytes of each store, of one row of it, and of all that the preset stores."""
    rows = row_bytes(data)
    found: dict[str, Any] = {}
    pretrains = ("frames", statistics.NAME, *data["pretrain"]["trunks"])
    for dataset in (*data["train_on"], *data["pretrain_on"]):
        names = rows if dataset in data["train_on"] else pretrains
        stores = {
            name: {
                "gb": round(rows[name] * (prompts if name in data["texts"] else videos[dataset]) / 1e9, 3),
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
    found = {"frames": _bytes(stored), statistics.NAME: _bytes(statistics.specs())}
    for name in data["texts"]:
        text = params.block(data, f"texts.{name}", clip_text.TextSettings)
        context = clip_model.architecture(text.model, "text")["tokens"]
        found[name] = _bytes(clip_text.specs(text, tokens=context))
    for name in data["trunks"]:
        kind, settings = named.trunk(data, name)
        found[name] = _bytes(kind.specs(settings, frames=decode.frames))
    return found


def _bytes(specs: Sequence[format.ArraySpec]) -> int:
    return sum(spec.row_bytes for spec in specs)


if __name__ == "__main__":
    raise SystemExit(main())
