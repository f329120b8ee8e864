"""What decoding costs: PyAV against decord on the same videos, and the decode stage against bare decoding.

    python -m benchmarks.decode [--folder data/sample/videos/t2v] [--videos 60] [--size 512] [--frames 16]
                                [--sampled 16] [--rounds 5]

Videos are those of a folder, or made here: H.264, `--frames` pictures with moving stripes and a little noise;
`--sampled` frames of each are wanted (`--frames` where it is not given). Every video is read by both backends
in every round, one right after the other, as the pipeline does it, probing and shrinking included; they must
give the same pixels (`equal`). `decord_over_pyav` is the median over pairs of CPU seconds. `overhead` is CPU
seconds of the whole stage (workers, transport, compression, writing; made videos, PyAV) over those of bare
decoding in one process, medians of `--rounds` runs. `peak_rss_mb` is the stage's parent process.
"""

import argparse
import hashlib
import json
import resource
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import av
import numpy as np
import pandas as pd

from msavqa.frames.decode import Backend, decode
from msavqa.frames.read import DecodeSettings
from msavqa.frames.write import decode_all

DIFFERENT = 6
"""Different videos; more are copies."""


def main(argv: Sequence[str] | None = None) -> int:
    """Prints one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--videos", type=int, default=60)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--frames", type=int, default=16)
    parser.add_argument("--sampled", type=int)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args(argv)
    sampled = given.sampled or given.frames
    with tempfile.TemporaryDirectory(prefix="decode-") as folder:
        root = Path(folder)
        rows = make(root, videos=given.videos, size=given.size, frames=given.frames)
        films = sorted((given.folder or root).glob("*.mp4"))
        some = films[: given.videos] if given.folder else films[:DIFFERENT]
        found = backends(some, frames=sampled, box=given.size, rounds=given.rounds)
        found |= stage(root, rows, size=given.size, frames=sampled, rounds=given.rounds)
    print(json.dumps({key: round(value, 4) for key, value in found.items()}))
    return 0


def make(root: Path, *, videos: int, size: int, frames: int) -> pd.DataFrame:
    """Writes the videos; returns the columns of a manifest that decoding reads."""
    draw = np.random.default_rng(0)
    stripes = np.indices((size, size)).sum(axis=0)[..., None] + np.array([0, 40, 80])
    names, hashes = list[str](), list[str]()
    for number in range(videos):
        path = root / f"{number:05d}.mp4"
        if number < DIFFERENT:
            with av.open(str(path), "w") as container:
                stream = container.add_stream("libx264", rate=4)
                stream.width, stream.height, stream.pix_fmt = size, size, "yuv420p"
                for shift in range(frames):
                    picture = (stripes + 9 * shift) % 256 + draw.integers(-2, 3, (size, size, 3))
                    frame = av.VideoFrame.from_ndarray(picture.clip(0, 255).astype(np.uint8), format="rgb24")
                    container.mux(stream.encode(frame))
                container.mux(stream.encode(None))
        else:
            path.write_bytes((root / names[number % DIFFERENT]).read_bytes())
        names.append(path.name)
        hashes.append(hashlib.sha256(path.read_bytes()).hexdigest())
    return pd.DataFrame({"video_id": names, "path": names, "sha256": hashes})


def backends(paths: Sequence[Path], *, frames: int, box: int, rounds: int) -> dict[str, float]:
    """CPU seconds per video by each backend, in pairs, and whether pixels and times are the same (1 or 0)."""
    spent: dict[Backend, list[float]] = {"pyav": [], "decord": []}
    equal = True
    for turn in range(rounds):
        order: list[Backend] = ["pyav", "decord"] if turn % 2 else ["decord", "pyav"]
        for path in paths:
            found = {}
            for backend in order:
                started = time.process_time()
                found[backend] = decode(path, frames=frames, box=box, backend=backend)
                spent[backend].append(time.process_time() - started)
            pyav, decord = found["pyav"], found["decord"]
            equal &= np.array_equal(pyav.frames, decord.frames)
            equal &= np.array_equal(pyav.times_seconds, decord.times_seconds)
    ratios = [b / a for a, b in zip(spent["pyav"], spent["decord"], strict=True)]
    return {
        "pairs": float(len(ratios)),
        "pyav_s": statistics.median(spent["pyav"]),
        "decord_s": statistics.median(spent["decord"]),
        "decord_over_pyav": statistics.median(ratios),
        "equal": float(equal),
    }


def stage(root: Path, rows: pd.DataFrame, *, size: int, frames: int, rounds: int) -> dict[str, float]:
    """CPU and wall seconds of the decode stage and of bare decoding of the same videos."""
    settings = DecodeSettings(
        backend="pyav", frames=frames, box=size, store="frames", workers=2, timeout_seconds=60.0,
        max_quarantined_fraction=0.0,
    )  # fmt: skip
    bare, whole, wall = [], [], []
    for turn in range(rounds):
        started = _cpu_seconds()
        for name in rows["path"]:
            decode(root / name, frames=frames, box=size, backend="pyav")
        bare.append(_cpu_seconds() - started)
        place = root / f"turn{turn}"
        started, clock = _cpu_seconds(), time.perf_counter()
        decode_all(
            place / "frames.zarr", manifest=rows, root=root, settings=settings, shard_mb=128,
            staging_root=place / "staging",
        )  # fmt: skip
        whole.append(_cpu_seconds() - started)
        wall.append(time.perf_counter() - clock)
    return {
        "videos": float(len(rows)),
        "video_s": statistics.median(bare) / len(rows),
        "bare_s": statistics.median(bare),
        "stage_s": statistics.median(whole),
        "stage_wall_s": statistics.median(wall),
        "videos_per_s": len(rows) / statistics.median(wall),
        "overhead": statistics.median(w / b for w, b in zip(whole, bare, strict=True)),
        "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def _cpu_seconds() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


if __name__ == "__main__":
    raise SystemExit(main())
