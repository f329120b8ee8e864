"""The small networks that this repository ships, and the whole weights that come of them.

A stage of a second (`python -m data.sample.shipped`). `make sample-networks` trains the networks anew: every
one is a file of `data/sample/networks`, and what it reaches on held-out data stands in `metrics.json` there.
"""

import json
import math
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from msavqa.machine import files

HERE = Path("data/sample")
NETWORKS = HERE / "networks"
NAMES = ("clip_text", "clip_image", "frame", "segment", "video")
TABLE = "token_embedding.weight"  # of CLIP's text tower: one row per word of the tokenizer
WORDS = "token_embedding.words"  # which rows are shipped; open_clip knows no such key
READOUT = "causes."  # the linear layer that a backbone learned with: measured with it, used without it
ROW_SD = 0.02  # of a fresh CLIP's rows
ROW_SEED = 2501

Tensors = Mapping[str, NDArray[np.generic]]


def drawn_rows(count: int, width: int) -> NDArray[np.float32]:
    """Rows (count, width) of words that no caption uses: as good as normal, mean 0, sd 0.02.

    Each is a sum of four 16-bit integers. Sums of integers are the same on every processor; torch's own
    normal draws differ in their last bit between one that has AVX2 and one that has not.
    """
    raw = np.random.PCG64(ROW_SEED).random_raw(count * width)
    sums = raw.view(np.uint16).reshape(count, width, 4).sum(axis=-1, dtype=np.int64)
    levels = 2**16
    sd = math.sqrt((levels**2 - 1) / 3)  # of a sum of four, each with variance (levels^2 - 1) / 12
    rows: NDArray[np.float64] = (sums - 2 * (levels - 1)) * (ROW_SD / sd)
    return rows.astype(np.float32)


def learned_rows(tensors: Tensors, words: NDArray[np.int64]) -> dict[str, NDArray[np.generic]]:
    """A text tower with only those rows of its table that have learned; `whole` undoes it."""
    return {**tensors, TABLE: tensors[TABLE][words], WORDS: words}


def whole(tensors: Tensors, *, vocabulary: int) -> dict[str, NDArray[np.generic]]:
    """A shipped network under its own names alone: a table has a row for every word again, no readout."""
    found = {name: value for name, value in tensors.items() if not name.startswith(READOUT)}
    if WORDS in found:
        words, learned = found.pop(WORDS), found[TABLE]
        table = drawn_rows(vocabulary, learned.shape[1])
        table[words] = learned
        found[TABLE] = table
    return found


def keep(name: str, tensors: Tensors, *, folder: Path = NETWORKS) -> None:
    """Writes one network to the folder of shipped ones."""
    contiguous = {key: np.asarray(value, order="C") for key, value in tensors.items()}
    save_file(contiguous, files.fresh(folder / f"{name}.safetensors"))


def record(name: str, found: Mapping[str, float], *, seed: int, folder: Path = NETWORKS) -> str:
    """Adds what a network reaches on held-out data to `metrics.json` there; returns it as text."""
    path = folder / "metrics.json"
    known = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    metrics = {key: round(value, 4) for key, value in found.items()}
    made = {"command": "make sample-networks", "seed": seed, "torch": version("torch")}
    known[name] = {"metrics": metrics, **made}
    text = json.dumps(dict(sorted(known.items())), indent=2) + "\n"
    files.fresh(path).write_text(text, encoding="utf-8")
    return json.dumps(metrics, indent=2)


def of(name: str) -> dict[str, NDArray[np.generic]]:
    """The whole weights of one shipped network."""
    settings = json.loads((HERE / "clip.json").read_text(encoding="utf-8"))
    tensors = load_file(NETWORKS / f"{name}.safetensors")
    return whole(tensors, vocabulary=settings["text_cfg"]["vocab_size"])


def main() -> None:
    """Makes the whole weights of every shipped network."""
    for name in NAMES:
        save_file(of(name), files.fresh(HERE / "weights" / f"{name}.safetensors"))


if __name__ == "__main__":
    main()
