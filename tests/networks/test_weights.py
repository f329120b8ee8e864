"""Weights files: read without pickle, loaded strictly, every refusal a whole sentence."""

import pickle
import zipfile
from pathlib import Path

import pytest
import torch
from torch import nn

from msavqa.ground.errors import MsavqaError
from msavqa.networks import weights


def state() -> dict[str, torch.Tensor]:
    return {"weight": torch.arange(6.0).reshape(2, 3), "bias": torch.tensor([1.0, 2.0])}


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_safetensors_come_back_bit_for_bit_and_the_same_tensors_give_the_same_bytes(tmp_path: Path) -> None:
    weights.save(state(), tmp_path / "a.safetensors")
    weights.save(dict(reversed(state().items())), tmp_path / "b.safetensors")
    assert same(weights.read(tmp_path / "a.safetensors"), state())
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.safetensors", "b.safetensors"]


@pytest.mark.parametrize(
    "wrap", [lambda s: s, lambda s: {"state_dict": s}, lambda s: {"model": s, "epoch": 3}]
)
def test_torch_files_are_unwrapped(tmp_path: Path, wrap: object) -> None:
    torch.save(wrap({f"module.{name}": value for name, value in state().items()}), tmp_path / "a.pt")  # type: ignore[operator]
    assert same(weights.read(tmp_path / "a.pt"), state())


def test_only_what_is_asked_for_is_read(tmp_path: Path) -> None:
    weights.save(state(), tmp_path / "a.safetensors")
    assert list(weights.read(tmp_path / "a.safetensors", keep=lambda name: name == "bias")) == ["bias"]


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "none.safetensors"
    for refuses in (weights.read, weights.sha256):
        with pytest.raises(MsavqaError) as refusal:
            refuses(path)
        assert str(refusal.value) == (
            f"Weights in {path}: got no such file, expected a .safetensors or .pt file; run `dvc repro` to "
            "make it, or name another file in params.yaml."
        )


class Evil:
    def __reduce__(self) -> tuple[object, ...]:
        return (Path("owned").touch, ())


def test_a_pickle_is_never_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for path, write in (
        (Path("a.pt"), torch.save),
        (Path("b.pt"), lambda o, p: p.write_bytes(pickle.dumps(o, 2))),
    ):
        write({"weight": Evil()}, path)
        with pytest.raises(
            MsavqaError, match=r"^Unreadable weights in .\.pt: got .*weights_only=True; fetch the"
        ):
            weights.read(path)
    assert not Path("owned").exists()


def test_a_torchscript_archive_is_refused_with_what_to_take(tmp_path: Path) -> None:
    path = tmp_path / "ViT-B-32.pt"
    with zipfile.ZipFile(path, "w") as archive:  # as torch.jit.save lays it out
        for name in ("data.pkl", "constants.pkl", "code/__torch__.py"):
            archive.writestr(f"archive/{name}", b"x")
    with pytest.raises(MsavqaError) as refusal:
        weights.read(path)
    assert str(refusal.value) == (
        f"Unreadable weights in {path}: got a TorchScript archive, which holds code, expected a state dict "
        "that loads with weights_only=True; take the same weights as safetensors, as `fetch` does by hub "
        "name, or convert them."
    )


@pytest.mark.parametrize("content", [b"", b"\x00" * 100, b"\xff" * 8 + b"{}"])
def test_a_damaged_safetensors_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(content)
    with pytest.raises(
        MsavqaError, match=r"^Unreadable weights in .*expected a whole safetensors file; fetch"
    ):
        weights.read(path)


def test_a_truncated_safetensors_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    weights.save(state(), path)
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(
        MsavqaError, match=r"^Unreadable weights in .*expected a whole safetensors file; fetch"
    ):
        weights.read(path)


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.ckpt"
    path.write_bytes(b"1")
    with pytest.raises(MsavqaError) as refusal:
        weights.read(path)
    assert str(refusal.value) == (
        f"Unreadable weights in {path}: got a name ending in '.ckpt', expected one of .safetensors .pt .pth "
        ".bin; fetch the file again, or convert it to safetensors where you trust it."
    )


def test_missing_extra_and_misshapen_tensors_are_named_in_one_sentence() -> None:
    module = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 2))
    wrong = {**module.state_dict(), "2.weight": torch.zeros(1), "1.bias": torch.zeros(3)}
    del wrong["0.bias"]
    with pytest.raises(MsavqaError) as refusal:
        weights.load_strictly(module, wrong, where="a.pt", network="two layers")
    assert str(refusal.value) == (
        "Weights of another network in a.pt: got 1 missing (0.bias); 1 extra (2.weight); 1.bias of shape [3] "
        "for [2], expected exactly the 4 tensors of two layers; name the model the weights were trained as "
        "in params.yaml, or fetch its weights."
    )


def test_loaded_weights_are_float32_frozen_and_in_eval_mode() -> None:
    with torch.device("meta"):
        module = nn.Linear(3, 2)
    weights.load_strictly(
        module, {name: value.half() for name, value in state().items()}, where="x", network="x"
    )
    assert torch.equal(module.weight, state()["weight"])
    assert module.weight.dtype == torch.float32
    assert not module.training
    assert not any(parameter.requires_grad for parameter in module.parameters())


def test_a_changed_file_has_another_sha256(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    weights.save(state(), path)
    before = weights.sha256(path)
    weights.save({name: value + 1 for name, value in state().items()}, path)
    assert weights.sha256(path) != before


def test_a_clip_is_split_into_its_towers_and_nothing_is_lost() -> None:
    clip = {
        name: torch.zeros(1)
        for name in (
            "visual.proj",
            "transformer.x",
            "ln_final.bias",
            "text_projection",
            "logit_scale",
            "context_length",
        )
    }
    text, image = weights.split_clip(clip)
    assert sorted(text) == ["ln_final.bias", "text_projection", "transformer.x"]
    assert sorted(image) == ["visual.proj"]
