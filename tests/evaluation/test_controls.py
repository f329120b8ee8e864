"""The controls: what needs no pixel, and what needs no training."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from msavqa.datasets import splits
from msavqa.datasets.splits import SplitSettings
from msavqa.evaluation import controls, metrics
from msavqa.evaluation.controls import SCALARS, ControlSettings

SETTINGS = ControlSettings(
    text="clip_text", image="clip_image", trees=50, min_leaf=2, features=0.5, seed=0, shrinkage=0.0
)


def test_no_pixel_adds_what_prompt_and_generator_deviate_by() -> None:
    learned = pd.DataFrame(
        {"prompt": ["a", "a", "b", "b"], "generator": ["x", "y", "x", "y"], "mos": [10.0, 20.0, 40.0, 50.0]}
    )
    asked = pd.DataFrame({"prompt": ["a", "b", "new", "a"], "generator": ["x", "new", "y", ""]})
    found = controls.no_pixel(learned, asked, shrinkage=0.0)
    assert found == pytest.approx([30 - 15 - 5, 30 + 15, 30 + 5, 30 - 15])


def test_shrinkage_mixes_small_groups_with_the_overall_mean() -> None:
    learned = pd.DataFrame({"prompt": ["a", "b"], "generator": ["", ""], "mos": [10.0, 30.0]})
    asked = pd.DataFrame({"prompt": ["a", "b"], "generator": ["", ""]})
    assert controls.no_pixel(learned, asked, shrinkage=1.0) == pytest.approx([15.0, 25.0])


def test_an_empty_generator_is_unknown_and_not_a_group() -> None:
    learned = pd.DataFrame({"prompt": ["", ""], "generator": ["", ""], "mos": [10.0, 30.0]})
    asked = pd.DataFrame({"prompt": ["", "z"], "generator": ["", ""]})
    assert controls.no_pixel(learned, asked, shrinkage=0.0) == pytest.approx([20.0, 20.0])


@pytest.mark.parametrize("validation", [0.0, 0.1])
@pytest.mark.parametrize(
    ("protocol", "expected", "tolerance"), [("random_9_1", 0.696, 0.02), ("prompt_disjoint", 0.518, 0.03)]
)
def test_no_pixel_reaches_its_known_figure_on_the_real_labels(
    shared_data: Path, protocol: str, expected: float, tolerance: float, validation: float
) -> None:
    manifest = read_t2vqa_db(shared_data / "t2vqa-db")
    settings = SplitSettings(
        protocol=protocol, seeds=list(range(10)), test_fraction=0.1, validation_fraction=validation, folds=2
    )
    table = splits.split(manifest, settings)
    found = []
    for repeat in range(10):
        rows = manifest.merge(table[table["repeat"] == repeat], on="video_id")
        learned, asked = rows[rows["role"] == "train"], rows[rows["role"] == "test"]
        score = controls.no_pixel(learned, asked, shrinkage=0.0)
        found.append(metrics.srcc(score=score, mos=asked["mos"]))
    assert np.mean(found) == pytest.approx(expected, abs=tolerance)


def read_t2vqa_db(folder: Path) -> pd.DataFrame:
    """The columns that splitting and the control read, of the label file itself."""
    lines = (folder / "info.txt").read_text(encoding="utf-8").splitlines()
    parts = [
        (line.split("|")[0], "|".join(line.split("|")[1:-1]), float(line.split("|")[-1])) for line in lines
    ]
    table = pd.DataFrame(parts, columns=["video_id", "prompt", "mos"])
    table["generator"] = table["video_id"].str.extract(r"_(\d+)\.mp4$")[0]
    assert len(table) == 10_000
    return table.assign(group="", given_split="", status="ok")


def unit(values: np.ndarray) -> np.ndarray:
    return values / np.linalg.norm(values, axis=-1, keepdims=True)


def test_clipsim_is_the_mean_cosine_of_prompt_and_frames() -> None:
    random = np.random.default_rng(0)
    text, frames = unit(random.normal(size=(3, 8))), unit(random.normal(size=(3, 5, 8)))
    expected = [np.mean([frames[v, f] @ text[v] for f in range(5)]) for v in range(3)]
    assert controls.clipsim(text=text, frames=frames) == pytest.approx(expected)


def test_scalars_see_a_change_of_content_and_nothing_in_a_still() -> None:
    random = np.random.default_rng(0)
    one, other = unit(random.normal(size=(2, 8)))
    still = np.repeat(one[None], 8, axis=0)
    changed = np.concatenate([still[:4], np.repeat(other[None], 4, axis=0)])
    found = controls.clip_scalars(text=np.stack([one, one]), frames=np.stack([still, changed]))
    values = [dict(zip(SCALARS, row, strict=True)) for row in found]
    assert values[0]["clipsim_mean"] == pytest.approx(1.0)
    for name in ("clipsim_sd", "clipsim_drop", "frames_step_mean", "frames_step_max", "frames_drift"):
        assert values[0][name] == pytest.approx(0.0, abs=1e-12)
    distance = np.linalg.norm(one - other)
    assert values[1]["frames_step_max"] == pytest.approx(distance)
    assert values[1]["frames_step_mean"] == pytest.approx(distance / 7)
    assert values[1]["frames_drift"] == pytest.approx(distance)
    assert values[1]["clipsim_drop"] == pytest.approx(one @ other - 1)
    assert values[1]["clipsim_min"] == pytest.approx(one @ other)


def test_a_video_of_one_frame_has_no_steps() -> None:
    found = controls.clip_scalars(text=np.eye(8)[:1], frames=np.eye(8)[None, :1])
    assert found[0].tolist() == pytest.approx([1, 1, 1, 0, 0, 0, 0, 0])


def test_trees_learn_and_are_the_same_for_the_same_seed() -> None:
    random = np.random.default_rng(0)
    features = random.normal(size=(200, 4))
    mos = features[:, 0] ** 2 + features[:, 1]
    first, second = (
        controls.trees(features[:150], mos[:150], features[150:], settings=SETTINGS) for _ in range(2)
    )
    assert np.array_equal(first, second)
    assert metrics.srcc(score=first, mos=mos[150:]) > 0.7


def test_a_controls_scores_are_made_as_a_branchs_are() -> None:
    known = pd.DataFrame(
        {
            "video_id": list("abcdef"),
            "role": ["train"] * 4 + ["val"] * 2,
            "fold": [0, 1, 0, 1, -1, -1],
            "mos": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0],
        }
    )
    tested = pd.DataFrame({"video_id": ["t"], "role": ["test"]})
    seen = []

    def predict(learned: pd.DataFrame, asked: pd.DataFrame) -> np.ndarray:
        seen.append(("".join(learned["video_id"]), "".join(asked["video_id"])))
        return np.full(len(asked), float(learned["mos"].mean()))

    found = controls.predictions(known, tested, repeat=3, control="mean", predict=predict)
    assert seen == [("abcd", "eft"), ("bd", "ac"), ("ac", "bd")]
    assert found.set_index("video_id")["score"].to_dict() == {
        "a": 3.0, "b": 2.0, "c": 3.0, "d": 2.0, "e": 2.5, "f": 2.5, "t": 2.5,
    }  # fmt: skip
    assert found.groupby("role")["video_id"].sum().to_dict() == {"oof": "acbd", "test": "t", "val": "ef"}
    assert list(found.columns) == ["repeat", "video_id", "role", "score", "control"]
