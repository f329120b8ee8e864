"""One training step of CLIP's adapters: the whole model every time, against the tail over cached tokens.

    python -m benchmarks.tail_step [--videos 64] [--frames 16] [--rounds 3] [--device cpu]

ViT-B-32 with random weights. A step is forward and backward for the gradients of both adapters, over all
frames of the batch. `online` is open_clip's own forward with the adapters hooked in; its trunk is frozen, so
nothing before the first adapter is recorded. `plain` runs open_clip's own last block over the whole cached
sequence. `cached` is `tail.ClipTail` from float16 tokens, as the cache holds them, their conversion included.
All three take the same frames in the same parts (`--part` at once, gradients added up), in turns; figures are
medians over the rounds. `max_abs_diff` compares the online embeddings with those of the tail from float32
tokens, `max_abs_diff_fp16` with those from float16 ones; embeddings have entries of about one.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from msavqa.learning import tail
from msavqa.learning.layers import Adapter
from msavqa.machine import device as devices
from msavqa.networks import clip_model, weights

MODEL = "ViT-B-32"
Step = Callable[[slice], Tensor]
"""Adapted embeddings (row, dim) of some frames, ready for backward."""


def main(argv: Sequence[str] | None = None) -> int:
    """Prints one JSON object; milliseconds are of one step over all frames."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--videos", type=int, default=64)
    parser.add_argument("--frames", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--part", type=int, default=128)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    given = parser.parse_args(argv)
    devices.keep_freed()  # as the stages do
    given.device = devices.chosen(given.device, setting="--device").type
    rows = given.videos * given.frames
    found = measure(rows, rounds=given.rounds, part=given.part, device=given.device)
    about = {"model": MODEL, "rows": rows, "device": given.device, "threads": torch.get_num_threads()}
    print(json.dumps(found | about))
    return 0


def measure(rows: int, *, rounds: int, part: int, device: str) -> dict[str, float]:
    """Steps of all ways in turns: their times and how far their embeddings are apart."""
    torch.manual_seed(0)
    first, last = adapters(device)
    pixels = torch.randn(rows, 3, 224, 224, device=device)
    ways, tokens = prepare(pixels, first, last, device=device)
    parts = [slice(start, start + part) for start in range(0, rows, part)]
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for way in ways.values():  # warm up
        step(way, parts[:1], first, last, device=device)
    for turn in range(rounds):
        for name in list(ways) if turn % 2 else list(ways)[::-1]:
            started = time.perf_counter()
            step(ways[name], parts, first, last, device=device)
            seconds[name].append(time.perf_counter() - started)
    ms = {f"{name}_ms": round(1000 * statistics.median(taken), 1) for name, taken in seconds.items()}
    with torch.no_grad():
        online = torch.cat([ways["online"](one) for one in parts])
        exact = torch.cat([ways["exact"](one) for one in parts])
        cached = torch.cat([ways["cached"](one) for one in parts])
    return {
        **ms,
        "speedup": round(ms["online_ms"] / ms["cached_ms"], 1),
        "speedup_over_plain": round(ms["plain_ms"] / ms["cached_ms"], 1),
        "max_abs_diff": float((online - exact).abs().max()),
        "max_abs_diff_fp16": float((online - cached).abs().max()),
        "embedding_rms": round(float(online.square().mean().sqrt()), 3),
        "cached_mb": round(tokens.numel() * 2 / 2**20, 1),
    }


def prepare(
    pixels: Tensor, first: nn.Module, last: nn.Module, *, device: str
) -> tuple[dict[str, Step], Tensor]:
    """The ways to make the same step, and the cached tokens."""
    clip: Any = clip_model.empty(MODEL, device="cpu").eval().requires_grad_(False)
    architecture = clip_model.architecture(MODEL, "image")
    with tempfile.TemporaryDirectory(prefix="tail_step-") as folder:
        path = Path(folder) / "clip_image.safetensors"
        weights.save(weights.split_clip(clip.state_dict())[1], path)
        behind = tail.clip_image_tail(path, architecture).to(device)
    visual = clip.visual.to(device)
    block = visual.transformer.resblocks[-1]

    def adapt(block: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        x = inputs[0]
        return (torch.cat([first(x[:, :1]), x[:, 1:]], dim=1), *inputs[1:])

    def online(rows: slice) -> Tensor:
        with hooked(block, adapt):
            return last(visual(pixels[rows]))  # type: ignore[no-any-return]

    def plain(rows: slice) -> Tensor:
        x = block(*adapt(block, (tokens[rows],)))
        return last(visual.ln_post(x[:, 0]) @ visual.proj)  # type: ignore[no-any-return]

    def through_tail(rows: slice, source: Tensor) -> Tensor:
        return behind(source[rows], None, first_adapter=first, last_adapter=last)  # type: ignore[no-any-return]

    heard: list[Tensor] = []
    with torch.no_grad(), hooked(block, lambda block, inputs: heard.append(inputs[0].clone())):
        for start in range(0, len(pixels), 128):
            visual(pixels[start : start + 128])
    tokens = torch.cat(heard).clone()
    half = tokens.half()
    return {
        "online": online,
        "plain": plain,
        "exact": lambda rows: through_tail(rows, tokens),
        "cached": lambda rows: through_tail(rows, half),
    }, tokens


def adapters(device: str) -> tuple[nn.Module, nn.Module]:
    """Two adapters that change something, so that a difference would show."""
    found = Adapter(dim=768, width=64, ratio=0.5).to(device), Adapter(dim=512, width=64, ratio=0.5).to(device)
    with torch.no_grad():
        for adapter in found:
            for parameter in adapter.parameters():
                parameter.copy_(torch.randn_like(parameter) * 0.1)
    return found


def step(way: Step, parts: Sequence[slice], first: nn.Module, last: nn.Module, *, device: str) -> None:
    """Forward and backward over all parts; gradients add up in the adapters."""
    first.zero_grad()
    last.zero_grad()
    for rows in parts:
        way(rows).square().mean().backward()  # type: ignore[no-untyped-call]
    if device != "cpu":
        torch.cuda.synchronize()


@contextmanager
def hooked(block: nn.Module, before: Callable[..., Any]) -> Iterator[None]:
    """A hook before one block, for as long as needed."""
    handle = block.register_forward_pre_hook(before)
    try:
        yield
    finally:
        handle.remove()


if __name__ == "__main__":
    main()
