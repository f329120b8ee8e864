"""The ensemble against Eqs. 8-9 by hand, and that nothing but training rows can reach it."""

import json

import numpy as np
import pandas as pd
import pytest

from msavqa.datasets import tables
from msavqa.evaluation import ensemble, metrics
from msavqa.evaluation.ensemble import Ensemble, EnsembleSettings
from msavqa.ground.errors import MsavqaError

BRANCHES = ["frame", "segment", "video"]


def settings(**changes: object) -> EnsembleSettings:
    data = {"branches": BRANCHES, "shrinkage": 0.0, "seed": 0}
    return EnsembleSettings.model_validate(data | changes)


def made_up(videos: int = 120, seed: int = 0) -> tuple[dict[str, np.ndarray], np.ndarray]:
    random = np.random.default_rng(seed)
    mos = random.uniform(0, 100, size=videos)
    noise = {"frame": 20.0, "segment": 30.0, "video": 200.0}
    return {branch: mos + sd * random.normal(size=videos) for branch, sd in noise.items()}, mos


def test_scores_equal_a_loop_of_equations_8_and_9() -> None:
    found = Ensemble(BRANCHES, mean=[50.0, 1.0, 0.0], sd=[10.0, 2.0, 0.5], fitted=[], weights=[0.5, 0.3, 0.2])
    scores = {"frame": [50.0, 70.0], "segment": [3.0, -1.0], "video": [0.5, 0.0]}
    expected = []
    for video in range(2):
        total = 0.0
        for branch, mean, sd, weight in zip(BRANCHES, found.mean, found.sd, found.weights, strict=True):
            z = (scores[branch][video] - mean) / sd
            total += weight / (1 + np.exp(-z))
        expected.append(total)
    assert found.combine(scores) == pytest.approx(expected)
    parts = found.contributions(scores)
    assert sum(parts.values()) == pytest.approx(expected)


def test_weights_are_not_negative_and_sum_to_one_and_prefer_the_better_branch() -> None:
    scores, mos = made_up()
    found = ensemble.fit(scores, mos=mos, settings=settings())
    assert min(found.weights) >= 0
    assert sum(found.weights) == pytest.approx(1.0)
    assert found.weights == found.fitted
    assert found.weights[0] > found.weights[1] > found.weights[2]


def test_no_weights_of_a_grid_are_better_than_the_fitted_ones() -> None:
    scores, mos = made_up()
    found = ensemble.fit(scores, mos=mos, settings=settings())
    reached = metrics.average_score(score=found.combine(scores), mos=mos)
    best = 0.0
    for first in np.linspace(0, 1, 21):
        for second in np.linspace(0, 1 - first, 21):
            other = Ensemble(BRANCHES, found.mean, found.sd, [], [first, second, 1 - first - second])
            best = max(best, metrics.average_score(score=other.combine(scores), mos=mos))
    assert reached >= best - 1e-3


def test_shrinkage_moves_the_weights_to_a_plain_mean() -> None:
    scores, mos = made_up()
    fitted = np.array(ensemble.fit(scores, mos=mos, settings=settings()).weights)
    half = ensemble.fit(scores, mos=mos, settings=settings(shrinkage=0.5))
    assert half.weights == pytest.approx(0.5 * fitted + 0.5 / 3)
    assert ensemble.fit(scores, mos=mos, settings=settings(shrinkage=1.0)).weights == pytest.approx(
        [1 / 3] * 3
    )


def test_a_videos_score_does_not_depend_on_its_neighbours() -> None:
    scores, mos = made_up()
    found = ensemble.fit(scores, mos=mos, settings=settings())
    alone = found.combine({branch: column[:1] for branch, column in scores.items()})
    assert alone[0] == pytest.approx(found.combine(scores)[0], abs=1e-12)


