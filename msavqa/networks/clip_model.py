"""Which CLIP a name or a JSON file means, what of it the tail needs to know, and its empty towers.

A model is an open_clip name (`ViT-B-32-quickgelu`) or the path of a JSON file in the form of open_clip's own
model configurations. Taken are the plain ones: two transformers, the image's read at its class token, the
text's causal and read at EOT; with anything else the cut would not be exact, so it is refused.
"""

import json
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from msavqa.ground.errors import MsavqaError
from msavqa.ground.params import Settings
from msavqa.networks import weights

Tower = Literal["text", "image"]
EPS = 1e-5
TEXT_PARTS = ("transformer", "token_embedding", "positional_embedding", "ln_final", "text_projection")
"""What of open_clip's `CLIP` is the text tower."""
_PLAIN = {
    "vision_cfg": {"image_size", "layers", "width", "head_width", "mlp_ratio", "patch_size", "patch_dropout"},
    "text_cfg": {"context_length", "vocab_size", "width", "heads", "layers", "mlp_ratio"},
}
# Settings that may be written out as long as they say what a plain CLIP does anyway.
_AS_PLAIN = {
    "vision_cfg": {
        "pool_type": "tok",
        "final_ln_after_pool": False,
        "no_ln_pre": False,
        "ls_init_value": None,
        "attentional_pool": False,
        "pos_embed_type": "learnable",
    },
    "text_cfg": {
        "pool_type": "argmax",
        "no_causal_mask": False,
        "embed_cls": False,
        "ls_init_value": None,
        "proj_bias": False,
        "proj_type": "linear",
        "pad_id": 0,
    },
}


class ClipSettings(Settings):
    """Knobs that both of CLIP's towers have, under `texts` and under `trunks`."""

    model: str = Field(min_length=1)
    """open_clip's name, or the path of a JSON file."""
    cut: Literal["last_block", "cls"]
    """Cache the last block's input for adapters inside CLIP, or the final class embedding only (cheaper)."""
    precision: Literal["fp32", "bf16"]
    """Of the network. Under bf16 the text tower's sums stay float32 (autocast); the image tower is bfloat16
    throughout."""
    dtype: Literal["float16", "float32"]
    """Of the cached tokens."""


def config(model: str) -> dict[str, Any]:
    """The configuration of a model; refuses an unknown name, a broken file or another form."""
    found = _from_file(Path(model)) if model.endswith(".json") else _from_name(model)
    other = sorted(found.keys() - {"embed_dim", "vision_cfg", "text_cfg", "quick_gelu"})
    for part, plain in _PLAIN.items():
        settings = found.get(part)
        if not isinstance(settings, dict):
            raise _refused(model, got=f"no {part}", expected="embed_dim, vision_cfg and text_cfg")
        same = {key for key, value in _AS_PLAIN[part].items() if key in settings and settings[key] == value}
        other += [f"{part}.{key}" for key in sorted(settings.keys() - plain - same)]
    if isinstance(found["vision_cfg"].get("layers", 12), list):
        other.append("vision_cfg.layers of a ResNet")
    if other or "embed_dim" not in found:
        got = ", ".join(other) or "no embed_dim"
        raise _refused(
            model, got=got, expected="two plain transformers (class token, causal text read at EOT)"
        )
    return found


def architecture(model: str, tower: Tower) -> dict[str, Any]:
    """What the tail of one tower needs, and its sizes: layers, width, heads, activation, eps, dim, tokens."""
    found = config(model)
    vision, text = found["vision_cfg"], found["text_cfg"]
    if tower == "image":
        size, patch = int(vision["image_size"]), int(vision["patch_size"])
        width, layers = int(vision.get("width", 768)), int(vision.get("layers", 12))
        heads, tokens = width // int(vision.get("head_width", 64)), (size // patch) ** 2 + 1
    else:
        width, layers = int(text.get("width", 512)), int(text.get("layers", 12))
        heads, tokens = int(text.get("heads", 8)), int(text.get("context_length", 77))
        size = 0
    return {
        "tower": tower, "layers": layers, "width": width, "heads": heads, "tokens": tokens,
        "dim": int(found["embed_dim"]), "image_size": size, "eps": EPS,
        "activation": "quick_gelu" if found.get("quick_gelu") else "gelu",
    }  # fmt: skip


def image_tower(model: str, path: Path | str) -> Any:
    """open_clip's own `VisionTransformer` with the weights of a file (keys `visual.*`), frozen."""
    from torch import nn

    holder = nn.Module()  # keeps the tower's keys as the file has them
    holder.visual = empty(model).visual
    weights.load_strictly(holder, weights.read(path), where=path, network=f"the image tower of {model}")
    return holder.visual


def text_tower(model: str, path: Path | str) -> Any:
    """The text parts of open_clip's own `CLIP` with the weights of a file, named as there, frozen."""
    from torch import nn

    holder, clip = nn.Module(), empty(model)
    for part in TEXT_PARTS:
        setattr(holder, part, getattr(clip, part))
    weights.load_strictly(holder, weights.read(path), where=path, network=f"the text tower of {model}")
    return holder


def empty(model: str, *, device: str = "meta") -> Any:
    """open_clip's own `CLIP` of that configuration; on `meta` it costs no memory and waits for weights."""
    import torch
    from open_clip.model import CLIP

    with torch.device(device):
        return CLIP(**config(model))


def _from_file(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise _refused(path, got="no such file", expected="a JSON file of an open_clip model") from None
    except ValueError as error:
        raise _refused(path, got=str(error), expected="valid JSON") from error
    if not isinstance(found, dict):
        raise _refused(path, got=type(found).__name__, expected="a mapping")
    return found


def _from_name(name: str) -> dict[str, Any]:
    import difflib

    import open_clip

    found = open_clip.get_model_config(name)
    if found is None:
        near = difflib.get_close_matches(name, open_clip.list_models(), n=3)
        raise _refused(name, got="an unknown name", expected=" or ".join(near) or "a name open_clip knows")
    return dict(found)


def _refused(where: object, *, got: str, expected: str) -> MsavqaError:
    return MsavqaError(
        what="CLIP model",
        where=where,
        got=got,
        expected=expected,
        next_step="choose another `model` in params.yaml",
    )
