"""Where a trunk's weights come from: a hub name, a file of one's own, or random ones from a seed.

    fetch:
      clip_text: {source: hub, name: openai}                       open_clip's tag for trunks.clip_text.model
      frame:     {source: hub, name: convnext_tiny.fb_in1k}        timm's name with its tag
      video:     {source: hub, name: Swin3D_T_Weights.KINETICS400_V1}    torchvision's name
      segment:   {source: file, name: /data/swin.pth}
      other:     {source: random, name: "7"}                       the seed

Whatever the source, the result is weights/<trunk>.safetensors with exactly the tensors of the trunk. A file
put by hand into weights/downloads is taken before the network is asked.
"""

import importlib
import re
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from msavqa.ground.errors import MsavqaError
from msavqa.machine.params import Settings
from msavqa.networks import backbones, clip_model, preprocess, weights

if TYPE_CHECKING:
    from torch import Tensor

State = dict[str, "Tensor"]
DOWNLOADS = Path("weights/downloads")
NETWORK_SECONDS = 30.0
"""Without an answer for that long there is no network."""
CLIP_KINDS = ("clip_text", "clip_image")
KINDS = (*CLIP_KINDS, "image", "video")


class FetchSettings(Settings):
    """`fetch.<trunk>`: where the weights of a trunk come from."""

    source: Literal["hub", "file", "random"]
    name: str = Field(min_length=1)
    """The hub's name, the path, or the seed; see above."""


@dataclass(frozen=True)
class Remote:
    """A file somewhere on a hub."""

    url: str
    local_name: str
    """What it is called in weights/downloads."""
    heads: tuple[str, ...] = ()
    """Prefixes of the classifier's tensors, which trunks do without."""


def fetch(trunk: Any, wanted: FetchSettings, *, downloads: Path = DOWNLOADS) -> State:
    """The tensors of one trunk, checked against its network: names and shapes are exactly its own.

    `trunk` are settings of a trunk with weights. Raises `MsavqaError` where the file cannot be had (the
    sentence says which to put where) or is meant for other preprocessing, `MsavqaError` where it does not
    fit.
    """
    if trunk.kind not in KINDS:
        raise _refused(trunk.kind, got="a kind without weights", expected=f"one of {', '.join(KINDS)}")
    if wanted.source == "random":
        return _random(trunk, wanted.name)
    heads: tuple[str, ...] = ("head.", "classifier.")
    path = Path(wanted.name)
    if wanted.source == "hub":
        remote = _remote(trunk, wanted.name)
        path, heads = _local(remote, downloads), remote.heads
    network = _empty(trunk)
    state = _own_part(trunk, network, weights.read(path), heads=heads)
    weights.load_strictly(network, state, where=path, network=trunk.model)
    return dict(network.state_dict())


def _own_part(trunk: Any, network: Any, state: State, *, heads: tuple[str, ...]) -> State:
    """The trunk's tensors of a whole checkpoint: one tower of a CLIP, a backbone without its classifier.

    What timm's own loader renames in files of earlier layouts is renamed here too.
    """
    if trunk.kind in CLIP_KINDS:
        text, image = weights.split_clip(state)
        return text if trunk.kind == "clip_text" else image
    own = network.state_dict().keys()
    if trunk.kind == "image" and not own <= state.keys():
        rename = getattr(importlib.import_module(type(network).__module__), "checkpoint_filter_fn", None)
        state = rename(state, network) if rename else state
    return {name: value for name, value in state.items() if name in own or not name.startswith(heads)}


def _empty(trunk: Any) -> Any:
    """The trunk's network, its tensors named as its weights file has them."""
    from torch import nn

    if trunk.kind == "image":
        return backbones.image(trunk.model, trunk.kwargs)
    if trunk.kind == "video":
        return backbones.video(trunk.model, trunk.kwargs)
    clip = clip_model.empty(trunk.model, device="cpu")
    holder = nn.Module()
    parts = clip_model.TEXT_PARTS if trunk.kind == "clip_text" else ("visual",)
    for part in parts:
        setattr(holder, part, getattr(clip, part))
    return holder


def _random(trunk: Any, seed: str) -> State:
    """The network's own initial values from a seed; both towers of a CLIP come from one network."""
    import torch

    if not seed.isdigit():
        raise _refused(f"fetch of {trunk.model}", got=f"seed {seed!r}", expected="a whole number as text")
    torch.manual_seed(int(seed))
    return {name: value.detach().clone() for name, value in _empty(trunk).state_dict().items()}


def _remote(trunk: Any, name: str) -> Remote:
    """The file behind a hub name of the trunk's kind."""
    finders: Mapping[str, Callable[[Any, str], Remote]] = {"image": _of_timm, "video": _of_torchvision}
    return finders.get(trunk.kind, _of_open_clip)(trunk, name)