def test_scale_and_shift_of_a_branch_do_not_matter() -> None:
    scores, mos = made_up()
    other = scores | {"segment": 0.01 * scores["segment"] - 4}
    first, second = (ensemble.fit(one, mos=mos, settings=settings()) for one in (scores, other))
    assert first.combine(scores) == pytest.approx(second.combine(other), abs=1e-9)


def test_plain_data_gives_the_same_ensemble_back() -> None:
    scores, mos = made_up()
    found = ensemble.fit(scores, mos=mos, settings=settings())
    assert Ensemble(**json.loads(json.dumps(found.to_dict()))) == found


@pytest.fixture
def run() -> tuple[dict[str, pd.DataFrame], pd.DataFrame, pd.DataFrame]:
    """Predictions of three branches, the manifest and the splits of two repeats."""
    scores, mos = made_up()
    ids = [f"{number}.mp4" for number in range(len(mos))]
    manifest = pd.DataFrame({"video_id": ids, "mos": mos, "weight": 1.0})
    splits, rows = [], {branch: [] for branch in BRANCHES}
    for repeat in range(2):
        for number, video in enumerate(ids):
            role = ("train", "train", "train", "val", "test")[(number + repeat) % 5]
            splits.append((repeat, video, role, number % 2 if role == "train" else -1))
            for branch in BRANCHES:
                predicted = "oof" if role == "train" else role
                rows[branch].append((repeat, video, predicted, scores[branch][number]))
    columns = ["repeat", "video_id", "role", "score"]
    predictions = {branch: pd.DataFrame(table, columns=columns) for branch, table in rows.items()}
    return predictions, manifest, pd.DataFrame(splits, columns=["repeat", "video_id", "role", "fold"])


Run = tuple[dict[str, pd.DataFrame], pd.DataFrame, pd.DataFrame]


def joined(run: Run, **changes: object) -> tuple[Ensemble, pd.DataFrame]:
    predictions, manifest, splits = run
    known = tables.learning_labels(manifest, splits, repeat=1)
    return ensemble.join(predictions, known, settings=settings(**changes), repeat=1)


@pytest.mark.parametrize("role", ["test", "val"])
def test_permuted_labels_of_rows_that_were_not_trained_on_change_nothing(run: Run, role: str) -> None:
    predictions, manifest, splits = run
    rows = splits[(splits["repeat"] == 1) & (splits["role"] == role)]
    hidden = manifest["video_id"].isin(set(rows["video_id"]))
    other = manifest.copy()
    other.loc[hidden, "mos"] = np.random.default_rng(0).permutation(other.loc[hidden, "mos"])
    assert not other["mos"].equals(manifest["mos"])
    first, scores = joined(run)
    second, other_scores = joined((predictions, other, splits))
    assert first == second
    assert scores.equals(other_scores)


def test_labels_of_training_rows_do_change_the_weights(run: Run) -> None:
    predictions, manifest, splits = run
    other = manifest.assign(mos=manifest["mos"].to_numpy()[::-1])
    assert joined(run)[0] != joined((predictions, other, splits))[0]


def test_every_row_of_the_repeat_is_scored_with_its_own_role(run: Run) -> None:
    _, scores = joined(run)
    assert len(scores) == 120
    assert set(scores["repeat"]) == {1}
    assert scores["role"].value_counts().to_dict() == {"oof": 72, "val": 24, "test": 24}
    assert scores["score"].between(0, 1).all()


def test_a_video_that_one_branch_could_not_score_is_left_out(run: Run) -> None:
    predictions, manifest, splits = run
    predictions = predictions | {"video": predictions["video"][predictions["video"]["video_id"] != "7.mp4"]}
    _, scores = joined((predictions, manifest, splits))
    assert set(manifest["video_id"]) - set(scores["video_id"]) == {"7.mp4"}


def test_all_joins_every_branch_there_is_whatever_its_name(run: Run) -> None:
    predictions, manifest, splits = run
    renamed = {"sound": predictions["frame"], "a b": predictions["video"]}
    found, scores = joined((renamed, manifest, splits), branches="all")
    assert found.branches == ["sound", "a b"]
    again, same = joined(run, branches=["frame", "video"])
    assert found.weights == again.weights
    assert scores.equals(same)


