"""The sample world's language: what a prompt says can be read back, and what is wrong can be counted."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from data.sample import grammar
from data.sample.grammar import Scene, Thing

RED_BALL = Thing("red", "circle", "left")
BLUE_STAR = Thing("blue", "star", "still")
ONE = Scene((RED_BALL,), "brick wall")
TWO = Scene((RED_BALL, BLUE_STAR), "night sky")


@pytest.mark.parametrize("wording", range(len(grammar.WORDINGS)))
def test_every_wording_reads_back_as_the_scene_that_it_says(wording: int) -> None:
    rng = np.random.default_rng(0)
    for _ in range(100):
        scene = grammar.draw_scene(rng)
        assert grammar.parse(grammar.prompt_of(scene, wording=wording)) == scene


def test_a_prompt_reads_as_a_person_would_say_it() -> None:
    assert grammar.prompt_of(ONE, wording=0) == "a red circle moves left in front of a brick wall"
    orange = Scene((Thing("orange", "ring", "grow"),), "calm sea")
    assert grammar.prompt_of(orange, wording=3) == "a calm sea with an orange ring growing bigger"


def test_other_sentences_are_refused() -> None:
    with pytest.raises(ValueError, match="not a sentence of the sample world's grammar: 'a red dog'"):
        grammar.parse("a red dog")


def test_two_things_of_a_scene_differ_in_colour_and_in_shape() -> None:
    rng = np.random.default_rng(1)
    scenes = [grammar.draw_scene(rng) for _ in range(300)]
    pairs = [scene.things for scene in scenes if len(scene.things) == 2]
    assert 0.3 < len(pairs) / len(scenes) < 0.5
    assert all(a.colour != b.colour and a.shape != b.shape for a, b in pairs)


def test_misalignment_counts_each_wrong_attribute_by_its_weight() -> None:
    assert grammar.misalignment(ONE, ONE) == 0
    for place in grammar.attributes_of(TWO):
        other = next(v for v in grammar.VALUES[place[1]] if v != grammar.value_at(TWO, place))
        wrong = grammar.with_value(TWO, place, other)
        expected = grammar.ATTRIBUTE_WEIGHT[place[1]] / grammar.MOST_ATTRIBUTES_WRONG
        assert grammar.misalignment(TWO, wrong) == pytest.approx(expected), place


def test_misalignment_does_not_depend_on_the_order_in_which_things_are_named() -> None:
    assert grammar.misalignment(TWO, replace(TWO, things=(BLUE_STAR, RED_BALL))) == 0


def test_a_missing_thing_counts_as_all_its_attributes() -> None:
    alone = replace(TWO, things=(BLUE_STAR,))
    assert grammar.misalignment(TWO, alone) == pytest.approx(2.5 / 3)
    assert grammar.misalignment(alone, TWO) == pytest.approx(2.5 / 3)


@pytest.mark.parametrize(("scene", "wrong"), list(product((ONE, TWO), range(4))))
def test_a_misreading_differs_from_the_prompt_in_as_many_attributes_as_it_says(
    scene: Scene, wrong: int
) -> None:
    rng = np.random.default_rng(wrong)
    for _ in range(30):
        shown = grammar.draw_misreading(scene, wrong=wrong, rng=rng)
        places = grammar.attributes_of(scene)
        assert sum(grammar.value_at(shown, p) != grammar.value_at(scene, p) for p in places) == wrong
        assert (grammar.misalignment(scene, shown) > 0) == (wrong > 0)
