"""Unlike the training videos: scipy's distance, shares that are p-values, what is too little to tell by."""

from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.distance import mahalanobis
from scipy.stats import kstest
from sklearn.covariance import LedoitWolf

from msavqa.evaluation import familiarity
from msavqa.evaluation.familiarity import (
    FAR,
    FEW,
    FOLDS,
    LEAST,
    Familiarity,
    fit,
    folds_of,
    sets_of,
)
from msavqa.ground.errors import MsavqaError


def made(count: int, *, seed: int, shift: float = 0.0) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    mixed = random.normal(shift, 1, (count, 6)) @ np.random.default_rng(99).normal(size=(6, 6))
    return {"clip": mixed[:, :4], "statistics": mixed[:, 4:]}


def fitted(count: int = 200, *, seed: int = 0) -> Familiarity:
    return fit(made(count, seed=seed), groups=np.arange(count), trunk=None)[0]


def test_the_distance_is_scipys_by_scikit_learns_covariance() -> None:
    """Of few rows the sum of two, CLIP's and the rest's."""
    known, asked = made(200, seed=0), made(5, seed=1)
    joined, wanted = (np.concatenate(list(sets.values()), axis=1) for sets in (known, asked))
    scale = joined.std(axis=0) * np.sqrt([4, 4, 4, 4, 2, 2])
    centre = joined.mean(axis=0)
    fit_ = LedoitWolf(assume_centered=True).fit((joined - centre) / scale)
    expected = [np.log(mahalanobis((row - centre) / scale, np.zeros(6), fit_.precision_)) for row in wanted]
    assert fitted().distance(asked) == pytest.approx(expected, rel=1e-5)
    few = fitted(FEW - 1)
    assert [block.sets for block in few.blocks] == [("clip",), ("statistics",)]
    apart = [block.log_distance(asked) for block in few.blocks]
    assert few.distance(asked) == pytest.approx(apart[0] + apart[1])


def test_shares_of_videos_like_those_of_training_are_p_values() -> None:
    """Uniform over fits; at any bound no more false alarms than it says, but for the few that chance adds."""
    shares = np.concatenate(
        [
            one.share(one.distance(made(40, seed=1000 + seed)))
            for seed, one in ((seed, fitted(seed=seed)) for seed in range(50))
        ]
    )
    assert np.mean(shares <= 0.01) <= 0.015
    assert np.mean(shares <= 0.05) == pytest.approx(0.05, abs=0.015)
    assert kstest(shares, "uniform").statistic < 0.05


@pytest.mark.parametrize("rows", [LEAST, 70, FEW - 1])
def test_of_few_training_videos_false_alarms_are_about_what_was_asked(rows: int) -> None:
    shares = np.concatenate(
        [
            one.share(one.distance(made(40, seed=1000 + seed)))
            for seed, one in ((seed, fitted(rows, seed=seed)) for seed in range(30))
        ]
    )
    assert np.mean(shares <= 0.01) <= 0.025
    assert np.mean(shares <= 0.05) == pytest.approx(0.05, abs=0.03)


def test_of_few_training_videos_a_heavy_tail_is_believed() -> None:
    """One video in eight is wilder than the others, as in real sets: one spread alone calls 5% unlike."""

    def wild(count: int, seed: int) -> dict[str, np.ndarray]:
        far = np.where(np.random.default_rng(seed).uniform(size=(count, 1)) < 1 / 8, 3.0, 1.0)
        return {name: columns * far for name, columns in made(count, seed=seed).items()}

    shares = []
    for seed in range(10):
        one = fit(wild(100, seed), groups=np.arange(100), trunk=None)[0]
        shares.append(one.share(one.distance(wild(100, 1000 + seed))))
    assert np.mean(np.concatenate(shares) <= 0.01) <= 0.025


def test_one_odd_video_among_few_does_not_hide_what_is_unlike() -> None:
    sets = made(70, seed=0)
    sets["clip"][3] += 1000
    found, own = fit(sets, groups=np.arange(70), trunk=None)
    away = found.distance(made(20, seed=5, shift=30.0))
    assert np.mean(away < own.max()) > 0.9
    assert np.mean(found.share(away) <= 0.01) > 0.9


def test_what_is_unlike_all_of_them_has_the_smallest_share_there_is() -> None:
    found = fitted()
    assert found.share(found.distance(made(20, seed=5, shift=30.0))) == pytest.approx(np.full(20, 1 / 201))
    assert found.share([-99.0]) == 1


