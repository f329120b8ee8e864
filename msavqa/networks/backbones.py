"""Image networks of timm and torchvision's Video Swin, without their heads, cut before their last stage.

Both sides of the cut use this file: extraction runs what lies before, training continues with what lies
behind. A network is a name and keyword arguments (`trunks.<trunk>.model` and `.kwargs`); weights come apart.
"""

import copy
from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from msavqa.ground.errors import MsavqaError
from msavqa.networks import window_attention

VIDEO_FROM_PARTS = "SwinTransformer3d"


def image(model: str, kwargs: Mapping[str, Any]) -> Any:
    """A timm network without classifier: pictures (row, 3, height, width) -> pooled features (row, width).

    Its first layer stays in float32 under autocast.
    """
    import timm

    try:
        return _first_in_float32(timm.create_model(model, pretrained=False, num_classes=0, **kwargs).eval())
    except (RuntimeError, TypeError) as error:
        near = " or ".join(timm.list_models(f"*{model.split('_')[0]}*")[:3]) or "a name that timm knows"
        raise _refused(
            model, got=" ".join(str(error).split()), expected=f"a timm model such as {near}"
        ) from error


def image_width(model: str, kwargs: Mapping[str, Any]) -> int:
    """Width of an image network's pooled features; costs no memory and no forward pass."""
    with torch.device("meta"):
        network = image(model, kwargs)
    return int(getattr(network, "head_hidden_size", None) or network.num_features)


