"""Reads one dataset's results from the project's folders and makes metrics, plots and page of them."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pydantic import Field

from msavqa.datasets import copies, tables
from msavqa.datasets import dimensions as datasets
from msavqa.evaluation import metrics, verdict
from msavqa.evaluation.calibration import CalibrationSettings
from msavqa.evaluation.controls import ControlSettings
from msavqa.ground import params, progress
from msavqa.ground.params import Settings
from msavqa.machine import files
from msavqa.report import (
    ablation,
    dimensions,
    familiarity,
    figures,
    filmstrips,
    generators,
    numbers,
    page,
    parts,
    stages,
    trivial,
)
from msavqa.report.numbers import BootstrapSettings
from msavqa.report.page import Section
from msavqa.report.results import Results, collect, read_branches, read_controls, read_likeness
from msavqa.store import read as store
from msavqa.store.format import flat

CONTROL_NOTES = {
    "no_pixel": "mean of the prompt + mean of the generator: reads no pixel",
    "no_reference": "sharpness of single frames by scikit-image's perceptual blur: no opinions, untrained",
    "clipsim": "cosine of prompt and frames by CLIP, untrained",
    "trees": "extra-trees on handcrafted statistics and zero-shot CLIP scalars",
    "shuffled_prompts": "the ensemble with every test video given another one's prompt",
}


class ReportSettings(Settings):
    """Block `report` of params.yaml."""

    bootstrap: BootstrapSettings
    films: int = Field(ge=0)
    """Videos shown of each kind: scored highest, scored lowest, furthest from their MOS."""
    frames: int = Field(ge=1)
    """Frames shown of each video."""


def build(root: Path, dataset: str, data: Mapping[str, Any]) -> page.Content:
    """Everything the report shows, from the folders under the project's root and its whole params file."""
    settings = params.block(data, "report", ReportSettings)
    controls = params.block(data, "controls", ControlSettings)
    runs, features = root / "runs" / dataset, root / "features" / dataset
    results = gather(root, dataset, data)
    found = numbers.flat_metrics(results, settings.bootstrap)
    ceiling = numbers.noise_ceiling(results)
    frames, text, image = (
        store.open(features / f"{name}.zarr") for name in ("frames", controls.text, controls.image)
    )
    splits = _splits(results, data, settings.bootstrap)
    by_generator = parts.per_generator(results, settings.bootstrap)
    spent = stages.seconds(root / "runs", dataset)
    found |= parts.flat_splits(splits) | stages.flat(spent)
    read = text.rows[text.rows["piece"] == 1]
    found["prompts_truncated"] = int(read["truncated"].sum())
    found["prompts_in_pieces"] = int((read["pieces"] > 1).sum())
    found["prompts_unknown_script"] = int(read["unknown_script"].sum())
    assigned = tables.read_splits(root / "data" / dataset / "splits.parquet")
    found |= familiarity.figures(results) | familiarity.of_change(runs / "ensemble" / "change.json")
    found |= generators.figures(results, assigned, settings.bootstrap)
    found |= verdict.trained_on(results.manifest, assigned, weights=str(data["weights"]), fetch=data["fetch"])
    copied = trivial.lines(
        results,
        copies.read_scores(runs / "ensemble" / "copies.parquet"),
        tables.read_predictions(runs / "ensemble" / "predictions.parquet"),
    )
    found |= trivial.flat(copied)
    of_each = dimensions.lines(_of_dimensions(root, dataset, data, results), settings.bootstrap)
    found |= dimensions.flat(of_each)
    lines = _lines(results, _weights(runs / "ensemble" / "ensemble.json"), settings.bootstrap)
    attention = _attention([runs / "examined" / name / "attention.parquet" for name in results.branches])
    forest = [(line.name, line.srcc, line.kind) for line in lines]
    return page.Content(
        results=results,
        verdict=verdict.of(found),
        metrics=found,
        ceiling=ceiling,
        lines=lines,
        generators=by_generator,
        splits=splits,
        seconds=spent,
        figures={
            "histogram": figures.histogram(results),
            "scatter": figures.scatter(results),
            "generators": figures.generators(results, list(by_generator["generator"])),
            "means": figures.generator_means(by_generator),
            "reliability": figures.reliability(results),
            "forest": figures.forest(forest, ceiling=None if ceiling is None else ceiling.value),
        },
        strips={
            name: filmstrips.strips(
                results,
                rows,
                frames=frames,
                clip=image,
                attention=attention,
                count=settings.frames,
            )
            for name, rows in filmstrips.chosen(results, count=settings.films).items()
        },
        ablation=ablation.read_table(root / ablation.ABLATION_FILE, dataset, data),
        settings=data,
        fingerprints=_fingerprints(
            {"frames": frames, controls.text: text, controls.image: image},
            [_facts(runs, name) for name in results.branches],
        ),
        revision=page.revision(root),
        date=datetime.now(UTC).date(),
        change_threshold=found.get("change_threshold"),
        sections=[
            *(
                [Section("dimensions", "Dimensions of quality", dimensions.section(of_each))]
                if of_each
                else []
            ),
            Section(
                "trivial",
                "What a trivial video would score",
                trivial.section(copied, half_width=found["interval_half_width"]),
            ),
            Section("familiarity", "Unlike the training videos", familiarity.section(results)),
        ],
    )


