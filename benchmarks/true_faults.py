"""Does a fault that truly lowers quality lower the score? Sample-world test videos, filmed once more, worse.

    python -m benchmarks.true_faults [--model runs/sample/bundle] [--videos 60] [--seed 0]

The sample world knows what a fault takes from the true quality, so here it makes the faults itself, in random
test videos of the first split: `mutation` (an object changes its colour or shape, or vanishes, where nothing
changed before), `blur` (its strength raised by a half, where it can be), and another video's `prompt` beside
the own file. It prints, for every fault, the share that scores below the original file: of all that are
`truly_worse`, of those worse by ten points of true quality and more, and by the original's score. `no_worse`
are prompts that fit as well as the own one or better: a score need not fall there.
"""

import json
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from benchmarks.faults import BANDS, DATA, VIDEOS, arguments, tested
from data.sample import film, generators, grammar
from data.sample.film import Recording
from data.sample.quality import quality
from msavqa.ground import progress
from msavqa.score import scorer as score

BLUR = 0.5  # strength that is added


@dataclass(frozen=True)
class Fault:
    """What to film (None: the file as it is), which prompt to ask for, and the true quality of that."""

    name: str
    recording: Recording | None
    prompt: str
    quality: float


def main(argv: Sequence[str] | None = None) -> int:
    """Prints one JSON object, see `shares`."""
    given = arguments(argv, description=__doc__)
    planned = recordings()
    chosen = [planned[video] for video in tested().sample(given.videos, random_state=given.seed)]
    print(json.dumps(shares(scores(given.model, chosen, seed=given.seed))))
    return 0


def recordings() -> dict[str, Recording]:
    """The sample world's rated recordings by video_id."""
    settings = yaml.safe_load((DATA / "params.yaml").read_text(encoding="utf-8"))
    made = settings["videos"]
    plan = film.plan("t2v", made["prompts"], seed=settings["seed"], generators=made["generators"])
    return {one.name: one for one in plan}


def faults_of(
    recording: Recording, *, others: Sequence[Recording], random: np.random.Generator
) -> Iterator[Fault]:
    """The faults that this recording can still get."""
    take = recording.take
    if not take.changes:
        change, strength = generators.draw_change(take.shown, random)
        causes = replace(take.causes, mutation=strength)
        worse = replace(recording, take=replace(take, changes=(change,), causes=causes))
        yield Fault("mutation", worse, recording.prompt, quality(causes))
    if take.causes.blur + BLUR <= 1:
        causes = replace(take.causes, blur=take.causes.blur + BLUR)
        worse = replace(recording, take=replace(take, causes=causes))
        yield Fault("blur", worse, recording.prompt, quality(causes))
    other = others[int(random.integers(len(others)))].prompt
    causes = replace(take.causes, misalignment=grammar.misalignment(grammar.parse(other), take.shown))
    yield Fault("prompt", None, other, quality(causes))


def scores(model: Path, chosen: Sequence[Recording], *, seed: int) -> pd.DataFrame:
    """A row a fault: its name, `own` and `worse` (scores), `drop` (points of true quality that it takes)."""
    rows = []
    with score.load(model) as scorer, tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "copy.mp4"
        for number, one in progress.track(
            enumerate(chosen), description="faults", total=len(chosen), unit="videos"
        ):
            own = scorer.score(VIDEOS / one.name, one.prompt).score
            others = [other for other in chosen if other.prompt != one.prompt]
            for fault in faults_of(one, others=others, random=np.random.default_rng([seed, number])):
                if fault.recording is not None:
                    copy.write_bytes(film.film(fault.recording))
                path = VIDEOS / one.name if fault.recording is None else copy
                worse = scorer.score(path, fault.prompt).score
                drop = quality(one.take.causes) - fault.quality
                rows.append({"fault": fault.name, "own": own, "worse": worse, "drop": drop})
    return pd.DataFrame(rows)


def shares(found: pd.DataFrame) -> dict[str, dict[str, dict[str, float]]]:
    """fault -> part of the videos that got it -> `lower` (share below the original) and `videos` (count)."""
    told: dict[str, dict[str, dict[str, float]]] = {}
    for name, rows in found.groupby("fault"):
        worse, lower = rows["drop"] > 0, rows["worse"] < rows["own"]
        parts = {
            "truly_worse": worse,
            "by_10_or_more": rows["drop"] >= 10,
            **{f"worse_{band}": worse & rows["own"].between(*BANDS[band]) for band in BANDS if band != "all"},
            "no_worse": ~worse,
        }
        told[str(name)] = {
            part: {"lower": round(float(lower[inside].mean()), 3), "videos": int(inside.sum())}
            for part, inside in parts.items()
            if inside.any()
        }
    return told


if __name__ == "__main__":
    raise SystemExit(main())
