"""CLIP's text tower over prompts: the tokens before its last block, and its final embedding.

A prompt's tokens are start, words, EOT; the text is causal, so what lies behind EOT is never computed. A
prompt longer than the context is read in pieces, each a row of its own; without the setting `pieces` it keeps
its beginning and EOT.
"""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from msavqa.ground.params import Settings
from msavqa.networks import clip_model
from msavqa.networks.clip_model import ClipSettings
from msavqa.networks.weights import sha256
from msavqa.store.format import ArraySpec
from msavqa.trunks.run import pieces
from msavqa.trunks.run.network import Arrays, Network, chunks, precisely, to_numpy, versions
from msavqa.trunks.run.pieces import Pieces

AXIS = "prompt"
TOKENS_ROUNDED_TO = 16


class PieceSettings(Settings):
    """`texts.<name>.pieces`: how a prompt that is longer than the context is read."""

    most: int = Field(ge=1)
    """Pieces that are read of one prompt; what lies behind them is left out."""
    sharpness: float = Field(ge=0)
    """Of the softmax that joins the pieces of a prompt by their cosine with the frames, per standard
    deviation of such cosines in training: 0 is their mean, large the piece that fits best."""


class TextSettings(ClipSettings):
    """A network under `texts`. All of them are of this kind, so no key says it."""

    kind: ClassVar[str] = "clip_text"
    pieces: PieceSettings | None
    """None: the end of a prompt that is longer than the context is left out."""


@dataclass(frozen=True)
class Tokens:
    """A tokenised prompt."""

    ids: list[int]
    """Start, words, EOT; cut to the context."""
    count: int
    """How many there were before the cut."""


def specs(settings: TextSettings, *, tokens: int) -> tuple[ArraySpec, ...]:
    """`tokens` (prompt, token, width): input of the last block, zeros behind `length`. `length` (prompt,):
    tokens, EOT included. `cls` (prompt, dim): the unadapted model's own embedding, a unit vector.

    `tokens` is how many the longest prompt may have, see `room`.
    """
    shape = clip_model.architecture(settings.model, "text")
    length = ArraySpec("length", (AXIS,), (), "int32")
    cls = ArraySpec("cls", (AXIS, "dim"), (shape["dim"],), "float32")
    if settings.cut == "cls":
        return (length, cls)
    return (
        ArraySpec("tokens", (AXIS, "token", "width"), (tokens, shape["width"]), settings.dtype),
        length,
        cls,
    )


def room(settings: TextSettings, prompts: Sequence[str]) -> int:
    """Tokens that the store keeps for a prompt: the longest one's, rounded up so that it seldom changes."""
    tokenised = tokeniser(settings)
    longest = max((len(tokenised(prompt).ids) for prompt in prompts), default=2)
    context: int = clip_model.architecture(settings.model, "text")["tokens"]
    return min(context, -(-longest // TOKENS_ROUNDED_TO) * TOKENS_ROUNDED_TO)


def attributes(settings: TextSettings, *, weights: Path) -> dict[str, Any]:
    """What the tail needs to know, `architecture`; see `tail.clip_text_tail`."""
    found = clip_model.architecture(settings.model, "text")
    return {"architecture": found | {"weights_sha256": sha256(weights)}}


def fingerprint(settings: TextSettings, *, weights: Path) -> dict[str, Any]:
    """Everything the features depend on besides the prompts themselves."""
    return {
        "kind": settings.kind, "cut": settings.cut, "precision": settings.precision, "dtype": settings.dtype,
        "pieces": None if settings.pieces is None else settings.pieces.model_dump(),
        **attributes(settings, weights=weights),
        "preprocessing": {"tokenizer": "open_clip SimpleTokenizer"},
        "versions": versions("torch", "open_clip_torch"),
    }  # fmt: skip


def tokeniser(settings: TextSettings) -> Any:
    """A function from a prompt to its `Tokens`, by open_clip's own byte-pair tokenizer."""
    context = clip_model.architecture(settings.model, "text")["tokens"]
    tokenizer = _vocabulary()

    def tokenised(prompt: str) -> Tokens:
        ids = [tokenizer.sot_token_id, *tokenizer.encode(prompt), tokenizer.eot_token_id]
        return Tokens(ids if len(ids) <= context else [*ids[: context - 1], ids[-1]], len(ids))

    return tokenised


def reader(settings: TextSettings) -> Callable[[str], Pieces]:
    """A function from a prompt to its pieces; one piece, the prompt as it stands, where it fits."""
    context = clip_model.architecture(settings.model, "text")["tokens"]
    window, vocabulary = context - len(("start", "EOT")), _vocabulary()

    def tokens(text: str) -> int:
        return len(vocabulary.encode(text))

    def read(prompt: str) -> Pieces:
        if settings.pieces is None:
            return Pieces((prompt,), whole=tokens(prompt) <= window)
        return pieces.of(prompt, tokens=tokens, window=window, most=settings.pieces.most)

    return read


@functools.cache
def _vocabulary() -> Any:
    """open_clip's tokenizer, whose vocabulary takes a while to load; the same for every context."""
    from open_clip.tokenizer import SimpleTokenizer

    return SimpleTokenizer()


def load(settings: TextSettings, *, weights: Path, device: str, batch: int) -> Network[str]:
    """The network on a device, at most `batch` prompts at a time; raises `MsavqaError` for wrong weights.

    The `tokens` of one call are padded to its longest prompt.
    """
    import torch
    from torch.nn import functional

    tower = clip_model.text_tower(settings.model, weights).to(device)

    def one(ids: "Sequence[Tokens]") -> "tuple[torch.Tensor, torch.Tensor]":
        """Input of the last block and unit embeddings of some prompts, padded to the longest."""
        longest = max(len(tokens.ids) for tokens in ids)
        text = torch.zeros(len(ids), longest, dtype=torch.long)
        for row, tokens in enumerate(ids):
            text[row, : len(tokens.ids)] = torch.tensor(tokens.ids)
        x = tower.token_embedding(text.to(device)) + tower.positional_embedding[:longest]
        mask = torch.full((longest, longest), float("-inf"), device=device).triu(1)
        for block in tower.transformer.resblocks[:-1]:
            x = block(x, attn_mask=mask)
        last = tower.transformer.resblocks[-1](x, attn_mask=mask)
        eot = torch.tensor([len(tokens.ids) - 1 for tokens in ids], device=device)
        embedding = tower.ln_final(last[torch.arange(len(ids), device=device), eot]) @ tower.text_projection
        return x, functional.normalize(embedding.float(), dim=-1)

    @torch.inference_mode()
    def forward(ids: "Sequence[Tokens]") -> Arrays:
        length = np.array([len(tokens.ids) for tokens in ids], dtype=np.int32)
        parts = []
        for part in chunks(ids, batch):
            with precisely(settings.precision, device=device):
                parts.append(tuple(map(to_numpy, one(part))))
        found = {"length": length, "cls": np.concatenate([cls for _, cls in parts])}
        if settings.cut == "last_block":
            tokens = np.zeros((len(ids), length.max(), parts[0][0].shape[-1]), dtype=np.float32)
            row = 0
            for x, _ in parts:
                tokens[row : row + len(x), : x.shape[1]] = x
                row += len(x)
            tokens[np.arange(tokens.shape[1]) >= length[:, None]] = 0
            found["tokens"] = tokens
        return found

    return Network(tokeniser(settings), forward)
