"""What each knob of `ensemble`, `calibration`, `controls` and `report` moves, and that it moves nothing else.

The stages themselves are run, so that a knob that is read and then forgotten on its way is noticed.
"""

import copy
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from msavqa.datasets import tables
from msavqa.report import build, figures
from pipeline import controls, ensemble
from tests import synthetic

VIDEOS = 90
CONTROLS = {"no_pixel", "no_reference", "clipsim", "trees"}
DRAWN = {"srcc_ci95_low"}
JOINED = {"fitted", "weights", "ensemble", "shuffled", "srcc", "half_width", "bounds", *DRAWN}
KNOBS: dict[str, tuple[object, set[str]]] = {
    "ensemble.branches": (["frame", "video"], {"branches", *JOINED}),
    "ensemble.shrinkage": (1.0, JOINED - {"fitted"}),
    "ensemble.seed": (1, JOINED - {"srcc", *DRAWN}),  # another search ends next to the first
    "calibration.coverage": (0.5, {"half_width", "bounds"}),
    "calibration.interval_roles": (["oof"], {"half_width", "bounds"}),
    "calibration.interval": ("constant", {"half_width", "bounds"}),
    "calibration.interval_rows": (1000, {"half_width", "bounds"}),
    "calibration.familiarity_bound": (0.9, {"bounds"}),
    "calibration.change.percentile": (50, {"change_threshold"}),
    "calibration.change.rank": (3, {"change_threshold"}),
    "controls.text": ("other_text", {"clipsim", "trees", "prompts_truncated"}),
    "controls.image": ("other_image", {"clipsim", "trees", "change"}),
    "controls.trees": (11, {"trees"}),
    "controls.min_leaf": (5, {"trees"}),
    "controls.features": (1.0, {"trees"}),
    "controls.seed": (1, {"trees"}),
    "controls.shrinkage": (4.0, {"no_pixel"}),
    "report.bootstrap.resamples": (150, DRAWN),
    "report.bootstrap.seed": (1, DRAWN),
    "report.films": (1, {"films", "pictures", "change"}),
    "report.frames": (3, {"pictures"}),
}
"""Knob -> another value, and all that it moves."""
PARAMS = synthetic.PARAMS | {
    "calibration": synthetic.PARAMS["calibration"]
    | {"interval": "normalised", "interval_roles": ["val", "oof"], "change": {"percentile": 97, "rank": 1}},
    "report": {"bootstrap": {"resamples": 100, "seed": 0}, "films": 99, "frames": 6},
}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return synthetic.project(tmp_path_factory.mktemp("knobs"), videos=VIDEOS, repeats=1)


@pytest.fixture(scope="module")
def as_it_is(world: Path) -> dict[str, Any]:
    return observed(world, PARAMS, block="ensemble")


def test_every_knob_of_these_blocks_stands_in_the_table() -> None:
    known = {
        name for block in ("ensemble", "calibration", "controls", "report")
        for name in flat(PARAMS[block], f"{block}.")
    }  # fmt: skip
    assert known == set(KNOBS)


@pytest.mark.parametrize("knob", KNOBS)
def test_a_knob_moves_what_it_is_for_and_nothing_else(
    world: Path, as_it_is: dict[str, Any], tmp_path: Path, knob: str
) -> None:
    value, expected = KNOBS[knob]
    found = observed(
        shutil.copytree(world, tmp_path / "copy"), with_knob(knob, value), block=knob.split(".")[0]
    )
    assert {name for name in found if found[name] != as_it_is[name]} == expected


def observed(root: Path, data: dict[str, Any], *, block: str) -> dict[str, Any]:
    """What the stages that a block reruns make with these settings, as far as the table speaks of it."""
    (root / "params.yaml").write_text(yaml.safe_dump(data), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        patch.setattr(figures, "_svg", lambda figure, described: "")  # no knob is looked for in a drawing
        if block in ("ensemble", "calibration"):
            ensemble.main([synthetic.DATASET])
        if block in ("ensemble", "controls"):
            controls.main([synthetic.DATASET])
        content = build.build(root, synthetic.DATASET, data)
    runs = root / "runs" / synthetic.DATASET
    joined = json.loads((runs / "ensemble/ensemble.json").read_text(encoding="utf-8"))["repeat0"]
    scores = tables.read_controls(runs / "controls/predictions.parquet")
    shuffled = tables.read_controls(runs / "ensemble/controls.parquet")
    strips = sorted(content.strips["best"], key=lambda strip: strip.video_id)
    found = {name: list(scores.loc[scores["control"] == name, "score"]) for name in sorted(CONTROLS)}
    found |= {name: joined[name] for name in ("branches", "fitted", "weights")}
    return found | {
        "ensemble": list(tables.read_predictions(runs / "ensemble/predictions.parquet")["score"]),
        "shuffled": list(shuffled["score"]),
        "srcc": content.metrics["srcc"],
        "srcc_ci95_low": content.metrics["srcc_ci95_low"],
        "half_width": content.metrics["interval_half_width"],
        "change_threshold": content.metrics["change_threshold"],
        "bounds": content.results.tested[["low", "high"]].to_numpy().tolist(),
        "prompts_truncated": content.metrics["prompts_truncated"],
        "films": len(strips),
        "pictures": [strip.image for strip in strips],
        "change": [moment.change for strip in strips for moment in strip.timeline],
    }


def with_knob(knob: str, value: object) -> dict[str, Any]:
    data = copy.deepcopy(PARAMS)
    *above, last = knob.split(".")
    block = data
    for key in above:
        block = block[key]
    block[last] = value
    return data


def flat(block: dict[str, Any], prefix: str) -> Iterator[str]:
    for key, value in block.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}"
