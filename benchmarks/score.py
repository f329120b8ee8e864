"""What scoring costs: the first score of a process, scores per second when warm, and what the command adds.

    python -m benchmarks.score [--model runs/sample/bundle] [--videos data/sample/videos/t2v] [--count 40]

`cold_s` is `msavqa score` as a user runs it, a fresh process, median of `--rounds`. The rest is one warm
scorer over `--count` videos, medians over rounds: `warm_videos_s` videos per second, decoded ahead;
`decode_s` and `forward_s` seconds per video for decoding alone and for all networks and branches alone, each
with the resize and crop before it, in this process; `overhead` = warm seconds per video, one by one without
decoding ahead, over `decode_s + forward_s`: what a score costs beside them.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from msavqa.frames import decode
from msavqa.frames.decode import Decoded
from msavqa.ground.errors import MsavqaError
from msavqa.score import scorer as score
from msavqa.score.perception import Features
from msavqa.score.scorer import Asked, Scorer
from msavqa.trunks.run.network import Video

PROMPT = "a red ball rolls left"


def main(argv: Sequence[str] | None = None) -> int:
    """Prints one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", type=Path, default=Path("runs/sample/bundle"))
    parser.add_argument("--videos", type=Path, default=Path("data/sample/videos/t2v"))
    parser.add_argument("--count", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args(argv)
    videos = sorted(given.videos.glob("*.mp4"))[: given.count]
    if not videos:
        parser.error(f"no .mp4 in {given.videos}")
    cold = [seconds(lambda: run_command(given.model, videos[0])) for _ in range(given.rounds)]
    with score.load(given.model) as scorer:
        found = {"cold_s": statistics.median(cold)} | warm(scorer, videos, rounds=given.rounds)
    found |= {"videos": len(videos), "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}
    print(json.dumps({name: round(value, 4) for name, value in found.items()}))
    return 0


def warm(scorer: Scorer, videos: Sequence[Path], *, rounds: int) -> dict[str, float]:
    """Figures of one scorer that has scored before."""
    count = len(videos)
    frames, box = scorer.bundle.frames, scorer.bundle.box
    decoded = [decode.decode(video, frames=frames, box=box, backend="pyav") for video in videos]
    scorer.score(videos[0], PROMPT)
    features = scorer.forward(decoded[0].frames, prompt=PROMPT)[0]
    listed, alone, decoding, forward, ratios = [], [], [], [], []
    for _ in range(rounds):  # all ways in every round, so that a busy machine is busy for all
        listed.append(seconds(lambda: check(scorer, videos)) / count)
        alone.append(seconds(lambda: [scorer.score(video, PROMPT) for video in videos]) / count)
        decoding.append(
            seconds(
                lambda: [decode.decode(video, frames=frames, box=box, backend="pyav") for video in videos]
            )
            / count
        )
        forward.append(seconds(lambda: all_forward(scorer, decoded, features)) / count)
        ratios.append(alone[-1] / (decoding[-1] + forward[-1]))
    return {
        "warm_videos_s": 1 / statistics.median(listed),
        "decode_s": statistics.median(decoding),
        "forward_s": statistics.median(forward),
        "overhead": statistics.median(ratios),
    }


def all_forward(scorer: Scorer, decoded: Sequence[Decoded], features: Features) -> None:
    """`forward_alone` of each video."""
    for one in decoded:
        forward_alone(scorer, one.frames, features)


def forward_alone(scorer: Scorer, frames: NDArray[np.uint8], features: Features) -> None:
    """All networks over the frames of one video, branches over `features`, and nothing that scoring adds."""
    perception, branches = scorer.networks()
    before = torch.get_num_threads()
    torch.set_num_threads(os.cpu_count() or 1)  # as the scorer does
    with torch.inference_mode():
        for trunk in perception.trunks.values():
            trunk.network.forward([trunk.network.prepare(Video("", frames))])
        for text in perception.texts.values():
            text.network.forward([text.network.prepare(PROMPT)])
        for branch in branches.values():
            branch(features)
    torch.set_num_threads(before)


def check(scorer: Scorer, videos: Sequence[Path]) -> None:
    """Scores all videos as a csv does; raises what a video is refused for."""
    for one in scorer.scores(Asked(video, PROMPT) for video in videos):
        if isinstance(one, MsavqaError):
            raise one


def run_command(model: Path, video: Path) -> None:
    """One score by the command line, in a process of its own."""
    command = [sys.executable, "-m", "msavqa.app.cli", "score", str(video), "--prompt", PROMPT]
    subprocess.run([*command, "--model", str(model)], check=True, stdout=subprocess.DEVNULL)


def seconds(work: Callable[[], object]) -> float:
    """Wall-clock seconds of one call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


if __name__ == "__main__":
    sys.exit(main())
