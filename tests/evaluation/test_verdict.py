"""One sentence on what a model is: whole, for every case."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from msavqa.datasets import tables
from msavqa.evaluation import verdict
from msavqa.evaluation.verdict import Verdict
from tests import synthetic

GOOD: Mapping[str, float] = {
    "simulated": 0, "toy_networks": 0, "videos_train": 8100, "generators": 10, "videos_test": 1000,
    "srcc": 0.812, "srcc_ci95_low": 0.79, "srcc_ci95_high": 0.83, "within_generator_srcc_ci95_low": 0.7,
    **{
        f"srcc_over_{name}{part}": 0.1
        for name in (*verdict.DISQUALIFYING, *verdict.SOBERING) for part in ("", "_ci95_low", "_ci95_high")
    },
}  # fmt: skip
LEAD = "Trained on 8,100 videos of 10 generators"
GOOD_END = " and better than every control on 1,000 test videos (SRCC 0.81): use it for videos like these."
TOYS = ", with toy networks trained on drawn scenes"
CASES: Mapping[str, tuple[Mapping[str, float], str, verdict.Level]] = {
    "good": (
        {},
        f"{LEAD}{GOOD_END}",
        "ok",
    ),
    "no generator named": (
        {"generators": 0, "within_generator_srcc_ci95_low": np.nan},
        f"Trained on 8,100 videos{GOOD_END}",
        "ok",
    ),
    "drawn scenes": (
        {"simulated": 1, "toy_networks": 1},
        "Trained on drawn scenes, not on people's ratings: use it to try the software, not to judge videos.",
        "do not use",
    ),
    "simulated ratings": (
        {"simulated": 1},
        "Trained on simulated ratings, not on people's: use it to try the software, not to judge videos.",
        "do not use",
    ),
    "no pixel is as good": (
        {"videos_train": 100, "generators": 4, "srcc_over_no_pixel": -0.02,
         "srcc_over_no_pixel_ci95_low": -0.1},
        "Trained on 100 videos of 4 generators, not better than a predictor without pixels: do not use.",
        "do not use",
    ),
    "no pixel may be as good": (
        {"srcc_over_no_pixel": 0.05, "srcc_over_no_pixel_ci95_low": -0.01},
        f"{LEAD}, not clearly better than a predictor without pixels: do not use.",
        "do not use",
    ),
    "nothing is learned": (
        {"srcc_ci95_low": -0.1, **{f"srcc_over_{name}_ci95_low": -0.2 for name in verdict.DISQUALIFYING},
         "srcc_over_no_pixel": -0.1, "srcc_over_clipsim": -0.1},
        f"{LEAD}, not shown to rank test videos better than chance, not better than a predictor without "
        "pixels or untrained CLIP and not clearly better than the sharpness of single frames: do not use.",
        "do not use",
    ),
    "the grave silences the doubts": (
        {"srcc_over_no_pixel": -0.1, "srcc_over_no_pixel_ci95_low": -0.2, "srcc_over_trees_ci95_low": -0.1},
        f"{LEAD}, not better than a predictor without pixels: do not use.",
        "do not use",
    ),
    "trees are as good": (
        {"srcc_over_trees": 0.0, "srcc_over_trees_ci95_low": -0.01},
        f"{LEAD}, not better than extra-trees on handcrafted measures: use with care.",
        "caution",
    ),
    "prompts are not read": (
        {"srcc_over_shuffled_prompts": 0.01, "srcc_over_shuffled_prompts_ci95_low": -0.01},
        f"{LEAD}, not clearly better than itself with other videos' prompts: use with care.",
        "caution",
    ),
    "within generators unknown": (
        {"within_generator_srcc_ci95_low": np.nan},
        f"{LEAD}, not shown to tell one generator's videos apart: use with care.",
        "caution",
    ),
    "within generators at chance": (
        {"within_generator_srcc_ci95_low": -0.01},
        f"{LEAD}, not shown to tell one generator's videos apart: use with care.",
        "caution",
    ),
    "one generator": (
        {"generators": 1},
        "Trained on 8,100 videos of one generator, never tried on another generator's: use with care.",
        "caution",
    ),
    "few videos": (
        {"videos_train": 128, "srcc_ci95_low": 0.42, "srcc_ci95_high": 0.73},
        "Trained on 128 videos of 10 generators, measured on too few (SRCC is somewhere between 0.42 and "
        "0.73): use with care.",
        "caution",
    ),
    "toys": (
        {"toy_networks": 1},
        f"{LEAD}{TOYS}: use with care.",
        "caution",
    ),
    "some toys": (
        {"toy_networks": 0.4},
        f"{LEAD}{TOYS.replace('with ', 'with some ')}: use with care.",
        "caution",
    ),
    "toys that lose": (
        {"toy_networks": 1, "srcc_over_clipsim": -0.1, "srcc_over_clipsim_ci95_low": -0.2},
        f"{LEAD}{TOYS}, not better than untrained CLIP: do not use.",
        "do not use",
    ),
    "a control that scores all alike": (
        {"srcc_over_no_pixel": np.nan, "srcc_over_no_pixel_ci95_low": np.nan},
        f"{LEAD}{GOOD_END}",
        "ok",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_each_case_has_its_sentence(case: str) -> None:
    changes, sentence, level = CASES[case]
    assert verdict.of({**GOOD, **changes}) == Verdict(sentence, level)


def test_a_run_that_was_not_measured_says_so() -> None:
    known = {name: GOOD[name] for name in ("simulated", "toy_networks", "videos_train", "generators")}
    assert verdict.of(known) == Verdict(
        f"{LEAD}, and not measured on test videos yet: do not use.", "do not use"
    )
    assert verdict.of({**known, "simulated": 1}).sentence == CASES["simulated ratings"][1]


def test_what_a_run_learned_from_is_counted(tmp_path: Path) -> None:
    folder = synthetic.project(tmp_path, videos=60) / "data" / synthetic.DATASET
    manifest, splits = tables.read_manifest(folder / "manifest.parquet"), tables.read_splits(
        folder / "splits.parquet"
    )  # fmt: skip
    training = ((splits["repeat"] == 0) & (splits["role"] == "train")).sum()
    expected = {"videos_train": training, "generators": 3, "simulated": 1, "toy_networks": 0}
    assert verdict.trained_on(manifest, splits, weights="weights", fetch={}) == expected
    fetch = {"clip": {"source": "shipped"}, "frame": {"source": "hub"}}
    found = verdict.trained_on(manifest, splits, weights="weights", fetch=fetch)
    assert found["toy_networks"] == 0.5
    real = manifest.assign(quality_true=np.nan, generator="")
    for weights, toys in (
        ("data/sample/weights", 1),
        ("/a/clone/data/sample/weights", 1),
        ("sample/data", 0),
    ):
        assert verdict.trained_on(real, splits, weights=weights, fetch={}) == {
            **expected, "generators": 0, "simulated": 0, "toy_networks": toys
        }  # fmt: skip
