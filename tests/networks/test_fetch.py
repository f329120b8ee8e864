"""The stage `fetch`: a name under texts or trunks, whichever has it, and every mistake in a sentence."""

from pathlib import Path

import pytest
import torch
import yaml

from data.sample import shipped
from msavqa.check import presets
from msavqa.ground.errors import MsavqaError, ProblemsError
from msavqa.networks import absent, clip_model, download, weights
from pipeline import fetch
from tests import clips, hubs, tiny_networks
from tests.conftest import ROOT


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    clips.build("small", tmp_path)
    model = str(tmp_path / "clip.json")
    data = {
        "fetch": {
            name: {"source": "random", "name": "3"} for name in ("words", "looks", "segment", "nobody", "odd")
        },
        "texts": {"words": {"model": model, "cut": "cls", "precision": "fp32", "dtype": "float16"}},
        "trunks": {
            "looks": {"kind": "clip_image", "model": model, "cut": "cls"},
            "segment": {"kind": "image", **tiny_networks.SWIN, "resize": 64},
            "odd": {"kind": "statistics", "model": 3},
        },
    }
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(data))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_name_is_looked_up_under_texts_and_trunks(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.manual_seed(3)
    text, picture = weights.split_clip(clip_model.empty(str(world / "clip.json"), device="cpu").state_dict())
    for name, wanted in (("words", text), ("looks", picture)):
        fetch.main([name])
        found = weights.read(Path("weights") / f"{name}.safetensors")
        assert found.keys() == wanted.keys()
        assert all(torch.equal(found[one], wanted[one]) for one in wanted)
    fetch.main(["segment"])
    assert [line.split(", sha256")[0] for line in capsys.readouterr().out.splitlines()] == [
        f"weights/{name}.safetensors: random 3" for name in ("words", "looks", "segment")
    ]


@pytest.mark.parametrize(
    ("name", "problems"),
    [
        ("nobody", ("fetch.nobody: no such name under texts or trunks",)),
        ("word", ("fetch.word: missing",)),
        (
            "odd",
            (
                "trunks.odd.kind: got 'statistics', "
                "input should be 'clip_text', 'clip_image', 'image' or 'video'",
                "trunks.odd.model: got 3, input should be a valid string",
            ),
        ),
    ],
)
def test_a_name_that_is_no_network_is_refused(world: Path, name: str, problems: tuple[str, ...]) -> None:
    with pytest.raises(ProblemsError) as refused:
        fetch.main([name])
    assert refused.value.problems == problems
    assert not Path("weights").exists()


def test_all_of_a_preset_is_fetched_once_each_or_named_at_once(
    world: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    hubs.switch_off(monkeypatch, world / "caches")
    data = yaml.safe_load(presets.compose("csv"))
    Path("params.yaml").write_text(yaml.safe_dump(data))
    with pytest.raises(ProblemsError) as refused:
        fetch.main(["--all"])
    (said,) = refused.value.problems
    assert said.count(" as weights/downloads/") == 4
    for name in (
        "laion--CLIP-ViT-B-32-laion2B-s34B-b79K--open_clip_model.safetensors",
        "swin3d_t-7615ae03.pth",
    ):
        assert f" as weights/downloads/{name}" in said
    monkeypatch.setattr(absent.download, "unreachable", lambda remote: "")
    got = []
    monkeypatch.setattr(
        download, "local", lambda remote, downloads: got.append(remote) or world / "clip.json"
    )
    fetch.main(["--all"])
    assert len(got) == len(set(got)) == 4
    assert capsys.readouterr().out.count("clip.json: 0 MB, sha256 ") == 4


def test_a_toy_of_the_sample_world_is_a_source_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "data").symlink_to(ROOT / "data")
    monkeypatch.chdir(tmp_path)
    data = yaml.safe_load(presets.compose("csv_offline"))
    data["fetch"] = {name: {"source": "shipped", "name": name} for name in ("clip_text", "video")}
    data["fetch"]["frame"] = {"source": "shipped", "name": "video"}
    data["fetch"]["segment"] = {"source": "shipped", "name": "swin"}
    Path("params.yaml").write_text(yaml.safe_dump(data))
    for name in ("clip_text", "video"):
        fetch.main([name])
        found = weights.read(f"weights/{name}.safetensors")
        assert all(torch.equal(found[key], torch.from_numpy(one)) for key, one in shipped.of(name).items())
    for name, said in (
        ("frame", r"Weights of another network in data/sample/networks/video\.safetensors: "),
        ("segment", r"Weights in data/sample/networks/swin\.safetensors: got no such file"),
    ):
        with pytest.raises(MsavqaError, match=said):
            fetch.main([name])
