"""Seconds of one training epoch: the frame branch with PSS and SMA over online CLIP, and from the cache.

    python -m benchmarks.train_epoch [--videos 8100] [--cached 256] [--online 16] [--batch 64] [--device cpu]

ViT-B-32 of open_clip with random weights, 16 frames per video, both encoders adapted around their last block,
the branch's own features (768 wide, as ConvNeXt-tiny's) cached both ways. Online, every step runs the whole
of CLIP, its blocks before the first adapter without gradients. Both ways run the same branch, loss, backward
pass and optimiser over the same videos. Seconds are medians of measured batches, extrapolated to `--videos`
(T2VQA-DB less the test tenth, less a tenth of the rest for validation); `measured_*` say from how many videos
a batch. `max_abs_diff` compares the scores.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from msavqa.learning import branch, optimise, tail
from msavqa.learning.branch import Shapes
from msavqa.learning.semantics import Batch, ClipShapes
from msavqa.machine import device as devices
from msavqa.networks import clip_model, preprocess, weights
from msavqa.store import read as store
from msavqa.store import shards

FRAMES, FEATURES, CLIP = 16, 768, "ViT-B-32"
SETTINGS: dict[str, Any] = {
    "kind": "frame",
    "reads": {"trunk": "frame", "motion": None, "text": "text", "image": "image"},
    "start": None,
    "technical": {},
    "pss": {
        "enabled": True, "fusion": ["text", "product", "cosine"], "adapters": "tail",
        "last_adapter": "embedding", "adapter_width": 128, "adapter_ratio": 0.5, "frames": "all",
    },
    "sma": {
        "enabled": True, "tokens": ["cls", "difference"], "frames": "adapted", "measures": False,
        "feeds": "head", "width": 256, "heads": 8, "queries": 1,
    },
    "statistics": [],
    "head": {"width": 256, "dropout": 0.0},
    "loss": {"beta": 1.0},
    "optimiser": {"name": "adamw", "rate": 0.002, "weight_decay": 0.01, "backbone_rate": 0.2, "batch": 64},
}  # fmt: skip


class OnlineTail(nn.Module):
    """A whole frozen CLIP tower with the adapters hooked into it; takes the place of the cached tail."""

    def __init__(self, tower: Any, block: nn.Module, *, text: bool) -> None:
        super().__init__()
        self.encode, self.block, self.text = tower, block, text

    def forward(
        self, given: Tensor, lengths: Tensor | None, *, first_adapter: nn.Module, last_adapter: nn.Module,
        last_adapter_at: str,
    ) -> Tensor:  # fmt: skip
        """Embeddings of pixels (video, frame, 3, y, x) or of token ids (video, token)."""
        flat = given
        if not self.text:
            flat = preprocess.normalised(given.flatten(0, 1), mean_sd=preprocess.CLIP_MEAN_SD)
        place = torch.zeros(len(flat), dtype=torch.long, device=flat.device)
        if lengths is not None:
            place = lengths.long() - 1

        def adapt(block: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            tokens = inputs[0].clone()
            each = torch.arange(len(tokens), device=tokens.device)
            tokens[each, place] = first_adapter(inputs[0][each, place])
            return (tokens, *inputs[1:])

        hook = self.block.register_forward_pre_hook(adapt)
        embedding: Tensor = last_adapter(self.encode(flat))
        hook.remove()
        return embedding if self.text else embedding.view(*given.shape[:2], -1)


def main(argv: Sequence[str] | None = None) -> int:
    """Prints one JSON object: online_epoch_s, cached_epoch_s, ratio and what they were measured on."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    for name, value in (("videos", 8100), ("cached", 256), ("online", 16), ("batch", 64), ("rounds", 3)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    given = parser.parse_args(argv)
    devices.keep_freed()  # as the stages do
    given.device = devices.chosen(given.device, setting="--device").type
    with tempfile.TemporaryDirectory(prefix="train_epoch-") as folder:
        print(json.dumps(measure(Path(folder), given)))
    return 0


