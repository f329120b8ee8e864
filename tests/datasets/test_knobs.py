"""Every knob of `index` and `split`, and what it moves: a knob that is read by nobody fails here."""

import os
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from msavqa.datasets import manifest
from msavqa.datasets.manifest import IndexSettings
from msavqa.datasets.rows import Row
from msavqa.datasets.splits import SplitSettings, split
from tests.datasets.test_manifest import write_video

TABLE = pd.DataFrame(
    {
        "video_id": [f"{n}.mp4" for n in range(240)],
        "prompt": [f"prompt {n // 4}" for n in range(240)],
        "mos": np.arange(240.0),
        "group": "",
        "given_split": ["train"] * 200 + ["test"] * 40,
        "status": "ok",
    }
)
SPLIT = {"seeds": [0], "test_fraction": 0.25, "validation_fraction": 0.2, "folds": 2}


def seen(protocol: str, **changes: object) -> dict[str, object]:
    """What can be seen of a split: repeats, and of the first who is tested, validated, and in which fold."""
    found = split(TABLE, SplitSettings.model_validate({"protocol": protocol, **SPLIT, **changes}))
    first = found[found["repeat"] == 0].set_index("video_id")
    return {
        "repeats": found["repeat"].nunique(),
        "tested": frozenset(first.index[first["role"] == "test"]),
        "validated": frozenset(first.index[first["role"] == "val"]),
        "dealt": tuple(first.loc[first["role"] == "train", "fold"]),
    }


SPLIT_KNOBS: list[tuple[str, str, object, set[str]]] = [
    # protocol, knob, its other value, what it moves; all else stays to the row
    ("prompt_disjoint", "protocol", "random_9_1", {"tested", "validated", "dealt"}),
    ("prompt_disjoint", "seeds", [1], {"tested", "validated", "dealt"}),
    ("prompt_disjoint", "seeds", [0, 1], {"repeats"}),
    ("prompt_disjoint", "test_fraction", 0.4, {"tested", "validated", "dealt"}),
    ("prompt_disjoint", "validation_fraction", 0.4, {"validated", "dealt"}),
    ("prompt_disjoint", "folds", 3, {"dealt"}),
    ("random_9_1", "seeds", [1], {"tested", "validated", "dealt"}),
    ("random_9_1", "test_fraction", 0.4, set()),
    ("random_9_1", "validation_fraction", 0.4, {"validated", "dealt"}),
    ("random_9_1", "folds", 3, {"dealt"}),
    ("qmme_8_2", "seeds", [1], {"tested", "validated", "dealt"}),
    ("qmme_8_2", "test_fraction", 0.4, set()),
    ("qmme_8_2", "validation_fraction", 0.4, {"validated", "dealt"}),
    ("qmme_8_2", "folds", 3, {"dealt"}),
    ("given", "seeds", [1], {"validated", "dealt"}),
    ("given", "test_fraction", 0.4, set()),
    ("given", "validation_fraction", 0.4, {"validated", "dealt"}),
    ("given", "folds", 3, {"dealt"}),
]


@pytest.mark.parametrize(("protocol", "knob", "value", "moves"), SPLIT_KNOBS)
def test_each_knob_of_split_moves_what_it_says_and_nothing_else(
    protocol: str, knob: str, value: object, moves: set[str]
) -> None:
    before, after = seen(protocol), seen(**{"protocol": protocol, knob: value})  # type: ignore[arg-type]
    assert {what for what in before if before[what] != after[what]} == moves


@pytest.mark.parametrize("protocol", ["prompt_disjoint", "random_9_1", "qmme_8_2", "given"])
def test_fractions_and_folds_are_what_was_asked(protocol: str) -> None:
    for fraction, folds in ((0.0, 2), (0.1, 5), (0.5, 3)):
        found = seen(protocol, validation_fraction=fraction, folds=folds)
        learning = len(TABLE) - len(found["tested"])  # type: ignore[arg-type]
        assert len(found["validated"]) == pytest.approx(fraction * learning, abs=2)  # type: ignore[arg-type]
        assert set(found["dealt"]) == set(range(folds))  # type: ignore[call-overload]
    assert len(seen("prompt_disjoint", test_fraction=0.1)["tested"]) == 24  # type: ignore[arg-type]


@pytest.mark.parametrize("protocol", ["prompt_disjoint", "random_9_1", "qmme_8_2", "given"])
def test_validation_rows_come_out_of_training_and_leak_into_no_fold(protocol: str) -> None:
    asked = SplitSettings.model_validate({"protocol": protocol, **SPLIT, "seeds": [0, 1, 2]})
    none = split(TABLE, asked.model_copy(update={"validation_fraction": 0.0}))
    some = split(TABLE, asked).merge(TABLE[["video_id", "prompt"]])
    for repeat in range(3):
        with_none, rows = (table[table["repeat"] == repeat] for table in (none, some))
        roles = {role: set(rows.loc[rows["role"] == role, "video_id"]) for role in ("train", "val", "test")}
        assert roles["val"]
        assert roles["train"] | roles["val"] == set(with_none.loc[with_none["role"] == "train", "video_id"])
        assert roles["test"] == set(with_none.loc[with_none["role"] == "test", "video_id"])
        assert set(rows.loc[rows["role"] == "val", "fold"]) == {-1}
        assert (rows.loc[rows["role"] == "train", "fold"] >= 0).all()
        if protocol in ("prompt_disjoint", "given"):  # the given one parts prompts here
            assert rows.groupby("prompt")["role"].nunique().eq(1).all()


def slow(path: Path) -> dict[str, object] | str:
    """Takes a while, for the first file three seconds; says which process it was, in place of the error."""
    time.sleep(3 if path.name == "0.mp4" else 0.3)
    return {**manifest.describe(path), "error": str(os.getpid())}


def indexed(folder: Path, **changes: object) -> tuple[int, list[str]]:
    """Processes that read a video, and the states of the videos."""
    settings = IndexSettings.model_validate({"workers": 1, "timeout_seconds": 60.0} | changes)
    rows = [Row(where=f"line {n}", video_id=f"{n}.mp4") for n in range(4)]
    table = manifest.build(rows, root=folder, settings=settings, description="index")
    return table.loc[table["status"] == "ok", "error"].nunique(), table["status"].tolist()


@pytest.mark.parametrize(
    ("knob", "value", "processes", "states"),
    [
        ("workers", 1, 1, ["ok"] * 4),
        ("workers", 3, 3, ["ok"] * 4),
        ("timeout_seconds", 1.5, 1, ["unreadable", "ok", "ok", "ok"]),
    ],
)
def test_each_knob_of_index_moves_what_it_says(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    knob: str,
    value: object,
    processes: int,
    states: list[str],
) -> None:
    for n in range(4):
        write_video(tmp_path / f"{n}.mp4")
    monkeypatch.setattr("msavqa.datasets.manifest.describe", slow)
    found = indexed(tmp_path, **{knob: value})
    assert found == (processes, states)


def test_no_knob_is_left_out() -> None:
    assert {knob for _, knob, _, _ in SPLIT_KNOBS} == set(SplitSettings.model_fields)
    assert {"workers", "timeout_seconds"} == set(IndexSettings.model_fields)
