"""Pre-trains one small backbone to see causes of bad quality: `python -m data.sample.backbones frame`.

A part of `make sample-networks`. The weights stand where ImageNet's and Kinetics' stand in the paper preset.
They learn from videos of their own, from the strengths of the causes, never from a rating.
"""

import csv
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

import numpy as np
import timm
import torch
from numpy.typing import NDArray
from pydantic import Field
from scipy.stats import spearmanr
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.video.swin_transformer import SwinTransformer3d

from data.sample import backbone_start, mp4, shipped, streams
from msavqa.ground import params
from msavqa.ground.params import Settings
from msavqa.ground.progress import track
from msavqa.machine import device

HERE = Path("data/sample")
TECHNICAL = ("blur", "noise", "blocking")
TEMPORAL = ("flicker", "judder", "frozen")
MEAN, STD = timm.data.IMAGENET_DEFAULT_MEAN, timm.data.IMAGENET_DEFAULT_STD  # timm's and torchvision's
HELD_OUT = 0.15  # the share of the practice videos, their last, on which the backbone is measured
START_VIDEOS = 96  # whose patches the first layer is whitened on
MACROBLOCK = 16  # pixels: crops keep to H.264's grid, where blocking has its edges


class BackboneSettings(Settings):
    """One backbone and how it learns. `model` is a name of timm, or `SwinTransformer3d` of torchvision."""

    model: str
    kwargs: dict[str, Any] = Field(strict=False)
    gain: float  # of the layers' first weights, see `backbone_start.scale`
    crop: int  # pixels a side, cut at random while it learns
    steps: int
    batch: int
    learning_rate: float
    weight_decay: float
    threads: int


def build(settings: BackboneSettings) -> nn.Module:
    """The bare network, without a head: frames (n, 3, h, w) or videos (n, 3, frame, h, w) to (n, width)."""
    if settings.model == "SwinTransformer3d":
        video: nn.Module = SwinTransformer3d(**settings.kwargs)
        video.head = nn.Identity()  # no keys `head.*`
        return video
    return timm.create_model(settings.model, num_classes=0, **settings.kwargs)


def first_layer(network: Any) -> nn.Module:
    """The layer that turns patches of pixels into channels."""
    found = network.stem[0] if hasattr(network, "stem") else network.patch_embed.proj
    return cast(nn.Module, found)


def resize(network: Any, side: int) -> None:
    """Tells a network that holds on to its input's size that inputs now have another."""
    if hasattr(network, "set_input_size"):
        network.set_input_size(img_size=side)


