"""The sample world's truth: every cause lowers quality, and raters see it through their own noise."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.sample.film import plan
from data.sample.grammar import draw_scene, misalignment
from data.sample.quality import CAUSES, WEIGHT, Causes, noise_ceiling, quality, rate

STRENGTHS = st.floats(0, 1)
ANY_CAUSES = st.builds(Causes, **{name: STRENGTHS for name in CAUSES})


def test_a_video_without_fault_is_worth_a_hundred() -> None:
    assert quality(Causes()) == 100


def test_one_cause_alone_takes_its_weight() -> None:
    for name in CAUSES:
        assert quality(Causes(**{name: 1.0})) == pytest.approx(100 * (1 - WEIGHT[name]))


@given(causes=ANY_CAUSES, name=st.sampled_from(CAUSES), more=st.floats(0.01, 1))
def test_quality_falls_with_every_cause_whatever_the_others_are(
    causes: Causes, name: str, more: float
) -> None:
    strength = min(1.0, getattr(causes, name) + more)
    if strength > getattr(causes, name) + 1e-9:
        assert quality(replace(causes, **{name: strength})) < quality(causes)
    assert 0 < quality(causes) <= 100


def test_a_blurred_a_mutated_and_a_misaligned_copy_are_worth_less() -> None:
    rng = np.random.default_rng(0)
    for recording in plan("t2v", 30, seed=5):
        causes = recording.take.causes
        blurred = replace(causes, blur=min(1.0, causes.blur + 0.3))
        assert quality(blurred) < quality(causes) or causes.blur == 1
        if causes.mutation == 0:
            assert quality(replace(causes, mutation=0.65)) < quality(causes)
        another = misalignment(draw_scene(rng), recording.take.shown)
        if another > causes.misalignment:
            assert quality(replace(causes, misalignment=another)) < quality(causes)


def test_ratings_lie_within_the_scale_and_their_mean_follows_the_truth() -> None:
    truth = np.random.default_rng(0).uniform(5, 95, 600)
    opinions = rate(truth, rng=np.random.default_rng(1))
    assert opinions.mos.min() >= 0
    assert opinions.mos.max() <= 100
    middle = (truth > 35) & (truth < 65)  # away from the ends of the scale, where ratings are clipped
    assert abs(float(np.mean(opinions.mos[middle] - truth[middle]))) < 3
    spread = float(np.std(opinions.mos[middle] - truth[middle]))
    assert spread == pytest.approx(float(opinions.standard_error[middle].mean()), rel=0.25)


def test_the_noise_ceiling_of_the_world_is_near_097() -> None:
    truth = np.array([quality(recording.take.causes) for recording in plan("t2v", 100, seed=2501)])
    ceiling = noise_ceiling(rate(truth, rng=np.random.default_rng(0)).mos, truth)
    assert 0.96 < ceiling < 0.985


def test_the_noise_ceiling_falls_when_truth_is_forgotten() -> None:
    truth = np.linspace(0, 100, 200)
    shuffled = np.random.default_rng(0).permutation(truth)
    assert noise_ceiling(truth, truth) == 1
    assert abs(noise_ceiling(shuffled, truth)) < 0.3