def test_one_branch_alone_has_weight_one(run: Run) -> None:
    assert joined(run, branches=["segment"])[0].weights == [1.0]


def test_a_branch_without_predictions_is_refused(run: Run) -> None:
    with pytest.raises(MsavqaError) as caught:
        joined(run, branches=["frame", "sound"])
    assert str(caught.value) == (
        "Branches in ensemble.branches: got sound, of which there are no predictions, expected some of "
        "frame, segment, video; train these branches, or name others in ensemble.branches."
    )


def test_a_branch_that_says_the_same_of_every_video_is_refused(run: Run) -> None:
    predictions, manifest, splits = run
    predictions = predictions | {"frame": predictions["frame"].assign(score=1.0)}
    with pytest.raises(MsavqaError) as caught:
        joined((predictions, manifest, splits))
    assert str(caught.value) == (
        "Scores in the out-of-fold rows of branch 'frame': got one value for all videos, expected scores "
        "that vary; train the branch for more epochs, or leave it out of ensemble.branches."
    )


def _scores(branch_scores: dict[str, float], role: str) -> pd.DataFrame:
    return pd.DataFrame(
        [(0, video, role, score) for video, score in branch_scores.items()],
        columns=["repeat", "video_id", "role", "score"],
    )


def test_shuffled_prompts_are_joined_by_the_fitted_ensemble_beside_branches_that_read_none() -> None:
    fitted = Ensemble(["frame", "video"], mean=[0.0, 0.0], sd=[1.0, 1.0], fitted=[], weights=[0.75, 0.25])
    own = {
        branch: pd.concat([_scores({"a": 9.0}, "oof"), _scores({"b": 1.0, "c": -1.0}, "test")])
        for branch in fitted.branches
    }
    others = {"frame": _scores({"b": -2.0, "c": 2.0}, "test"), "video": own["video"].head(0)}
    found = ensemble.with_other_prompts(fitted, own, others, repeat=0)
    expected = fitted.combine({"frame": [-2.0, 2.0], "video": [1.0, -1.0]})
    assert found["video_id"].tolist() == ["b", "c"]
    assert found["score"].tolist() == expected.tolist()
    assert set(found["control"]) == {"shuffled_prompts"}
    none = {branch: own[branch].head(0) for branch in fitted.branches}
    assert ensemble.with_other_prompts(fitted, own, none, repeat=0).empty
    assert ensemble.with_other_prompts(fitted, own, others, repeat=1).empty


def test_trivial_videos_are_joined_by_the_fitted_ensemble_where_every_branch_has_scored_them() -> None:
    fitted = Ensemble(["frame", "video"], mean=[0.0, 0.0], sd=[1.0, 1.0], fitted=[], weights=[0.75, 0.25])

    def of(kind: str, scores: dict[str, float], repeat: int = 0) -> pd.DataFrame:
        return _scores(scores, "test").assign(kind=kind, learned=int(kind == "still"), repeat=repeat)

    scores = {
        "frame": pd.concat(
            [of("still", {"a": 1.0, "b": 2.0}), of("black", {"a": 3.0}), of("black", {"b": 9.0}, 1)]
        ),
        "video": pd.concat([of("black", {"a": -1.0}), of("still", {"b": 0.5})]),
    }
    found = ensemble.of_copies(fitted, scores, repeat=0).set_index(["kind", "video_id"])
    assert set(found.index) == {("still", "b"), ("black", "a")}
    expected = fitted.combine({"frame": [2.0, 3.0], "video": [0.5, -1.0]})
    assert found.loc[("still", "b"), "score"] == expected[0]
    assert found.loc[("black", "a"), "score"] == expected[1]
    assert found["learned"].to_dict() == {("still", "b"): 1, ("black", "a"): 0}