def practice(folder: Path, *, threads: int) -> tuple[NDArray[np.uint8], dict[str, NDArray[np.float32]]]:
    """The practice videos (video, frame, height, width, 3) and the strength of each cause (video,)."""
    with (folder / "practice_causes.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    causes = {name: np.array([row[name] for row in rows], np.float32) for name in (*TECHNICAL, *TEMPORAL)}
    with ThreadPoolExecutor(threads) as pool:  # decoding leaves the interpreter free
        read = pool.map(mp4.decode, [folder / "practice" / row["video"] for row in rows])
        levels = list(track(read, description="reading practice videos", total=len(rows)))
    return np.stack(levels), causes


def normalise(frames: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Levels 0-255 with the channel last, (..., 3), to normalised values."""
    return (frames.float() / 255 - torch.tensor(mean)) / torch.tensor(std)


def batch_of(videos: Tensor, rows: Tensor, *, is_video: bool, crop: int, rng: torch.Generator) -> Tensor:
    """Inputs for some videos: whole ones, or one frame of each, cropped and mirrored at random."""
    high, wide = (
        MACROBLOCK * int(torch.randint(0, (side - crop) // MACROBLOCK + 1, (), generator=rng))
        for side in videos.shape[2:4]
    )
    part = videos[:, :, high : high + crop, wide : wide + crop]
    if torch.rand((), generator=rng) < 0.5:
        part = part.flip(3)
    if is_video:
        return normalise(part[rows], MEAN, STD).permute(0, 4, 1, 2, 3)
    which = torch.randint(0, videos.shape[1], rows.shape, generator=rng)
    images = normalise(part[rows, which], MEAN, STD)
    return images.permute(0, 3, 1, 2)  # channels last in memory: faster convolutions


def train(
    network: nn.Module, videos: Tensor, targets: Tensor, settings: BackboneSettings, *, seed: int
) -> nn.Module:
    """Regression of standardised strengths (video, cause); returns the linear head that was used."""
    device.in_order()
    is_video = settings.model == "SwinTransformer3d"
    width = int(network.num_features)  # type: ignore[arg-type]
    head = nn.Linear(width, targets.shape[1])
    nn.init.zeros_(head.weight)
    backbone_start.scale(network, gain=settings.gain)
    optimiser = torch.optim.AdamW(
        [*network.parameters(), *head.parameters()],
        lr=settings.learning_rate,
        weight_decay=settings.weight_decay,
        betas=(0.9, 0.99),
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, settings.learning_rate, total_steps=settings.steps, pct_start=0.15
    )
    rng = torch.Generator().manual_seed(seed)
    epochs = 1 + settings.steps * settings.batch // len(videos)
    order = torch.cat([torch.randperm(len(videos), generator=rng) for _ in range(epochs)])
    first = batch_of(videos, order[:START_VIDEOS], is_video=is_video, crop=settings.crop, rng=rng)
    backbone_start.whiten(first_layer(network), first)
    resize(network, settings.crop)
    network.train()
    for step in track(range(settings.steps), description="training", total=settings.steps, unit="steps"):
        rows = order[step * settings.batch : (step + 1) * settings.batch]
        inputs = batch_of(videos, rows, is_video=is_video, crop=settings.crop, rng=rng)
        loss = functional.mse_loss(head(network(inputs)), targets[rows])
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        schedule.step()
    resize(network, videos.shape[2])
    return head.requires_grad_(False)


def names_of(settings: BackboneSettings) -> tuple[str, ...]:
    """The causes that a backbone learns: temporal ones too where it sees whole videos."""
    return (*TECHNICAL, *TEMPORAL) if settings.model == "SwinTransformer3d" else TECHNICAL


def held_out(count: int) -> int:
    """How many of so many practice videos, their last, teach nothing."""
    return max(2, round(HELD_OUT * count))


def save(name: str, network: nn.Module, head: nn.Module) -> None:
    """Ships a backbone, and beside it the linear layer that it learned with; `readout` reads that."""
    readout = {f"{shipped.READOUT}{key}": value for key, value in head.state_dict().items()}
    state = {key: value.numpy() for key, value in {**network.state_dict(), **readout}.items()}
    shipped.keep(name, state)


def readout(tensors: shipped.Tensors) -> nn.Linear:
    """The linear layer of a shipped backbone: features (n, width) to standardised strengths (n, cause)."""
    state = {
        name.removeprefix(shipped.READOUT): torch.from_numpy(value)
        for name, value in tensors.items()
        if name.startswith(shipped.READOUT)
    }
    head = nn.Linear(state["weight"].shape[1], state["weight"].shape[0])
    head.load_state_dict(state)
    return head.requires_grad_(False)


@torch.no_grad()
def measure(
    network: nn.Module, head: nn.Module, videos: Tensor, targets: Tensor, *, is_video: bool
) -> list[float]:
    """SRCC of each cause's strength with what the network reads from videos it has not seen."""
    network.eval()
    rng = torch.Generator().manual_seed(0)
    side = videos.shape[2]
    parts = torch.arange(len(videos)).split(8)  # type: ignore[no-untyped-call]
    read = [head(network(batch_of(videos, p, is_video=is_video, crop=side, rng=rng))) for p in parts]
    pairs = zip(torch.cat(read).T.numpy(), targets.T.numpy())
    return [float(spearmanr(found, true).statistic) for found, true in pairs]


def main(argv: Sequence[str] | None = None) -> int:
    """Trains the named backbone, measures it on held-out practice videos, and ships it."""
    (name,) = sys.argv[1:] if argv is None else argv
    data = params.read(HERE / "params.yaml")
    settings = params.block(data, f"backbones.{name}", BackboneSettings, where=HERE / "params.yaml")
    seed = int(data["seed"])
    device.keep_freed()
    torch.set_num_threads(settings.threads)
    torch.manual_seed(int(streams.generator(seed, "backbone").integers(2**31)))
    levels, causes = practice(HERE / "training", threads=settings.threads)
    is_video = settings.model == "SwinTransformer3d"
    names = names_of(settings)
    strengths = torch.from_numpy(np.stack([causes[cause] for cause in names], axis=1))
    targets = (strengths - strengths.mean(0)) / strengths.std(0)
    videos = torch.from_numpy(levels)
    kept = len(videos) - held_out(len(videos))
    network = build(settings)
    head = train(network, videos[:kept], targets[:kept], settings, seed=seed)
    found = measure(network, head, videos[kept:], targets[kept:], is_video=is_video)
    save(name, network, head)
    metrics = {f"srcc_{cause}": value for cause, value in zip(names, found)}
    print(shipped.record(name, metrics, seed=seed))
    return 0


if __name__ == "__main__":
    sys.exit(main())
