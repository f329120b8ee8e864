"""The model card of a bundle: what it was trained on, how it was measured, what it must not be used for."""

from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

import pandas as pd

from msavqa.evaluation.calibration import Calibration
from msavqa.evaluation.ensemble import Ensemble
from msavqa.evaluation.verdict import Verdict

PACKAGES = ("msavqa", "torch", "timm", "torchvision", "open_clip_torch", "av", "decord", "pillow")
FIGURES = {
    "srcc": "SRCC",
    "plcc": "PLCC",
    "krcc": "KRCC",
    "rmse": "RMSE, MOS units",
    "noise_ceiling_srcc": "SRCC that the raters' noise allows",
    "mos_reliability": "reliability of the MOS: 1 where raters agree, 0 where they do not",
    "within_generator_srcc": "SRCC among one generator's videos, mean over generators",
    "pair_accuracy": "share of pairs of one prompt that are ordered rightly",
    "generator_error_unseen": "error per generator that training had left out, MOS units",
    "generator_error_seen": "error per generator that training knew, MOS units",
    "interval_coverage": "share of test videos inside their interval",
    "control_no_pixel_srcc": "SRCC of a predictor that reads no pixel",
    "srcc_over_no_pixel": "SRCC above that predictor's, paired",
    "srcc_over_trees": "SRCC above that of extra-trees on handcrafted measures, paired",
}


def render(
    *,
    verdict: Verdict,
    dataset: str,
    data: Mapping[str, Any],
    repeat: int,
    manifest: pd.DataFrame,
    splits: pd.DataFrame,
    ensemble: Ensemble,
    calibration: Calibration,
    figures: Mapping[str, float],
) -> str:
    """The card as Markdown; `figures` are those of metrics.json, means over repeats; may be empty."""
    rows = splits[splits["repeat"] == repeat]["role"].value_counts()
    used = manifest[manifest["status"] == "ok"]
    low, high = calibration.mos_range
    measured = [
        f"| {label} | {_shown(figures, name)} |" for name, label in FIGURES.items() if name in figures
    ]
    weights = zip(ensemble.branches, ensemble.weights, strict=True)
    weighted = ", ".join(f"{name} {weight:.2f}" for name, weight in weights)
    generators = sorted(name for name in used["generator"].unique() if name)
    lines = [
        f"# msavqa bundle: {dataset}",
        "",
        f"**{verdict.sentence}**",
        "",
        "Predicts how people would rate an AI-generated video (mean opinion score, MOS), given its prompt.",
        "Method: MSA-VQA, arXiv 2501.02706.",
        "",
        "    msavqa score video.mp4 --prompt 'what was asked for' --model THIS_FOLDER",
        "",
        "## Data",
        f"- {len(used)} videos of {used['prompt'].nunique()} prompts; MOS from {used['mos'].min():.4g} to "
        f"{used['mos'].max():.4g} on a scale of {low:g} to {high:g}.",
        f"- Generators: {', '.join(generators) or 'not given'}.",
        "",
        "## Protocol",
        f"- Split `{data['split']['protocol']}`, repeat {repeat}: "
        f"{rows.get('train', 0)} training, "
        f"{rows.get('val', 0) or 'no'} validation, {rows.get('test', 0)} test videos.",
        f"- Ensemble weights ({weighted}) and the map to MOS: fitted on out-of-fold training rows.",
        f"- Interval: split conformal at {calibration.coverage:.0%}, on {calibration.rows_interval} held-out "
        f"rows, {'on average ' if calibration.width else ''}± {calibration.half_width:.3g} MOS.",
        "",
        "## Measured on test videos",
        *(
            [_over(int(figures["repeats"])), "", "| figure | value |", "|---|---|", *measured]
            if measured
            else ["Not yet: export after `dvc repro`."]
        ),
        "",
        *_trivial(figures),
        "## Limits",
        "- Scores mean what the raters of this dataset meant. Another audience may rate otherwise.",
        "- The interval holds for videos like those of the dataset. A video unlike all of them is said to be",
        "  so, and its interval is the whole scale. `familiarity` is the share of training videos as unlike.",
        "- SRCC among one generator's videos is often lower than over all videos. Compare close versions of",
        "  a generator with care.",
        "- A prompt longer than the text encoder reads is read in pieces, and the output says in how many.",
        "",
        "## Made with",
        ", ".join(f"{name} {version(name)}" for name in PACKAGES) + ".",
        "",
    ]
    return "\n".join(lines)


def _over(repeats: int) -> str:
    if repeats == 1:
        return "Of this repeat, the only one:"
    return f"Mean over {repeats} repeats, of which this bundle holds one:"


def _shown(figures: Mapping[str, float], name: str) -> str:
    text = f"{figures[name]:.3f}"
    low, high = figures.get(f"{name}_ci95_low"), figures.get(f"{name}_ci95_high")
    return text if low is None or high is None else f"{text} (95%: {low:.3f} to {high:.3f})"


def _trivial(figures: Mapping[str, float | int]) -> list[str]:
    """What trivial videos scored, a line a kind; nothing where none were made."""
    kinds = [
        name.removeprefix("trivial_").removesuffix("_above") for name in figures if name.endswith("_above")
    ]
    if not kinds:
        return []
    rows = []
    for kind in kinds:
        above, change, place, learned = (
            figures[f"trivial_{kind}_{name}"] for name in ("above", "change", "percentile", "learned")
        )
        how = "learned" if learned else "left out"
        rows.append(f"| {kind.replace('_', ' ')} | {above:.0%} | {change:+.1f} | {place:.0f} | {how} |")
    return [
        "## What a trivial video would score",
        "Spoilt test videos, and videos that show nothing. `learned`: training has shown the kind.",
        "",
        "| in its place | above the original | mean change | percentile of training scores | in training |",
        "|---|---|---|---|---|",
        *rows,
        "",
    ]