def _of_dimensions(
    root: Path, dataset: str, data: Mapping[str, Any], results: Results
) -> list[tuple[str, Results]]:
    """Every dimension's name and results, the first one first; none where there is one."""
    further = datasets.further(tables.read_manifest(root / "data" / dataset / "manifest.parquet"))
    if not further:
        return []
    first, *_ = datasets.named(data, dataset) or ["mos"]
    return [(first, results), *((name, gather(root, dataset, data, dimension=name)) for name in further)]


def _splits(results: Results, data: Mapping[str, Any], settings: BootstrapSettings) -> pd.DataFrame:
    found = parts.per_given_split(results, settings)
    given = (data.get("split") or {}).get("protocol") == "given"
    return found if given and len(found) > 1 else found.head(0)


def gather(root: Path, dataset: str, data: Mapping[str, Any], *, dimension: str | None = None) -> Results:
    """One dataset's predictions joined with its labels; `dimension`: of a further one, without controls."""
    runs, tabled = root / "runs" / dataset, root / "data" / dataset
    names = list(data["branches"])
    low, high = (float(end) for end in data["datasets"][dataset]["mos_range"])
    of, controls = partial(datasets.of, name=dimension), read_controls(runs)
    return collect(
        dataset=dataset,
        mos_range=(low, high),
        manifest=of(tables.read_manifest(tabled / "manifest.parquet")),
        splits=tables.read_splits(tabled / "splits.parquet"),
        ensemble=of(tables.read_predictions(runs / "ensemble" / "predictions.parquet")),
        branches={name: of(table) for name, table in read_branches(runs, names).items()},
        controls=controls.head(0) if dimension else controls,
        decoded=store.open(root / "features" / dataset / "frames.zarr").rows,
        unread={name: _facts(runs, name)["quarantined"] for name in names},
        distances=tables.read_predictions(runs / "ensemble" / "distances.parquet"),
        likeness=read_likeness(runs),
        settings=params.block(data, "calibration", CalibrationSettings),
    )


def write(content: page.Content, folder: Path) -> None:
    """Writes metrics.json, report.html and plots/ under `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    said = {"verdict": content.verdict.sentence, "verdict_level": content.verdict.level}
    text = json.dumps(said | dict(content.metrics), indent=2, allow_nan=False)
    files.fresh(folder / "metrics.json").write_text(text + "\n", encoding="utf-8")
    files.fresh(folder / "report.html").write_text(page.render(content), encoding="utf-8")
    tested = content.results.tested
    lines = [
        {"predictor": line.name, "srcc": line.srcc.value, "low": line.srcc.low, "high": line.srcc.high}
        for line in content.lines
    ]
    tables.write_plots(
        {
            "scatter": tested[["repeat", "video_id", "generator", "mos", "score", "low", "high"]],
            "calibration": figures.reliability_table(content.results),
            "comparison": pd.DataFrame(lines),
            "generators": content.generators[["generator", "videos", "mos", "score", "srcc", "plcc", "rmse"]],
        },
        folder / "plots",
    )


def _lines(results: Results, weights: Mapping[str, float], settings: BootstrapSettings) -> list[page.Line]:
    named = [("raw", "ensemble", "ours")]
    named += [(name, name, "branch") for name in results.branches]
    named += [(name, name, "control") for name in results.controls]
    found = [
        page.Line(
            name=shown.replace("_", " "),
            kind=kind,
            srcc=numbers.interval(results, column, statistic=metrics.srcc, settings=settings),
            plcc=numbers.interval(results, column, statistic=metrics.plcc, settings=settings),
            srcc_sd=numbers.deviation(results, column, metrics.srcc),
            plcc_sd=numbers.deviation(results, column, metrics.plcc),
            within=numbers.within_generator(results, column),
            weight=weights.get(column),
            note=CONTROL_NOTES.get(column, ""),
        )
        for column, shown, kind in progress.track(
            named, description="report: intervals", total=len(named), unit="predictors"
        )
    ]
    order = ("ours", "branch", "control")
    return sorted(found, key=lambda line: (order.index(line.kind), -np.nan_to_num(line.srcc.value, nan=-2)))


def _weights(path: Path) -> dict[str, float]:
    """Mean over repeats of each branch's ensemble weight."""
    repeats = list(json.loads(path.read_text(encoding="utf-8")).values())
    weights = np.mean([one["weights"] for one in repeats], axis=0)
    return dict(zip(repeats[0]["branches"], weights.tolist(), strict=True))


def _attention(paths: Sequence[Path]) -> dict[str, np.ndarray]:
    """Mean over branches of where SMA looked, (frame,) by video of the first repeat; empty without SMA."""
    found = [tables.read_attention(path) for path in paths]
    first = pd.concat([one[one["repeat"] == one["repeat"].min()] for one in found])
    by_video = first.groupby("video_id")["attention"]
    return {str(video): np.mean(np.stack(list(rows)), axis=0) for video, rows in by_video}


def _fingerprints(
    opened: Mapping[str, store.Store], branches: Sequence[Mapping[str, Any]]
) -> dict[str, dict[str, object]]:
    """What made the features, by store: of those read here, and of those that the branches have read."""
    found = {name: flat(one.fingerprint) for name, one in opened.items()}
    for facts in branches:
        found |= {name: flat(one) for name, one in facts["fingerprints"].items()}
    return dict(sorted(found.items()))


def _facts(runs: Path, branch: str) -> dict[str, Any]:
    """What a branch's training said of itself."""
    path = runs / "branches" / branch / "settings.json"
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found
