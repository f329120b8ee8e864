"""What a trained model may be used for, in one sentence, made of its run's own figures.

    said = of(figures)    # figures of metrics.json by name
    said.sentence         # "Trained on 100 videos of 4 generators, not better than ...: do not use."
    said.level            # "ok" | "caution" | "do not use"

The sentence stands wherever the model is met: report, model card, page, and as a warning beside a score. What
it says, an interval has shown. *Better than a control* means that the 95% interval of the difference in SRCC
lies above zero: paired, on the same test videos, all videos of a prompt drawn as one.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import pandas as pd

Level = Literal["ok", "caution", "do not use"]
DISQUALIFYING: Mapping[str, str] = {
    "no_pixel": "a predictor without pixels",
    "clipsim": "untrained CLIP",
    "no_reference": "the sharpness of single frames",
}
"""Controls that have learned nothing of videos: who does not beat them has nothing to offer."""
SOBERING: Mapping[str, str] = {
    "trees": "extra-trees on handcrafted measures",
    "shuffled_prompts": "itself with other videos' prompts",
}
"""Controls that a model may lose to and still rank videos: then its networks, or its prompts, add nothing."""
WIDE = 0.2
"""Width of SRCC's 95% interval above which too few videos were measured: published models lie closer."""
SAMPLE_WEIGHTS = ("data", "sample")
"""The folder of the small networks that learned from drawn scenes."""


@dataclass(frozen=True)
class Verdict:
    """One sentence on what a model is, and how it is to be taken."""

    sentence: str
    level: Level


def trained_on(
    manifest: pd.DataFrame, splits: pd.DataFrame, *, weights: str, fetch: Mapping[str, Mapping[str, Any]]
) -> dict[str, int | float]:
    """What a run learned from, as flat numbers; `weights` and `fetch` are params.yaml's.

    `videos_train` are the first repeat's. `generators` counts those of all readable videos.
    `simulated` is 1 where the data give the true quality behind a rating, which nobody knows of a real video.
    `toy_networks` is the share of the frozen networks that are the sample world's.
    """
    used = manifest[manifest["status"] == "ok"]
    first = splits[splits["repeat"] == splits["repeat"].min()]
    parts = Path(weights).parts
    shipped = sum(how["source"] == "shipped" for how in fetch.values())
    return {
        "videos_train": int((first["role"] == "train").sum()),
        "generators": int(used.loc[used["generator"] != "", "generator"].nunique()),
        "simulated": int(used["quality_true"].notna().any()),
        "toy_networks": 1 if SAMPLE_WEIGHTS in pairwise(parts) else shipped / max(1, len(fetch)),
    }


def of(figures: Mapping[str, object]) -> Verdict:
    """The verdict of a run, from metrics.json's names; figures that it lacks count as not measured.

    Needs `trained_on`'s names. Reads `srcc`, `within_generator_srcc` and `srcc_over_<control>` with their
    `_ci95_low` and `_ci95_high`, and `videos_test`.
    """
    if figures["simulated"]:
        learned = "drawn scenes" if figures["toy_networks"] else "simulated ratings"
        other = "people's ratings" if figures["toy_networks"] else "people's"
        return Verdict(
            f"Trained on {learned}, not on {other}: use it to try the software, not to judge videos.",
            "do not use",
        )
    lead = _lead(figures)
    if "srcc" not in figures:
        return Verdict(f"{lead}, and not measured on test videos yet: do not use.", "do not use")
    if grave := [*_grave(figures)]:
        return Verdict(f"{lead}, {_joined(grave)}: do not use.", "do not use")
    doubts = [*_doubts(figures)]
    if doubts or figures["toy_networks"]:
        return Verdict(f"{lead}{', ' if doubts else ''}{_joined(doubts)}: use with care.", "caution")
    return Verdict(
        f"{lead} and better than every control on {figures['videos_test']:,} test videos "
        f"(SRCC {_number(figures, 'srcc'):.2f}): use it for videos like these.",
        "ok",
    )


def _lead(figures: Mapping[str, object]) -> str:
    videos, generators = int(_number(figures, "videos_train")), int(_number(figures, "generators"))
    of_whom = {0: "", 1: " of one generator"}.get(generators, f" of {generators} generators")
    share = _number(figures, "toy_networks")
    toys = f", with {'' if share == 1 else 'some '}toy networks trained on drawn scenes" if share else ""
    return f"Trained on {videos:,} videos{of_whom}{toys}"


def _grave(figures: Mapping[str, object]) -> Iterator[str]:
    if not _number(figures, "srcc_ci95_low") > 0:
        yield "not shown to rank test videos better than chance"
    yield from _unbeaten(figures, DISQUALIFYING)


def _doubts(figures: Mapping[str, object]) -> Iterator[str]:
    yield from _unbeaten(figures, SOBERING)
    if figures["generators"] == 1:
        yield "never tried on another generator's"
    elif figures["generators"] and not _number(figures, "within_generator_srcc_ci95_low") > 0:
        yield "not shown to tell one generator's videos apart"
    low, high = (_number(figures, f"srcc_ci95_{end}") for end in ("low", "high"))
    if high - low > WIDE:
        yield f"measured on too few (SRCC is somewhere between {low:.2f} and {high:.2f})"


def _unbeaten(figures: Mapping[str, object], controls: Mapping[str, str]) -> Iterator[str]:
    """A control that gives every video the same score has no difference: it is left out."""
    for degree, wanted in (("better", False), ("clearly better", True)):
        names = [
            shown
            for name, shown in controls.items()
            if _number(figures, f"srcc_over_{name}_ci95_low") <= 0
            and (_number(figures, f"srcc_over_{name}") > 0) == wanted
        ]
        if names:
            yield f"not {degree} than {_joined(names, 'or')}"


def _number(figures: Mapping[str, object], name: str) -> float:
    value = figures.get(name, math.nan)
    return float(value) if isinstance(value, int | float) else math.nan


def _joined(parts: Sequence[str], word: str = "and") -> str:
    *before, last = parts or [""]
    return f"{', '.join(before)} {word} {last}" if before else last