def measure(folder: Path, given: argparse.Namespace) -> dict[str, float | int | str]:
    """One branch, trained both ways on the same videos."""
    torch.manual_seed(0)
    clip = open_clip.create_model(CLIP, pretrained=None).eval().requires_grad_(False)
    for tower, state in zip(("text", "image"), weights.split_clip(clip.state_dict()), strict=True):
        tensors = {name: tensor.contiguous() for name, tensor in state.items()}
        save_file(tensors, folder / f"{tower}.safetensors")
    online = raw_batch(clip, given.online)
    write_store(folder / "clip.zarr", clip, online, given.cached)
    cached = store.open(folder / "clip.zarr")

    def build(text_tail: nn.Module, image_tail: nn.Module) -> nn.Module:
        torch.manual_seed(0)
        shape = clip_model.architecture(CLIP, "image"), clip_model.architecture(CLIP, "text")
        sizes = ClipShapes(dim=shape[0]["dim"], text_width=shape[1]["width"], image_width=shape[0]["width"])
        settings = branch.settings_of("frame").model_validate(SETTINGS)
        shapes = Shapes(features=FEATURES, motion=0, statistics=0, changes=0, clip=sizes)
        net = branch.assemble(settings, shapes=shapes, text_tail=text_tail, image_tail=image_tail)
        return net.to(given.device)

    tails = (
        tail.clip_text_tail(folder / "text.safetensors", clip_model.architecture(CLIP, "text")),
        tail.clip_image_tail(folder / "image.safetensors", clip_model.architecture(CLIP, "image")),
    )
    from_cache = build(*tails)
    whole = build(
        OnlineTail(clip.encode_text, clip.transformer.resblocks[-1], text=True),
        OnlineTail(clip.encode_image, clip.visual.transformer.resblocks[-1], text=False),
    )
    clip.to(given.device)
    with torch.no_grad():
        ours = from_cache(cached_batch(cached, np.arange(given.online), given.device)).score
        theirs = whole(moved(online, given.device)).score
    random = np.random.default_rng(0)

    def some() -> Batch:
        return cached_batch(cached, random.integers(0, given.cached, given.batch), given.device)

    fast = [seconds(from_cache, some) for _ in range(4 * given.rounds)]
    slow = [seconds(whole, lambda: moved(online, given.device)) for _ in range(given.rounds)]
    cached_s = statistics.median(fast[1:]) / given.batch * given.videos
    online_s = statistics.median(slow) / given.online * given.videos
    return {
        "online_epoch_s": round(online_s, 1),
        "cached_epoch_s": round(cached_s, 2),
        "ratio": round(online_s / cached_s, 1),
        "max_abs_diff": float((ours - theirs).abs().max()),
        "videos": given.videos,
        "extrapolated": "from batches of measured_* videos to an epoch of `videos`",
        "measured_online_videos_a_batch": given.online,
        "measured_cached_videos_a_batch": given.batch,
        "threads": torch.get_num_threads(),
        "device": given.device if given.device == "cpu" else torch.cuda.get_device_name(),
    }


def seconds(net: nn.Module, batch: Callable[[], Batch]) -> float:
    """Wall time of one training step, reading its batch included."""
    settings = branch.settings_of("frame").model_validate(SETTINGS)
    learner = optimise.optimiser(net, settings.optimiser)
    started = time.perf_counter()
    given = batch()
    output = net(given)
    mos = torch.linspace(-1, 1, len(output.score), device=output.score.device)
    loss = branch.loss(settings, output=output, mos=mos, weight=torch.ones_like(mos))
    torch.autograd.backward(loss)
    learner.step()
    if output.score.is_cuda:
        torch.cuda.synchronize()
    return time.perf_counter() - started


def raw_batch(clip: Any, videos: int) -> Batch:
    """Random pixels and prompts, with features of both sides that are cached either way."""
    random = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (videos, FRAMES, 3, 224, 224), generator=random, dtype=torch.uint8)
    ids = open_clip.tokenize([f"a red ball number {number} rolls left" for number in range(videos)])
    return {
        "image_tokens": pixels,
        "text_tokens": ids,
        "text_length": ids.argmax(dim=1) + 1,
        "features": torch.randn((videos, FRAMES, FEATURES), generator=random).half(),
        "frames_cls": torch.zeros((videos, FRAMES, clip.visual.output_dim)),
    }


def write_store(path: Path, clip: Any, batch: Batch, videos: int) -> None:
    """The tokens of that batch as fp16, repeated to as many videos as the store should hold."""
    heard: dict[str, list[Tensor]] = {"image": [], "text": []}
    blocks = {"image": clip.visual.transformer.resblocks[-1], "text": clip.transformer.resblocks[-1]}
    hooks = [
        block.register_forward_pre_hook(lambda _, inputs, tower=tower: heard[tower].append(inputs[0]))
        for tower, block in blocks.items()
    ]
    with torch.no_grad():
        for pixels in batch["image_tokens"]:
            clip.encode_image(preprocess.normalised(pixels, mean_sd=preprocess.CLIP_MEAN_SD))
        clip.encode_text(batch["text_tokens"])
    for hook in hooks:
        hook.remove()
    longest = int(batch["text_length"].max())
    arrays = {
        "image_tokens": (("frame", "token", "width"), torch.stack(heard["image"]).half()),
        "text_tokens": (("token", "width"), heard["text"][0][:, :longest].half()),
        "text_length": ((), batch["text_length"].int()),
        "features": (("frame", "width"), batch["features"]),
        "frames_cls": (("frame", "dim"), batch["frames_cls"]),
    }
    specs = []
    for name, (axes, array) in arrays.items():
        kind = str(array.dtype).removeprefix("torch.")
        specs.append(shards.ArraySpec(name, ("video", *axes), tuple(array.shape[1:]), kind))

    def compute(rows: Sequence[int]) -> shards.ShardResult:
        wanted = np.asarray(rows) % len(batch["features"])
        values = {name: array.numpy()[wanted] for name, (_, array) in arrays.items()}
        return shards.ShardResult(values, [shards.RowResult() for _ in rows])

    shards.write(
        path,
        ids=[str(number) for number in range(videos)],
        sha256s=["0" * 64] * videos,
        specs=specs,
        fingerprint={"benchmark": "train_epoch"},
        attributes={},
        compute=compute,
        shard_mb=128,
        staging_root=path.parent / "staging",
    )


def cached_batch(opened: store.Store, rows: Any, device: str) -> Batch:
    """A batch straight from the store's memory map."""
    return moved({name: torch.from_numpy(opened.read(name, rows)) for name in opened.specs}, device)


def moved(batch: Batch, device: str) -> Batch:
    """The batch on a device."""
    return {name: tensor.to(device) for name, tensor in batch.items()}


if __name__ == "__main__":
    raise SystemExit(main())
