"""The error per generator: by hand, against a simulation of its model, and where nothing can be told."""

import math

import numpy as np
import pytest

from msavqa.evaluation import generator_error
from msavqa.evaluation.generator_error import GeneratorError


def test_a_deviation_and_its_standard_error_by_hand() -> None:
    found = generator_error.deviations(
        score=[3.0, 5.0, 4.0, 9.0],
        mos=[2.0, 2.0, 2.0, 9.0],
        generator=["A", "A", "A", "B"],
        prompt=["x", "x", "y", "x"],
    )
    # A: residuals 1, 3 of x and 2 of y around 2; sums by prompt 0 and 0.
    assert found["A"] == (2.0, 0.0)
    assert found["B"][0] == 0.0
    assert math.isnan(found["B"][1])
    other = generator_error.deviations(
        score=[1.0, 2.0, 4.0], mos=[0.0, 0.0, 0.0], generator=["A"] * 3, prompt=["x", "y", "z"]
    )
    # One video a prompt: the usual standard error of a mean.
    assert other["A"] == (pytest.approx(7 / 3), pytest.approx(np.std([1, 2, 4], ddof=1) / math.sqrt(3)))


def test_what_the_choice_of_videos_adds_is_taken_off() -> None:
    deviations = {"A": (3.0, 1.0), "B": (-4.0, 2.0), "one prompt": (50.0, math.nan)}
    found = generator_error.of(deviations, unseen=True)
    assert found is not None
    assert (found.generators, found.unseen) == (2, True)
    assert found.value == pytest.approx(math.sqrt((9 - 1 + 16 - 4) / 2))
    assert generator_error.of({"A": (1.0, 2.0), "B": (1.0, 2.0)}, unseen=False) == GeneratorError(
        0.0, 2, False
    )
    assert generator_error.of({"A": (1.0, 0.1)}, unseen=False) is None


def test_it_finds_the_deviation_that_scores_were_made_with() -> None:
    random, found = np.random.default_rng(0), []
    generator = np.repeat(np.arange(8), 60)
    prompt = np.tile(np.repeat(np.arange(20), 3), 8)
    for _ in range(200):
        own, of_prompt = random.normal(0, 4, 8), random.normal(0, 6, (8, 20))
        residual = own[generator] + of_prompt[generator, prompt] + random.normal(0, 8, len(generator))
        names = np.array([f"g{number}" for number in generator])
        prompts = np.array([f"p{number}" for number in prompt])
        deviations = generator_error.deviations(
            score=residual, mos=np.zeros(len(residual)), generator=names, prompt=prompts
        )
        error = generator_error.of(deviations, unseen=True)
        assert error is not None
        found.append(error.value**2)
    # Prompts alone would add 6**2 / 20 = 1.8, videos 8**2 / 60 = 1.1.
    assert np.mean(found) == pytest.approx(16, abs=1.5)


def test_few_generators_are_taken_with_care() -> None:
    # Student's t of 4 degrees over the normal quantile: 2.776 / 1.960.
    assert GeneratorError(2.0, 4, True).careful() == pytest.approx(2 * 2.7764 / 1.95996, rel=1e-4)
    assert GeneratorError(2.0, 10_000, True).careful() == pytest.approx(2.0, rel=1e-3)


def test_what_metrics_say_is_found_again() -> None:
    named = {"generator_error_unseen": 3.5, "generator_error_generators": 5}
    assert generator_error.known(named) == GeneratorError(3.5, 5, True)
    assert generator_error.known({"generator_error_seen": 3.5, "generator_error_generators": 5}) == (
        GeneratorError(3.5, 5, False)
    )
    assert generator_error.known({"srcc": 0.8}) is None