def image_stage(
    model: str, kwargs: Mapping[str, Any], *, crop: int
) -> tuple[tuple[int, int, int], tuple[str, str, str]]:
    """Shape and axes of the last stage's input for crops of one size, without a forward pass."""
    with torch.device("meta"):
        network = image(model, kwargs)
    _stages(network, model)
    before = network.feature_info[-2]
    side = -(-crop // int(before["reduction"]))
    channels = int(before["num_chs"])
    if "NHWC" in str(getattr(network, "output_fmt", "NCHW")):
        return (side, side, channels), ("height", "width", "channel")
    return (channels, side, side), ("channel", "height", "width")


def check_cut(network: Any, model: str, *, crop: int) -> None:
    """Raises `MsavqaError` where the parts before and behind the cut together are not the network."""
    pixels = torch.rand((1, 3, crop, crop), generator=torch.Generator().manual_seed(0))
    try:
        with torch.inference_mode():
            whole = network(pixels)
            stage = image_before(copy.deepcopy(network), model)(pixels)
            same = torch.allclose(image_behind(copy.deepcopy(network), model)(stage), whole, rtol=1e-4)
    except (RuntimeError, TypeError, AttributeError):
        same = False
    if not same:
        raise _refused(
            model,
            got=f"{type(network).__name__}, whose last stage does not continue what lies before it",
            expected="a network of nothing but stem, stages, norm and head, or `cut: pooled`",
        )


def image_before(network: Any, model: str) -> nn.Module:
    """The part before the last stage, in place of the network (which is not usable afterwards)."""
    name = _stages(network, model)
    setattr(network, name, getattr(network, name)[:-1])
    for norm in ("norm", "norm_pre"):
        if hasattr(network, norm):
            setattr(network, norm, nn.Identity())
    return _Features(network)


def image_behind(network: Any, model: str) -> nn.Module:
    """The last stage, norm and pooling, in place of the network; tensors keep their names."""
    name = _stages(network, model)
    stages = getattr(network, name)
    last = str(len(stages) - 1)
    setattr(network, name, nn.Sequential())
    getattr(network, name).add_module(last, stages[-1])
    for before in ("stem", "patch_embed"):
        if hasattr(network, before):
            setattr(network, before, nn.Identity())
    behind: nn.Module = network
    return behind


def video(model: str, kwargs: Mapping[str, Any]) -> Any:
    """A torchvision Video Swin without classifier: by name, or `SwinTransformer3d` with sizes as kwargs.

    Its first layer stays in float32 under autocast; its attention runs as `window_attention` has it.
    """
    from torchvision.models.video import swin_transformer as swin

    known = [name for name in ("swin3d_t", "swin3d_s", "swin3d_b") if hasattr(swin, name)]
    if model not in (*known, VIDEO_FROM_PARTS):
        raise _refused(
            model, got="an unknown name", expected=f"one of {', '.join(known)}, {VIDEO_FROM_PARTS}"
        )
    try:
        network = getattr(swin, model)(**kwargs)
    except TypeError as error:
        raise _refused(model, got=str(error), expected="keyword arguments of that network") from error
    network.head = nn.Identity()
    return window_attention.faster(_first_in_float32(network.eval()))


def video_features(
    network: Any, pixels: Float[Tensor, "video 3 frame y x"]
) -> Float[Tensor, "video time width"]:
    """Features of each temporal token, averaged over space; their mean over time is what the network's own
    head would read."""
    return video_pooled(network, network.features(network.pos_drop(network.patch_embed(pixels))))


def video_before(
    network: Any, pixels: Float[Tensor, "video 3 frame y x"]
) -> Float[Tensor, "video time height width channel"]:
    """The input of the last stage, its patches merged already."""
    found: Tensor = network.features[:-1](network.pos_drop(network.patch_embed(pixels)))
    return found


def video_pooled(
    network: Any, tokens: Float[Tensor, "video time height width channel"]
) -> Float[Tensor, "video time channel"]:
    """Final norm and mean over space."""
    found: Tensor = network.norm(tokens).mean(dim=(2, 3))
    return found


def video_shape(
    model: str, kwargs: Mapping[str, Any], *, frames: int, crop: int
) -> tuple[int, int, int, int]:
    """(time, height, width, channel) of the last stage's input, and of its output; nothing is computed."""
    from torchvision.models.video.swin_transformer import PatchMerging

    with torch.device("meta"):
        network = video(model, kwargs)
    step, *patch = network.patch_embed.tuple_patch_size
    sides = [-(-crop // size) for size in patch]
    for layer in network.features:
        if isinstance(layer, PatchMerging):
            sides = [-(-side // 2) for side in sides]
    return (-(-frames // step), sides[0], sides[1], int(network.num_features))


def _first_in_float32(network: Any) -> Any:
    """The network, whose first convolution autocast leaves alone.

    Filters that see fine texture sum to zero: in bfloat16 a patch's mean leaks through them and drowns what
    they see. The sample world's features moved by 6 to 33% of their size so, and by 0.2 to 0.3% without.
    """
    first = next(module for module in network.modules() if isinstance(module, nn.Conv2d | nn.Conv3d))

    class InFloat32(type(first)):  # type: ignore[misc]
        def forward(self, x: Tensor) -> Tensor:
            with torch.autocast(x.device.type, enabled=False):
                found: Tensor = super().forward(x.float())
            return found

    first.__class__ = InFloat32
    return network


class _Features(nn.Module):
    """The network's `forward_features` as a forward pass."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixels: Tensor) -> Tensor:
        """Features before the head."""
        found: Tensor = self.network.forward_features(pixels)
        return found


def _stages(network: Any, model: str) -> str:
    """The attribute that holds a network's stages."""
    for name in ("stages", "layers"):
        if isinstance(getattr(network, name, None), nn.Sequential) and hasattr(network, "forward_features"):
            return name
    expected = "a network with stages or layers, such as convnext_tiny or swin_tiny_patch4_window7_224"
    raise _refused(model, got=f"{type(network).__name__} without stages", expected=expected)


def _refused(model: str, *, got: str, expected: str) -> MsavqaError:
    return MsavqaError(
        what="Network",
        where=model,
        got=got.rstrip("."),
        expected=expected,
        next_step="mend `model` or `kwargs` in params.yaml",
    )
