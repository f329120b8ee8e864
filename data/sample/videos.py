"""Makes the sample world's videos and ratings: `python -m data.sample.videos [t2v] [ugc] [practice]`.

The pipeline reads t2v and ugc. Only who trains the small networks anew needs practice.

Each set becomes a folder of mp4 files, `<set>.csv` with what a user's csv would hold (and the truth, which
only a simulation knows), and `<set>_causes.csv` with what is wrong with each video.
"""

import csv
import shutil
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from pydantic import Field

from data.sample import streams
from data.sample.film import SETS, Recording, film, plan
from data.sample.generators import GENERATORS
from data.sample.grammar import draw_prompt
from data.sample.quality import CAUSES, noise_ceiling, quality, rate
from msavqa.ground import params
from msavqa.ground.params import Settings
from msavqa.ground.progress import track
from msavqa.machine import files
from msavqa.machine.processes import Pool

HERE = Path("data/sample")
FOLDER = {"t2v": "videos", "ugc": "videos", "practice": "training"}  # the stage's out holds no practice
FILMED = ("t2v", "ugc")
VIDEO_SECONDS = 120  # wall clock that filming one may take


class VideosSettings(Settings):
    """Sizes of the three sets, and how many processes make them."""

    prompts: int
    generators: int = Field(ge=1, le=len(GENERATORS))  # that film a prompt
    ugc: int
    practice: int
    workers: int


def make(name: str, folder: Path, settings: VideosSettings, *, seed: int) -> None:
    """Writes one set below `folder`: `<name>/*.mp4`, `<name>.csv` and `<name>_causes.csv`."""
    count = {"t2v": settings.prompts, "ugc": settings.ugc, "practice": settings.practice}[name]
    recordings = plan(name, count, seed=seed, generators=settings.generators)
    videos = folder / name
    shutil.rmtree(videos, ignore_errors=True)
    videos.mkdir(parents=True)
    with Pool(film, workers=settings.workers, timeout_seconds=VIDEO_SECONDS, what="Recording") as pool:
        filmed = track(pool.map(recordings), description=f"filming {name}", total=len(recordings))
        for recording, outcome in zip(recordings, filmed, strict=True):  # to the end: the bar as well
            (videos / recording.name).write_bytes(outcome.result())
    _write(folder / f"{name}.csv", _ratings(name, recordings, seed=seed))
    _write(folder / f"{name}_causes.csv", _causes(recordings, seed=seed))


def _ratings(name: str, recordings: Sequence[Recording], *, seed: int) -> Iterable[dict[str, object]]:
    truth = np.array([quality(recording.take.causes) for recording in recordings])
    opinions = rate(truth, rng=streams.generator(seed, "rating", SETS.index(name)))
    if len(truth) > 2:
        print(f"{name}: SRCC of MOS with true quality {noise_ceiling(opinions.mos, truth):.3f}")
    for row, recording in enumerate(recordings):
        yield {
            "video": recording.name,
            "prompt": recording.prompt,
            "mos": f"{opinions.mos[row]:.4f}",
            "mos_se": f"{opinions.standard_error[row]:.4f}",
            "generator": recording.generator.name,
            "group": recording.group,
            "quality_true": f"{truth[row]:.4f}",
        }


def _causes(recordings: Sequence[Recording], *, seed: int) -> Iterable[dict[str, object]]:
    for recording in recordings:
        values = {cause: f"{getattr(recording.take.causes, cause):.4f}" for cause in CAUSES}
        shown = draw_prompt(recording.take.shown, streams.generator(seed, "prompt", 1))
        yield {"video": recording.name, "shown": shown, **values}


def _write(path: Path, rows: Iterable[dict[str, object]]) -> None:
    content = list(rows)
    with files.fresh(path).open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(content[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(content)


def main(argv: Sequence[str] | None = None) -> int:
    """Makes the named sets, or those that the pipeline reads."""
    data = params.read(HERE / "params.yaml")
    settings = params.block(data, "videos", VideosSettings, where=HERE / "params.yaml")
    for name in (sys.argv[1:] if argv is None else argv) or FILMED:
        make(name, HERE / FOLDER[name], settings, seed=int(data["seed"]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
