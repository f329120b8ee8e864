"""The small CLIP's lessons: scenes of their own, captions that fit, towers under open_clip's names."""

import json
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from safetensors.torch import load_file

from data.sample import clip, clip_pairs, shipped
from data.sample.film import plan
from data.sample.grammar import BACKGROUNDS, COLOURS, SHAPES, misalignment, parse

SEED = 2501


@pytest.fixture(scope="module")
def pairs() -> clip_pairs.Pairs:
    return clip_pairs.draw_pairs("clip_train", 24, wrong=2, seed=SEED, workers=1)


@pytest.fixture
def small() -> open_clip.CLIP:
    return open_clip.CLIP(**json.loads(Path("data/sample/clip.json").read_text(encoding="utf-8")))


def test_clip_learns_from_other_frames_than_it_is_measured_on_and_than_the_videos(
    pairs: clip_pairs.Pairs,
) -> None:
    test = clip_pairs.draw_pairs("clip_test", 24, wrong=1, seed=SEED, workers=1)
    learned = {frame.tobytes() for frame in pairs.frames}
    assert len(learned) == 24
    assert not learned & {frame.tobytes() for frame in test.frames}
    textures = {recording.look.texture_seed for recording in plan("t2v", 20, seed=SEED)}
    assert len(textures) == 120
    assert pairs.captions != [recording.prompt for recording in plan("t2v", 24, seed=SEED)[::6]]


def test_a_wrong_caption_is_wrong_in_one_attribute_that_a_frame_can_show(pairs: clip_pairs.Pairs) -> None:
    for wrong in pairs.wrong:
        for caption, lookalike in zip(pairs.captions, wrong):
            asked, other = parse(caption), parse(lookalike)
            assert misalignment(asked, other) == pytest.approx(1 / 3)
            assert [t.motion for t in asked.things] == [t.motion for t in other.things]


def test_attributes_name_every_coloured_shape_and_the_background(pairs: clip_pairs.Pairs) -> None:
    for caption, attributes in zip(pairs.captions, pairs.attributes):
        scene = parse(caption)
        coloured = attributes[: len(COLOURS) * len(SHAPES)].view(len(COLOURS), len(SHAPES))
        shown = {(COLOURS[int(c)], SHAPES[int(s)]) for c, s in coloured.nonzero()}
        assert shown == {(thing.colour, thing.shape) for thing in scene.things}
        assert BACKGROUNDS[int(attributes[-len(BACKGROUNDS) :].argmax())] == scene.background


def test_the_contrastive_loss_is_clips_own_where_no_caption_is_wrong() -> None:
    torch.manual_seed(0)
    image, text = (torch.nn.functional.normalize(torch.randn(6, 8), dim=-1) for _ in range(2))
    scale = torch.tensor(14.0)
    theirs = open_clip.ClipLoss()(image, text, scale)
    assert float(clip.contrast(scale * image @ text.T)) == pytest.approx(float(theirs), rel=1e-5)


def test_a_wrong_caption_that_looks_right_raises_the_loss() -> None:
    right = 5 * torch.eye(4)
    confusing = torch.cat([right, torch.full((4, 4), 6.0)], dim=1)
    harmless = torch.cat([right, torch.full((4, 4), -9.0)], dim=1)
    assert clip.contrast(confusing) > clip.contrast(harmless)


def test_training_is_repeatable_touches_no_word_it_does_not_use_and_saves_open_clips_names(
    pairs: clip_pairs.Pairs, small: open_clip.CLIP, tmp_path: Path
) -> None:
    settings = clip.ClipSettings(
        pairs=24, warm_up_steps=1, steps=1, batch=8, learning_rate=1e-3, weight_decay=0.1,
        attribute_weight=1.0, wrong=2, degraded=0.5, threads=1, workers=1,
    )  # fmt: skip
    start = {name: value.clone() for name, value in small.state_dict().items()}
    found = []
    for _ in range(2):
        small.load_state_dict(start)
        torch.manual_seed(0)
        words = clip.train(small, pairs, settings, seed=1)
        found.append(small.token_embedding.weight.detach().clone())
    assert torch.equal(*found)
    changed = (small.token_embedding.weight != start["token_embedding.weight"]).any(dim=1)
    assert 10 < int(changed.sum()) < 100  # the words of the grammar, not the 49,408 of the tokenizer
    assert torch.equal(changed.nonzero().flatten(), words)
    clip.save(small, words, tmp_path)
    image, text = (load_file(tmp_path / f"clip_{tower}.safetensors") for tower in ("image", "text"))
    assert torch.equal(text.pop(shipped.WORDS), words)
    assert torch.equal(text[shipped.TABLE], found[0][words])
    assert all(name.startswith("visual.") for name in image)
    assert set(image) | set(text) | {"logit_scale"} == set(start)
    assert not set(image) & set(text)


def test_preprocessing_equals_open_clips_own_within_one_grey_level(pairs: clip_pairs.Pairs) -> None:
    from PIL import Image

    theirs = open_clip.image_transform(64, is_train=False)
    expected = torch.stack([theirs(Image.fromarray(frame)) for frame in pairs.frames[:4]])
    ours = clip.preprocess(pairs.frames[:4], 64)
    levels = (ours - expected).abs() * 255 * torch.tensor(clip.STD).view(3, 1, 1)
    assert float(levels.max()) < 1.01  # a half may be rounded either way
    assert float(levels.mean()) < 0.01


def test_degrading_touches_only_the_share_it_says() -> None:
    images = torch.from_numpy(np.random.default_rng(0).random((10, 3, 8, 8), dtype=np.float32))
    found = clip.degrade(images, 0.4, torch.Generator().manual_seed(0))
    assert [bool((a != b).any()) for a, b in zip(found, images)] == [True] * 4 + [False] * 6


def test_pairs_are_the_same_however_many_processes_draw_them(
    pairs: clip_pairs.Pairs, capsys: pytest.CaptureFixture[str]
) -> None:
    apart = clip_pairs.draw_pairs("clip_train", 24, wrong=2, seed=SEED, workers=2)
    assert "drawing frames: 4/4 parts" in capsys.readouterr().err
    assert np.array_equal(apart.frames, pairs.frames)
    assert (apart.captions, apart.wrong) == (pairs.captions, pairs.wrong)
    assert torch.equal(apart.attributes, pairs.attributes)
