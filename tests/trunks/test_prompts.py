"""Prompts end to end: rows of their pieces, each prompt once, and what the stage says of them."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from msavqa.store import prompt_rows
from msavqa.store import read as store
from msavqa.store.format import prompt_id
from msavqa.trunks.kinds import clip_text
from msavqa.trunks.run import prompts
from msavqa.trunks.run.feature_rows import ExtractSettings
from tests import clips

HOW = ExtractSettings(batch_frames=8, ahead_videos=2, threads=2, device="cpu")
ASKED = ["a red ball", "", "a red ball", "word " * 200, "红色的球"]


def prompts_store(folder: Path, world: clips.World, asked: Sequence[str] = ASKED) -> store.Store:
    """The store of these prompts as the stage makes it."""
    pieces = prompts.pieces(asked, read=clip_text.reader(world.text))
    prompts.run(
        folder / "clip_text.zarr", trunk=world.text_trunk([piece.text for piece in pieces]), pieces=pieces,
        extract=HOW, shard_mb=1, staging_root=folder / "staging",
    )  # fmt: skip
    return store.open(folder / "clip_text.zarr")


def test_prompts_are_stored_once_with_their_length(tmp_path: Path) -> None:
    world = dataclasses.replace(whole := clips.build("small", tmp_path), text=without_pieces(whole.text))
    made = prompts_store(tmp_path, world)
    rows = made.rows.set_index("prompt")
    in_order_of_coming = [prompt_id(prompt) for prompt in ("a red ball", "", "word " * 200, "红色的球")]
    assert made.ids == in_order_of_coming
    assert made.shape("tokens") == (4, 77, 128)
    assert made.read("length", made.index([prompt_id("a red ball")])).tolist() == [5]
    assert made.read("length", made.index([prompt_id("")])).tolist() == [2], (
        "an empty prompt is start and EOT"
    )
    assert rows.index[rows["truncated"]].tolist() == ["word " * 200]
    assert rows.index[rows["unknown_script"]].tolist() == ["红色的球"]
    assert rows["token_count"].to_list() == [5, 2, 202, 14]
    said = ", 1 longer than is read, 1 in a script that the encoder does not know"
    assert prompts.told(made.rows) == said


def test_a_prompt_that_is_longer_than_the_context_is_a_row_for_each_piece(tmp_path: Path) -> None:
    world = clips.build("small", tmp_path)
    long = ", ".join(f"a red ball number {number} rolls left" for number in range(20)) + "."
    made = prompts_store(tmp_path, world, ["a cat", long, "a dog"])
    parted = clip_text.reader(world.text)(long)
    assert parted.whole
    assert len(parted.texts) == 3
    assert made.ids == [
        prompt_id("a cat"), prompt_id(long), f"{prompt_id(long)}/2", f"{prompt_id(long)}/3",
        prompt_id("a dog"),
    ]  # fmt: skip
    assert made.rows["prompt"].tolist() == ["a cat", *parted.texts, "a dog"]
    assert made.rows["pieces"].tolist() == [1, 3, 3, 3, 1]
    assert not made.rows["truncated"].any()
    network = clip_text.load(world.text, weights=world.text_weights, device="cpu", batch=8)
    alone = network(list(parted.texts))
    rows = prompt_rows.rows_of(made, [long, "a dog", long])
    assert rows.tolist() == [[1, 2, 3], [4, -1, -1], [1, 2, 3]]
    stored = prompt_rows.vectors(made, "cls", rows)
    np.testing.assert_allclose(stored[0], alone["cls"], rtol=0, atol=1e-6)
    np.testing.assert_array_equal(stored[0], stored[2])
    assert not stored[1, 1:].any()
    assert prompts.told(made.rows) == ", 1 in pieces"


def test_a_prompt_that_fits_has_the_same_row_with_and_without_pieces(tmp_path: Path) -> None:
    world = clips.build("small", tmp_path)
    cut = dataclasses.replace(world, text=without_pieces(world.text))
    (tmp_path / "cut").mkdir()
    parted = prompts_store(tmp_path, world, clips.PROMPTS)
    before = prompts_store(tmp_path / "cut", cut, clips.PROMPTS)
    assert parted.ids == before.ids
    assert (parted.specs, parted.rows["sha256"].tolist()) == (before.specs, before.rows["sha256"].tolist())
    for array in parted.specs:
        np.testing.assert_array_equal(parted.all(array), before.all(array))


def test_a_prompt_of_more_pieces_than_may_be_keeps_the_first_and_says_so(tmp_path: Path) -> None:
    world = clips.build("small", tmp_path)
    made = prompts_store(tmp_path, world, ["word " * 1000])
    assert made.rows["piece"].tolist() == [1, 2, 3, 4]
    assert made.rows["truncated"].all()
    assert prompts.told(made.rows) == ", 1 in pieces, 1 longer than is read"


def without_pieces(text: clip_text.TextSettings) -> clip_text.TextSettings:
    return text.model_copy(update={"pieces": None})
