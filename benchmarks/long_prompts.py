"""What words of style around a prompt cost: sample-world test videos, prompts longer than CLIP reads.

    python -m benchmarks.long_prompts [--model runs/sample/bundle] [--videos 0] [--seed 0]

The prompts of the first split's test videos are scored as they are; `behind` 84 words of style, `before`
them and in their `middle`; and behind the same words without a comma. It prints for each way: SRCC with the
ratings when prompts are read in pieces, and when they are cut to the window (`srcc_cut`); pieces per prompt;
and by how much a score moves, in scores and in half-widths of its interval. `suffixes` are words that people
add to any prompt. All test videos unless `--videos` says how many; each is decoded and looked at twice.
"""

import argparse
import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.faults import DATA, VIDEOS, tested
from msavqa.bundle import bundle
from msavqa.bundle.bundle import Bundle
from msavqa.evaluation.metrics import srcc
from msavqa.ground import progress
from msavqa.score.result import Score
from msavqa.score.scorer import Scorer

STYLE = (
    "8k, masterpiece, best quality, highly detailed, ultra realistic, cinematic lighting, sharp focus, "
    "intricate details, award winning photography, trending on artstation, volumetric light, depth of "
    "field, professional color grading, film grain, hyperrealism, octane render, unreal engine, golden "
    "hour, soft shadows, dramatic atmosphere, vivid colors, high contrast, studio quality, wide angle "
    "lens, smooth camera motion, stunning composition, beautiful scenery, epic scale, fine textures, "
    "elegant style, dynamic range, perfect exposure, crisp edges, rich tones, modern aesthetic, subtle "
    "bokeh, artistic vision, premium look, lifelike rendering, extremely fine grain"
)
"""84 words."""
HALF = STYLE.index("golden hour")
FORMS: dict[str, Callable[[str], str]] = {
    "behind": lambda prompt: f"{STYLE}, {prompt}",
    "before": lambda prompt: f"{prompt.rstrip('.')}, {STYLE}",
    "middle": lambda prompt: f"{STYLE[:HALF]}{prompt.rstrip('.')}, {STYLE[HALF:]}",
    "behind_without_commas": lambda prompt: f"{STYLE.replace(',', '')} {prompt}",
}
SUFFIXES = (", 8k, masterpiece", ", highly detailed, cinematic lighting", ", best quality")


def main(argv: Sequence[str] | None = None) -> int:
    """Prints one JSON object."""
    given = arguments(argv, description=__doc__)
    rows = pd.read_parquet(DATA / "manifest.parquet").set_index("video_id")
    chosen = rows.loc[tested()]
    if given.videos:
        chosen = chosen.sample(given.videos, random_state=given.seed)
    print(json.dumps(measure(given.model, chosen)))
    return 0


def arguments(argv: Sequence[str] | None, *, description: str | None) -> argparse.Namespace:
    """`model`, `videos` and `seed`."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", type=Path, default=Path("runs/sample/bundle"))
    parser.add_argument("--videos", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args(argv)


def measure(model: Path, rows: pd.DataFrame) -> dict[str, object]:
    """What `main` prints of videos by id with prompt and mos."""
    asked: dict[str, Callable[[str], str]] = {
        "own": str,
        **FORMS,
        **{suffix: partial(_behind, suffix=suffix) for suffix in SUFFIXES},
    }
    whole = bundle.load(model)
    found = {"pieces": scores(whole, rows, asked), "cut": scores(without_pieces(whole), rows, asked)}
    read, own = found["pieces"], found["pieces"]["own"]
    mos = rows["mos"].to_numpy()
    told: dict[str, object] = {"videos": len(rows), "srcc": round(_srcc(own, mos), 4)}
    for name in FORMS:
        told[name] = {
            "srcc": round(_srcc(read[name], mos), 4),
            "srcc_cut": round(_srcc(found["cut"][name], mos), 4),
            "pieces": round(float(np.mean([one.prompt_pieces for one in read[name]])), 2),
            **moved(read[name], own),
        }
    told["suffixes"] = {suffix.strip(", "): moved(read[suffix], own) for suffix in SUFFIXES}
    return told


def without_pieces(found: Bundle) -> Bundle:
    """The same bundle as it was before prompts were read in pieces: it cuts them to the window."""
    cut: dict[str, object] = {"pieces": None}
    return dataclasses.replace(
        found,
        texts={name: {**text, **cut} for name, text in found.texts.items()},
        fingerprints={
            name: {**made, **cut} if name in found.texts else made
            for name, made in found.fingerprints.items()
        },
    )


def scores(
    found: Bundle, rows: pd.DataFrame, asked: Mapping[str, Callable[[str], str]]
) -> dict[str, list[Score]]:
    """Scores of every video, (video,), by each way to ask for it."""
    told: dict[str, list[Score]] = {name: [] for name in asked}
    with Scorer(found) as scorer:
        videos = zip(rows.index, rows["prompt"], strict=True)
        for video, prompt in progress.track(videos, description="prompts", total=len(rows), unit="videos"):
            decoded = scorer.decoded(VIDEOS / str(video))
            for name, form in asked.items():
                told[name].append(scorer.judge(decoded, video=str(video), prompt=form(prompt)))
    return told


def moved(read: Sequence[Score], own: Sequence[Score]) -> dict[str, float]:
    """How far scores lie from the own prompts': the mean, and that per half-width of an interval."""
    distance = np.array([abs(one.score - other.score) for one, other in zip(read, own, strict=True)])
    half = np.array([(one.high - one.low) / 2 for one in own])
    change = np.mean([one.score - other.score for one, other in zip(read, own, strict=True)])
    return {
        "mean_change": round(float(change), 2),
        "mean_distance": round(float(distance.mean()), 2),
        "half_widths": round(float((distance / half).mean()), 3),
        "share_within_a_third": round(float((distance < half / 3).mean()), 3),
    }


def _behind(prompt: str, *, suffix: str) -> str:
    return prompt.rstrip(".") + suffix


def _srcc(read: Sequence[Score], mos: NDArray[np.float64]) -> float:
    return srcc(score=np.array([one.raw for one in read]), mos=mos)


if __name__ == "__main__":
    raise SystemExit(main())
