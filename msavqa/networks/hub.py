"""Where a network's weights come from: a hub, a package, a file of one's own, or a seed.

    fetch:
      clip_text: {source: hub, name: openai}                       open_clip's tag for texts.clip_text.model
      frame:     {source: hub, name: convnext_tiny.fb_in1k}        timm's name with its tag
      video:     {source: hub, name: Swin3D_T_Weights.KINETICS400_V1}    torchvision's name
      motion:    {source: package, name: some_package, sha256: 57934424...}    see `packaged`
      segment:   {source: file, name: /data/swin.pth}
      small:     {source: shipped, name: clip_image}               a toy of the sample world
      other:     {source: random, name: "7"}                       the seed

Whatever the source, the result is weights/<name>.safetensors with exactly the tensors of the network of that
name under `texts` or `trunks`.
"""

import contextlib
import importlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import ConfigDict, Field, StringConstraints, model_validator

from msavqa.ground import params
from msavqa.ground.errors import MsavqaError, ProblemsError
from msavqa.ground.params import Settings
from msavqa.networks import backbones, clip_model, download, packaged, preprocess, weights
from msavqa.networks.download import AddressedFile, HuggingFaceFile, Remote

if TYPE_CHECKING:
    from torch import Tensor

State = dict[str, "Tensor"]
CLIP_KINDS = ("clip_text", "clip_image")
KINDS = (*CLIP_KINDS, "image", "video")


class FetchSettings(Settings):
    """`fetch.<name>`: where the weights of a network come from."""

    source: Literal["hub", "package", "file", "shipped", "random"]
    name: str = Field(min_length=1)
    """The hub's name, the package's, the path, the toy's, or the seed; see above."""
    file: str | None = None
    """Which of a package's files, where it carries several."""
    sha256: Annotated[str, StringConstraints(pattern="^[0-9a-f]{64}$")] | None = None
    """The file's SHA-256: another one is refused. A package's has to be pinned."""
    rename: packaged.Rename | None = None
    """What the network calls the file's tensors, where names differ: `in_order`, or old name -> new name."""

    @model_validator(mode="after")
    def _together(self) -> "FetchSettings":
        if self.source == "package" and self.sha256 is None:
            raise ValueError("source package: expected `sha256` too, of the file that is trusted")
        if self.source != "package" and self.file is not None:
            raise ValueError(f"file beside source {self.source}: only a package has several")
        if self.source in ("random", "shipped") and (self.sha256, self.rename) != (None, None):
            raise ValueError(f"sha256 or rename beside source {self.source}: there is no file of yours")
        return self


class NetworkSettings(Settings):
    """Which network an entry under `texts` or `trunks` is; what else stands there changes no weights."""

    model_config = ConfigDict(extra="ignore")

    kind: Literal["clip_text", "clip_image", "image", "video"]  # an entry under `texts` is a clip_text
    model: str
    kwargs: dict[str, Any] | None = None  # a CLIP has none


def network(data: Mapping[str, Any], name: str) -> NetworkSettings:
    """The network of that name under `texts` or `trunks`; `ProblemsError` where neither has one."""
    entries = {kind: data.get(kind) or {} for kind in ("texts", "trunks")}
    if isinstance(text := entries["texts"].get(name), Mapping):
        data = {"texts": {name: {**text, "kind": "clip_text"}}}  # all texts are
        return params.block(data, f"texts.{name}", NetworkSettings)
    if name not in entries["trunks"]:
        near = params.nearest(name, [*entries["texts"], *entries["trunks"]])
        problem = f"fetch.{name}: no such name under texts or trunks{near}"
        raise ProblemsError(where=params.PARAMS_FILE, problems=[problem], next_step="mend it and run again")
    return params.block(data, f"trunks.{name}", NetworkSettings)


def fetch(network: Any, wanted: FetchSettings, *, downloads: Path = download.DOWNLOADS) -> State:
    """The tensors of one network, checked against it: names and shapes are exactly its own.

    `network` has the fields of `NetworkSettings`, as a trunk's own settings do. Raises `MsavqaError` where
    the file cannot be had (the sentence says which to put where), is meant for other preprocessing, or does
    not fit.
    """
    if wanted.source == "random":
        return _random(network, wanted.name)
    heads: tuple[str, ...] = packaged.HEADS
    path = Path(wanted.name)
    if wanted.source == "package":
        path = packaged.file_of(wanted.name, wanted.file)
    elif wanted.source == "hub":
        found, heads = remote(network, wanted.name)
        path = download.local(found, downloads)
    packaged.check_pinned(path, wanted.sha256)
    return fitted(network, weights.read(path), where=path, rename=wanted.rename, heads=heads)


def fitted(
    network: Any,
    state: State,
    *,
    where: Path,
    rename: packaged.Rename | None = None,
    heads: tuple[str, ...] = packaged.HEADS,
) -> State:
    """A network's own tensors among those of a file; `MsavqaError` where they are not exactly its own."""
    made = _empty(network)
    state = packaged.renamed(state, made.state_dict(), rename, where=where, network=network.model)
    state = _own_part(network, made, state, heads=heads)
    weights.load_strictly(made, state, where=where, network=network.model)
    return dict(made.state_dict())


def downloaded(
    wanted: Mapping[str, tuple[Any, FetchSettings]], *, downloads: Path = download.DOWNLOADS
) -> Iterator[Path]:
    """The hubs' files of these networks, fetched where they are not here, each once."""
    files = (remote(network, how.name)[0] for network, how in wanted.values() if how.source == "hub")
    for file in dict.fromkeys(files):
        yield download.local(file, downloads)


