"""Trains the sample world's small CLIP, contrastively, so that its text and frames share a space.

A part of `make sample-networks` (`python -m data.sample.clip`). It stands where `openai` weights stand in the
paper preset: the architecture is open_clip's, the tokenizer too, and the two towers are shipped under
open_clip's own names.
"""

import json
from functools import partial
from pathlib import Path

import numpy as np
import open_clip
import torch
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn
from torch.nn import functional

from data.sample import shipped
from data.sample.clip_pairs import ATTRIBUTES, Pairs, draw_pairs
from msavqa.ground import params
from msavqa.ground.params import Settings
from msavqa.ground.progress import track
from msavqa.machine import device

HERE = Path("data/sample")
TEST_PAIRS = 250
TEST_WRONG = 4  # wrong captions each
MEAN, STD = open_clip.OPENAI_DATASET_MEAN, open_clip.OPENAI_DATASET_STD


class ClipSettings(Settings):
    """How long and how fast the small CLIP learns."""

    pairs: int  # frames with captions to learn from
    warm_up_steps: int  # attributes alone, before captions
    steps: int  # attributes and captions
    batch: int
    learning_rate: float
    weight_decay: float
    attribute_weight: float  # of the attribute loss beside the contrastive loss
    wrong: int  # wrong captions a pair
    degraded: float  # share of the training frames that are softened or noisy, as the web's are
    threads: int
    workers: int  # processes that draw the pairs


def preprocess(frames: NDArray[np.uint8], side: int) -> Tensor:
    """Square frames (n, height, width, 3) as open_clip's own preprocessing has them, (n, 3, side, side).

    Pillow shrinks rows first, then columns, and rounds to whole levels after each.
    """
    levels = torch.from_numpy(frames).permute(0, 3, 1, 2).float()
    for size in ((levels.shape[2], side), (side, side)):
        levels = functional.interpolate(levels, size=size, mode="bicubic", antialias=True)
        levels = levels.round().clamp(0, 255)
    mean, std = torch.tensor(MEAN).view(3, 1, 1), torch.tensor(STD).view(3, 1, 1)
    return (levels / 255 - mean) / std


