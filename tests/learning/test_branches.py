"""The branches: same surface, right sizes, strict weights, and each part really used."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from msavqa.ground import params
from msavqa.ground.errors import MsavqaError, ProblemsError
from msavqa.learning import branch, saved
from msavqa.learning.branch import Shapes
from msavqa.learning.semantics import ClipShapes
from tests import branch_settings
from tests.feature_world import DIM, FEATURES, FRAMES, TIMES, WIDTH

NAMES = ("frame", "segment", "video")
SHAPES = Shapes(
    features=FEATURES, motion=FEATURES, statistics=2, changes=2, clip=ClipShapes(DIM, WIDTH, WIDTH)
)
COUNTS = {"frame": FRAMES, "segment": FRAMES // 2, "video": TIMES}
CLS = {"pss__adapters": "cls", "sma__frames": "cached"}


def batch(name: str, videos: int = 4) -> dict[str, torch.Tensor]:
    random = torch.Generator().manual_seed(0)
    return {
        "features": torch.randn((videos, COUNTS[name], FEATURES), generator=random),
        "motion": torch.randn((videos, TIMES, FEATURES), generator=random),
        "spatial": torch.randn((videos, 1), generator=random),
        "temporal": torch.randn((videos, 1), generator=random),
        "change": torch.randn((videos, 2), generator=random),
        "frames_cls": torch.randn((videos, FRAMES, DIM), generator=random),
        "text_cls": torch.randn((videos, DIM), generator=random),
    }


def build(name: str, **changes: object) -> nn.Module:
    torch.manual_seed(0)
    return branch.assemble(branch_settings.branch(name, **{**CLS, **changes}), shapes=SHAPES).eval()


def arrays(net: nn.Module) -> dict[str, np.ndarray]:
    return {name: tensor.numpy() for name, tensor in net.state_dict().items()}


@pytest.mark.parametrize("name", NAMES)
def test_a_branch_scores_each_video_by_itself(name: str) -> None:
    net, given = build(name), batch(name)
    output = net(given)
    assert output.score.shape == (4,)
    alone = net({key: value[1:2] for key, value in given.items()})
    torch.testing.assert_close(alone.score, output.score[1:2])
    torch.testing.assert_close(alone.attention, output.attention[1:2])


@pytest.mark.parametrize("name", NAMES)
def test_every_input_that_a_branch_asks_for_changes_its_score(name: str) -> None:
    settings = branch_settings.branch(name, **CLS)
    net, given = build(name), batch(name)
    for adapter in [module for key, module in net.named_modules() if key.endswith("adapters.0")]:
        nn.init.normal_(adapter.up.weight)
    before = net(given).score
    wanted = branch.inputs(settings)
    measures = {"spatial", "temporal", "change"}
    assert set(wanted) == {"features", "frames_cls", "text_cls"} | measures | ({"motion"} & set(wanted))
    for key in wanted:
        changed = net(given | {key: given[key].flip(0)}).score
        assert not torch.allclose(changed, before), key


@pytest.mark.parametrize("feeds", ["head", "score"])
@pytest.mark.parametrize("name", NAMES)
def test_the_loss_reaches_every_parameter(name: str, feeds: str) -> None:
    settings = branch_settings.branch(name, **CLS, sma__feeds=feeds)
    net = build(name, sma__feeds=feeds)
    loss = branch.loss(settings, output=net(batch(name)), mos=torch.randn(4), weight=torch.ones(4))
    torch.autograd.backward(loss)
    assert [key for key, one in net.named_parameters() if one.grad is None] == []


@pytest.mark.parametrize("pss", [True, False])
@pytest.mark.parametrize("name", NAMES)
def test_what_sma_found_is_added_to_the_score_where_it_does_not_feed_the_head(name: str, pss: bool) -> None:
    into_head = build(name, pss__enabled=pss)
    net, given = build(name, sma__feeds="score", pss__enabled=pss), batch(name)
    found = into_head.semantics(given).mutation.shape[1]
    width = 0 if net.head.semantic is None else net.head.semantic.weight.shape[1]
    assert width == into_head.head.semantic.weight.shape[1] - found
    net.head.set_scale(slope=10.0, offset=50.0)
    before = net(given)
    assert not bool(net.semantics(given).added.any())
    nn.init.normal_(net.semantics.to_score.weight)
    after, added = net(given), net.semantics(given).added
    assert added.shape == (4,)
    assert bool(added.any())
    torch.testing.assert_close(after.score, before.score + 10 * added)
    if after.frame_scores is not None:
        torch.testing.assert_close(after.frame_scores, before.frame_scores + 10 * added[:, None])


@pytest.mark.parametrize("name", ["frame", "segment"])
def test_the_videos_score_is_the_mean_over_its_frames(name: str) -> None:
    output = build(name)(batch(name))
    assert output.frame_scores.shape == (4, COUNTS[name])
    torch.testing.assert_close(output.frame_scores.mean(1), output.score)


@pytest.mark.parametrize("name", NAMES)
def test_switching_modules_off_reads_less_and_has_fewer_weights(name: str) -> None:
    full = build(name)
    for changes in (
        {"sma__enabled": False},
        {"pss__enabled": False},
        {"pss__enabled": False, "sma__enabled": False},
    ):
        part = build(name, **changes)
        assert set(part.state_dict()) < set(full.state_dict())
        assert part(batch(name)).score.shape == (4,)
    plain = branch_settings.branch(name, pss__enabled=False, sma__enabled=False, statistics=[])
    assert set(branch.inputs(plain)) <= {"features", "motion"}


@pytest.mark.parametrize(("motion", "width"), [("trunk", 2), ("difference", 2), ("none", 1)])
def test_a_segments_motion_is_what_the_settings_say(motion: str, width: int) -> None:
    net = build("segment", technical__motion=motion, statistics=[])
    technical = net.technical(batch("segment"))
    assert technical.shape == (4, COUNTS["segment"], width * FEATURES)
    if motion == "difference":
        features = batch("segment")["features"]
        assert not bool(technical[:, 0, FEATURES:].any())
        torch.testing.assert_close(technical[:, 2, FEATURES:], (features[:, 2] - features[:, 1]).abs())


@pytest.mark.parametrize("name", NAMES)
def test_saved_weights_give_the_same_scores_and_the_same_bytes(name: str, tmp_path: Path) -> None:
    net = build(name)
    net.head.set_scale(slope=12.0, offset=40.0)
    saved.save(arrays(net), tmp_path / "a.safetensors")
    saved.save(arrays(net), tmp_path / "b.safetensors")
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()
    torch.manual_seed(1)
    other = branch.assemble(branch_settings.branch(name, **CLS), shapes=SHAPES).eval()
    assert not torch.allclose(other(batch(name)).score, net(batch(name)).score)
    saved.load(other, tmp_path / "a.safetensors")
    assert torch.equal(other(batch(name)).score, net(batch(name)).score)


def test_weights_with_a_missing_an_extra_and_a_misshapen_tensor_are_refused(tmp_path: Path) -> None:
    net = build("frame")
    state = arrays(net)
    state["surplus"] = state.pop("head.score.bias")
    state["head.hidden.bias"] = np.zeros(3, dtype=np.float32)
    path = tmp_path / "w.safetensors"
    saved.save(state, path)
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    with pytest.raises(MsavqaError) as caught:
        saved.load(net, path)
    assert str(caught.value) == (
        f"Branch weights in {path}: got missing head.score.bias; extra surplus; "
        f"misshapen head.hidden.bias (3,) for (16,), "
        f"expected exactly the {len(before)} tensors of this branch's settings; "
        "run `dvc repro` so that weights and params.yaml belong together."
    )
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())


def test_weights_that_are_not_there_or_no_weights_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    with pytest.raises(MsavqaError) as caught:
        saved.load(build("frame"), path)
    assert str(caught.value) == (
        f"Branch weights in {path}: got no such file, expected a safetensors file; "
        "run `dvc repro` to train the branch."
    )
    path.write_bytes(b"not weights at all")
    with pytest.raises(MsavqaError, match=r"expected a safetensors file; delete it and run `dvc repro`"):
        saved.load(build("frame"), path)


def problems(name: str, **changes: object) -> list[str]:
    data = branch_settings.branch(name).model_dump(mode="json")
    for key, value in changes.items():
        part, inner = key.split("__")
        data[part][inner] = value
    return params.problems_in(data, f"branches.{name}", branch.settings_of(name))


@pytest.mark.parametrize("name", NAMES)
def test_settings_that_no_network_can_be_built_of_are_refused(name: str) -> None:
    here = f"branches.{name}"
    assert problems(name) == []
    assert problems(name, sma__heads=5) == [f"{here}.sma.heads: got 5, expected a divisor of width 8"]
    for frames in (0, -1):
        assert problems(name, pss__frames=frames) == [
            f"{here}.pss.frames: got {frames}, input should be 'all' or greater than 0"
        ]
    for width, wanted in ((0, "greater than 0"), ("lin", "a valid integer")):
        assert problems(name, pss__adapter_width=width) == [
            f"{here}.pss.adapter_width: got {width!r}, input should be {wanted} or 'linear'"
        ]


@pytest.mark.parametrize("name", NAMES)
def test_sma_that_would_see_nothing_without_pss_is_refused(name: str) -> None:
    alone = {"sma__tokens": ["alignment"]}
    assert problems(name, **alone) == []
    assert problems(name, **alone, pss__enabled=False, sma__enabled=False) == []
    assert problems(name, sma__tokens=["cls", "alignment"], pss__enabled=False) == []
    (said,) = problems(name, **alone, pss__enabled=False)
    assert said == (
        f"branches.{name}.sma: got {{'enabled': True, 'tokens': ['alignment'], 'frames': 'adapted', "
        "'measures': T..., expected a token beside `alignment`, which needs PSS, or sma.enabled: false"
    )


def pretrained(path: Path) -> nn.Module:
    settings = branch.without_prompts(branch_settings.branch("segment", **CLS))
    torch.manual_seed(7)
    net = branch.assemble(settings, shapes=Shapes(FEATURES, FEATURES, 2, 0, None)).eval()
    net.head.set_scale(slope=9.0, offset=3.0)
    saved.save(arrays(net), path)
    return net


def test_the_segment_branch_continues_from_pretraining_with_a_fresh_semantic_half(tmp_path: Path) -> None:
    first = pretrained(tmp_path / "w.safetensors")
    net = build("segment")
    fresh = net.head.semantic.weight.clone()
    saved.continue_from(net, tmp_path / "w.safetensors")
    assert torch.equal(net.head.technical.weight, first.head.technical.weight)
    assert torch.equal(net.head.hidden.weight, first.head.hidden.weight)
    assert torch.equal(net.head.semantic.weight, fresh)
    assert float(net.head.slope) == 1.0
    nn.init.zeros_(net.head.semantic.weight)
    torch.testing.assert_close(net(batch("segment")).score * 9 + 3, first(batch("segment")).score)


def test_further_dimensions_of_quality_are_fresh_behind_a_pretraining_of_one(tmp_path: Path) -> None:
    first = pretrained(tmp_path / "w.safetensors")
    net = branch.assemble(branch_settings.branch("segment", **CLS), shapes=SHAPES, more=1)
    fresh = net.head.more[0].score.weight.clone()
    saved.continue_from(net, tmp_path / "w.safetensors")
    assert torch.equal(net.head.hidden.weight, first.head.hidden.weight)
    assert torch.equal(net.head.more[0].score.weight, fresh)


def test_continuing_from_other_settings_is_refused(tmp_path: Path) -> None:
    pretrained(tmp_path / "w.safetensors")
    with pytest.raises(MsavqaError, match=r"misshapen .*head\.technical\.weight \(16, 26\) for \(16, 14\)"):
        saved.continue_from(build("segment", technical__motion="none"), tmp_path / "w.safetensors")


def test_a_kind_is_a_file_and_a_block_names_one_of_them() -> None:
    assert branch.kinds() == ["frame", "segment", "video"]
    with pytest.raises(MsavqaError) as caught:
        branch.settings_of("clip")
    assert str(caught.value) == (
        "Kind of branch in msavqa/branches: got clip, expected one of frame, segment, video; "
        "name one of these in params.yaml, or write a file of that name."
    )
    block = branch_settings.branch("video").model_dump(mode="json")
    found = branch.of_params({"branches": {"mine": block}}, "mine")
    assert found == branch_settings.branch("video")
    block["head"]["widht"] = block["head"].pop("width")
    for data, said in (
        ({"branches": {"mine": block}}, "branches.mine.head.widht: unknown key, did you mean 'width'?"),
        ({"branches": {}}, "branches.mine: missing"),
        ({"branches": {"mine": {}}}, "branches.mine.kind: missing"),
    ):
        with pytest.raises(ProblemsError) as refused:
            branch.of_params(data, "mine")
        assert said in refused.value.problems


def test_motion_of_a_trunk_needs_a_trunk_to_read() -> None:
    here = "branches.segment"
    assert problems("segment", reads__motion=None, technical__motion="difference") == []
    assert problems("segment", reads__motion=None) == [
        f"{here}.technical: got {{'motion': 'trunk'}}, expected a trunk in reads.motion, or another motion"
    ]


def test_a_branch_reads_the_networks_that_its_block_names() -> None:
    named = {"trunk": "a", "motion": "b", "text": "c", "image": "d"}
    found = branch.inputs(branch_settings.branch("segment", reads=named))
    assert found == {
        "features": ("a", "pixels", "stage", "pooled"),
        "motion": ("b", "pooled"),
        "spatial": ("statistics", "spatial"),
        "temporal": ("statistics", "temporal"),
        "frames_cls": ("d", "cls"),
        "change": ("statistics", "change"),
        "text_tokens": ("c", "tokens"),
        "text_length": ("c", "length"),
        "image_tokens": ("d", "tokens"),
    }
    other = branch_settings.branch("segment", reads=named, technical__motion="difference")
    assert branch.inputs(other) == {key: value for key, value in found.items() if key != "motion"}
