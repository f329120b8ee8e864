"""Example videos of a leaderboard: the same prompt by every generator, as strips of frames."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pandas as pd

from msavqa.datasets.paths import Places
from msavqa.frames import decode
from msavqa.machine.processes import Pool
from msavqa.report.filmstrips import film
from msavqa.report.leaderboard_shown import Example, Film

PROMPTS = 3
GENERATORS = 12
"""Of a prompt as many generators are shown, the best first."""
FRAMES, PIXELS = 5, 96
"""Of a video as many frames are shown, and so high."""
DECODE_SECONDS = 60.0


def of(rows: pd.DataFrame, *, folder: Path, order: Sequence[str]) -> list[Example]:
    """Examples from rows as `score_tables.read` gives them, whose videos lie in a folder.

    Prompts that most generators have: the one on which their scores differ most, one in between, and the one
    on which they differ least. None where no video is there; one that cannot be decoded has no picture.
    """
    places = Places(folder)
    shown = rows[rows["generator"].isin(order[:GENERATORS]) & rows["video"].ne("")]
    shown = shown.drop_duplicates(["generator", "prompt"])
    paths = {str(name): path for name in shown["video"].unique() if (path := _there(places, str(name)))}
    shown = shown[shown["video"].isin(list(paths))]
    prompts = _prompts(shown)
    shown = shown[shown["prompt"].isin(prompts)]
    files = {str(name): folder / paths[str(name)] for name in shown["video"].unique()}
    function = partial(decode.decode, frames=FRAMES, box=2 * PIXELS, backend="pyav")
    with Pool(function, workers=1, timeout_seconds=DECODE_SECONDS, what="Video") as pool:
        seen = dict(zip(files, pool.map(list(files.values())), strict=True))
    pictures = {
        name: film(one.value.frames, height=PIXELS) for name, one in seen.items() if one.value is not None
    }
    found = []
    for prompt in prompts:
        of_prompt = {
            str(row["generator"]): row for row in shown[shown["prompt"] == prompt].to_dict("records")
        }
        films = [
            Film(name, float(of_prompt[name]["value"]), pictures.get(str(of_prompt[name]["video"])))
            for name in order
            if name in of_prompt
        ]
        if any(one.image for one in films):
            found.append(Example(prompt, films))
    return found


def _prompts(rows: pd.DataFrame) -> list[str]:
    """Those that most generators have, from the one on which scores differ most to the least."""
    scored = rows.dropna(subset="value").groupby("prompt")["value"]
    facts = pd.DataFrame({"count": scored.count(), "spread": scored.max() - scored.min()})
    facts = facts[facts["count"] == facts["count"].max()].sort_values(
        "spread", ascending=False, kind="stable"
    )
    places = {0, len(facts) // 2, len(facts) - 1} if len(facts) else set()
    return [str(facts.index[place]) for place in sorted(places)][:PROMPTS]


def _there(places: Places, name: str) -> str:
    """A video's path below the folder; "" where it is not there, or elsewhere."""
    can_mean, _ = places.below(name, None)
    return places.find(name, None)[0] if can_mean else ""