def degrade(images: Tensor, share: float, rng: torch.Generator) -> Tensor:
    """Softens one half of a share of the images (n, 3, side, side) and adds noise to the other."""
    count = int(len(images) * share)
    soft = functional.avg_pool2d(images[: count // 2], 3, stride=1, padding=1, count_include_pad=False)
    noisy = images[count // 2 : count]
    strength = 0.5 * torch.rand(len(noisy), 1, 1, 1, generator=rng)
    noisy = noisy + strength * torch.randn(noisy.shape, generator=rng)
    return torch.cat([soft, noisy, images[count:]])


def train(model: open_clip.CLIP, pairs: Pairs, settings: ClipSettings, *, seed: int) -> Tensor:
    """Contrastive learning with wrong captions among the negatives, and fading attribute targets.

    Returns which words of the vocabulary have learned; the others' rows are as they were.
    """
    tokenizer = open_clip.SimpleTokenizer(context_length=model.context_length)
    columns = [tokenizer(pairs.captions), *(tokenizer(wrong) for wrong in pairs.wrong)]
    tokens = torch.stack(columns)  # (caption, pair, token)
    words: Tensor
    words, tokens = torch.unique(tokens, return_inverse=True)
    whole = model.token_embedding  # only the few words in use learn: the table has 49,408
    model.token_embedding = nn.Embedding(
        len(words), whole.weight.shape[1], _weight=whole.weight.detach()[words]
    )
    side = int(model.visual.image_size[0])
    images = torch.cat([preprocess(part, side) for part in np.array_split(pairs.frames, 16)])
    named = nn.Linear(model.text_projection.shape[1], ATTRIBUTES)  # one reader for both towers
    learning = [*model.parameters(), *named.parameters()]
    total = settings.warm_up_steps + settings.steps
    optimiser = torch.optim.AdamW(
        [
            {"params": [p for p in learning if p.ndim >= 2], "weight_decay": settings.weight_decay},
            {"params": [p for p in learning if p.ndim < 2], "weight_decay": 0.0},
        ],
        lr=settings.learning_rate,
        betas=(0.9, 0.98),
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, settings.learning_rate, total_steps=total, pct_start=0.1
    )
    rng = torch.Generator().manual_seed(seed)
    epochs = 1 + total * settings.batch // len(images)
    order = torch.cat([torch.randperm(len(images), generator=rng) for _ in range(epochs)])
    for step in track(range(total), description="training CLIP", total=total, unit="steps"):
        rows = order[step * settings.batch : (step + 1) * settings.batch]
        warm_up = step < settings.warm_up_steps
        heard = rows[: settings.batch // 4] if warm_up else rows  # text is learned faster
        captions = tokens[:1, heard] if warm_up else tokens[:, heard]
        shown = model.encode_image(degrade(images[rows], settings.degraded, rng), normalize=True)
        said = model.encode_text(captions.flatten(0, 1), normalize=True)
        reading = ((shown, rows), (said[: len(heard)], heard))
        losses = [
            functional.binary_cross_entropy_with_logits(named(10 * features), pairs.attributes[which])
            for features, which in reading
        ]
        loss = settings.attribute_weight * torch.stack(losses).sum()
        if not warm_up:
            loss = loss + contrast(model.logit_scale.exp() * shown @ said.T)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(learning, 1.0)
        optimiser.step()
        schedule.step()
        with torch.no_grad():
            model.logit_scale.clamp_(max=float(np.log(100)))
    with torch.no_grad():
        whole.weight[words] = model.token_embedding.weight
    model.token_embedding = whole
    return words


def contrast(similarity: Tensor) -> Tensor:
    """CLIP's loss for scaled similarities (image, caption), the n-th image's caption in column n.

    Columns further right are wrong captions: negatives for every image.
    """
    count = len(similarity)
    targets = torch.arange(count)
    to_text = functional.cross_entropy(similarity, targets)
    return (to_text + functional.cross_entropy(similarity[:, :count].T, targets)) / 2


@torch.no_grad()
def measure(model: open_clip.CLIP, pairs: Pairs) -> dict[str, float]:
    """Retrieval among held-out pairs, and how well cosines tell a true caption from one nearly true."""
    tokenizer = open_clip.SimpleTokenizer(context_length=model.context_length)
    shown = model.encode_image(preprocess(pairs.frames, int(model.visual.image_size[0])), normalize=True)
    said = model.encode_text(tokenizer(pairs.captions), normalize=True)
    similarity = shown @ said.T
    right = torch.arange(len(shown))
    true = similarity.diagonal()
    nearly = torch.cat(
        [(shown * model.encode_text(tokenizer(w), normalize=True)).sum(1) for w in pairs.wrong]
    )
    labels = [1] * len(true) + [0] * len(nearly)
    return {
        "retrieval_r1_image_to_text": float((similarity.argmax(1) == right).float().mean()),
        "retrieval_r1_text_to_image": float((similarity.argmax(0) == right).float().mean()),
        "auc_true_against_one_attribute_wrong": float(roc_auc_score(labels, torch.cat([true, nearly]))),
    }


def save(model: nn.Module, words: Tensor, folder: Path) -> None:
    """Ships two towers under open_clip's names: `visual.*`, and the rest; of the table only `words`."""
    state = {name: value.numpy() for name, value in model.state_dict().items() if name != "logit_scale"}
    image = {name: value for name, value in state.items() if name.startswith("visual.")}
    text = {name: value for name, value in state.items() if name not in image}
    shipped.keep("clip_image", image, folder=folder)
    shipped.keep("clip_text", shipped.learned_rows(text, words.numpy()), folder=folder)


def main() -> None:
    """Draws the pairs, trains, measures on held-out pairs, and ships."""
    data = params.read(HERE / "params.yaml")
    settings = params.block(data, "clip", ClipSettings, where=HERE / "params.yaml")
    seed = int(data["seed"])
    device.keep_freed()
    torch.manual_seed(seed)
    torch.set_num_threads(settings.threads)
    model = open_clip.CLIP(**json.loads((HERE / "clip.json").read_text(encoding="utf-8")))
    draw = partial(draw_pairs, seed=seed, workers=settings.workers)
    words = train(model, draw("clip_train", settings.pairs, wrong=settings.wrong), settings, seed=seed)
    model.eval()
    metrics = measure(model, draw("clip_test", TEST_PAIRS, wrong=TEST_WRONG))
    save(model, words, shipped.NETWORKS)
    print(shipped.record("clip", metrics, seed=seed))


if __name__ == "__main__":
    main()
