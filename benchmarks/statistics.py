"""The handcrafted measures: CPU seconds of a video, beside those of another commit, and what starting costs.

    python -m benchmarks.statistics [--size 512] [--frames 16] [--rounds 7] [--against COMMIT] [--start]

Frames are drawn: smooth shapes that move, with grain. `seconds` is CPU time of this process, all threads
together, for one video, the median of the rounds. With `--against` the measures of that commit are read out
of git and run in the same process, in turns; `ratio` is the median of the rounds' own ratios, theirs over
ours. `largest` says by how much values differ: |ours - theirs| / (0.3 + |theirs|), and of which measure. With
`--start` follows what a fresh process pays in CPU time: importing numba, loading the loops that are compiled
already, and compiling them where there is no machine code yet.
"""

import argparse
import importlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from msavqa.ground import sources
from msavqa.machine import device
from msavqa.trunks.measures import frame_statistics, perceptual_blur
from msavqa.trunks.measures import statistics as measures
from msavqa.trunks.run.network import Video

ROOM = "msavqa/trunks/measures"
NAMES = (*frame_statistics.NAMES, *perceptual_blur.NAMES)
START = """
import time
began = time.process_time()
import numba
imported = time.process_time()
from msavqa.trunks.measures import fine_loops, loops, time_loops
print(imported - began, time.process_time() - imported)
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Prints one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--frames", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--against", help="a commit whose measures run beside these")
    parser.add_argument("--start", action="store_true", help="also what a fresh process pays")
    given = parser.parse_args(argv)
    device.keep_freed()  # as the stages do
    with tempfile.TemporaryDirectory(prefix="statistics-") as folder:
        found = measure(given.size, given.frames, given.rounds, against=given.against, folder=Path(folder))
        print(json.dumps(found | (started(Path(folder) / "code") if given.start else {})))
    return 0


def measure(size: int, frames: int, rounds: int, *, against: str | None, folder: Path) -> dict[str, Any]:
    """Seconds of every way to measure, taken in turns; how much their values differ."""
    video = Video("drawn", drawn(size, frames))
    ways: dict[str, Callable[[Video], npt.NDArray[np.float32]]] = {"ours": measures.measures}
    if against is not None:
        ways["theirs"] = of_commit(against, folder)
    values = {name: way(video) for name, way in ways.items()}  # warms up
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            began = time.process_time()
            way(video)
            seconds[name].append(time.process_time() - began)
    found: dict[str, Any] = {"size": size, "frames": frames}
    found["seconds"] = {name: round(statistics.median(taken), 4) for name, taken in seconds.items()}
    if against is not None:
        pairs = zip(seconds["theirs"], seconds["ours"], strict=True)
        found["ratio"] = round(statistics.median(theirs / ours for theirs, ours in pairs), 2)
        far = np.abs(values["ours"] - values["theirs"]) / (0.3 + np.abs(values["theirs"]))
        found["largest"] = {NAMES[int(far.argmax())]: float(f"{far.max():.2g}")}
    return found


def drawn(size: int, frames: int) -> npt.NDArray[np.uint8]:
    """Smooth shapes that move by a pixel a frame, with grain, (frame, size, size, 3)."""
    random = np.random.default_rng(0)
    picture = ndimage.gaussian_filter(random.normal(size=(size + frames, size, 3)), (2, 2, 0))
    picture = 128 + 50 * picture / picture.std()
    moved = np.stack([picture[place : place + size] for place in range(frames)])
    pixels: npt.NDArray[np.uint8] = np.clip(moved + random.normal(size=moved.shape), 0, 255).astype(np.uint8)
    return pixels


def of_commit(commit: str, folder: Path) -> Callable[[Video], npt.NDArray[np.float32]]:
    """The measures as they were then, as a package of another name."""
    package = folder / "measures_of_then"
    package.mkdir()
    for path in _git("ls-tree", "--name-only", commit, f"{ROOM}/").splitlines():
        text = _git("show", f"{commit}:{path}").replace(ROOM.replace("/", "."), package.name)
        (package / Path(path).name).write_text(text, encoding="utf-8")
    sys.path.insert(0, str(folder))
    try:
        then: Any = importlib.import_module(f"{package.name}.statistics")
    finally:
        sys.path.remove(str(folder))
    found: Callable[[Video], npt.NDArray[np.float32]] = then.measures
    return found


def started(code: Path) -> dict[str, float]:
    """CPU seconds of a process that measures for the first time: with no machine code, then with some."""
    compiling, loading = _start(code), _start(code)
    return {
        "import_numba_s": round(loading[0], 2),
        "load_s": round(loading[1], 2),
        "compile_s": round(compiling[1], 2),
        "code_mb": round(sum(file.stat().st_size for file in code.rglob("*.nb?")) / 1e6, 2),
    }


def _start(code: Path) -> list[float]:
    said = subprocess.run(
        [sys.executable, "-c", START], cwd=sources.ROOT, env={**os.environ, "NUMBA_CACHE_DIR": str(code)},
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    return [float(one) for one in said.stdout.split()]


def _git(*words: str) -> str:
    return subprocess.run(
        ["git", *words], cwd=sources.ROOT, check=True, capture_output=True, text=True
    ).stdout


if __name__ == "__main__":
    raise SystemExit(main())
