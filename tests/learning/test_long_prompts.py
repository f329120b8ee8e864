"""Prompts in pieces on their way into batches and models: ragged rows, wherever they wait."""

from pathlib import Path

import numpy as np
import pytest
import torch

from msavqa.learning import examine, inputs
from msavqa.learning.inputs import Inputs, Resident
from msavqa.store.format import prompt_id
from tests import feature_world

ROWS = [("short", 1, 1), ("long", 1, 3), ("long", 2, 3), ("long", 3, 3), ("other", 1, 2), ("other", 2, 2)]
PROMPTS = ["long", "short", "other", "long"]
LENGTH = np.array([3, 5, 4, 2, 6, 3], dtype=np.int32)


@pytest.fixture
def features(tmp_path: Path) -> Path:
    ids = [prompt_id(prompt) + ("" if number == 1 else f"/{number}") for prompt, number, _ in ROWS]
    tokens = np.arange(6 * 8 * 2, dtype=np.float16).reshape(6, 8, 2)
    feature_world.write_store(
        tmp_path / "clip_text.zarr", ids, fingerprint={"pieces": {"most": 4, "sharpness": 2.5}},
        extras=[{"piece": number, "pieces": count} for _, number, count in ROWS],
        tokens=("prompt token width", tokens), length=("prompt", LENGTH),
    )  # fmt: skip
    cls = np.zeros((4, 2, 3), np.float32)
    feature_world.write_store(tmp_path / "clip_image.zarr", list("abcd"), cls=("video frame dim", cls))
    feature_world.write_store(tmp_path / "frame.zarr", list("abcd"), pooled=("video frame width", cls))
    return tmp_path


def opened(features: Path, prompts: list[str] = PROMPTS) -> Inputs:
    return inputs.open_inputs(
        {
            "features": ("frame", "pooled"),
            "frames_cls": ("clip_image", "cls"),
            "text_tokens": ("clip_text", "tokens"),
            "text_length": ("clip_text", "length"),
        },
        features=features, ids=list("abcd"), prompts=prompts, device=torch.device("cpu"),
    )  # fmt: skip


@pytest.mark.parametrize("resident", ["stream", "ram"])
def test_a_batch_holds_each_videos_pieces_one_after_another(features: Path, resident: Resident) -> None:
    found = inputs.loaded(opened(features), resident=resident, processes=1)
    batch = found.batch(np.array([2, 1, 0]))
    assert batch["text_pieces"].tolist() == [2, 1, 3]
    assert batch["text_length"].tolist() == LENGTH[[4, 5, 0, 1, 2, 3]].tolist()
    assert batch["text_tokens"].shape == (6, 6, 2), "as long as the longest piece of this batch"
    assert batch["text_tokens"][:, 0, 0].tolist() == [64, 80, 0, 16, 32, 48]
    assert batch["frames_cls"].shape[0] == 3
    short = found.batch(np.array([1]))
    assert (short["text_pieces"].tolist(), short["text_length"].tolist()) == ([1], [3])


def test_the_stores_sharpness_reaches_the_branch(features: Path) -> None:
    shapes = opened(features).shapes(statistics=[])
    assert shapes.clip is not None
    assert shapes.clip.sharpness == 2.5


def test_prompts_that_all_fit_leave_a_batch_as_it_was(features: Path) -> None:
    found = opened(features, ["short"] * 4)
    assert "text_pieces" not in found.batch(np.array([0, 1]))
    assert found.sources["text_length"].rows.tolist() == [0, 0, 0, 0]  # type: ignore[union-attr]


def test_prompts_are_dealt_out_anew_with_all_their_pieces(features: Path) -> None:
    whose = dict(zip("abcd", PROMPTS, strict=True))
    found = inputs.loaded(opened(features), resident="ram", processes=1)
    others = examine.with_other_prompts(found, videos=np.arange(4), prompts=whose, seed=[0])
    assert others is not None
    counts = others.batch(np.arange(4))["text_pieces"].tolist()
    assert sorted(counts) == [1, 2, 3, 3]
    assert counts != [3, 1, 2, 3]


def test_a_prompt_that_the_store_lacks_is_refused(features: Path) -> None:
    with pytest.raises(inputs.store.StoreError, match="no row for 1 of 4 ids"):
        opened(features, ["long", "short", "unknown", "long"])