def _of_open_clip(trunk: Any, tag: str) -> Remote:
    from open_clip.pretrained import get_pretrained_cfg, list_pretrained_tags_by_model

    found = get_pretrained_cfg(trunk.model, tag)
    if not found:
        known = ", ".join(list_pretrained_tags_by_model(trunk.model)[:6]) or "none"
        raise _refused(trunk.model, got=f"tag {tag!r}", expected=f"a tag that open_clip has for it ({known})")
    quick = "quick_gelu" if found.get("quick_gelu") else "gelu"
    ours = clip_model.architecture(trunk.model, "text")["activation"]
    if quick == "quick_gelu" != ours:
        got, expected = f"{trunk.model} with {ours}", f"{trunk.model}-quickgelu: {tag} was trained with it"
        raise _refused(f"fetch {tag}", got=got, expected=expected)
    seen = (tuple(found["mean"]), tuple(found["std"])), found["interpolation"], found["resize_mode"]
    if seen != (preprocess.CLIP_MEAN_SD, "bicubic", "shortest"):
        expected = "OpenAI's: its mean and sd, bicubic, the short side"
        raise _refused(
            f"{trunk.model}/{tag}", got=f"weights for other preprocessing {seen}", expected=expected
        )
    if found["hf_hub"]:
        repository, file = found["hf_hub"].rsplit("/", 1)
        return _of_hugging_face(repository, file or "open_clip_model.safetensors")
    return Remote(found["url"], found["url"].rsplit("/", 1)[-1])


def _of_timm(trunk: Any, name: str) -> Remote:
    from timm.models import get_pretrained_cfg

    found = get_pretrained_cfg(name) if name.split(".")[0] == trunk.model.split(".")[0] else None
    if found is None or not found.hf_hub_id:
        expected = f"a timm name of {trunk.model} with its tag, such as {trunk.model}.fb_in1k"
        raise _refused(f"fetch {name}", got="no weights of that network", expected=expected)
    if (tuple(found.mean), tuple(found.std)) != preprocess.IMAGENET_MEAN_SD:
        got = f"weights for mean {found.mean} and sd {found.std}"
        raise _refused(f"fetch {name}", got=got, expected="ImageNet's mean and sd, which trunks use")
    return _of_hugging_face(found.hf_hub_id, "model.safetensors", heads=(f"{found.classifier}.",))


def _of_torchvision(trunk: Any, name: str) -> Remote:
    from torchvision.models import get_weight

    try:
        url: str = get_weight(name).url
    except (ValueError, KeyError, AttributeError):
        expected = "a torchvision name such as Swin3D_T_Weights.KINETICS400_V1"
        raise _refused(f"fetch {name}", got="an unknown name", expected=expected) from None
    return Remote(url, url.rsplit("/", 1)[-1], heads=("head.",))


def _of_hugging_face(repository: str, file: str, *, heads: tuple[str, ...] = ()) -> Remote:
    from huggingface_hub import hf_hub_url

    return Remote(hf_hub_url(repository, file), f"{repository.replace('/', '--')}--{file}", heads)


def _local(remote: Remote, downloads: Path) -> Path:
    """The file in `downloads`, fetched over the network where it is not there."""
    import torch

    path = downloads / remote.local_name
    if path.is_file():
        return _whole(path, remote)
    downloads.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.partial")
    patience = socket.getdefaulttimeout()
    socket.setdefaulttimeout(NETWORK_SECONDS)
    try:
        torch.hub.download_url_to_file(remote.url, str(partial), progress=True)
    except (OSError, HTTPException) as error:
        partial.unlink(missing_ok=True)
        reason = " ".join(str(getattr(error, "reason", error)).split())
        raise MsavqaError(
            what="Weights",
            where=path,
            got=f"no such file, and it could not be fetched ({reason})",
            expected=f"the file of {remote.url}",
            next_step="fetch it on a machine that has a network, put it there and run `dvc repro` again",
        ) from error
    finally:
        socket.setdefaulttimeout(patience)
    partial.replace(path)
    return _whole(path, remote)


def _whole(path: Path, remote: Remote) -> Path:
    """The file, checked where its address tells its SHA-256: `swin3d_t-7615ae03.pth`, `<sha256>/ViT.pt`."""
    told = re.search(r"-([0-9a-f]{8,64})\.\w+$|/([0-9a-f]{64})/", remote.url)
    expected = next(filter(None, told.groups())) if told else ""
    found = weights.sha256(path) if expected else ""
    if found.startswith(expected):
        return path
    raise MsavqaError(
        what="Weights",
        where=path,
        got=f"a file with SHA-256 {found}",
        expected=f"one that begins with {expected}, as {remote.url} says",
        next_step="delete it and run again",
    )


def _refused(where: object, *, got: str, expected: str) -> MsavqaError:
    next_step = "mend `fetch` or `trunks` in params.yaml"
    return MsavqaError(what="Weights", where=where, got=got, expected=expected, next_step=next_step)