def _own_part(network: Any, made: Any, state: State, *, heads: tuple[str, ...]) -> State:
    """The network's tensors of a whole checkpoint: one tower of a CLIP, a backbone without its classifier.

    What timm's own loader renames in files of earlier layouts is renamed here too.
    """
    if network.kind in CLIP_KINDS:
        text, image = weights.split_clip(state)
        return text if network.kind == "clip_text" else image
    own = made.state_dict().keys()
    if network.kind == "image" and not own <= state.keys():
        rename = getattr(importlib.import_module(type(made).__module__), "checkpoint_filter_fn", None)
        with contextlib.suppress(KeyError, IndexError, RuntimeError, ValueError):  # another network's file
            state = rename(dict(state), made) if rename else state
    return {name: value for name, value in state.items() if name in own or not name.startswith(heads)}


def _empty(network: Any) -> Any:
    """The network, its tensors named as its weights file has them."""
    from torch import nn

    if network.kind == "image":
        return backbones.image(network.model, network.kwargs or {})
    if network.kind == "video":
        return backbones.video(network.model, network.kwargs or {})
    clip = clip_model.empty(network.model, device="cpu")
    holder = nn.Module()
    parts = clip_model.TEXT_PARTS if network.kind == "clip_text" else ("visual",)
    for part in parts:
        setattr(holder, part, getattr(clip, part))
    return holder


def _random(network: Any, seed: str) -> State:
    """The network's own initial values from a seed; both towers of a CLIP come from one network."""
    import torch

    if not seed.isdigit():
        raise _refused(f"fetch of {network.model}", got=f"seed {seed!r}", expected="a whole number as text")
    torch.manual_seed(int(seed))
    return {name: value.detach().clone() for name, value in _empty(network).state_dict().items()}


Found = tuple[Remote, tuple[str, ...]]
"""A file, and how the names of its classifier's tensors begin."""


def remote(network: Any, name: str) -> Found:
    """The file behind a hub name of the network's kind; `MsavqaError` for a name without weights."""
    finders: Mapping[str, Callable[[Any, str], Found]] = {"image": _of_timm, "video": _of_torchvision}
    return finders.get(network.kind, _of_open_clip)(network, name)


def megabytes(network: Any, name: str) -> str:
    """Size of the file behind a hub name: as its library says, or of its network's tensors in float32."""
    import torch

    if network.kind == "video":
        from torchvision.models import get_weight

        return f"{get_weight(name).meta['_file_size'] * 1.048576:.0f} MB"
    with torch.device("meta"):
        if network.kind == "image":
            import timm

            made: Any = timm.create_model(name, pretrained=False)
        else:
            made = clip_model.empty(network.model, device="meta")
    return f"about {sum(one.numel() for one in made.state_dict().values()) * 4 / 1e6:.0f} MB"


def _of_open_clip(network: Any, tag: str) -> Found:
    from open_clip.pretrained import get_pretrained_cfg, list_pretrained_tags_by_model

    found = get_pretrained_cfg(network.model, tag)
    if not found:
        known = ", ".join(list_pretrained_tags_by_model(network.model)[:6]) or "none"
        raise _refused(
            network.model, got=f"tag {tag!r}", expected=f"a tag that open_clip has for it ({known})"
        )
    quick = "quick_gelu" if found.get("quick_gelu") else "gelu"
    ours = clip_model.architecture(network.model, "text")["activation"]
    if quick == "quick_gelu" != ours:
        got, expected = (
            f"{network.model} with {ours}",
            f"{network.model}-quickgelu: {tag} was trained with it",
        )
        raise _refused(f"fetch {tag}", got=got, expected=expected)
    seen = (tuple(found["mean"]), tuple(found["std"])), found["interpolation"], found["resize_mode"]
    if seen != (preprocess.CLIP_MEAN_SD, "bicubic", "shortest"):
        expected = "OpenAI's: its mean and sd, bicubic, the short side"
        raise _refused(
            f"{network.model}/{tag}", got=f"weights for other preprocessing {seen}", expected=expected
        )
    if found["hf_hub"]:
        repository, file = found["hf_hub"].rsplit("/", 1)
        return HuggingFaceFile(repository=repository, file=file or "open_clip_model.safetensors"), ()
    return AddressedFile(url=found["url"]), ()


def _of_timm(network: Any, name: str) -> Found:
    from timm.models import get_pretrained_cfg

    same = name.split(".")[0] == network.model.split(".")[0]
    try:
        found = get_pretrained_cfg(name) if same else None
    except RuntimeError:  # the network is known, the tag is not
        found = None
    if found is None or not found.hf_hub_id:
        expected = f"a timm name of {network.model} with its tag, such as {network.model}.fb_in1k"
        raise _refused(f"fetch {name}", got="no weights of that network", expected=expected)
    if (tuple(found.mean), tuple(found.std)) != preprocess.IMAGENET_MEAN_SD:
        got = f"weights for mean {found.mean} and sd {found.std}"
        raise _refused(f"fetch {name}", got=got, expected="ImageNet's mean and sd, which trunks use")
    file = HuggingFaceFile(repository=found.hf_hub_id, file="model.safetensors")
    return file, (f"{found.classifier}.",)


def _of_torchvision(network: Any, name: str) -> Found:
    from torchvision.models import get_weight

    try:
        url: str = get_weight(name).url
    except (ValueError, KeyError, AttributeError):
        expected = "a torchvision name such as Swin3D_T_Weights.KINETICS400_V1"
        raise _refused(f"fetch {name}", got="an unknown name", expected=expected) from None
    return AddressedFile(url=url), ("head.",)


def _refused(where: object, *, got: str, expected: str) -> MsavqaError:
    next_step = "mend `fetch`, `texts` or `trunks` in params.yaml"
    return MsavqaError(what="Weights", where=where, got=got, expected=expected, next_step=next_step)
