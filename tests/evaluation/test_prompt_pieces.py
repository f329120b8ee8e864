"""Pieces of a prompt as one vector: the formula by hand, its ends, and that branches use the same one."""

import numpy as np
import pytest
import torch

from msavqa.evaluation import prompt_pieces
from msavqa.learning import layers

RANDOM = np.random.default_rng(0)


def unit(*shape: int) -> np.ndarray:
    vectors = RANDOM.normal(size=shape)
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


PIECES, FRAMES = unit(3, 4, 8), unit(3, 5, 8)
COUNTS = np.array([4, 1, 2])
HELD = np.arange(4) < COUNTS[:, None]


def joined(sharpness: float, spread: float = 0.5) -> np.ndarray:
    return prompt_pieces.joined(
        pieces=PIECES * HELD[..., None], held=HELD, frames=FRAMES, sharpness=sharpness, spread=spread
    )


def test_weights_are_a_softmax_of_the_mean_cosine_per_spread() -> None:
    for video, count in enumerate(COUNTS):
        cosines = [np.mean([frame @ piece for frame in FRAMES[video]]) for piece in PIECES[video, :count]]
        weights = np.exp(np.array(cosines) * 2 / 0.5)
        by_hand = (weights / weights.sum()) @ PIECES[video, :count]
        np.testing.assert_allclose(joined(2.0)[video], by_hand, rtol=1e-12)


def test_without_sharpness_it_is_the_mean_and_with_much_the_piece_that_fits_best() -> None:
    best = prompt_pieces.cosines(pieces=PIECES, frames=FRAMES)[0].argmax()
    np.testing.assert_allclose(joined(0.0)[0], PIECES[0].mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(joined(1e6)[0], PIECES[0, best], rtol=1e-12)


def test_one_piece_is_given_back_to_the_bit() -> None:
    text = PIECES[:, :1].astype(np.float32)
    found = prompt_pieces.joined(
        pieces=text, held=np.ones((3, 1), bool), frames=FRAMES, sharpness=2.0, spread=0.1
    )
    assert found.tobytes() == text[:, 0].tobytes()


@pytest.mark.parametrize("sharpness", [0.0, 2.0, 40.0])
def test_branches_join_pieces_by_the_same_formula(sharpness: float) -> None:
    found = layers.joined(
        pieces=torch.from_numpy(PIECES[HELD]).float(),
        counts=torch.from_numpy(COUNTS),
        frames=torch.from_numpy(FRAMES).float(),
        sharpness=torch.tensor(sharpness / 0.5),
    )
    np.testing.assert_allclose(found.numpy(), joined(sharpness), rtol=0, atol=1e-6)


def test_the_spread_is_of_pieces_that_are_there_and_never_zero() -> None:
    everything = prompt_pieces.cosines(pieces=PIECES, frames=FRAMES)
    found = prompt_pieces.spread(pieces=PIECES, held=HELD, frames=FRAMES)
    assert found == pytest.approx(np.std([*everything[0], everything[1, 0], *everything[2, :2]]))
    one = np.zeros_like(HELD)
    one[0, 0] = True
    for held in (one, np.zeros_like(HELD)):
        assert prompt_pieces.spread(pieces=PIECES, held=held, frames=FRAMES) == 1.0
