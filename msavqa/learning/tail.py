"""CLIP's tail: what follows the cut, computed from cached tokens for the one row that is used.

The paper adapts CLIP's class token around the last block, P_c1 = g1(CLS), P_c = g2(Encoder([P_c1, F]))
(Eqs. 1-2). All before g1 is frozen and cached; of the last block only the class row is ever used, and the
other tokens F are constants. With u = x / sd(x), a layer norm is linear in u, so that for one head

    logit_t = q . K LN(x_t)  = (q K') . u_t + constant      the constant shifts all logits alike: softmax
    context = sum_t a_t V LN(x_t) = V' (sum_t a_t u_t) + c  the weights a_t sum to one

K' and V' are the projections with the norm's scale and its centring multiplied in, once. F is touched by two
small batched products and never projected. In an image the class token is first and sees all tokens; in a
text it is EOT, the last of `lengths` tokens, and sees those only.

From float32 tokens this is the whole model within 2.3e-6, from the float16 that presets store within 1.2e-3;
entries are of about one (benchmarks/tail_step.py).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from msavqa.ground.errors import MsavqaError
from msavqa.networks import weights

LastAdapterAt = Literal["embedding", "token"]


class ClipTail(nn.Module):
    """Frozen last block, final norm and projection of one CLIP tower, for its class row.

    Everything is a buffer outside the state dict: a branch that holds a tail neither trains nor saves CLIP.
    Made by `clip_text_tail` and `clip_image_tail`.
    """

    _query: Tensor
    _query_bias: Tensor
    _key: Tensor
    _value: Tensor
    _value_bias: Tensor
    _out: Tensor
    _out_bias: Tensor
    _norm2: Tensor
    _norm2_bias: Tensor
    _fc: Tensor
    _fc_bias: Tensor
    _proj: Tensor
    _proj_bias: Tensor
    _norm: Tensor
    _norm_bias: Tensor
    _projection: Tensor

    def __init__(
        self,
        block: Mapping[str, Tensor],
        *,
        norm: tuple[Tensor, Tensor],
        projection: Tensor,
        heads: int,
        activation: str,
        eps: float,
    ) -> None:
        """block: the last block's tensors by open_clip's names; norm: the final norm's scale and shift."""
        super().__init__()
        if activation not in ("gelu", "quick_gelu"):
            raise ValueError(f"activation {activation!r}: expected gelu or quick_gelu")
        self.heads, self.activation, self.eps = heads, activation, eps
        width = projection.shape[0]
        scale, shift = block["ln_1.weight"].float(), block["ln_1.bias"].float()
        query, key, value = block["attn.in_proj_weight"].float().chunk(3)
        query_bias, _, value_bias = block["attn.in_proj_bias"].float().chunk(3)
        root = (width // heads) ** -0.5
        folded = {
            "query": _centred(query * scale) * root,
            "query_bias": (query @ shift + query_bias) * root,
            "key": _centred(key * scale).view(heads, width // heads, width),
            "value": _centred(value * scale).view(heads, width // heads, width).transpose(1, 2),
            "value_bias": value @ shift + value_bias,
            "out": block["attn.out_proj.weight"], "out_bias": block["attn.out_proj.bias"],
            "norm2": block["ln_2.weight"], "norm2_bias": block["ln_2.bias"],
            "fc": block["mlp.c_fc.weight"], "fc_bias": block["mlp.c_fc.bias"],
            "proj": block["mlp.c_proj.weight"], "proj_bias": block["mlp.c_proj.bias"],
            "norm": norm[0], "norm_bias": norm[1], "projection": projection.T,
        }  # fmt: skip
        for name, tensor in folded.items():
            self.register_buffer(f"_{name}", tensor.detach().float().contiguous(), persistent=False)

    def forward(
        self,
        tokens: Float[Tensor, "*rows token width"],
        lengths: Int[Tensor, "*rows"] | None,
        *,
        first_adapter: nn.Module,
        last_adapter: nn.Module,
        last_adapter_at: LastAdapterAt = "embedding",
    ) -> Float[Tensor, "*rows dim"]:
        """The adapted class embedding in CLIP's joint space, not normalised.

        tokens: input of the last block, any float dtype, never given a gradient. lengths: None for an image;
        for a text the number of tokens, EOT included (what lies behind them is ignored). first_adapter is g1,
        width -> width; last_adapter is g2: behind norm and projection, dim -> dim (`embedding`, where
        CLIP-Adapter stands), or on the block's output, width -> width (`token`, Eq. 2 to the letter).
        """
        *rows, count, width = tokens.shape
        constant = tokens.detach().reshape(-1, count, width).to(self._out.dtype)
        if lengths is None:
            place = torch.zeros(len(constant), dtype=torch.long, device=constant.device)
            hidden = None
        else:
            place = lengths.reshape(-1).long() - 1
            hidden = torch.arange(count, device=constant.device) > place[:, None]
        each = torch.arange(len(constant), device=constant.device)
        token = first_adapter(constant[each, place])
        attended = self._attention(token, constant, place=place, hidden=hidden)
        token = token + functional.linear(attended, self._out, self._out_bias)
        normed = functional.layer_norm(token, (width,), self._norm2, self._norm2_bias, self.eps)
        token = token + self._mlp(normed)
        if last_adapter_at == "token":
            token = last_adapter(token)
        token = functional.layer_norm(token, (width,), self._norm, self._norm_bias, self.eps)
        embedding = functional.linear(token, self._projection)
        adapted: Tensor = embedding if last_adapter_at == "token" else last_adapter(embedding)
        return adapted.reshape(*rows, -1)

    def _attention(
        self, token: Float[Tensor, "row width"], constant: Float[Tensor, "row token width"], *,
        place: Int[Tensor, "row"], hidden: Tensor | None,
    ) -> Float[Tensor, "row width"]:  # fmt: skip
        """What the class row attends to, before the output projection; its own key and value are adapted."""
        rows, width = token.shape
        own = token * _inverse_sd(token, self.eps)
        query = functional.linear(own, self._query, self._query_bias).view(rows, self.heads, -1)
        query = torch.bmm(query.transpose(0, 1), self._key).transpose(0, 1)  # q K': row, head, width
        inverse = _inverse_sd(constant, self.eps).transpose(1, 2)
        logits = torch.bmm(query, constant.transpose(1, 2)) * inverse
        is_own = (torch.arange(constant.shape[1], device=place.device) == place[:, None])[:, None]
        logits = torch.where(is_own, torch.bmm(query, own[:, :, None]), logits)
        if hidden is not None:
            logits = logits.masked_fill(hidden[:, None], float("-inf"))
        attention = logits.softmax(dim=-1)
        others = torch.bmm(attention.masked_fill(is_own, 0) * inverse, constant)
        mean = others + (attention * is_own).sum(-1, keepdim=True) * own[:, None]
        context = torch.bmm(mean.transpose(0, 1), self._value).transpose(0, 1)
        return context.reshape(rows, width) + self._value_bias

    def _mlp(self, token: Float[Tensor, "row width"]) -> Float[Tensor, "row width"]:
        inner = functional.linear(token, self._fc, self._fc_bias)
        inner = functional.gelu(inner) if self.activation == "gelu" else inner * torch.sigmoid(1.702 * inner)
        return functional.linear(inner, self._proj, self._proj_bias)


def clip_text_tail(weights_path: Path | str, architecture: Mapping[str, Any]) -> ClipTail:
    """The tail of CLIP's text tower; `architecture` is the `clip_text` store's attribute of that name.

    Raises `MsavqaError` where the file is not the one the store was made with.
    """
    return _tail(weights_path, architecture, prefix="", norm="ln_final", projection="text_projection")


def clip_image_tail(weights_path: Path | str, architecture: Mapping[str, Any]) -> ClipTail:
    """The tail of CLIP's image tower; `architecture` is the `clip_image` store's attribute of that name.

    Raises `MsavqaError` where the file is not the one the store was made with.
    """
    return _tail(
        weights_path, architecture, prefix="visual.", norm="visual.ln_post", projection="visual.proj"
    )


def _tail(
    path: Path | str, architecture: Mapping[str, Any], *, prefix: str, norm: str, projection: str
) -> ClipTail:
    block = f"{prefix}transformer.resblocks.{int(architecture['layers']) - 1}."
    weights.check_same(path, architecture.get("weights_sha256"))
    wanted = {f"{norm}.weight", f"{norm}.bias", projection} | {block + name for name in _BLOCK}
    state = weights.read(path, keep=wanted.__contains__)
    if missing := sorted(wanted - state.keys()):
        raise MsavqaError(
            what="Weights of another network",
            where=path,
            got=f"{len(missing)} missing ({', '.join(missing[:3])}{', ...' if len(missing) > 3 else ''})",
            expected=f"a CLIP tower of {architecture['layers']} blocks",
            next_step="put the file back that `weights` held when the tokens were cached",
        )
    return ClipTail(
        {name: state[block + name] for name in _BLOCK},
        norm=(state[f"{norm}.weight"], state[f"{norm}.bias"]),
        projection=state[projection],
        heads=int(architecture["heads"]),
        activation=str(architecture["activation"]),
        eps=float(architecture["eps"]),
    )


_BLOCK = (
    "ln_1.weight", "ln_1.bias", "attn.in_proj_weight", "attn.in_proj_bias", "attn.out_proj.weight",
    "attn.out_proj.bias", "ln_2.weight", "ln_2.bias", "mlp.c_fc.weight", "mlp.c_fc.bias",
    "mlp.c_proj.weight", "mlp.c_proj.bias",
)  # fmt: skip


def _centred(matrix: Float[Tensor, "out width"]) -> Float[Tensor, "out width"]:
    """M such that M x = matrix (x - mean(x)): a layer norm's centring as part of the projection behind it."""
    return matrix - matrix.mean(dim=-1, keepdim=True)


def _inverse_sd(x: Float[Tensor, "*rows width"], eps: float) -> Float[Tensor, "*rows 1"]:
    """1 / sd of each vector as a layer norm has it.

    E[x^2] - E[x]^2 by a norm and a mean: an order of magnitude faster on a CPU than `var`, which was the
    largest cost of a training step. Tokens' means are small beside their sd, so that little cancels.
    """
    mean = x.mean(dim=-1, keepdim=True)
    square = torch.linalg.vector_norm(x, dim=-1, keepdim=True).square() / x.shape[-1]
    return torch.rsqrt((square - mean.square()).clamp(min=0) + eps)