@pytest.mark.parametrize(("rows", "bound"), [(60, 0.001), (250, 1 / 251), (1500, 0.001)])
def test_no_bound_is_below_what_counting_so_many_training_videos_can_tell(rows: int, bound: float) -> None:
    assert fitted(rows).bound(0.001) == pytest.approx(bound)


def test_a_training_videos_own_distance_is_from_a_fit_that_has_not_seen_its_prompt() -> None:
    sets, groups = made(240, seed=0), np.arange(240) // 3
    _, own = fit(sets, groups=groups, trunk=None)
    folds = folds_of(groups, folds=FOLDS)
    left = folds == folds[7]
    other, _ = fit({name: part[~left] for name, part in sets.items()}, groups=groups[~left], trunk=None)
    assert own[left] == pytest.approx(other.distance({name: part[left] for name, part in sets.items()}))
    assert all(len(set(folds[groups == one])) == 1 for one in groups)
    assert len(set(folds)) == FOLDS


@pytest.mark.parametrize(("rows", "known"), [(LEAST, True), (LEAST - 1, False), (0, False)])
def test_of_too_few_training_videos_nothing_is_said(rows: int, known: bool) -> None:
    found, own = fit(made(rows, seed=0), groups=np.arange(rows), trunk=None)
    share = found.share(found.distance(made(3, seed=1)))
    assert found.known is known
    assert np.isfinite(own).all() == (known or rows == 0)
    assert np.isnan(share).all() != known


def test_videos_of_one_prompt_alone_say_nothing_however_many() -> None:
    assert not fit(made(100, seed=0), groups=np.zeros(100), trunk=None)[0].known


@pytest.mark.parametrize("rows", [FEW, LEAST])
def test_a_trunk_that_is_cached_is_among_the_sets(rows: int) -> None:
    sets = {**made(rows, seed=0), "trunk": np.random.default_rng(1).normal(size=(rows, 44))}
    found, _ = fit(sets, groups=np.arange(rows), trunk="frame")
    assert found.trunk == "frame"
    assert found.blocks[-1].sets[-1] == "trunk"
    assert fitted(rows).trunk is None


def test_features_that_are_not_finite_are_as_far_as_can_be() -> None:
    asked = made(2, seed=1)
    asked["clip"][0, 0], asked["statistics"][1, 0] = np.nan, np.inf
    found = fitted()
    assert found.share(found.distance(asked)) == pytest.approx([1 / 201] * 2)
    assert np.isfinite(FAR)


def test_a_column_that_never_varies_does_not_break_the_fit() -> None:
    sets = made(100, seed=0)
    sets["clip"][:, 1] = 3.0
    found, own = fit(sets, groups=np.arange(100), trunk=None)
    assert np.isfinite(own).all()
    assert np.isfinite(found.distance(sets)).all()


def test_sets_are_means_over_frames_and_signed_roots() -> None:
    cls = np.arange(12, dtype=np.float16).reshape(2, 3, 2)
    found = sets_of(
        cls=cls,
        statistics={
            "temporal": np.array([[0.0], [25.0]]),
            "spatial": np.array([[4.0], [-9.0]]),
            "change": np.array([[16.0], [-81.0]]),
            "no_reference": np.array([[7.0], [7.0]]),
        },
        pooled=cls[:, None],
    )
    assert found["clip"].tolist() == [[2, 3], [8, 9]]
    assert found["statistics"] == pytest.approx(np.array([[2, 0, 2], [-3, 5, -3]]))
    assert found["trunk"].tolist() == [[2, 3], [8, 9]]


@pytest.mark.parametrize("rows", [200, 10])
def test_a_file_of_it_says_the_same(tmp_path: Path, rows: int) -> None:
    found, asked = fitted(rows), made(5, seed=1)
    familiarity.save(found, tmp_path / "first")
    read = familiarity.load(tmp_path / "first")
    familiarity.save(read, tmp_path / "second")
    assert (tmp_path / "first").read_bytes() == (tmp_path / "second").read_bytes()
    assert (read.rows, read.trunk, read.known) == (found.rows, found.trunk, found.known)
    assert np.array_equal(read.distance(asked), found.distance(asked), equal_nan=True)
    assert read.bound(0.01) == found.bound(0.01)


def test_another_file_is_refused_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "it").write_bytes(b"no safetensors")
    with pytest.raises(MsavqaError) as refused:
        familiarity.load(tmp_path / "it")
    assert str(refused.value).startswith(f"What the training videos were like in {tmp_path / 'it'}: got Safe")
    assert str(refused.value).endswith(
        ", expected what the stage `ensemble` writes; run `dvc repro`, or export the bundle again."
    )
